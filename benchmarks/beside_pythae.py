"""Our `lean` and `vae` beside pythae's VAE of equal size, all trained for the same time; see README.md.

    python -m venv other && other/bin/pip install torch pythae
    python benchmarks/beside_pythae.py mnist/ --pythae-python other/bin/python

pythae wants a Python of its own, because it may ask for other versions than vlae does. Each training has a process of
its own, as many seconds of the training's clock, codes of as many numbers, and as many parameters, within 5 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from time_to_quality import squared_error

from vlae import recipes
from vlae.data import load
from vlae.recipes import Recipe
from vlae.training.settle import settled
from vlae.training.train import fit
from vlae.training.trainer import reuse_memory

CODE_SIZES = {"lean": (2, 2, 2), "vae": (0, 0, 6)}
LATENT_DIM = 6
SAME_SIZE = 0.05
"""How far the numbers of parameters may be apart."""


def recipe_of(name: str, shape: tuple[int, ...]) -> Recipe:
    return recipes.make(name, shape, code_sizes=CODE_SIZES[name])


def size(recipe: Recipe) -> int:
    return sum(parameter.numel() for parameter in recipes.build(recipe).parameters())


def ours(name: str, data: Path, seconds: float) -> dict[str, Any]:
    """Trains one of our recipes, whose learning rate falls to 0 when the time is over."""
    arrays = np.load(data, allow_pickle=False)
    train, test = arrays["train"], arrays["test"]
    reuse_memory()
    # The clock ends it, so the number of steps is out of reach.
    recipe = recipes.adjust(recipe_of(name, train.shape[1:]), steps=10_000_000, minutes=seconds / 60, augment="none")
    recipe = settled(recipe, train)
    curves: dict[str, np.ndarray] = {}
    model = fit(train, recipe, history=curves)
    steps, taken = int(curves["step"][-1]), float(curves["seconds"][-1])
    return {
        "versions": {"torch": torch.__version__},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "batch_size": recipe.training.batch_size,
        "learning_rate": recipe.training.learning_rate,
        "precision": recipe.training.precision,
        "steps": steps,
        "seconds": taken,
        "images_per_second": steps * recipe.training.batch_size / taken,
        "squared_error": squared_error(model, test),
    }


def asked(words: list[str]) -> dict[str, Any]:
    """What a process of its own answers, as JSON on the last line."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="mnist/", help="pictures of 28 × 28, such as the files of MNIST")
    parser.add_argument("--pythae-python", metavar="PATH", help="a Python that has pythae; without it, ours alone")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each training")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the numbers mean nothing")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.seconds = 0.2
    if args.worker:
        name, data = args.worker
        return print(json.dumps(ours(name, Path(data), args.seconds)))
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        limit = 500 if args.quick else None
        parts = {split: np.array(load(args.source, split=split, limit=limit).values) for split in ("train", "test")}
        np.savez(data, **parts)
        seconds = ["--seconds", str(args.seconds)]
        for name in CODE_SIZES:
            results[name] = asked([sys.executable, __file__, "--worker", name, str(data), *seconds])
        parameters = size(recipe_of("vae", parts["train"].shape[1:]))
        for loss in ("mse", "bce") if args.pythae_python else ():
            worker = [args.pythae_python, str(Path(__file__).with_name("pythae_worker.py")), str(data), *seconds]
            worker += ["--loss", loss, "--parameters", str(parameters), "--latent-dim", str(LATENT_DIM)]
            results[f"pythae {loss}"] = asked(worker)
    for name, result in results.items():
        apart = result["parameters"] / parameters - 1
        if abs(apart) > SAME_SIZE:
            raise SystemExit(f"{name} has {apart:+.1%} parameters; no equal size, no comparison")
        errors, speed = result["squared_error"], result["images_per_second"]
        print(
            f"{name:>10}  {result['parameters'] / 1e6:.2f} M  {speed:8,.0f} images/s  "
            f"squared error {errors['mean']:.4f} (means), {errors['drawn']:.4f} (drawn)"
        )
    if not args.pythae_python:
        print("    pythae  not measured: give --pythae-python PATH, a Python that has it")
    if args.json:
        args.json.write_text(json.dumps({"seconds": args.seconds, "systems": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
