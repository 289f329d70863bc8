from contextlib import contextmanager

import numpy as np
import pytest
from code_files import write_folder

from vlae.codes import cluster
from vlae.workflows import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return train(
        folder, out=tmp_path_factory.mktemp("runs") / "a", code_sizes=(1, 0, 2), steps=4, batch_size=8, progress=False
    )


@pytest.fixture(scope="module")
def other(folder, tmp_path_factory):
    return train(folder, out=tmp_path_factory.mktemp("runs") / "b", code_sizes=(1, 0, 2), steps=5, progress=False)


@pytest.fixture
def here(monkeypatch):
    """Lets the worker run in this process, without a cluster; the list has the shares that were written."""
    written = []

    @contextmanager
    def no_cluster(address, workers):
        yield 1, 0

    def encoded(numbers, job, workers, gpus):
        assert gpus == 0 and job["accelerator"] == "cpu"
        worker = cluster._Worker(job)
        for number in numbers:
            written.append(number)
            yield worker({"number": np.array([number])})

    monkeypatch.setattr(cluster, "_cluster", no_cluster)
    monkeypatch.setattr(cluster, "_encoded", encoded)
    return written
