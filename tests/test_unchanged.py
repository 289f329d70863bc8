"""The numbers of the layout before, and the runs it left: both must be as they were (tests/golden/README.md)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import data, made

import vlae
from vlae import recipes
from vlae.evaluation.rates import summarise
from vlae.models.levels import MomentsLevel
from vlae.models.levels.explain import Explainer
from vlae.nn.layers import Blocks, EvenConvTranspose2d
from vlae.nn.moments import AffineInvariantConv
from vlae.objectives import ELBO, Batch
from vlae.objectives.features import explained
from vlae.runs import layout
from vlae.training.train import fit

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

GOLDEN = Path(__file__).parent / "golden"
VALUES = json.loads((GOLDEN / "values.json").read_text())
OBJECTIVES = {
    "plain": ELBO(),
    "grown": ELBO(growth="ladder", beta=2.0, warmup=10.0, mmd=3.0, free_bits=0.1),
    "cap": ELBO(capacity=4.0),
}


def near(golden):
    return pytest.approx(golden, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("case", VALUES["cases"])
def test_seeded_losses_and_pictures(case):
    model, golden = made(case), VALUES["cases"][case]
    x = data(model, 8)
    for name, objective in OBJECTIVES.items():
        torch.manual_seed(1)
        loss = objective.loss(model, Batch(x=x), step=5, progress=0.3)
        total = loss.total - explained(loss.forward, x)  # which a plain ELBO left out, so what explains learnt nothing
        assert [float(total), *map(float, loss.terms)] == near(golden[name])
    model.eval()
    with torch.no_grad():
        codes = model.place(model.draw_noise(3, torch.Generator().manual_seed(2)))
        assert float(model.decode(codes).double().sum()) == near(golden["decoded"])
        assert float(sum(code.double().sum() for code in codes)) == near(golden["codes"])
        assert [float(q.mean.double().sum()) for q in model.infer(x)] == near(golden["inferred"])
        assert [float(noise.double().sum()) for noise in model.noise_of(codes)] == near(golden["noise"])


@pytest.mark.parametrize("case", VALUES["trained"])
def test_seeded_trainings(case):
    name, kind = case.split()
    rng = np.random.default_rng(0)
    images, vectors = rng.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8), rng.normal(size=(60, 5)).astype(np.float32)
    values = images if kind == "images" else vectors
    sizes = recipes.rival_codes(name, (4, 8))
    recipe = recipes.RECIPES[name](values.shape[1:], code_sizes=sizes, width=4)
    recipe = recipes.adjust(recipe, steps=12, batch_size=8, learning_rate=1e-3)
    model = fit(values, recipe)
    sums = [
        sum(p.double().sum() for p in model.parameters()),
        sum(p.double().abs().sum() for p in model.state_dict().values()),
    ]
    assert list(map(float, sums)) == pytest.approx(VALUES["trained"][case], rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("name", VALUES["shipped"])
def test_shipped_ladders(name):
    run, golden = vlae.load(name), VALUES["shipped"][name]
    assert run.identity == golden["identity"]
    codes = run.encode(run.examples[:6])
    assert [[float(code.sum()), float(np.abs(code).sum())] for code in codes] == [
        near(code) for code in golden["codes"]
    ]
    assert float(run.decode(codes).astype(float).sum()) == near(golden["decoded"])


@pytest.fixture
def golden(tmp_path, monkeypatch):
    """A copy of the folder, in which the runs' data are found again."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")
    return tmp_path / "golden"


@pytest.mark.parametrize("name", ["lean", "vectors", "hvae", "lvae", "deep"])
def test_a_run_of_the_first_format_opens(golden, name):
    run = vlae.load(golden / "runs" / name)
    assert "format" not in json.loads((run.path / layout.RECIPE).read_text())
    held_out = run.part("test").values
    assert np.array_equal(held_out[:64], run.examples)
    again = run.decode(run.encode(held_out))
    x = vlae.as_input(held_out).numpy()
    assert float(np.square(again - x).mean()) == near(run.summary["reconstruction"]["mse"])
    assert recipes.Recipe.from_json(run.recipe.to_json()) == run.recipe
    run.save_pretrained(golden / "shared")
    assert vlae.load(golden / "shared").recipe == run.recipe


def test_a_run_of_the_first_format_goes_on_to_the_same_weights(golden):
    whole = vlae.load(golden / "runs/lean")
    run = vlae.train("pictures.npy", out=golden / "runs/unfinished", resume=True, progress=False)
    expected, found = whole.model.state_dict(), run.model.state_dict()
    scale = "likelihood.fitted_scale"  # no weight: a mean over all steps of so short a training then
    assert 0 < found.pop(scale) < expected.pop(scale)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4)
    assert vlae.load(run.path).summary == run.summary


def test_a_format_of_a_newer_vlae_is_named(golden):
    record = vlae.load(golden / "runs/lean").recipe.as_dict() | {"format": 99}
    with pytest.raises(ValueError, match="of format 99; this vlae reads 1 to 2: install a newer one"):
        recipes.Recipe.from_dict(record)


def test_a_recipe_without_the_newer_settings_is_what_it_was(golden):
    run = vlae.load(golden / "runs/lean")
    newer = {"polarity", "flat", "gradients", "even", "smooth", "residual"}
    record = run.recipe.as_dict()
    for part in (*record["recipe"]["levels"], record["recipe"]["blocks"]):
        assert newer & part.keys()
        for setting in newer & part.keys():
            del part[setting]
    assert recipes.Recipe.from_dict(record) == run.recipe
    one, *above = run.recipe.levels
    assert isinstance(one, MomentsLevel) and (one.polarity, one.flat) == ("hidden", 0.01)
    assert all(level.gradients == 0 for level in above) and run.recipe.blocks == Blocks(even=False, residual=0)
    assert isinstance(run.model.levels[0].g[0], AffineInvariantConv)
    assert not any(isinstance(part, EvenConvTranspose2d | Explainer) for part in run.model.modules())
    assert "features_distortion_nats" not in summarise(run.model, run.examples)
