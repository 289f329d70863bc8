"""How fast `lean` trains on a GPU of NVIDIA: with CUDA graphs beside a kernel at a time; see README.md here."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch

from vlae import recipes
from vlae.recipes import Recipe
from vlae.training import graphs
from vlae.training.batches import Batches
from vlae.training.loop import LOG_EVERY, Engine, Recorder
from vlae.training.trainer import quiet, trainer_of

CASES = {
    "lean28": ((1, 28, 28), "standard"),
    "lean32": ((3, 32, 32), "standard"),
    "lean64": ((3, 64, 64), "standard"),
    "lean128-high": ((3, 128, 128), "high"),
    "lean256-high": ((3, 256, 256), "high"),
}


def pictures_per_second(recipe: Recipe, *, recorded: bool, steps: int) -> float:
    """The median over the rows of the log but the first, in which libraries start and graphs are recorded."""
    recipe = recipes.adjust(recipe, steps=steps, augment="none")
    values = np.random.default_rng(0).integers(0, 256, (512, *recipe.shape), dtype=np.uint8)
    engine = Engine(recipes.build(recipe), recipe)
    recorder = Recorder(engine, None, progress=False)
    trainer = trainer_of(recipe, recorder, accelerator="gpu")
    usual, graphs.EAGER_STEPS = graphs.EAGER_STEPS, graphs.EAGER_STEPS if recorded else 10 * steps
    try:
        with quiet():
            trainer.fit(engine, Batches(values, None, recipe.training, trainer, pinned=True))
    finally:
        graphs.EAGER_STEPS = usual
    column = recorder.curves.columns.index("images_per_second")
    return float(np.median([row[column] for row in recorder.curves.rows[1:]]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"by default, all of {', '.join(CASES)}")
    parser.add_argument("--steps", type=int, default=3 * LOG_EVERY, help="of each training")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("there is no GPU of NVIDIA here")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {asked.precision}: pictures a second")
    for name in asked.cases or CASES:
        shape, quality = CASES[name]
        recipe = recipes.adjust(recipes.lean(shape, quality=quality), precision=asked.precision)
        alone, graph = (pictures_per_second(recipe, recorded=recorded, steps=asked.steps) for recorded in (False, True))
        print(f"{name:14} a kernel at a time {alone:8,.0f}  graph {graph:8,.0f}  ratio {graph / alone:.1f}", flush=True)


if __name__ == "__main__":
    main()
