"""How many trainings a comparison needs, and how long they take."""

import numpy as np
import pytest

from vlae import recipes
from vlae.studies import forecast as forecasts
from vlae.studies.forecast import forecast, seconds_per_step
from vlae.studies.train_alike import train_alike


def made(name, steps):
    return recipes.adjust(recipes.make(name, (1, 8, 8)), steps=steps, batch_size=8)


@pytest.fixture
def values(rng):
    return rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)


def test_each_recipe_counts_as_often_as_it_is_trained(values, monkeypatch):
    monkeypatch.setattr(forecasts, "seconds_per_step", lambda recipe, _: 0.5 if recipe.name == "lean" else 1.0)
    trainings = {"lean": (made("lean", 2_000), 3), "vae": (made("vae", 1_000), 1), "joint": (made("joint", 9_000), 0)}
    assert forecast(trainings, values) == "4 trainings, about 1 h 10 min on this machine"
    assert forecast({"lean": (made("lean", 2_000), 0)}, values) == "0 trainings"


def test_a_training_takes_no_longer_than_its_minutes(values, monkeypatch):
    monkeypatch.setattr(forecasts, "seconds_per_step", lambda recipe, _: 0.5)
    limited = recipes.adjust(made("lean", 2_000), minutes=2.0)
    trainings = {"lean": (limited, 3), "vae": (recipes.adjust(made("vae", 400), minutes=9.0), 1)}
    assert forecast(trainings, values) == "4 trainings, about 9 min on this machine"


def test_short_trainings_are_not_timed(values, monkeypatch):
    monkeypatch.setattr(forecasts, "seconds_per_step", None)
    assert forecast({"lean": (made("lean", 100), 1)}, values) == "1 training"


def test_a_recipe_that_cannot_be_trained_says_so_later(values, monkeypatch):
    def fail(recipe, values):
        raise ValueError

    monkeypatch.setattr(forecasts, "seconds_per_step", fail)
    assert forecast({"lean": (made("lean", 2_000), 2)}, values) == "2 trainings"


def test_a_step_is_really_timed(values):
    assert 0 < seconds_per_step(made("lean", 5_000), values) < 10
    assert 0 < seconds_per_step(recipes.adjust(made("lean", 5_000), minutes=1e-9), values) < 10


def test_a_comparison_says_first_what_is_left_to_train(tmp_path, values, capsys, monkeypatch):
    monkeypatch.setattr("vlae.studies.train_alike.forecast", lambda trainings, _: str(trainings["lean"][1]))
    np.save(tmp_path / "a.npy", values[:, 0])
    (tmp_path / "out" / "a" / "lean-0").mkdir(parents=True)
    (tmp_path / "out" / "a" / "lean-0" / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr("vlae.studies.train_alike._run", lambda *_: None)
    asked = {"data": [str(tmp_path / "a.npy")], "out": tmp_path / "out", "seeds": 3, "code_sizes": None}
    with pytest.raises(AttributeError):  # there is no run
        list(train_alike(["lean"], **asked, progress=True))
    assert capsys.readouterr().err.splitlines()[0] == f"{tmp_path / 'a.npy'}: 2; then they are measured"
