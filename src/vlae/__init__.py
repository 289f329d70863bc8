"""Structured features from unlabelled images, in levels from simple to complex: the variational ladder autoencoder."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Lets torch take huge pages for tensors, which saves thousands of page faults a step; read when torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from vlae.comparison import compare
    from vlae.data import Images
    from vlae.estimator import LadderEncoder
    from vlae.evaluation import evaluate
    from vlae.information import as_input
    from vlae.ladder import VLAE, Level
    from vlae.mixing import mix
    from vlae.model import ForwardPass, LatentModel
    from vlae.recipes import Recipe
    from vlae.runs import Run, load
    from vlae.search import Index
    from vlae.training import train

__version__ = "0.1.0"

_HOME = {
    "VLAE": "ladder",
    "ForwardPass": "model",
    "Images": "data",
    "Index": "search",
    "LadderEncoder": "estimator",
    "LatentModel": "model",
    "Level": "ladder",
    "Recipe": "recipes",
    "Run": "runs",
    "as_input": "information",
    "compare": "comparison",
    "evaluate": "evaluation",
    "load": "runs",
    "mix": "mixing",
    "train": "training",
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
