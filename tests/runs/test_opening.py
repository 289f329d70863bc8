"""Opening a run, and drawing a figure of it, imports nothing that takes seconds and is not needed."""

import subprocess
import sys

import vlae

HEAVY = ("torch._dynamo", "lightning", "sklearn", "scipy", "pandas", "pyarrow", "datasets", "huggingface_hub")


def test_a_run_that_was_opened_before_opens_without_what_it_does_not_need(tmp_path):
    vlae.load("streets")  # what its model needs of memory is now in the cache
    code = """if True:
        import sys, vlae
        picture = vlae.load("streets").figure("traversal", steps=3, max_rows=1, out=sys.argv[1])
        print(*set(sys.argv[2:]) & set(sys.modules))
        """
    words = [sys.executable, "-c", code, tmp_path / "a.png", *HEAVY]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
