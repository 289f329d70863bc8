import pytest
from code_files import write_folder

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
