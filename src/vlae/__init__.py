"""Structured features from unlabelled images, in levels from simple to complex: the variational ladder autoencoder."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Lets torch take huge pages for tensors, which saves thousands of page faults a step; read when torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from vlae.codes.mix import mix
    from vlae.data.images import Images
    from vlae.estimators import LadderEncoder
    from vlae.evaluation.measures import evaluate
    from vlae.evaluation.rates import as_input
    from vlae.models.base import ForwardPass, LatentModel
    from vlae.models.ladder import VLAE, Level
    from vlae.recipes.recipe import Recipe
    from vlae.runs.run import Run, load
    from vlae.search.index import Index
    from vlae.studies.compare import compare
    from vlae.training.train import train

__version__ = "0.1.0"

_HOME = {
    "VLAE": "models.ladder",
    "ForwardPass": "models.base",
    "Images": "data.images",
    "Index": "search.index",
    "LadderEncoder": "estimators",
    "LatentModel": "models.base",
    "Level": "models.ladder",
    "Recipe": "recipes.recipe",
    "Run": "runs.run",
    "as_input": "evaluation.rates",
    "compare": "studies.compare",
    "evaluate": "evaluation.measures",
    "load": "runs.run",
    "mix": "codes.mix",
    "train": "training.train",
}

__all__ = [
    "VLAE",
    "ForwardPass",
    "Images",
    "Index",
    "LadderEncoder",
    "LatentModel",
    "Level",
    "Recipe",
    "Run",
    "as_input",
    "compare",
    "evaluate",
    "load",
    "mix",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"vlae.{_HOME[name]}"), name)
    raise AttributeError(f"module 'vlae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
