"""Settings by name: their types are those of the dataclasses, mypy refuses others, and an error names the nearest."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import vlae
from vlae import recipes
from vlae.models.likelihoods import Likelihood
from vlae.objectives.base import Objective
from vlae.objectives.elbo import ELBO
from vlae.recipes import Settings, Training, adjust, lean
from vlae.studies.compare import compare
from vlae.studies.gibbs import study

OWN = {"family": str, "sharp": bool}  # of `adjust` itself


def _kinds(hint: object) -> set[object]:
    """The types and literal values that a type hint allows, without None."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if args := get_args(hint):
        if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
            return set().union(*map(_kinds, args)) - {type(None)}
        return {hint}
    return {hint} - {type(None)}


def _of_vlae(kinds):
    return [kind for kind in kinds.values() if kind.__module__.startswith("vlae.")]


def test_settings_are_the_fields_of_the_dataclasses():
    wanted: dict[str, set[object]] = {name: {kind} for name, kind in OWN.items()}
    for part in [Training, *_of_vlae(Objective.kinds()), *_of_vlae(Likelihood.kinds())]:
        hints = get_type_hints(part)
        for field in fields(part):
            wanted.setdefault(field.name, set()).update(_kinds(hints[field.name]))
    given = {name: _kinds(hint) for name, hint in get_type_hints(Settings).items()}
    assert given == wanted


@pytest.mark.slow
def test_mypy_refuses_names_and_types_that_are_wrong(tmp_path):
    file = tmp_path / "user.py"
    file.write_text(
        "import vlae\n"
        "from vlae.recipes import adjust, lean\n"
        "vlae.train('photos', steps=3, beta=(1.0, 2.0), patience=None)\n"
        "vlae.train('photos', stepz=3)  # wrong\n"
        "vlae.train('photos', steps='many')  # wrong\n"
        "vlae.compare(['lean'], data=['photos'], stepz=3)  # wrong\n"
        "adjust(lean((1, 8, 8)), stepz=3)  # wrong\n"
        "vlae.LadderEncoder(settings={'stepz': 3})  # wrong\n"
        "vlae.LadderEncoder(settings={'beta': 2.0})\n"
    )
    repository = Path(__file__).parents[2]  # with its configuration and its cache
    said = subprocess.run(
        [sys.executable, "-m", "mypy", str(file)], cwd=repository, capture_output=True, text=True
    ).stdout
    wrong = [number for number, line in enumerate(file.read_text().splitlines(), start=1) if "# wrong" in line]
    assert sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line}) == wrong, said


def test_the_error_names_the_nearest(tmp_path):
    question = r"no recipe has a setting stepz; did you mean steps\?"
    with pytest.raises(ValueError, match=question):
        adjust(lean((1, 8, 8)), stepz=3)
    with pytest.raises(ValueError, match=question):
        vlae.train(tmp_path / "not even there", out=tmp_path / "run", stepz=3)
    with pytest.raises(ValueError, match=question):
        compare(["lean"], data=["streets"], stepz=3)
    with pytest.raises(ValueError, match=question):
        study(["lean"], data=["streets"], stepz=3)
    with pytest.raises(ValueError, match=question):
        vlae.LadderEncoder(settings={"stepz": 3}).fit(np.eye(4))
    with pytest.raises(ValueError, match=r"a setting code_size; did you mean code_sizes\?"):
        vlae.train("streets", out=tmp_path / "run", code_size=(2, 2))
    with pytest.raises(ValueError, match="see the settings"):
        adjust(lean((1, 8, 8)), xyzzy=3)
    assert not (tmp_path / "run").exists()


def test_one_value_per_level_with_a_code_is_asked_for():
    vae = recipes.make("vae", (1, 32, 32))
    num, last = len(vae.levels), vae.levels_with_code[-1] - 1
    assert num > 1 and len(vae.levels_with_code) == 1
    for name in ("beta", "free_bits", "capacity", "mmd"):
        with pytest.raises(ValueError, match=rf"{name} has {num} values; the recipe 'vae' has 1 level with a code"):
            adjust(vae, **{name: (1.0,) * num})
        assert getattr(adjust(vae, **{name: 2.0}).objective, name) == 2.0
        assert getattr(adjust(vae, **{name: (2.0,)}).objective, name)[last] == 2.0
    kept = replace(vae, objective=ELBO(beta=(1.0,) * num))  # as files of earlier versions hold it
    assert recipes.Recipe.from_json(kept.to_json()) == kept
    assert adjust(kept, steps=3).objective == kept.objective
    assert adjust(lean((1, 8, 8), code_sizes=(1, 2)), beta=(1.0, 2.0)).objective.beta == (1.0, 2.0)


def test_numbers_of_numpy_are_those_of_python_and_can_be_kept():
    given = {"steps": np.int64(3), "seed": np.uint8(7), "batch_size": 16.0, "patience": np.int32(2)}
    given |= {"beta": np.float32(0.5), "learning_rate": np.float32(1e-3), "free_bits": [0.5, np.float64(1)]}
    recipe = recipes.make("lean", (1, 8, 8), code_sizes=np.array([1, 2]))
    recipe = adjust(recipe, **given, denoise=np.True_, capacity=None)
    assert recipe.objective.free_bits == (0.5, 1.0) and recipe.training.batch_size == 16
    assert recipe.code_sizes == (1, 2) and recipe.objective.denoise is True
    assert {type(getattr(recipe.training, name)) for name in ("steps", "seed", "batch_size", "patience")} == {int}
    assert recipes.Recipe.from_json(recipe.to_json()) == recipe
    by_hand = replace(recipe, training=Training(minutes=np.float32(3)))
    assert recipes.Recipe.from_json(by_hand.to_json()) == by_hand


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": "2"}, "beta is '2'; give a number"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3'; give a number"),
        ({"beta": (1.0, "2")}, "beta is '2'; give a number"),
        ({"minutes": float("inf")}, "minutes is inf; give a number above 0, or leave it out"),
        ({"validation": (0.1, 0.2)}, r"validation is \(0.1, 0.2\); give a number"),
        ({"denoise": "no"}, "denoise is 'no'; give True or False"),
        ({"sharp": 1}, "sharp is 1; give True or False"),
        ({"augment": ["mirror"]}, r"augment is \('mirror',\); give text"),
        ({"warmup": (0.1, 0.2)}, r"warmup is \(0.1, 0.2\); give a number"),
        ({"family": "pixel", "masked_layers": 2.5}, "masked_layers is 2.5; give a whole number"),
        ({"sharp": True, "penalty_every": 2.5}, "penalty_every is 2.5; give a whole number"),
        ({"scale": (0.1, 0.2)}, r"scale is \(0.1, 0.2\)"),
    ],
)
def test_a_setting_of_another_type_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        adjust(lean((1, 8, 8), code_sizes=(1, 2)), **settings)
