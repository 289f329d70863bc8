import numpy as np

from vlae.data import Images
from vlae.evaluation.factors import factors_of, subset


def test_a_subset_keeps_the_order(rng):
    images = Images(values=np.arange(20, dtype=np.float32)[:, None])
    chosen = subset(images, seed=0, num=5).values[:, 0]
    assert len(chosen) == 5 and (np.diff(chosen) > 0).all()
    assert not np.array_equal(chosen, subset(images, seed=1, num=5).values[:, 0])
    assert subset(images, num=20) is images


def test_true_factors_come_before_statistics(rng):
    values, kind = rng.integers(0, 256, (10, 1, 8, 8), dtype=np.uint8), rng.integers(0, 3, 10)
    simple, judged = factors_of(Images(values=values))
    assert judged == simple and "brightness" in simple
    assert list(factors_of(Images(values=values, factors={"kind": kind}, labels=kind))[1]) == ["kind"]
    assert list(factors_of(Images(values=values, factors={"kind": kind}, labels=kind + 1))[1]) == ["kind", "label"]
    assert factors_of(Images(values=values.reshape(10, -1).astype(np.float32))) == ({}, {})
