"""Neighbours by a graph, against all compared with all."""

import numpy as np
import pytest

from vlae.codes import nearest


@pytest.mark.parametrize("reference", [None, 2_500])
def test_a_graph_finds_the_neighbours_that_exact_search_finds(rng, monkeypatch, reference):
    centres = 4 * rng.normal(size=(20, 6))
    points = centres[rng.integers(0, 20, 3_000)] + rng.normal(size=(3_000, 6))
    points[7] = points[8]  # a copy is a neighbour at 0
    exact = nearest.find_nearest(points, 10, reference=reference)
    monkeypatch.setattr(nearest, "MOST_EXACT", 2_000)
    found = nearest.find_nearest(points, 10, reference=reference)
    assert exact.recall is None and found.recall > 0.99
    assert np.isclose(found.distances, exact.distances, rtol=1e-3, atol=1e-5).mean() > 0.98
    assert found.distances.min() == pytest.approx(0, abs=1e-5)


def test_recall_is_what_is_found(rng, monkeypatch):
    """A graph with hardly any links finds little, and says so."""
    monkeypatch.setattr(nearest, "MOST_EXACT", 2_000)
    monkeypatch.setattr(nearest, "CONNECTIVITY", 2)
    monkeypatch.setattr(nearest, "EXPANSION", 11)
    assert nearest.find_nearest(rng.normal(size=(3_000, 20)), 10).recall < 0.8


def test_among_very_many_neighbours_are_searched_among_some(rng, monkeypatch):
    points = rng.normal(size=(600, 3))
    monkeypatch.setattr(nearest, "MOST_SEARCHED", 200)
    some = nearest.find_nearest(points, 10).distances
    np.testing.assert_array_equal(some, nearest.find_nearest(points, 10, reference=200).distances)
    every = nearest.find_nearest(points, 10, reference=600).distances  # who asks for more gets more
    assert (some >= every - 1e-9).all() and (some > every).mean() > 0.9


def test_points_are_taken_in_parts_without_a_loss(rng, monkeypatch):
    points = rng.normal(size=(3_000, 4))
    exact = nearest.find_nearest(points, 5).distances
    monkeypatch.setattr(nearest, "MOST_EXACT", 2_000)
    monkeypatch.setattr(nearest, "ORDERED", 700)
    monkeypatch.setattr(nearest, "BATCH", 300)
    found = nearest.find_nearest(points, 5)
    assert found.recall is not None and found.recall > 0.98
    assert np.isclose(found.distances, exact, rtol=1e-3, atol=1e-5).mean() > 0.95
