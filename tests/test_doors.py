"""The doors are open: what tests/newcomers.py brings moves in through the public names, and nothing else is changed."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from newcomers import EightBits, FewLabels, Rows
from torch import nn
from torch.distributions import Distribution, register_kl
from torch.nn.functional import mse_loss, one_hot

import vlae
from vlae import recipes
from vlae.codes import onnx
from vlae.models.levels import Level
from vlae.report import page
from vlae.runs import RunError

STEPS = 20


def test_errors_that_reach_both_doors_name_what_to_change_at_both():
    """An error from below the command line names an option with the parameter; or the command that mends it."""
    one_sided = []
    for file in sorted(Path(vlae.__file__).parent.rglob("*.py")):
        if "cli" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                text = " ".join(part for part in parts if isinstance(part, str))
                if re.search(r"--[a-z]", text) and not re.search(r"\b(vlae|ray) [a-z]|torchrun|=|Index\.", text):
                    one_sided.append(f"{file.name}, line {node.lineno}: {text}")
    assert not one_sided


def images():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(80) < 0.7, -1, rng.integers(0, 3, 80))
    return vlae.Images(values=rng.integers(0, 256, (80, 1, 8, 8), dtype=np.uint8), labels=labels)


def newcomers():
    """Rows below, a plain level above."""
    levels = (Rows(code_size=2), Level(code_size=3, dense=(16,)))
    recipe = replace(recipes.lean((1, 8, 8)), levels=levels, likelihood=EightBits(), objective=FewLabels(beta=0.5))
    return recipes.adjust(recipe, steps=STEPS, batch_size=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return vlae.train(images(), out=tmp_path_factory.mktemp("doors") / "run", recipe=newcomers(), progress=False)


def test_they_train_and_learn(run):
    assert {"critic_gap", "label_error", "rate_1", "distortion"} <= set(run.history)
    assert run.recipe.objective == FewLabels(beta=0.5)
    assert run.summary["elbo_nats"] < 0  # a probability's is never above 0


def test_the_critic_is_part_of_the_checkpoint_and_never_of_the_model():
    recipe = newcomers()
    model = recipes.build(recipe)
    assert not [name for name in model.state_dict() if "critic" in name or "classes" in name]
    networks = recipe.objective.networks(model)
    batch = vlae.Batch(x=torch.rand(8, 1, 8, 8), labels=torch.full((8,), -1))
    loss = recipe.objective.loss(model, batch, step=0, progress=0.0, networks=networks)
    assert loss.terms[-1] == 0  # without a label there is nothing to be wrong about
    loss.total.backward()
    assert all(p.grad.any() for p in networks["critic"].parameters() if p.ndim > 1)


@pytest.mark.slow
def test_after_a_kill_they_go_on_to_the_same_bits(run, tmp_path):
    code = f"""
import os, signal
import test_doors as doors
import vlae
from vlae.training import loop
torch = doors.torch
torch.set_num_threads(1)
loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 0, 5
rates, calls = doors.FewLabels.loss, []
def loss(self, *arguments, **settings):
    calls.append(1)
    if len(calls) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return rates(self, *arguments, **settings)
doors.FewLabels.loss = loss
vlae.train(doors.images(), out={str(tmp_path / "run")!r}, recipe=doors.newcomers(), progress=False)
"""
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=False)
    assert {"networks.critic.weight", "networks.classes.bias"} <= set(checkpoint["state_dict"])
    assert checkpoint["global_step"] == 10 and len(checkpoint["optimizer_states"]) == 1
    again = vlae.train(images(), out=tmp_path / "run", resume=True, progress=False)
    assert again.model.state_dict().keys() == run.model.state_dict().keys()
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in run.model.state_dict().items())


def test_the_learning_rate_of_the_networks_is_a_share_of_the_models(monkeypatch):
    seen = []

    def loss(self, model, batch, **settings):
        seen.append([group["lr"] for group in engines[0].optimizers().param_groups])
        return original(self, model, batch, **settings)

    from vlae.training import loop
    from vlae.training.train import fit

    engines, original, make = [], FewLabels.loss, loop.Engine.__init__
    monkeypatch.setattr(loop.Engine, "__init__", lambda self, *a: (engines.append(self), make(self, *a))[1])
    monkeypatch.setattr(FewLabels, "loss", loss)
    fit(images().values, recipes.adjust(newcomers(), steps=3), labels=images().labels)
    assert len(seen) == 3 and all(networks == model / 2 for model, networks in seen)


def test_the_run_opens_and_everything_is_drawn_and_said(run):
    opened = vlae.load(run.path)
    assert opened.recipe == run.recipe and opened.summary == run.summary
    record = json.loads((run.path / "recipe.json").read_text())["recipe"]
    kinds = [level["kind"] for level in record["levels"]]
    assert (kinds, record["likelihood"]["kind"]) == (["row-means", "plain"], "8-bit")
    codes = opened.encode(opened.examples)
    assert [code.shape[1] for code in codes] == [2, 3] and opened.decode(codes).max() <= 1
    result = vlae.evaluate(opened, images())
    bits = -result["elbo_nats"] / 64 / np.log(2)
    assert result["bits_per_dimension"] == pytest.approx(bits)
    written = page.write(opened).read_text()
    assert "row-means" in written and "critic gap" not in written
    for kind in ("levels", "mix", "progress", "traversal"):
        assert opened.figure(kind).size[0] > 50
    assert onnx.export(opened)["differences"]["images"] < 1e-4


def test_a_run_of_a_kind_that_is_not_imported_is_named(run, monkeypatch):
    monkeypatch.delitem(vlae.LevelSettings.kinds(), "row-means")
    with pytest.raises(RunError, match="there is no level 'row-means'; choose one of class, content, plain, moments"):
        vlae.load(run.path)


def test_two_kinds_of_one_name_are_refused():
    with pytest.raises(ValueError, match="there is a kind 'plain' already"):
        type("Level", (vlae.LevelSettings,), {"__module__": "elsewhere"}, kind="plain")


# A category is a level like another


class Category(vlae.CodeDistribution):
    """One of K: its noise is Gumbel by quantile, its code the one-hot arg max, with a gradient straight through."""

    def __init__(self, logits):
        self.logits = logits.log_softmax(1)
        super().__init__(logits.shape, validate_args=False)

    mean = property(lambda self: self.logits.exp())
    stddev = property(lambda self: (self.mean * (1 - self.mean)).sqrt())

    def place(self, noise):
        gumbel = -(-torch.special.ndtr(noise.double()).clamp(1e-12, 1 - 1e-12).log()).log()
        hard = one_hot((self.logits + gumbel).argmax(1), self.logits.shape[1]).to(self.logits)
        return hard + self.mean - self.mean.detach()

    def noise_of(self, code):
        return 4 * (2 * code - 1)

    def rsample(self, sample_shape=()):
        return self.place(torch.randn_like(self.logits))

    def log_prob(self, code):
        return code * self.logits

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.logits for part in parts]))


register_kl(Category, Category)(lambda q, p: q.mean * (q.logits - p.logits))


class CategoryLevel(vlae.LevelSettings, kind="category"):
    def build(self, place, blocks):
        return CategoryNetworks(self.code_size, place.below)


class CategoryNetworks(vlae.LadderLevel):
    def __init__(self, code_size, shape):
        super().__init__()
        self.code_size, self.shape = code_size, (16,)
        size = int(np.prod(shape))
        self.g = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU())
        self.head, self.u = nn.Linear(16, code_size), nn.Sequential(nn.Linear(code_size, size), nn.Unflatten(1, shape))

    def climb(self, below):
        return self.g(below)

    def posterior(self, below, here):
        return Category(self.head(here))

    def descend(self, above, code, fade):
        return self.u(code * fade)

    def prior(self, above, like):
        return Category(like.new_zeros(1, self.code_size))


def test_a_category_is_a_level_like_another(tmp_path):
    levels = (Level(code_size=2, convolutions=((4, 2),)), CategoryLevel(code_size=5))
    recipe = replace(recipes.lean((1, 8, 8)), name="category", levels=levels)
    run = vlae.train(
        images(), out=tmp_path / "run", recipe=recipes.adjust(recipe, steps=10, batch_size=8), progress=False
    )
    drawn = run.model.place(run.model.draw_noise(4000, torch.Generator().manual_seed(0)))[1]
    assert ((drawn.max(1).values - 1).abs() < 1e-6).all()  # one-hot
    np.testing.assert_allclose(drawn.detach().mean(0), 0.2, atol=0.03)  # uniform, as its prior is
    again = run.model.place(run.model.noise_of((torch.zeros(4000, 2), drawn)))[1]
    torch.testing.assert_close(again, drawn)
    probabilities = torch.tensor(run.encode(run.examples)[1], dtype=torch.float64)
    by_hand = (probabilities * (probabilities.log() + np.log(5))).sum(1).mean().item()
    assert run.summary["levels"][1]["kl_nats"] == pytest.approx(by_hand, abs=1e-4)
    assert vlae.evaluate(run, images())["levels"][1]["code_size"] == 5
    assert run.figure("levels").size[0] > 50 and run.figure("mix").size[0] > 50
    exported = onnx.export(run)  # ONNX Runtime has no quantiles in float64, which this category is drawn with
    assert [Path(file).name for file in exported["files"]] == ["encoder.onnx", "decoder.onnx"]
    assert "sampler.onnx is not written: ONNX Runtime cannot run the sampler" in onnx.as_text(exported)


# A class is a category above the top: it acts through the prior of the level beneath it, and through nothing else


class ClassLevel(vlae.LevelSettings, kind="label"):
    def build(self, place, blocks):
        networks = CategoryNetworks(self.code_size, place.below)
        networks.descend = lambda above, code, fade: None
        networks.u = None
        return networks


class ClassedLevel(vlae.LevelSettings, kind="classed"):
    def build(self, place, blocks):
        return Classed(Level(code_size=self.code_size, dense=(16,)).build(replace(place, top=True), blocks))


class Classed(vlae.LadderLevel):
    def __init__(self, level):
        super().__init__()
        self.level, self.code_size, self.shape = level, level.code_size, level.shape
        self.register_buffer("means", 2.5 * torch.randn(3, self.code_size))  # of the classes: fixed and wide

    def climb(self, below):
        return self.level.climb(below)

    def posterior(self, below, here):
        return self.level.posterior(below, here)

    def descend(self, above, code, fade):
        return self.level.descend(None, code, fade)

    def prior(self, above, like):
        mean = above[0] @ self.means if above else like.new_zeros(1, self.code_size)
        return vlae.NormalCode(mean, torch.ones_like(mean))


def test_a_class_touches_only_the_level_beneath_it(tmp_path):
    levels = (Level(code_size=2, convolutions=((4, 2),)), ClassedLevel(code_size=4), ClassLevel(code_size=3))
    recipe = replace(recipes.lean((1, 8, 8)), name="class", levels=levels)
    run = vlae.train(
        images(), out=tmp_path / "run", recipe=recipes.adjust(recipe, steps=10, batch_size=8), progress=False
    )
    model = vlae.load(run.path).model
    with torch.no_grad():
        y = torch.eye(3)
        assert model.prior(2, (y,)).mean.equal(model.levels[1].means)
        noise = (torch.zeros(3, 2), torch.zeros(3, 4), model.prior(3, ()).noise_of(y))
        codes = model.place(noise)
        torch.testing.assert_close(codes[1], model.levels[1].means)
        same = (*codes[:2], y[[1, 2, 0]])
        assert model.decode(same).equal(model.decode(codes))  # the picture sees z, not y
        torch.testing.assert_close(model.noise_of(codes)[1], noise[1], atol=1e-5, rtol=0)
    assert [level["code_size"] for level in vlae.evaluate(run, images())["levels"]] == [2, 4, 3]
    assert run.figure("levels").size[0] > 50


# What a model lacks is said


class Point(Distribution):
    def __init__(self, mean):
        self.picture = mean
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)

    mean = property(lambda self: self.picture)


class NoDensity(vlae.Likelihood, kind="point"):
    no_density = "pictures are drawn, and not given a probability"

    def build(self, shape):
        head = vlae.LikelihoodHead
        return type("PointHead", (head,), {"forward": lambda self, output, *_: Point(output.sigmoid())})()


class Squares(vlae.Objective, kind="squares"):
    def terms(self, num_levels):
        return ("squared_error",)

    def loss(self, model, batch, *, step, progress, networks=None):
        forward = model(batch.x)
        error = mse_loss(forward.likelihood.mean, batch.x)
        return vlae.Loss(error, error.detach()[None], forward)


@pytest.fixture(scope="module")
def without_density(tmp_path_factory):
    recipe = replace(recipes.lean((1, 8, 8), code_sizes=(2, 3), width=4), likelihood=NoDensity(), objective=Squares())
    out = tmp_path_factory.mktemp("lacking") / "run"
    return vlae.train(images(), out=out, recipe=recipes.adjust(recipe, steps=10, batch_size=8), progress=False)


REASON = "pictures are drawn, and not given a probability"


def test_a_model_without_density_says_not_defined_and_why(without_density, capsys):
    run = vlae.load(without_density.path)
    assert run.summary["elbo_nats"] is None and run.summary["not_defined"]["elbo_nats"] == REASON
    result = vlae.evaluate(run, images(), importance_samples=3)
    assert result["elbo_nats"] is None and result["not_defined"]["elbo_nats"] == REASON
    assert "bits_per_dimension" not in result and "log_likelihood_nats" not in result
    assert result["levels"][0]["without_it"]["mse"] is not None
    assert "not defined" in page.write(run).read_text()
    assert list(run.history)[4:5] == ["squared_error"] and run.figure("progress").size[0] > 50


class OnlyGenerates(vlae.VLAE):
    """A ladder that may not look."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.lacks = {"encoder": "it only generates"}

    def infer(self, x):
        raise AssertionError("there is no encoder")


def test_a_generator_without_encoder_says_not_defined_and_why(tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.MODELS, "OnlyGenerates", OnlyGenerates)

    class Draws(vlae.Objective, kind="draws"):
        def terms(self, num_levels):
            return ("brightness",)

        def loss(self, model, batch, *, step, progress, networks=None):
            drawn = model.decode(model.place(model.draw_noise(len(batch.x))))
            error = (drawn.mean() - batch.x.mean()).square()
            return vlae.Loss(error, error.detach()[None])

    recipe = replace(recipes.lean((1, 8, 8), code_sizes=(2, 3), width=4), model="OnlyGenerates", objective=Draws())
    run = vlae.train(images(), out=tmp_path / "run", recipe=recipes.adjust(recipe, steps=5), progress=False)
    result = vlae.evaluate(run, images())
    assert result["level_order"] is None and result["not_defined"]["level_order"] == "it only generates"
    assert result["reconstruction"] == {} and result["levels"][0]["kl_nats"] is None
    assert (run.path / "figures/levels.png").exists() and not (run.path / "figures/mix.png").exists()
    with pytest.raises(ValueError, match="the model has no encoder: it only generates"):
        run.encode(run.examples)
    with pytest.raises(ValueError, match="it only generates"):
        run.figure("reconstructions")
    from vlae.evaluation.text import as_text

    assert "not defined" in as_text(result)


def test_earlier_names_of_arguments_still_work(tmp_path):
    with pytest.deprecated_call(match="codes= is deprecated; write code_sizes="):
        recipe = recipes.make("lean", (1, 8, 8), codes=(2, 3))
    assert recipe == recipes.make("lean", (1, 8, 8), code_sizes=(2, 3))
    with pytest.raises(TypeError, match="the same argument; give code_sizes"):
        recipes.lean((1, 8, 8), codes=(2, 3), code_sizes=(2, 3))
    with pytest.deprecated_call(match="codes is deprecated"):
        vlae.LadderEncoder(codes=(1, 2), steps=2, random_state=0).fit(np.random.default_rng(0).random((20, 3)))
