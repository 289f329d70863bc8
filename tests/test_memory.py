"""What does not fit the memory is refused in one line, before it is allocated, and the line names what to lower."""

import re
import time
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import pytest
import torch
from command_line import refusal
from model_cases import CASES, made
from torch.distributions import Independent, StudentT

import vlae
from vlae import memory, recipes
from vlae.memory import NotEnoughMemoryError
from vlae.models.levels import ClassLevel
from vlae.models.likelihoods import Likelihood, LikelihoodHead
from vlae.nn.layers import Blocks
from vlae.recipes.footprint import NoEstimateError, check_training, check_use, footprint, model_without_memory
from vlae.training.train import fit

GB = 10**9


@pytest.fixture
def small(monkeypatch):
    """A machine with little memory."""
    monkeypatch.setattr(memory, "available", lambda: GB)


@dataclass(frozen=True, kw_only=True)
class Asking(Likelihood, kind="asking"):
    """A likelihood whose head asks for a value: as it is built, or in each pass."""

    at_once: bool = False

    def build(self, shape):
        return AskingHead(at_once=self.at_once)


class AskingHead(LikelihoodHead):
    def __init__(self, *, at_once):
        super().__init__()
        if at_once:
            torch.ones(1).item()

    def forward(self, output, mean, stddev, x=None):
        return Independent(StudentT(4.0, output.sigmoid(), 0.2), output.ndim - 1)  # its Chi2 validates


def test_what_a_pass_needs_may_be_unknown(rng):
    recipe = replace(recipes.lean((1, 8, 8)), likelihood=Asking())
    recipe = recipes.adjust(recipe, steps=1, batch_size=4)
    with pytest.raises(NoEstimateError):
        footprint(model_without_memory(recipe), 1)
    check_use(model_without_memory(recipe), recipe)
    assert fit(rng.integers(0, 256, (12, 1, 8, 8), dtype=np.uint8), recipe).shape == (1, 8, 8)
    with pytest.raises(ValueError, match=r"Tensor.item\(\).*; build its parts without asking a tensor for a value"):
        model_without_memory(replace(recipe, likelihood=Asking(at_once=True)))


def test_what_needs_too_much_is_named(small):
    memory.require(GB, "a", "b")
    with pytest.raises(NotEnoughMemoryError, match=r"^a needs 2\.0 GB of memory, and 1\.0 GB are free; lower b$"):
        memory.require(2 * GB, "a", "lower b")


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require(10**30, "a", "b")


@pytest.mark.parametrize("case", ["lean 3x32x32", "lean pixel", "hvae 5", "svhn deep", "mnist as a VAE"])
def test_the_memory_of_a_model_is_known_without_it(case):
    model = made(case)
    needed = [footprint(made(case).to("meta"), num) for num in (1, 10, 20)]
    assert needed[0].weights == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert needed[2].maps - needed[1].maps == pytest.approx(10 / 9 * (needed[1].maps - needed[0].maps))
    assert needed[0].largest <= needed[0].maps + needed[0].weights
    assert case in CASES


def test_maps_are_those_of_the_layers():
    recipe = recipes.vae((5,), code_sizes=(3,), width=64)
    needed = [footprint(model_without_memory(recipe), num).maps for num in (1, 2)]
    units = 4 * 64  # bytes of one layer's output
    assert 10 * units < needed[1] - needed[0] < 60 * units  # four layers, each with an affine map, a norm, a ReLU


def test_code_sizes_that_do_not_fit_are_refused(capsys, tmp_path):
    line = refusal(capsys, "train", "streets:40", "--out", tmp_path / "run", "--codes", "1000000000,2")
    assert "training this model needs" in line and "give smaller code sizes (--codes)" in line
    assert not (tmp_path / "run").exists()


def test_codes_whose_prior_does_not_fit_are_refused_before_the_training(small):
    recipe = recipes.vae((5,), code_sizes=(8_000,), width=16)
    with pytest.raises(NotEnoughMemoryError, match=r"a prior of these codes needs 2\.5 GB .*; give smaller code sizes"):
        check_training(recipe, 20)


def test_a_batch_that_does_not_fit_is_refused(small, tmp_path):
    recipe = recipes.adjust(recipes.lean((3, 64, 64)), batch_size=10_000)
    with pytest.raises(
        NotEnoughMemoryError, match=r"training with 5,000 data at a time needs .* GB of .*; lower --batch"
    ):
        check_training(recipe, 5_000)
    check_training(recipe, 20)  # there are no more data
    with pytest.raises(NotEnoughMemoryError, match="lower --batch-size, which is 10,000"):
        fit(np.zeros((2_000, 3, 64, 64), np.uint8), replace(recipe, training=replace(recipe.training, steps=1)))


def test_pictures_that_do_not_fit_are_refused(small, capsys, tmp_path):
    run = vlae.load("mnist")
    with pytest.raises(NotEnoughMemoryError, match=r"drawing 1,000,000 pictures needs .* lower num"):
        run.sample(10**6)
    for kind, num, drawn in (("samples", 10**6, "1"), ("levels", 10**3, "3")):  # three levels
        line = refusal(capsys, "figure", "mnist", kind, "--num", num, "--out", tmp_path / "a.png")
        assert f"drawing {drawn},000,000 pictures needs" in line
    assert re.search("streets:1000000 needs 6\\.. GB", refusal(capsys, "data", "streets:1000000"))


def test_a_model_whose_maps_do_not_fit_is_refused_though_its_weights_are_few(small):
    level = recipes.mnist((1, 256, 256)).levels[0]
    wide = replace(level, convolutions=((2_000, 1), (1, 64)), head_convolutions=(), dense=(), head_dense=())
    recipe = replace(recipes.mnist((1, 256, 256)), levels=(wide,), blocks=Blocks(kernel=1))
    model = model_without_memory(recipe)
    assert footprint(model, 1).weights < 10**6
    with pytest.raises(NotEnoughMemoryError, match=r"its model, with 64 data at a time, needs \d+\.\d GB of memory"):
        check_use(model, recipe)


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: replace(recipe, levels=recipe.levels * 400),
        lambda recipe: replace(recipe, blocks=replace(recipe.blocks, residual=10**9)),
        lambda recipe: recipes.adjust(recipe, family="pixel", masked_layers=10**9),
        lambda recipe: replace(
            recipe, levels=(replace(recipe.levels[0], convolutions=((4, 1),) * 3_000), *recipe.levels[1:])
        ),
    ],
)
def test_a_model_of_thousands_of_layers_is_refused_soon(change):
    recipe = change(recipes.mnist((1, 28, 28)))
    begun = time.monotonic()
    with pytest.raises(ValueError, match="no model can be built from its recipe"):
        model_without_memory(recipe)
    assert time.monotonic() - begun < 10


def test_a_kernel_has_a_limit():
    with pytest.raises(ValueError, match="kernel is 1000; give a side of 1 to 64 pixels"):
        Blocks(kernel=1000)


def test_memory_that_runs_out_all_the_same_is_one_line(capsys, monkeypatch):
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 1\nat"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ):
        monkeypatch.setattr(
            vlae.workflows, "train", lambda *args, error=error, **settings: (_ for _ in ()).throw(error)
        )
        assert "vlae: out of memory (" in refusal(capsys, "train", "streets:40")


def test_a_training_needs_what_all_classes_need(small):
    recipe = recipes.m2((3, 32, 32))
    recipe = replace(recipe, levels=(recipe.levels[0], ClassLevel(code_size=100)))
    model = model_without_memory(recipe)
    use, training = (footprint(model, 1, training=training).maps for training in (False, True))
    assert training > 10 * use and training > 10 * 100 * 4 * prod(recipe.shape)  # pictures of each class
    with pytest.raises(NotEnoughMemoryError, match="training with 200 data at a time needs"):
        check_training(recipes.adjust(recipe, batch_size=200), 5_000)
