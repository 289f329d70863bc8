"""The scripts in docs/cluster.md are those that a user runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"
SCRIPTS = [script for script in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.S) if script.startswith("#!")]


def bash(*words, **environment):
    # `python` and `vlae` are those of this process
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", *words], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path, **environment}
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_well_formed(script, tmp_path):
    (tmp_path / "script.sh").write_text(script)
    done = bash("-n", tmp_path / "script.sh")
    assert done.returncode == 0, done.stderr


def test_there_are_scripts_for_arrays_and_training():
    assert len(SCRIPTS) == 4
    assert sum("--array" in script for script in SCRIPTS) == 1
    assert sum("torchrun" in script for script in SCRIPTS) == 1


@pytest.mark.slow
def test_the_array_and_the_merge_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode, merge = (script for script in SCRIPTS if "parts/" in script)
    for old, new in {"runs/photos": "streets", "photos/": "streets:30", "/64": "/2"}.items():
        encode = encode.replace(old, new)
    Path("encode.sbatch").write_text(encode)
    Path("merge.sbatch").write_text(merge)
    for number in ("1", "2", "2"):  # a finished task does nothing
        done = bash("encode.sbatch", SLURM_ARRAY_TASK_ID=number, SLURM_CPUS_PER_TASK="1", TMPDIR=str(tmp_path))
        assert done.returncode == 0, done.stderr
    assert bash("merge.sbatch").returncode == 0
    assert parquet.read_table("codes.parquet")["row"].to_pylist() == list(range(33))
