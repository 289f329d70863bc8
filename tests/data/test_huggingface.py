"""Hugging Face's data sets: saved ones, and the hub, which is replaced here."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlae.data import DataError, huggingface, load

pytestmark = pytest.mark.usefixtures("cache")


def test_saved_dataset_of_pictures(tmp_path, rng):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    features = Features({"img": ImageFeature(), "kind": ClassLabel(names=["cat", "dog"]), "age": Value("int64")})
    pixels = rng.integers(0, 256, (20, 16, 16, 3), np.uint8)
    pictures = [Image.fromarray(one) for one in pixels]
    whole = Dataset.from_dict({"img": pictures, "kind": [0, 1] * 10, "age": list(range(20))}, features=features)
    whole.save_to_disk(tmp_path / "one")
    DatasetDict({"train": whole.select(range(15)), "test": whole.select(range(15, 20))}).save_to_disk(tmp_path / "two")

    images = load(tmp_path / "one", split="all")
    assert (images.values == pixels.transpose(0, 3, 1, 2)).all()
    assert images.labels.tolist() == [0, 1] * 10
    assert images.label_names == ("cat", "dog")
    assert images.factors["age"].tolist() == list(range(20))
    assert (load(tmp_path / "two", split="test").values == pixels[15:].transpose(0, 3, 1, 2)).all()


def test_saved_dataset_of_numbers(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"a": Value("float32"), "b": Value("int32"), "label": ClassLabel(names=["cat", "dog"])})
    Dataset.from_dict({"a": [0.5] * 20, "b": list(range(20)), "label": [0, 1] * 10}, features=features).save_to_disk(
        tmp_path
    )
    rows = load(tmp_path, split="all")
    assert rows.values[3].tolist() == [0.5, 3]
    assert rows.label_names == ("cat", "dog")


@pytest.fixture
def ask_hub(monkeypatch):
    """Replaces what asks the hub whether it has a data set."""
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return lambda answer: monkeypatch.setattr(HfApi, "dataset_info", answer)


@pytest.mark.parametrize("source", ["hf:ylecun/mnist", "hf:photoz", "ylecun/no-such-set"])
def test_a_hub_that_cannot_be_reached_is_one_line(ask_hub, source):
    def unreachable(*_, **__):
        raise ConnectionError("no network\nand more")

    ask_hub(unreachable)
    with pytest.raises(
        DataError, match=r"no such file or folder, and the .* cannot be reached \(no network\)"
    ) as caught:
        load(source)
    assert str(caught.value).startswith(f"{source.removeprefix('hf:')}: ")
    assert "check the path or the network" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fresh_process_says_that_the_hub_refuses_the_connection(cache):
    code = "import vlae.data; vlae.data.load('hf:ylecun/mnist')"
    hub = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "0"}
    finished = subprocess.run([sys.executable, "-c", code], env=os.environ | hub, capture_output=True, text=True)
    assert "DataError: ylecun/mnist: no such file or folder, and the Hugging Face hub cannot be" in finished.stderr


def test_a_hub_that_does_not_answer_is_not_waited_for(ask_hub, monkeypatch):
    done = threading.Event()
    ask_hub(lambda *_, **__: done.wait(60))
    monkeypatch.setattr(huggingface, "HUB_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be reached \(no answer in 0\.2 seconds\)"):
        load("hf:ylecun/mnist")
    assert time.monotonic() - start < 10
    done.set()
    assert huggingface.HUB_SECONDS < 10


def test_a_data_set_that_the_hub_has_not(ask_hub):
    from huggingface_hub.errors import HFValidationError

    def refuse(*_, **__):
        raise HFValidationError("Repo id must be in the form 'repo_name' or 'namespace/repo_name'")

    ask_hub(refuse)
    with pytest.raises(DataError, match=r"does not give such a data set \(Repo id must .*\); check the spelling"):
        load("hf:no/such/set")


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("nosuch", "check the path, or say hf:nosuch for a data set of the Hugging Face hub"),
        ("nosuch.npy", "check the path"),
        ("me/nosuch.PNG", "check the path"),
        ("a/b/nosuch", "check the path"),
        (Path("me/nosuch"), "check the path"),
    ],
)
def test_the_hub_is_not_asked_for_what_is_a_missing_path(ask_hub, source, advice):
    ask_hub(lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(FileNotFoundError) as caught:
        load(source)
    assert str(caught.value) == f"{source}: no such file or folder; {advice}"


@pytest.mark.parametrize("source", ["hf:me/mine", "me/mine", "hf:mine"])
def test_a_hub_data_set_is_read_and_kept(ask_hub, monkeypatch, source):
    import datasets

    rows = datasets.Dataset.from_dict({"a": [0.5] * 20, "b": list(range(20))})
    parts = datasets.DatasetDict(train=rows, test=rows.select(range(4)))
    ask_hub(lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: parts)
    assert load(source).values.shape == (20, 2)
    monkeypatch.delattr(datasets, "load_dataset")
    assert load(source, split="test").values.shape == (4, 2)
