"""What is computed with the model: pictures of codes, codes of pictures, strips, swaps and paths."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vlae.models.priors import standard_prior
from vlae.web import studio as studios
from vlae.web.studio import Studio
from vlae.workflows import train

pytestmark = pytest.mark.usefixtures("no_pages")


def pictures(num=120, size=12, channels=3):
    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exploring")
    np.save(folder / "pictures.npy", pictures())
    return train(
        folder / "pictures.npy", out=folder / "run", code_sizes=(2, 0, 1, 4), steps=4, batch_size=8, progress=False
    )


@pytest.fixture(scope="module")
def studio(run):
    return Studio(run)


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def test_noise_becomes_pictures_and_codes(run, studio):
    noise = studio.draw(3)
    assert [tuple(level.shape) for level in noise] == [(1, 2), (1, 0), (1, 1), (1, 4)]
    assert all(torch.equal(a, b) for a, b in zip(noise, studio.draw(3), strict=True))
    codes = studio.codes(noise)
    expected = np.rint(run.decode([code.numpy() for code in codes])[0].transpose(1, 2, 0) * 255)
    assert np.abs(studio.pictures(noise)[0].astype(int) - expected).max() <= 1


def test_draws_are_of_the_fitted_prior_or_of_n01(run, studio):
    factors = torch.eye(7).double().expand(1, 7, 7) * 0.01
    factors[0, 3:, 0] = 1.0  # level 4 follows the first number of level 1
    planted = replace(standard_prior((2, 0, 1, 4)), factors=factors.clone())
    alike = Studio(replace(run))
    alike.run.__dict__["prior"] = planted
    noise = alike.draw(1)
    assert float(noise[0].abs().max()) < 0.1
    assert all(torch.equal(a, b) for a, b in zip(studio.draw(1, "standard"), alike.draw(1, "standard"), strict=True))
    start = (torch.tensor([[0.05, 0.0]]), torch.zeros(1, 0), torch.zeros(1, 1), torch.zeros(1, 4))
    redrawn = alike.redraw(start, 4, 0)
    assert all(torch.equal(redrawn[i], start[i]) for i in range(3))
    np.testing.assert_allclose(alike.redraw(start, 4, 0)[3], 5.0, atol=0.1)
    np.testing.assert_allclose(alike.varied(start, 4, 0), 5.0, atol=0.1)
    assert np.abs(alike.varied(start, 4, 0, prior="standard")).max() < 5
    with pytest.raises(ValueError, match="there is no level 2 with a code"):
        alike.redraw(start, 2, 0)
    with pytest.raises(ValueError, match="prior is 'best'"):
        alike.draw(0, "best")


def test_many_pictures_are_those_of_each(studio):
    rows = studio.with_level(studio.draw(0), 4, studio.varied(studio.draw(0), 4, 1, num=70))
    together = studio.pictures(rows)
    assert len(together) == 70
    alone = studio.pictures(tuple(level[69:70] for level in rows))[0]
    assert np.abs(together[69].astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([[0, 0], [], [0]], "codes of sizes"),
        ([[0, 0], [], [0], [0, 0, 0]], r"the run run takes \(2, 0, 1, 4\)"),
        ([[0, "a"], [], [0], [0] * 4], "not numbers"),
        ([[0, float("nan")], [], [0], [0] * 4], "from -100 to 100"),
        ([[0, 1e9], [], [0], [0] * 4], "from -100 to 100"),
        (7, "not numbers"),
    ],
)
def test_codes_that_do_not_fit_are_refused(studio, row, words):
    with pytest.raises(ValueError, match=words):
        studio.parse_noise(row)


def test_very_many_codes_are_refused_before_any_is_computed_with(studio, monkeypatch):
    monkeypatch.setattr(torch, "tensor", lambda *_, **__: pytest.fail("they were computed with"))
    with pytest.raises(ValueError, match=r"codes of sizes \(0, 0, 0, 0, 0, 0, \.\.\.\) are given"):
        studio.parse_noise([[]] * 100_000)


def test_a_datum_is_shown_beside_what_comes_back(run, studio):
    noise, shown, error = studio.original(studio.run.examples[2:3])
    assert np.array_equal(shown[0], run.examples[2].transpose(1, 2, 0))
    assert np.array_equal(shown[1], studio.pictures(noise)[0])
    assert np.array_equal(shown[2], np.abs(shown[0].astype(int) - shown[1]))
    assert error == pytest.approx(np.square(shown[0] / 255.0 - shown[1] / 255.0).mean(), rel=1e-4)


def test_a_picture_is_read_as_in_training(studio):
    assert studio.read(png(pictures(1, 12)[0])).shape == (1, 3, 12, 12)
    assert studio.read(png(pictures(1, 40)[0][:, :20])).shape == (1, 3, 12, 12)
    assert studio.read(png(pictures(1, 12)[0, :, :, 0])).shape == (1, 3, 12, 12)


def test_a_level_is_swept_or_drawn(studio):
    start = studio.draw(0)
    plane = studio.varied(start, 1, 0, num=3)
    assert plane.shape == (9, 2)
    assert plane[0].tolist() == [-studios.SPAN, studios.SPAN]
    assert studio.varied(start, 3, 0, num=5)[:, 0].tolist() == pytest.approx([-2.5, -1.25, 0, 1.25, 2.5])
    drawn = studio.varied(start, 4, 0, num=5)
    assert drawn.shape == (5, 4)
    assert not np.array_equal(drawn, studio.varied(start, 4, 1, num=5))
    for level in (0, 2, 5):
        with pytest.raises(ValueError, match=f"there is no level {level} with a code; there are 1, 3, 4"):
            studio.varied(start, level, 0)


def test_swaps_take_whole_levels(studio):
    a, b = studio.draw(0), studio.draw(1)
    subsets = studio.subsets()
    assert subsets[0] == () and subsets[-1] == (1, 3, 4) and len(subsets) == 8
    swapped = studio.swaps(a, b)
    for row, chosen in enumerate(subsets):
        for level in (1, 3, 4):
            expected = (b if level in chosen else a)[level - 1][0]
            assert torch.equal(swapped[level - 1][row], expected)


def test_of_many_levels_only_neighbours_are_swapped(studio, monkeypatch):
    monkeypatch.setattr(studios, "MAX_SUBSETS", 2)
    assert studio.subsets() == [(), (1,), (3,), (4,), (1, 3), (3, 4), (1, 3, 4)]


def test_a_path_moves_some_levels_evenly(studio):
    a, b = studio.draw(0), studio.draw(1)
    path = studio.path(a, b, [4], steps=5)
    assert torch.allclose(path[3][2], (a[3][0] + b[3][0]) / 2)
    assert torch.equal(path[3][4], b[3][0])
    assert torch.equal(path[0], a[0].expand(5, -1))


def test_vectors_can_be_explored_too(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    run = train(rows, out=tmp_path / "run", code_sizes=(2, 2), steps=4, batch_size=8, progress=False)
    studio = Studio(run)
    assert studio.pictures(studio.draw(0)).ndim == 4
    with pytest.raises(ValueError, match="trained on vectors"):
        studio.read(b"")


def test_a_class_is_drawn_and_shown_by_its_values(tmp_path):
    labels = np.arange(120) % 3
    np.savez(tmp_path / "p.npz", images=pictures(), labels=labels)
    classed = train(
        tmp_path / "p.npz",
        out=tmp_path / "run",
        labels="all",
        code_sizes=(2, 4),
        steps=4,
        batch_size=40,
        progress=False,
    )
    studio = Studio(classed)
    noise = studio.draw(0)
    found = {int(studio.codes(studio.redraw(noise, 3, seed))[2].argmax()) for seed in range(20)}
    assert found == {0, 1, 2}
    shown = studio.with_level(noise, 3, studio.varied(noise, 3, 0))
    assert studio.codes(shown)[2].argmax(1).tolist() == [0, 1, 2]
    kept = studio.redraw(noise, 3, 1)
    assert all(torch.equal(a, b) for a, b in zip(kept[:2], noise[:2], strict=True))
