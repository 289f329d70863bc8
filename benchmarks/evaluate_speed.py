"""How long `vlae evaluate` takes beside the encoding of the same data, stage by stage; see README.md."""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from train_speed import processor

import vlae
from vlae import workflows
from vlae.data import load
from vlae.evaluation import measures
from vlae.evaluation.factors import subset


def stages(run: vlae.Run, images: vlae.Images) -> dict[str, float]:
    """Seconds of every stage of an evaluation, by its name."""
    started: list[tuple[str, float]] = []
    measures.evaluate(
        run.model,
        images,
        untrained=workflows.untrained(run),
        prior=run.prior,
        say=lambda what: started.append((what, time.perf_counter())),
    )
    ends = [begun for _, begun in started[1:]] + [time.perf_counter()]
    return {what: end - begun for (what, begun), end in zip(started, ends, strict=True)}


def main() -> None:
    """Prints a table, in seconds and as multiples of one encoding; and the seconds of all processors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", default=["streets"], help="folders of runs, or ladders that ship")
    parser.add_argument("--data", default="streets", help="data of the runs' shape")
    parser.add_argument("--num", type=int, default=5_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="only to see that it runs; its numbers mean nothing")
    asked = parser.parse_args()
    print(processor(), f"load average {os.getloadavg()[0]:.2f}")
    if asked.quick:
        asked.data, asked.num = "streets:600", 60
    images = subset(load(asked.data, split="test"), num=asked.num)
    results = {}
    for name in asked.runs:
        run = vlae.load(name)
        values = np.ascontiguousarray(images.values)
        run.encode(values[:100])
        begun = time.perf_counter()
        run.encode(values)
        encoding = time.perf_counter() - begun
        used = time.process_time()
        results[name] = {"encoding": encoding, **stages(run, images)}
        used = time.process_time() - used
        total = sum(results[name].values()) - encoding
        print(f"{name}, {len(images):,} of {asked.data}: evaluation {total:.1f} s = {total / encoding:.1f} encodings")
        print(f"{used:8.1f} s of processor")
        for what, seconds in results[name].items():
            print(f"{seconds:8.1f} s {seconds / encoding:7.1f}  {what}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
