import threading
import time

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from vlae.web import map as maps
from vlae.web.map import Maps, place_on_plane


def clusters(num, size=6, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 5, num)
    return (4 * np.eye(5, size)[kinds] + 0.5 * rng.normal(size=(num, size))).astype(np.float32), kinds


def test_small_codes_are_shown_as_they_are():
    codes = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    plane = place_on_plane(codes, "code")
    assert np.array_equal(plane.points, codes) and np.array_equal(plane.directions, np.eye(2))
    line = place_on_plane(codes[:, :1], "pca")
    assert np.array_equal(line.points[:, 0], codes[:, 0]) and "means nothing" in line.axes[1]


def test_pca_keeps_the_most_variance_and_leads_back_to_codes():
    rng = np.random.default_rng(0)
    codes = (rng.normal(size=(1000, 4)) * [0.1, 3, 0.1, 1] + 5).astype(np.float32)
    plane = place_on_plane(codes, "pca")
    assert plane.points.dtype == np.float32 and plane.points.shape == (1000, 2)
    assert np.allclose(np.abs(plane.directions[0]), [0, 1, 0, 0], atol=0.05)
    assert plane.axes[0].startswith("component 1 (89%") and plane.axes[1].startswith("component 2 (")
    back = plane.centre + plane.points @ plane.directions
    assert np.abs(back - codes)[:, [1, 3]].max() < 0.1  # what is lost is the two small dimensions


def test_codes_that_are_all_the_same_are_placed():
    plane = place_on_plane(np.ones((20, 3), np.float32), "pca")
    assert np.isfinite(plane.points).all() and "0%" in plane.axes[0]


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.parametrize("spread", [0, 1e-30, 1e-8])
def test_codes_that_are_all_the_same_have_no_neighbourhoods(method, spread, monkeypatch):
    for embed in ("_tsne", "_umap"):  # t-SNE of the same codes ends the whole process
        monkeypatch.setattr(maps, embed, lambda codes: pytest.fail("embedded"))
    monkeypatch.setattr(maps, "has_umap", lambda: True)
    codes = (1 + spread * np.random.default_rng(0).normal(size=(40, 4))).astype(np.float32)
    for sample in (maps.MAX_SAMPLE, 10):
        monkeypatch.setattr(maps, "MAX_SAMPLE", sample)
        points = place_on_plane(codes, method).points
        assert points.shape == (40, 2) and np.abs(points).max() < 1e-6


def test_very_few_data_are_placed_without_neighbourhoods(monkeypatch):
    monkeypatch.setattr(maps, "has_umap", lambda: True)
    for num in (1, 2, 3):
        for codes in (clusters(num, 5)[0], clusters(num, 5)[0][:, :1]):
            for method in ("tsne", "umap"):
                assert np.array_equal(place_on_plane(codes, method).points, place_on_plane(codes, "pca").points)


@pytest.mark.parametrize("num", [4, 40])
def test_few_data_are_placed_by_neighbourhood(num):
    for size in (1, 3):
        points = place_on_plane(clusters(num, 5)[0][:, :size], "tsne").points
        assert points.shape == (num, 2) and np.isfinite(points).all()


def test_those_outside_of_the_sample_lie_among_their_neighbours(monkeypatch):
    monkeypatch.setattr(maps, "MAX_SAMPLE", 150)
    codes, kinds = clusters(2_000)
    placed = []
    embed = maps._tsne
    monkeypatch.setattr(maps, "_tsne", lambda sample: placed.append(len(sample)) or embed(sample))
    plane = place_on_plane(codes, "tsne")
    assert placed == [150] and plane.centre is None
    assert (
        KNeighborsClassifier(5).fit(plane.points[:1000], kinds[:1000]).score(plane.points[1000:], kinds[1000:]) > 0.98
    )
    assert np.array_equal(plane.points, place_on_plane(codes, "tsne").points)


def test_umap_must_be_installed(monkeypatch):
    monkeypatch.setattr(maps, "has_umap", lambda: False)
    with pytest.raises(ValueError, match="pip install umap-learn"):
        place_on_plane(np.zeros((10, 3), np.float32), "umap")


def test_a_map_is_made_once_and_holds_up_no_other(monkeypatch):
    made, go = [], threading.Event()

    def slow(codes, method):
        made.append(method)
        if method == "tsne":
            go.wait(5)
        return place_on_plane(codes, "pca")

    monkeypatch.setattr(maps, "place_on_plane", slow)
    kept = Maps(lambda level: clusters(30)[0])
    waiting = [threading.Thread(target=kept.place, args=(1, "tsne")) for _ in range(3)]
    for thread in waiting:
        thread.start()
    while not made:
        time.sleep(0.01)
    assert kept.place(1, "pca") is kept.place(1, "pca")  # t-SNE is still being made
    go.set()
    for thread in waiting:
        thread.join()
    assert sorted(made) == ["pca", "tsne"]
