"""What is computed once on a machine, and read from the cache from then on."""

import pytest

from vlae.data import cache


@pytest.fixture
def count(tmp_path, monkeypatch):
    """A computation that counts how often it was done."""
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    done = []

    def compute():
        done.append(None)
        return {"number": len(done), "list": [0.1, None, "é"]}

    compute.done = done
    return compute


def test_it_is_computed_once_for_each_thing_that_it_depends_on(count):
    first = cache.computed_once("sums", [1, "a"], count)
    assert first == {"number": 1, "list": [0.1, None, "é"]}
    assert cache.computed_once("sums", [1, "a"], count) == first
    assert cache.computed_once("sums", [2, "a"], count)["number"] == 2
    assert cache.computed_once("products", [1, "a"], count)["number"] == 3


def test_another_version_computes_it_again(count, monkeypatch):
    cache.computed_once("sums", 1, count)
    monkeypatch.setattr(cache, "version", lambda package: f"{package} 99")
    assert cache.computed_once("sums", 1, count)["number"] == 2


def test_a_damaged_file_is_computed_again(count, tmp_path):
    cache.computed_once("sums", 1, count)
    (file,) = (tmp_path / "cache" / "sums").iterdir()
    file.write_text("{")
    assert cache.computed_once("sums", 1, count)["number"] == 2
    assert cache.computed_once("sums", 1, count)["number"] == 2


def test_without_a_cache_it_is_computed_each_time(count, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert [cache.computed_once("sums", 1, count)["number"] for _ in range(2)] == [1, 2]
