"""The files of a run's folder, read and written."""

import numpy as np
import pytest
import torch

from vlae.runs import store
from vlae.runs.layout import RunError
from vlae.runs.safe_load import hash_weights
from vlae.workflows import train


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return train(pictures, out=path, steps=4, batch_size=8, code_sizes=(1, 2), progress=False)


def test_the_record_can_be_trained_again(trained, pictures, tmp_path):
    recipe, data = store.read_recipe(trained.path)
    assert recipe == trained.recipe
    again = train(pictures, out=tmp_path / "again", recipe=recipe, progress=False)
    assert again.summary == trained.summary
    assert data["source"] == "an array"


def test_a_folder_without_a_recipe_holds_no_run(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: there is no recipe\.json in it"):
        store.read_recipe(tmp_path)


def test_results_are_read_as_they_were_written(trained, tmp_path):
    results = store.Results(trained.model, trained.summary, trained.examples)
    (tmp_path / ".summary.json.123").write_text("half")
    (tmp_path / "evaluation-compared.json").write_text("of the weights that were here")
    store.write_results(tmp_path, results, trained.prior, np.arange(3))
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.safetensors",
        "prior.safetensors",
        "summary.json",
        "examples.npy",
        "held_out.npy",
    }
    again = store.read_results(tmp_path, trained.recipe)
    assert again.summary == trained.summary
    assert np.array_equal(again.examples, trained.examples)
    assert store.read_results(tmp_path, trained.recipe, with_examples=False).examples.shape == (0, 3, 8, 8)


def test_curves_are_columns_of_numbers(trained):
    curves = store.read_curves(trained.path)
    assert curves["step"] == [4.0]
    assert {"distortion", "rate_1", "rate_2"} <= curves.keys()


def test_an_incomplete_evaluation_is_refused(tmp_path):
    (tmp_path / "evaluation.json").write_text('{"levels": []}')
    with pytest.raises(ValueError, match="incomplete"):
        store.read_evaluation(tmp_path / "evaluation.json", (1, 2))


def test_the_identity_knows_names_and_shapes(tmp_path):
    from safetensors.torch import save_file

    value = torch.arange(6, dtype=torch.float32)
    stored = {"as it is": {"a": value}, "other name": {"b": value}, "other shape": {"a": value.reshape(2, 3)}}
    stored |= {"other value": {"a": value + 1}, "other type": {"a": value.to(torch.int32)}}
    hashes = set()
    for name, tensors in stored.items():
        save_file(tensors, tmp_path / name)
        hashes.add(hash_weights(tmp_path / name))
    assert len(hashes) == len(stored)
