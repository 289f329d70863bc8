"""Recipes hold the paper's numbers, survive JSON, build on every side, and refuse what they cannot have."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from vlae import recipes
from vlae.data import load
from vlae.models.inference import as_input
from vlae.models.levels import MomentsLevel
from vlae.models.likelihoods import Laplace
from vlae.objectives import ELBO, FeaturesELBO
from vlae.recipes import RECIPES, Recipe, Training, adjust, build, celeba, joint, lean, lsun, make, mnist, svhn
from vlae.training.train import fit

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

PAPER = ("mnist", "svhn", "celeba")  # the network of lsun is that of celeba


@pytest.mark.parametrize(
    ("name", "shape", "codes", "scale", "interval", "acts"),
    [
        ("mnist", (1, 28, 28), (2, 2, 2), 1 / 8, (0, 1), "add"),
        ("svhn", (3, 32, 32), (5, 5, 5, 10), 1 / 8, (0, 1), "concatenate"),
        # 0.5 Σ|x - x̂| of images in [-1, 1] is Σ|x - x̂| of the same images in [0, 1].
        ("celeba", (3, 64, 64), (10, 10, 10, 10), 1.0, (-1, 1), "concatenate"),
        ("lsun", (3, 64, 64), (20, 20, 20, 40), 1.0, (-1, 1), "concatenate"),
    ],
)
def test_the_papers_numbers(name, shape, codes, scale, interval, acts):
    recipe = RECIPES[name]()
    assert (recipe.name, recipe.shape, recipe.code_sizes) == (name, shape, codes)
    assert recipe.likelihood == Laplace(scale=scale)
    assert tuple((pixel - recipe.mean) / recipe.stddev for pixel in (0, 1)) == interval
    assert {level.acts for level in recipe.levels[:-1]} == {acts}
    assert {level.reads for level in recipe.levels} == {"map"}
    blocks, training = recipe.blocks, recipe.training
    assert (blocks.kernel, blocks.norm, blocks.slope, blocks.weights_stddev) == (4, True, 0.1, 0.02)
    assert (training.learning_rate, training.batch_size, training.schedule) == (2e-4, 100, "constant")
    assert recipe.objective == ELBO(beta=1.0, warmup=2000, growth="joint")


def trunk(recipe):
    return [(level.convolutions, level.dense) for level in recipe.levels]


def test_the_papers_networks():
    fc = (1024, 1024)
    assert trunk(mnist()) == [(((64, 2), (128, 2)), (1024,)), ((), (1024, 1024, 1024)), ((), fc)]
    pairs = [(((width, 2), (width, 1)), ()) for width in (64, 128, 256)]
    assert trunk(svhn()) == [*pairs, ((), fc)]
    sixty_four = [((64, 2), (64, 1)), ((128, 2), (128, 1), (256, 2)), ((256, 1), (512, 2), (512, 1))]
    assert trunk(celeba()) == trunk(lsun()) == [*((stack, ()) for stack in sixty_four), ((), fc)]
    for recipe in (mnist, svhn, celeba, lsun):
        assert not any(level.head_layers for level in recipe().levels)
        assert all(level.head_layers for level in recipe(deep_heads=True).levels)


@pytest.mark.parametrize(("name", "shape"), [*((name, (3, 64, 48)) for name in RECIPES), ("lean", (7,))])
def test_json_gives_back_an_equal_recipe(name, shape):
    recipe = make(name, shape, deep_heads=name in ("svhn", "lsun"))
    assert Recipe.from_json(recipe.to_json()) == recipe
    betas = tuple(0.5 + level for level in range(len(recipe.levels_with_code)))
    of_elbo = {"beta": betas, "family": "gaussian", "scale": "learned"} if isinstance(recipe.objective, ELBO) else {}
    other = adjust(recipe, minutes=2.5, seed=7, **of_elbo)
    assert other != recipe
    assert Recipe.from_json(other.to_json()) == other


@pytest.mark.parametrize("broken", ["levels", "training", "name", "unknown", "newer"])
def test_json_of_something_else_is_refused(broken):
    fields = json.loads(lean((5,)).to_json())
    if broken == "unknown":
        fields["recipe"]["colour"] = 1
    elif broken == "newer":
        fields["recipe"]["objective"]["gamma"] = 1
    else:
        del fields["recipe"][broken]
    with pytest.raises(ValueError, match="not the recipe of a run"):
        Recipe.from_json(json.dumps(fields))


def test_a_recipe_is_found_by_name_for_a_shape():
    assert make("lean", (1, 8, 8), code_sizes=(2, 3)) == lean((1, 8, 8), code_sizes=(2, 3))
    assert make("svhn", (3, 32, 32), deep_heads=True) == svhn(deep_heads=True)
    assert all(make(name, (3, 32, 32)).name == name for name in RECIPES)


@pytest.mark.parametrize(
    ("name", "shape", "settings", "message"),
    [
        (
            "gan",
            (1, 28, 28),
            {},
            "choose one of lean, joint, vae, hvae, lvae, infogan, implicit, mnist, svhn, celeba, lsun",
        ),
        ("mnist", (1, 28, 28), {"code_sizes": (2, 2)}, "has 3 levels, 2 code sizes"),
        ("celeba", (3, 64, 64), {"code_sizes": (2, 2, 2, 2, 2)}, "has 4 levels, 5 code sizes"),
        ("mnist", (5,), {}, "choose 'lean'"),
        ("lean", (1, 28, 28), {"deep_heads": True}, "'lean' has none"),
        ("lean", (1, 28, 28), {"code_sizes": ()}, "at least one above 0"),
        ("lean", (1, 28, 28), {"code_sizes": (0, 0)}, "at least one above 0"),
        ("svhn", (3, 32, 32), {"code_sizes": (1, 2, -3, 4)}, "from 0 up"),
        ("lean", (1, 7, 28), {}, "sides from 8 to 256"),
        ("svhn", (1, 28, 257), {}, "sides from 8 to 256"),
        ("lean", (17, 28, 28), {}, "1 to 16 channels"),
        ("lean", (28, 28), {}, "1 to 16 channels"),
    ],
)
def test_what_cannot_be_had_is_refused(name, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        make(name, shape, **settings)


def test_settings_are_found_wherever_they_belong():
    recipe = lean((1, 28, 28))
    changed = adjust(recipe, steps=7, beta=2.0, family="laplace", minutes=None)
    assert (changed.training.steps, changed.objective.beta, changed.likelihood.kind) == (7, 2.0, "laplace")
    assert (
        replace(changed, training=recipe.training, objective=recipe.objective, likelihood=recipe.likelihood) == recipe
    )
    assert adjust(recipe) == recipe == adjust(recipe, steps=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stpes": 7}, "no recipe has a setting stpes"),
        ({"fade": 0.5}, "no recipe has a setting fade"),  # a method of Objective is no setting
        ({"wide": 1, "color": 2}, "color, wide"),
        ({"steps": 0}, "steps is 0"),
        ({"beta": (1.0, 2.0)}, "beta has 2 values for 3 levels"),
    ],
)
def test_adjusting_what_is_not_there_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        adjust(lean((1, 28, 28)), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"minutes": 0.0}, "minutes is 0"),
        ({"schedule": "triangle"}, "constant, cosine"),
        ({"precision": "fp16"}, "fp32, bf16"),
    ],
)
def test_training_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)


@torch.no_grad()
def image_comes_back(recipe, device="cpu"):
    with torch.device(device):
        model = build(recipe)
        forward = model(torch.zeros(2, *recipe.shape))
    assert forward.likelihood.mean.shape == (2, *recipe.shape)
    assert model.num_levels == len(recipe.code_sizes)
    return model


@pytest.mark.parametrize("side", [*range(8, 14), 16, 17, 25, 31, 32, 33, 63, 64, 65, 100, 129, 255, 256])
def test_lean_gives_back_every_side(side):
    image_comes_back(lean((3, side, side) if side % 2 else (1, side, 8 + (side * 7) % 249), width=2))


@pytest.mark.parametrize("codes", [(3,), (2, 3), (1, 1, 1, 1, 1), (0, 0, 5), (2, 0, 0, 3, 0), (1,) * 8])
def test_lean_takes_any_number_of_levels(codes):
    for shape in ((1, 8, 8), (3, 37, 20), (6,)):
        assert image_comes_back(lean(shape, codes=codes, width=2)).code_sizes == codes


@pytest.mark.parametrize(("deep_heads", "shape"), [(False, (1, 8, 8)), (True, (3, 25, 25)), (True, (4, 33, 31))])
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_networks_give_back_any_side(name, deep_heads, shape):
    image_comes_back(make(name, shape, deep_heads=deep_heads), "meta")  # large: without weights


def test_lean_is_simple_at_the_bottom_and_free_at_the_top():
    recipe = lean((3, 64, 64))
    assert isinstance(recipe.levels[0], MomentsLevel)
    assert [level.reads for level in recipe.levels[1:]] == ["grid", "grid", "map"]
    assert [level.grid for level in recipe.levels[1:3]] == [2, 4]
    assert recipe.objective == FeaturesELBO()  # all at once, with weight 1: nothing to tune
    assert [level.gradients for level in recipe.levels[1:]] == [0, 0, 8]
    assert recipe.levels[0].polarity == "auto"
    assert lean((3, 64, 64), code_sizes=(0, 2, 16)).objective == FeaturesELBO(growth="ladder")
    assert lean((3, 64, 64), code_sizes=(2, 2, 4)).objective == ELBO()  # there is nothing to explain
    assert lean((7,)).objective == ELBO(growth="ladder")


def test_vectors_are_standardised_by_their_own_statistics():
    model = build(lean((3,)), mean=torch.tensor([1.0, 2.0, 3.0]), stddev=torch.tensor([4.0, 5.0, 6.0]))
    assert model.mean.tolist() == [1, 2, 3] and model.stddev.tolist() == [4, 5, 6]
    unknown = build(lean((3,)))
    unknown.load_state_dict(model.state_dict())
    code = model.draw_noise(2)
    assert unknown.eval().generate(code).mean.equal(model.eval().generate(code).mean)


def test_lean_leaves_the_highest_code_unrestricted():
    highest = lean((1, 28, 28), code_sizes=(2, 4, 0)).levels[1]
    assert (highest.reads, highest.acts) == ("map", "concatenate")


# The systems a ladder is compared with

RIVALS = (recipes.joint, recipes.vae, recipes.hvae, recipes.lvae)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64), (12,)])
@pytest.mark.parametrize("rival", RIVALS)
def test_rivals_have_the_ladders_size_and_budget(rival, shape):
    ladder, recipe = recipes.lean(shape), rival(shape)
    assert recipe.name == rival.__name__ and recipes.make(recipe.name, shape) == recipe
    assert recipe.training == ladder.training
    assert recipe.code_sizes == recipes.rival_codes(recipe.name, ladder.code_sizes)
    assert recipes.Recipe.from_json(recipe.to_json()) == recipe
    if len(shape) == 3:
        sizes = [sum(p.numel() for p in recipes.build(one).parameters()) for one in (ladder, recipe)]
        assert 0.7 < sizes[1] / sizes[0] < 1.5


def test_rivals_are_what_they_are_called():
    models = {recipe.__name__: type(recipes.build(recipe((1, 8, 8), width=4))).__name__ for recipe in RIVALS}
    assert models == {"joint": "VLAE", "vae": "VLAE", "hvae": "HierarchicalVAE", "lvae": "LadderVAE"}
    assert [size > 0 for size in recipes.vae((1, 28, 28)).code_sizes] == [False, False, True]
    assert {recipe.objective.growth for recipe in (rival((1, 28, 28)) for rival in RIVALS)} == {"joint"}
    assert {level.reads for level in recipes.joint((1, 28, 28)).levels} == {"map"}
    assert recipes.joint((1, 28, 28)).likelihood == recipes.mnist().likelihood


@pytest.mark.parametrize(
    ("name", "codes", "wanted"),
    [
        ("vae", (2, 2, 2), (0, 0, 6)),
        ("hvae", (2, 2, 2), (6, 3, 1)),
        ("lvae", (6, 4, 4, 10), (24, 12, 6, 3)),
        ("hvae", (5,), (5, 2)),
        ("hvae", (1, 1, 1, 1, 1, 1, 1), (7, 3, 1, 1, 1)),
        ("joint", (1, 2), (1, 2)),
    ],
)
def test_rival_codes(name, codes, wanted):
    assert recipes.rival_codes(name, codes) == wanted


def test_rivals_refuse_what_they_cannot_be():
    with pytest.raises(ValueError, match="a VAE has one code"):
        recipes.vae((1, 28, 28), code_sizes=(2, 2))
    for codes in ((3,), (3, 0, 1), (6, 5, 4, 3, 2, 1)):
        with pytest.raises(ValueError, match="2 to 5 levels"):
            recipes.build(recipes.hvae((1, 28, 28), codes=codes))
    with pytest.raises(ValueError, match="'hvae' has none"):
        recipes.make("hvae", (1, 28, 28), deep_heads=True)
    with pytest.raises(ValueError, match="no model 'GAN'; choose one of VLAE, HierarchicalVAE, LadderVAE"):
        replace(recipes.lean((1, 28, 28)), model="GAN")


# The order of the levels


def told_of_colour(recipe, seed):
    """R² of the mean of red from each level's code, level 1 first, after some ten seconds of training."""
    images = load("streets:3000")
    x = np.asarray(images.values)
    red = x[:, 0].mean((1, 2))
    model = fit(x, adjust(recipe((3, 32, 32), width=8), steps=200, seed=seed))
    with torch.no_grad():
        codes = [posterior.mean.numpy() for posterior in model.infer(as_input(x))]
    trees = HistGradientBoostingRegressor(max_iter=60, random_state=0)
    return [trees.fit(code[:1500], red[:1500]).score(code[1500:], red[1500:]) for code in codes]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_colour_is_in_level_1_alone_from_the_start(seed):
    lowest, *above = told_of_colour(lean, seed)
    assert lowest > 0.95 and max(above) < 0.2


@pytest.mark.slow
def test_in_the_ladder_of_the_paper_it_is_above_as_well():
    assert max(told_of_colour(joint, 0)[1:]) > 0.4


@pytest.mark.parametrize(("size", "cells"), [(2, 0), (8, 0), (9, 0), (10, 4), (15, 4), (16, 8), (64, 8)])
def test_edges_are_asked_of_a_top_that_has_room_for_them(size, cells):
    assert lean((3, 32, 32), code_sizes=(2, 2, size)).levels[-1].gradients == cells
    assert lean((1, 12, 40), code_sizes=(2, 2, size)).levels[-1].gradients == min(cells, 3)
