"""How long `import vlae`, help, a refusal and a figure take, from the command to its end; see README.md."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from vlae.training.train import train

GOALS = {"exists already": 0.5, "first work": 2.0, "figure": 3.0}
"""Seconds."""


def timed(words: list[str], rounds: int, *, fails: bool = False) -> list[float]:
    """Seconds of some calls of a command; one more before them is left out, unless it is the only one.

    Args:
        words: after the name of the interpreter.
        rounds: how many count.
        fails: whether the command is to refuse.
    """
    taken = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True)
        taken.append(time.perf_counter() - begun)
        if bool(done.returncode) is not fails:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return taken[1:] or taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", help="a finished run; by default, one of few steps is trained first")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.rounds = 0
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or str(train("streets:400", out=f"{folder}/run", steps=4, progress=False).path)
        figure, vlae_words = str(Path(folder) / "levels.png"), ["-m", "vlae"]
        seconds = {
            "bare Python": timed(["-c", ""], args.rounds),
            "import vlae": timed(["-c", "import vlae"], args.rounds),
            "vlae --help": timed([*vlae_words, "--help"], args.rounds),
            "exists already": timed([*vlae_words, "train", "streets:400", "--out", run], args.rounds, fails=True),
            "first work": timed([*vlae_words, "data", "streets:400"], args.rounds),
            "figure": timed([*vlae_words, "figure", run, "levels", "--out", figure], args.rounds),
        }
    for name, taken in seconds.items():
        goal = f"  (at most {GOALS[name]:g})" if name in GOALS else ""
        print(f"{name:>15}  {median(taken):6.2f} s ({min(taken):.2f} to {max(taken):.2f}){goal}")
    if args.json:
        args.json.write_text(json.dumps(seconds, indent=2) + "\n")


if __name__ == "__main__":
    main()
