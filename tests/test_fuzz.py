"""No mutated file makes vlae fail with anything but one line that names the file, or hang (tests/fuzzing.py)."""

import sys

import pytest
from fuzzing import fuzz

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the time and the memory of a file are bounded on Linux"
)


@pytest.mark.slow
def test_mutated_files_are_read_or_refused_in_one_line(tmp_path, cache):
    outcomes = fuzz(400, tmp_path, seed=17)
    raw = [outcome for outcome in outcomes if outcome not in ("read", "refused")]
    assert not raw
    assert outcomes["read"] > 20 and outcomes["refused"] > 200  # neither all whole nor all refused at the first byte
