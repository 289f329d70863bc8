"""How fast an encoder is: PyTorch, ONNX Runtime, ONNX Runtime in 8 bits; see README.md in this folder."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch

import vlae
from vlae.codes.onnx import export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", default=["mnist", "streets"], help="folders, or ladders that ship")
    parser.add_argument("--batch", type=int, default=100, help="images at a time")
    parser.add_argument("--rounds", type=int, default=15, help="alternating rounds, of which medians are given")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of ONNX Runtime")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.runs:
        print(json.dumps({"run": name, **measure(name, args.batch, args.rounds, args.threads)}))


def measure(name: str, batch: int, rounds: int, threads: int) -> dict[str, Any]:
    run = vlae.load(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        export(run, folder, quantize="int8")
        full, small = (
            onnxruntime.InferenceSession(str(Path(folder) / file), options)
            for file in ("encoder.onnx", "encoder-int8.onnx")
        )
    x = np.resize(run.examples, (batch, *run.recipe.shape)).astype(np.float32) / 255
    tensor = torch.from_numpy(x)

    def pytorch() -> None:
        with torch.inference_mode():
            for posterior in run.model.infer(tensor):
                _ = posterior.mean, posterior.stddev

    ways = {
        "pytorch": pytorch,
        "onnxruntime": lambda: full.run(None, {"images": x}),
        "onnxruntime_int8": lambda: small.run(None, {"images": x}),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 2):
        for way, encode in ways.items():
            start = time.perf_counter()
            encode()
            taken[way].append(time.perf_counter() - start)
    speed = {way: batch / median(each[2:]) for way, each in taken.items()}
    return {
        "images_per_second": {way: round(each) for way, each in speed.items()},
        "times_pytorch": {way: round(each / speed["pytorch"], 2) for way, each in speed.items()},
    }


if __name__ == "__main__":
    main()
