"""How fast `vlae encode` is from picture files, beside decoding and resizing them alone; see README.md."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from encode_speed import run_of, timed
from PIL import Image
from train_speed import RECIPES, processor, spread

from vlae.codes.encode import encode
from vlae.data import load

COLOUR = [name for name, recipe in RECIPES.items() if recipe().shape[0] == 3]


def write_photographs(folder: Path, num: int) -> None:
    """Writes JPEG files of 1024 × 768 pixels, about as busy as photographs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(num):
        values = np.zeros((768, 1024, 3), np.float32)
        for scale, weight in ((1, 0.6), (4, 0.3), (16, 0.1)):
            small = Image.fromarray(rng.integers(0, 256, (12 * scale, 16 * scale, 3), np.uint8))
            values += weight * np.asarray(small.resize((1024, 768), Image.Resampling.BICUBIC), np.float32)
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{i:05d}.jpg", quality=90)


def main() -> None:
    """Prints images per second of both, and the share of the decoding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=COLOUR, default=["lean64"], metavar="NAME")
    parser.add_argument("--num", type=int, default=400, help="JPEG files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--processor-time", action="store_true", help="count the processor's time: on a machine that is not quiet"
    )
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    num, rounds = (20, 1) if args.quick else (args.num, args.rounds)
    clock = time.process_time if args.processor_time else time.perf_counter
    figures = {}
    print(processor(), f"load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photographs = folder / "photographs"
        write_photographs(photographs, num)
        for name in args.recipes:
            run = run_of(name, folder)
            size = "x".join(map(str, run.recipe.shape[1:]))
            taken: dict[str, list[float]] = {"decoding": [], "encode": []}
            for turn in range(rounds):
                out = folder / f"{name}-{turn}.parquet"
                ways = {
                    "decoding": lambda size=size: load(photographs, split="all", size=size, fit="crop"),
                    "encode": lambda out=out, run=run: encode(run, photographs, out, reconstruction=False),
                }
                for what, do in ways.items():
                    os.environ["VLAE_CACHE"] = str(folder / f"{name}-{turn}-{what}")  # nothing is in the cache
                    taken[what].append(timed(do, clock))
            share = [decoding / whole for decoding, whole in zip(taken["decoding"], taken["encode"], strict=True)]
            figures[name] = {what: [num / seconds for seconds in each] for what, each in taken.items()}
            speeds = {what: spread(each) for what, each in figures[name].items()}
            print(
                f"{name}, {num:,} JPEG files: decoding {speeds['decoding']} images/s, "
                f"encode {speeds['encode']} images/s; the decoding is {spread(share, '.0%')} of it"
            )
    if args.json:
        args.json.write_text(json.dumps({"num_images": num, "images_per_second": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
