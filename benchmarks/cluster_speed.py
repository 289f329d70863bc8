"""How fast workers of a Ray cluster on this machine encode, and whether a killed one loses anything; see README.md."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from train_speed import RECIPES, processor

from vlae.codes import cluster
from vlae.codes.cluster import encode_on_cluster
from vlae.codes.encode import encode
from vlae.codes.files import open_codes
from vlae.runs.opening import load
from vlae.runs.run import Run


def write_pictures(folder: Path, num: int, side: int) -> Path:
    """Writes JPEG files of random shapes with some grain, in folders of a thousand."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 6, (side, side, 1))
    for i in range(num):
        file = folder / f"{i // 1000:04d}" / f"{i:07d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        shapes = np.asarray(Image.fromarray(small).resize((side, side)))
        Image.fromarray((shapes + grain).clip(0, 255).astype(np.uint8)).save(file, quality=85)
    return folder


def encoded(run: Run, source: Path, out: Path, workers: int, *, kill: bool) -> dict[str, Any]:
    """Encodes by some workers; seconds are counted from the first share that is written to the last."""
    times: list[float] = []
    rows = 0
    killed = None
    original = cluster._encoded

    def watched(*of: Any) -> Any:
        nonlocal killed, rows
        for row in original(*of):
            times.append(time.perf_counter())
            if len(times) > 1:
                rows += int(row["rows"])
            if kill and killed is None and len(times) > 3:
                killed = int(row["pid"])
                os.kill(killed, signal.SIGKILL)
            yield row

    cluster._encoded = watched  # type: ignore[assignment]
    begun = time.perf_counter()
    try:
        encode_on_cluster(run, source, out, address="local", workers=workers)
    finally:
        cluster._encoded = original
    seconds = time.perf_counter() - begun
    return {
        "workers": workers,
        "killed": kill,
        "seconds in all": round(seconds, 2),
        "images a second": round(rows / max(1e-9, times[-1] - times[0]), 1),
        **counted(out),
    }


def counted(out: Path) -> dict[str, int]:
    """How many rows there are, and how many different ones, by number and by name."""
    numbers: list[int] = []
    names: set[str] = set()
    for batch in open_codes(out).batches(["row", "name"]):
        numbers += batch["row"].tolist()
        names |= set(batch["name"].tolist())
    return {"rows": len(numbers), "different numbers": len(set(numbers)), "different names": len(names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=16_000, help="pictures (default 16000)")
    parser.add_argument("--recipe", default="lean32", choices=sorted(RECIPES), help="net (default lean32)")
    parser.add_argument("--side", type=int, default=350, help="of a picture as it is stored, in pixels (default 350)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], help="(default 1 3)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs; its numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.num, args.workers, args.side = 600, [1], 64
    os.environ.setdefault("RAY_worker_niceness", "0")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if os.getloadavg()[0] > 0.5:
        print("warning: this machine is busy", file=sys.stderr)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = saved(args.recipe, folder / "run")
        photos = write_pictures(folder / "photos", args.num, args.side)
        kilobytes = sum(file.stat().st_size for file in photos.rglob("*.jpg")) / 1000 / args.num
        begun = time.perf_counter()
        encode(run, photos, folder / "alone.parquet")
        alone = args.num / (time.perf_counter() - begun)
        asked = [*((num, False) for num in args.workers), (max(args.workers), True)]
        for number, (workers, kill) in enumerate(asked):
            results.append(encoded(run, photos, folder / f"{number}.lance", workers, kill=kill))
            print(json.dumps(results[-1]), flush=True)
        size = sum(file.stat().st_size for file in (folder / "0.lance").rglob("*") if file.is_file())
    one = results[0]["images a second"] / min(cores, results[0]["workers"])  # of a core
    for result in results:
        result["efficiency per core"] = round(result["images a second"] / min(cores, result["workers"]) / one, 2)
        lost = args.num - result["different names"]
        twice = result["rows"] - result["different names"]
        killed = ", one killed" if result["killed"] else ""
        print(
            f"{result['workers']} workers{killed}: {result['images a second']:,.0f} images/s, "
            f"{result['efficiency per core']:.2f} of a core's each; {lost} lost, {twice} twice"
        )
    print(f"one process, with its start and its cache: {alone:,.0f} images/s; {cores} cores")
    print(f"pictures of {args.side}×{args.side} pixels, {kilobytes:.1f} kB; {size / args.num:.0f} bytes a row")
    if args.json:
        about = {"processor": processor(), "cores": cores, "recipe": args.recipe, "num": args.num}
        about |= {"side": args.side, "kilobytes": round(kilobytes, 1)}
        about |= {"one process": round(alone, 1), "bytes a row": round(size / args.num, 1), "results": results}
        args.json.write_text(json.dumps(about, indent=2))


def saved(recipe: str, folder: Path) -> Run:
    """A run in a folder, as workers open it: trained for a few steps, which is as fast as one trained to the end."""
    from vlae.training.train import train  # it draws no page

    chosen = RECIPES[recipe]()
    images = np.random.default_rng(0).integers(0, 256, (256, *chosen.shape), dtype=np.uint8)
    train(images, out=folder, recipe=chosen, steps=5, progress=False)
    return load(folder)


if __name__ == "__main__":
    main()
