import numpy as np
import pytest

ROWS = 1_000


@pytest.fixture(scope="module")
def factors():
    """A fixed table of 1,000 rows: three classes and two numbers, all independent."""
    rng = np.random.default_rng(7)
    kinds = {f"kind {size}": rng.integers(0, size, ROWS) for size in (2, 4, 8)}
    return kinds | {f"number {i}": rng.random(ROWS) for i in range(2)}


@pytest.fixture(scope="module")
def truth(factors):
    """Codes that are the factors themselves, standardised."""
    codes = np.column_stack([factor.astype(float) for factor in factors.values()])
    return (codes - codes.mean(0)) / codes.std(0)
