"""Every benchmark can be imported with today's library. Their numbers mean nothing on a busy machine."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = [
    file
    for file in sorted(FOLDER.glob("*.py"))
    if "ArgumentParser" in file.read_text() and file.stem != "pythae_worker"  # which needs a Python with pythae
]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_a_benchmark_says_what_it_takes(file, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(file), "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(file), run_name="__main__")
    assert end.value.code == 0 and "usage:" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the commands are forked")
def test_kills_at_random_moments_lose_nothing():
    words = [sys.executable, FOLDER / "kills.py", "--kills", "4", "--runs", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0 and re.search(r"\b([4-9]|[1-9]\d) kills, none lost", done.stdout), done.stderr
