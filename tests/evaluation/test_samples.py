import numpy as np
import pytest

from vlae.evaluation.samples import GROUPS, Judge, frechet, two_sample


def test_frechet_by_hand(rng):
    x = rng.normal(size=(4000, 3))
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + np.array([1, 2, 0])) == pytest.approx(5, abs=1e-6)  # the means alone differ
    scaled = (x - x.mean(0)) @ np.diag([2, 1, 1]) + x.mean(0)
    a, b = np.cov(x, rowvar=False), np.cov(scaled, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(a @ b).real)
    assert frechet(x, scaled) == pytest.approx(np.trace(a + b) - 2 * root.sum(), abs=1e-6)
    assert frechet(scaled, x) == pytest.approx(frechet(x, scaled))
    assert frechet(x[:, :1], 3 * x[:, :1]) > 0  # one column


def test_two_sample(rng):
    one, other = rng.normal(size=(2, 500, 4))
    assert two_sample(one, other) == pytest.approx(0.5, abs=0.08)
    assert two_sample(one, other + 5) > 0.99
    assert two_sample(one, 3 * other) > 0.7  # no line tells these apart
    assert two_sample(one, other, seed=1) == two_sample(one, other, seed=1)


def test_judge_ranks(rng):
    data = rng.integers(0, 256, (1400, 1, 6, 6), dtype=np.uint8)
    judge = Judge(data[:400], data[400:800])
    same, other = judge.distances(data[800:] / 255.0), judge.distances(0.5 * data[800:] / 255.0)
    assert np.mean(same["frechet"]) < 0.5 * np.mean(other["frechet"])
    assert np.mean(same["two_sample"]) < 0.6 < np.mean(other["two_sample"])
    assert len(same["frechet"]) == GROUPS
    samples = data[800:] / 255.0
    samples[:120] *= 0.5  # the first of five groups
    first, *rest = judge.distances(samples)["frechet"]
    assert first > 2 * max(rest)
