"""How good `vlae demo` is after 2.5 minutes beside 5: error, order, told; see README.md in this folder."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vlae.text_table import number

MEASURES = ("level_order", "level_order_interval", "told", "told_interval", "level_separation")


def said(*words: str) -> str:
    """What a command prints on the standard output."""
    done = subprocess.run([sys.executable, "-m", "vlae", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"vlae {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def measure(minutes: float, seed: int, num: int, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Trains the demo so long, and evaluates it.

    Args:
        minutes: of training.
        seed: of the demo.
        num: held-out pictures that it is evaluated on.
        folder: of the run.
        quick: train on few and small pictures in place of the demo's.
    """
    begun = time.monotonic()
    command = ("train", "streets:400", "--size", "8", "--code-sizes", "1,2") if quick else ("demo",)
    said(*command, "--minutes", str(minutes), "--seed", str(seed), "--out", str(folder))
    seconds = time.monotonic() - begun
    found = json.loads(
        said("evaluate", str(folder), "streets:400" if quick else "streets", "--limit", str(num), "--json")
    )
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "minutes": minutes,
        "seed": seed,
        "command_seconds": seconds,
        "steps": summary["training"]["steps"],
        "evaluated_on": num,
        "squared_error": summary["reconstruction"]["mse"],  # of all held-out pictures
        **{name: found[name] for name in MEASURES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2.5, 5.0], help="lengths of training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--num", type=int, default=1_000, help="held-out pictures to evaluate on")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.minutes, args.seeds, args.num = [0.02], [0], 60
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for minutes in args.minutes:
                result = measure(minutes, seed, args.num, Path(folder) / f"{minutes}-{seed}", quick=args.quick)
                results.append(result)
                print(
                    f"{minutes:g} min, seed {seed}: {result['steps']:,} steps, squared error "
                    f"{result['squared_error']:.5f}, order {number(result['level_order'], '.2f')}, "
                    f"told {number(result['told'], '.2f')}; "
                    f"the command {result['command_seconds']:.0f} s",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
