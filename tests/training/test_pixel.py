"""A run with pixels drawn one after the other: trained, resumed, drawn, measured and exported like any other."""

import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import vlae
from vlae.cli import main as cli
from vlae.codes import onnx
from vlae.figures import contents, panels
from vlae.models import inference
from vlae.models.pixel import Pixel
from vlae.recipes import adjust, build, hvae
from vlae.report import page
from vlae.studies import gibbs
from vlae.training.train import fit

RECIPES = ("lean", "joint", "vae", "hvae", "lvae")


def images(num=80, side=8):
    return np.random.default_rng(0).integers(0, 256, (num, side, side), dtype=np.uint8)


SETTINGS = {"family": "pixel", "masked_layers": 1, "masked_kernel": 3, "masked_width": 4, "steps": 20, "batch_size": 8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of every recipe."""
    folder = tmp_path_factory.mktemp("pixel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlae.workflows.page.write", lambda run: None)
        return {
            name: vlae.train(images(), out=folder / name, recipe=name, progress=False, **SETTINGS) for name in RECIPES
        }


@pytest.fixture
def run(runs):
    return vlae.load(runs["lean"].path)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_it_and_is_measured(runs, name):
    opened = vlae.load(runs[name].path)
    assert opened.recipe == runs[name].recipe
    assert opened.recipe.likelihood == Pixel(masked_layers=1, masked_kernel=3, masked_width=4)
    assert opened.summary["elbo_nats"] < 0 and 0 < opened.summary["reconstruction"]["mse"] < 1
    curves = opened.history
    assert curves["distortion"].iloc[-1] > 0  # of probabilities, which are below 1
    result = vlae.evaluate(opened, opened.read(images(60)), importance_samples=2)
    assert result["bits_per_dimension"] == pytest.approx(-result["elbo_nats"] / 64 / np.log(2))
    assert result["log_likelihood_nats"] > result["elbo_nats"] - 5


def test_pixels_are_drawn_when_asked_for(run):
    plain, drawn, again, other = (
        run.sample(3, **options) for options in ({}, {"pixels": True}, {"pixels": True}, {"pixels": True, "seed": 1})
    )
    assert drawn.shape == plain.shape == (3, 1, 8, 8) and drawn.dtype == np.float32
    np.testing.assert_allclose((drawn * 255).round() / 255, drawn, atol=1e-6)
    assert np.array_equal(drawn, again) and not np.array_equal(drawn, other)
    assert abs((plain * 255).round() / 255 - plain).max() > 1e-3  # these are the decoder's


def test_drawing_batch_by_batch_leaves_the_first_pictures_as_they_are(run, monkeypatch):
    codes = run.encode(run.examples[:5])
    whole = inference.draw(run.model, codes, seed=3)
    monkeypatch.setattr(inference, "DRAWN_PIXELS", 2 * 64)
    parts = inference.draw(run.model, codes, seed=3)
    assert parts.shape == whole.shape and not np.array_equal(parts, whole)  # other noise, but as many


def test_drawing_shows_its_progress_on_a_terminal(run, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda stderr: Console(file=shown, force_terminal=True))
    run.sample(2, pixels=True)
    assert not shown.getvalue()
    run.sample(2, pixels=True, progress=True)
    assert "drawing pixels" in shown.getvalue() and "100%" in shown.getvalue()


def test_the_levels_figure_shows_level_0_of_autoregressive_pixels_alone(run, monkeypatch):
    titles = []
    text = panels.text
    monkeypatch.setattr(panels, "text", lambda words, *size: titles.append(words) or text(words, *size))
    wide = panels.levels(run.model, num=2)
    assert titles[-3:-1] == ["level 2 (8)", "level 0 (pixels)"] or "level 0 (pixels)" in titles
    titles.clear()
    factorised = build(adjust(run.recipe, masked_layers=0)).eval()
    narrow = panels.levels(factorised, num=2)
    assert "level 0 (pixels)" not in titles and narrow.shape[1] < wide.shape[1]
    assert len(panels.panels(run.model, num=2)) == len(run.model.levels_with_code)  # the page's cards are of levels


def test_level_0_keeps_the_codes_and_changes_the_pixels(run, monkeypatch):
    seen = []
    draw = contents.draw
    monkeypatch.setattr(contents, "draw", lambda *given, **options: seen.append(draw(*given, **options)) or seen[-1])
    codes = []
    decode = type(run.model).generate
    monkeypatch.setattr(type(run.model), "generate", lambda model, z: codes.append(z) or decode(model, z))
    run.figure("levels", num=3)
    assert seen[0].shape == (9, 1, 8, 8) and len(np.unique(seen[0], axis=0)) == 9
    assert all(torch.equal(level, level[:1].expand_as(level)) for level in codes[-1])


def test_the_command_draws_samples(run, tmp_path, capsys):
    for name, options in (("plain", []), ("drawn", ["--pixels"])):
        with pytest.raises(SystemExit) as ended:
            cli.main(
                ["figure", str(run.path), "samples", "--num", "4", "--out", str(tmp_path / f"{name}.png"), *options]
            )
        assert not ended.value.code
    plain, drawn = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("plain", "drawn"))
    assert not np.array_equal(plain[:300], drawn[:300])
    with pytest.raises(ValueError, match="a 'levels' figure has no option pixels"):
        run.figure("levels", pixels=True)


@pytest.mark.slow
def test_figures_page_and_export_need_to_know_nothing_of_it(run):
    for kind in ("mix", "traversal", "reconstructions", "progress", "samples"):
        assert run.figure(kind).size[0] > 50
    assert "level 0" not in page.write(run).read_text()
    exported = onnx.export(run)
    assert exported["differences"]["images"] < 1e-4  # the decoder draws the picture m(z)


def test_a_gibbs_chain_draws_pixels_where_they_depend_on_each_other(runs):
    x = vlae.as_input(runs["hvae"].examples)[:4]
    model = runs["hvae"].model
    with torch.inference_mode():
        drawn = gibbs.chain(model, x, levels=(1,), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close((drawn * 255).round() / 255, drawn)
        independent = build(adjust(hvae((1, 8, 8), width=4), family="pixel", masked_layers=0)).eval()
        mean = gibbs.chain(independent, x, levels=(1,), generator=torch.Generator().manual_seed(0))
    assert not torch.equal((mean * 255).round() / 255, mean)


def test_pictures_beside_the_grid_stop_the_training_with_what_to_do(tmp_path):
    recipe = adjust(build_recipe(), steps=3)
    with pytest.raises(ValueError, match=r"steps beside them; give \(x \* 255\)"):
        fit(np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32), recipe)
    with pytest.raises(ValueError, match="masked_kernel is 9, and pictures have 8 × 8 pixels"):
        vlae.train(images(), out=tmp_path / "run", progress=False, **{**SETTINGS, "masked_kernel": 9})
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="the 'pixel' likelihood is for images"):
        vlae.train(np.random.default_rng(0).random((20, 5)), out=tmp_path / "run", family="pixel", progress=False)


def build_recipe():
    from vlae.recipes import lean

    return adjust(lean((1, 8, 8), width=4), **SETTINGS)


def test_a_class_is_learned_beside_it(tmp_path):
    """Its pictures are turned and scaled at random, and brought back to whole grey levels."""
    labels = np.random.default_rng(1).integers(0, 3, 80)
    labelled = vlae.Images(values=images()[:, None], labels=labels)
    settings = {**SETTINGS, "batch_size": 40, "steps": 5}
    run = vlae.train(labelled, out=tmp_path / "run", labels="all", progress=False, **settings)
    assert run.sample(2, pixels=True).shape == (2, 1, 8, 8) and run.figure("levels").size[0] > 50


def test_a_binarised_picture_is_data_like_any_other(tmp_path):
    grey = images()
    binary = (np.random.default_rng(1).random(grey.shape) * 255 < grey).astype(np.uint8) * 255
    settings = {**SETTINGS, "family": "binary-pixel"}
    run = vlae.train(binary, out=tmp_path / "run", recipe="hvae", progress=False, **settings)
    assert set(np.unique(run.sample(4, pixels=True))) == {0.0, 1.0}
    assert -64 * np.log(2) * 3 < run.summary["elbo_nats"] < 0
    with pytest.raises(ValueError, match="0 and 1"):
        vlae.evaluate(run, run.read(grey))


@pytest.mark.slow
def test_mixed_precision_trains(tmp_path):
    run = vlae.train(images(), out=tmp_path / "run", precision="bf16", progress=False, **SETTINGS)
    assert np.isfinite(run.history["distortion"]).all()


@pytest.mark.slow
def test_after_a_kill_it_goes_on_to_the_same_bits(runs, tmp_path):
    code = f"""
import os, signal
import numpy as np
import torch
import vlae
from vlae.models.pixel import PixelHead
from vlae.training import loop
torch.set_num_threads(1)
loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 0, 5
original, calls = PixelHead.log_prob, []
def log_prob(*arguments):
    calls.append(1)
    if len(calls) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
PixelHead.log_prob = log_prob
x = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
vlae.train(x, out={str(tmp_path / "run")!r}, recipe="lean", progress=False, **{SETTINGS!r})
"""
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=False)["global_step"] == 10
    again = vlae.train(images(), out=tmp_path / "run", resume=True, progress=False)
    whole = runs["lean"].model.state_dict()
    assert again.model.state_dict().keys() == whole.keys()
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in whole.items())
