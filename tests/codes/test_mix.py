"""Mixing by example: every level of the mix is that of the image that was to give it."""

import numpy as np
import pytest
import torch
from command_line import cli_exit, refusal
from PIL import Image

import vlae
from vlae.workflows import train


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(pixels, tmp_path_factory):
    out = tmp_path_factory.mktemp("mixing") / "run"
    return train(pixels, out=out, steps=4, batch_size=8, code_sizes=(2, 3, 4), progress=False)


def given(run, mixed, *images):
    """Of each level, which image's code it has."""
    all_codes = run.encode(np.stack(images))
    return [
        int(np.argmin(((code - theirs) ** 2).sum(1))) if np.isclose(code, theirs, atol=1e-4).all(1).any() else None
        for code, theirs in zip(mixed.codes, all_codes, strict=True)
    ]


def test_each_level_is_its_examples(run, pixels):
    a, b, c = pixels[:3]
    assert given(run, vlae.mix(run, {1: a, (3,): b}), a, b, c) == [0, 1, 1]
    assert given(run, vlae.mix(run, {(1, 3): a, 2: b}), a, b, c) == [0, 1, 0]
    mixed = vlae.mix(run, {1: a, 2: b}, base=c)
    assert given(run, mixed, a, b, c) == [0, 1, 2]
    assert [levels for levels, _, _ in mixed.sources] == [(1,), (2,), (3,)]
    np.testing.assert_allclose(mixed.picture, run.decode(mixed.codes)[0])
    assert mixed.picture.shape == (3, 16, 16)


def test_levels_of_no_image_are_drawn_given_the_others(run, pixels):
    a, b = pixels[:2]
    mixed = vlae.mix(run, {1: a, 3: b}, fill=True)
    assert given(run, mixed, a, b) == [0, None, 1] and mixed.drawn == (2,)
    assert [levels for levels, _, _ in mixed.sources] == [(1,), (3,)]
    noise = (run.noise_of(a)[0], torch.zeros(1, 3), run.noise_of(b)[2])
    drawn = run.prior.redraw([2], noise, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(mixed.codes[1], drawn[1], atol=1e-6)
    other = vlae.mix(run, {1: a, 3: b}, fill=True, seed=1)
    assert not np.array_equal(mixed.codes[1], other.codes[1])
    assert vlae.mix(run, {1: a, 2: a, 3: b}, fill=True).drawn == ()
    with pytest.raises(ValueError, match="give base or fill, not both"):
        vlae.mix(run, {1: a}, base=b, fill=True)


def test_a_hierarchical_model_mixes_noise(pixels, tmp_path):
    deep = train(pixels, out=tmp_path / "run", recipe="hvae", steps=4, batch_size=8, code_sizes=(2, 3), progress=False)
    for parameter in (*deep.model.recognisers.parameters(), *deep.model.priors.parameters()):
        parameter.data *= 4  # so that the levels depend on each other
    mixed = vlae.mix(deep, {1: pixels[0], 2: pixels[1]})
    noise = deep.noise_of(mixed.picture)
    assert [level.shape for level in noise] == [(1, 2), (1, 3)]
    np.testing.assert_allclose(mixed.codes[1], deep.encode(pixels[1])[1], atol=1e-4)
    with torch.no_grad():
        prior = deep.model.prior(1, (torch.from_numpy(mixed.codes[1]),))
        low = prior.place(deep.noise_of(pixels[0])[0])
    np.testing.assert_allclose(mixed.codes[0], low, atol=1e-5)
    unmixed = vlae.mix(deep, {(1, 2): pixels[0]}).codes
    np.testing.assert_allclose(unmixed[0], deep.encode(pixels[0])[0], atol=1e-4)
    assert np.abs(low.numpy() - unmixed[0]).max() > 1e-3  # the prior of level 1 follows the code above


def test_figure(run, pixels, tmp_path):
    mixed = vlae.mix(run, {1: pixels[0], 2: pixels[1]})
    picture = np.array(mixed.figure(tmp_path / "mixed.png"))
    assert np.array_equal(picture, np.array(Image.open(tmp_path / "mixed.png")))
    large = (mixed.picture * 255).round().astype(np.uint8).transpose(1, 2, 0).repeat(6, 0).repeat(6, 1)
    assert np.array_equal(picture[-96:, -96:], large)
    with pytest.raises(ValueError, match=r"ends in \.png"):
        mixed.figure(tmp_path / "mixed.gif")


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((4,), "no level 4; .* has 1 to 3"),
        ((0,), "no level 0"),
        ((1, (1, 2)), "level 1 is given twice"),
        ((), "no example"),
    ],
)
def test_levels_that_cannot_be_mixed(run, pixels, levels, words):
    with pytest.raises(ValueError, match=words):
        vlae.mix(run, dict.fromkeys(levels, pixels[0]))


def test_command(run, pixels, tmp_path, capsys):
    for name, value in zip("abc", pixels, strict=False):  # of another size: they are cut and resized
        Image.fromarray(value.transpose(1, 2, 0)).resize((50, 40)).save(tmp_path / f"{name}.png")
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    assert cli_exit("mix", run.path, "--level", "1", a, "--level", "2,3", b, "--out", tmp_path / "out.png") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.png")
    wide = Image.open(tmp_path / "out.png").width
    assert cli_exit("mix", run.path, "--level", "1", a, "--level", "2", b, "--base", c) == 0
    assert Image.open(run.path / "figures" / "mixed.png").width > wide
    assert "no level 4" in refusal(capsys, "mix", run.path, "--level", "4", a)
    assert "'one'" in refusal(capsys, "mix", run.path, "--level", "one", a)
    assert "given twice" in refusal(capsys, "mix", run.path, "--level", "1", a, "--level", "1", b)
    assert "none.png" in refusal(capsys, "mix", run.path, "--level", "1", tmp_path / "none.png")
    assert "--level" in refusal(capsys, "mix", run.path)
