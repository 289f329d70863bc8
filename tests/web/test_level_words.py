"""The levels of a run in words."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import vlae
from vlae.evaluation.rates import not_measured
from vlae.web import level_words
from vlae.web.collection_answers import CollectionAnswers
from vlae.web.level_words import describe_levels
from vlae.web.session import Session
from vlae.workflows import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exploring")
    np.save(folder / "pictures.npy", np.random.default_rng(0).integers(0, 256, (120, 12, 12, 3), dtype=np.uint8))
    return train(
        folder / "pictures.npy", out=folder / "run", code_sizes=(2, 0, 1, 4), steps=4, batch_size=8, progress=False
    )


def test_levels_are_described_most_telling_first(run):
    described = describe_levels(run)
    assert [level["level"] for level in described] == [1, 3, 4]
    assert described[0]["title"] == "colour and light"
    for level in described:
        nats = [dimension["nats"] for dimension in level["dimensions"]]
        assert nats == sorted(nats, reverse=True)
        numbers = sorted(dimension["number"] for dimension in level["dimensions"])
        assert numbers == list(range(run.recipe.code_sizes[level["level"] - 1]))
        assert all(d["dead"] == (d["nats"] < level_words.DEAD_DIMENSION) for d in level["dimensions"])


def test_levels_of_what_cannot_be_measured_are_described_in_order(run):
    unmeasured = replace(run, summary=not_measured(run.model, 0, "the data are gone"), from_checkpoint=True)
    for level in describe_levels(unmeasured):
        size = run.recipe.code_sizes[level["level"] - 1]
        assert level["dimensions"] == [{"number": i, "nats": 0.0, "dead": False} for i in range(size)]
        assert level["nats"] is None and not level["dead"]


def test_noise_that_no_picture_tells_is_said_to_be_that(run, monkeypatch):
    monkeypatch.setattr(run.model, "unread", {1: "it is noise: no picture tells it"})
    assert [level["unread"] for level in describe_levels(run)] == ["it is noise: no picture tells it", "", ""]
    answers = CollectionAnswers(Session(run))
    asked = [[0.0] * size for size in run.recipe.code_sizes]
    assert [level["level"] for level in answers.neighbours(asked, -1)["levels"]] == [3, 4]


def test_levels_are_named_by_the_card(run, tmp_path):
    statistics = {1: {"mean red": 0.9, "size": 0.0}, 3: {"mean red": 0.0, "size": 0.8}}
    none = {"mean red": 0.0, "size": 0.0}
    levels = [
        {"level": k, "code_size": size, "active_units": size, "kl_nats": 3.0, "kl_nats_per_dimension": [1.5] * size}
        | {"share": 0.25, "without_it": {"distortion_nats": 1.0, "mse": 0.01}, "statistics": statistics.get(k, none)}
        for k, size in enumerate(run.recipe.code_sizes, start=1)
    ]
    moved = shutil.copytree(run.path, tmp_path / "run")
    (moved / "evaluation.json").write_text(
        json.dumps(
            {"num_images": 9, "reconstruction": {}, "distortion_nats": None, "elbo_nats": None, "levels": levels}
            | {"complexity": {}, "not_defined": {}, "protocol": {}}
        )
    )
    described = describe_levels(vlae.load(moved))
    assert [level["title"] for level in described] == ["colour", "size", "not named"]
    assert described[0]["sentence"].startswith("Explains 90% of mean red")


def test_levels_of_vectors_wait_to_be_measured(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    made = train(rows, out=tmp_path / "run", code_sizes=(2, 2), steps=4, batch_size=8, progress=False)
    assert [level["title"] for level in describe_levels(made)] == ["not measured yet"] * 2
