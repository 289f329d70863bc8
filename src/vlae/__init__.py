"""Structured features from unlabelled images, in levels from simple to complex: the variational ladder autoencoder."""

import importlib.util
import os
from typing import TYPE_CHECKING, Any

# Lets torch take huge pages for tensors, which saves thousands of page faults a step; read when torch is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from vlae.codes.mix import mix
    from vlae.data.images import Images
    from vlae.estimators import LadderClassifier, LadderEncoder
    from vlae.merging import merge
    from vlae.models.base import ForwardPass, LatentModel
    from vlae.models.distributions import CodeDistribution, NormalCode
    from vlae.models.inference import as_input
    from vlae.models.ladder import VLAE
    from vlae.models.levels import LadderLevel, Level, LevelSettings, MomentsLevel
    from vlae.models.likelihoods import Likelihood, LikelihoodHead
    from vlae.notebook.widget import widget
    from vlae.objectives.base import Batch, Loss, Objective
    from vlae.objectives.elbo import ELBO
    from vlae.recipes.recipe import Recipe
    from vlae.runs.opening import load
    from vlae.runs.run import Run
    from vlae.search.index import Index
    from vlae.studies.compare import compare
    from vlae.workflows import evaluate, train

__version__ = "0.1.0"

_HOME = {
    "Batch": "objectives.base",
    "CodeDistribution": "models.distributions",
    "ELBO": "objectives.elbo",
    "ForwardPass": "models.base",
    "Images": "data.images",
    "Index": "search.index",
    "LadderClassifier": "estimators",
    "LadderEncoder": "estimators",
    "LadderLevel": "models.levels",
    "LatentModel": "models.base",
    "Level": "models.levels",
    "LevelSettings": "models.levels",
    "Likelihood": "models.likelihoods",
    "LikelihoodHead": "models.likelihoods",
    "Loss": "objectives.base",
    "MomentsLevel": "models.levels",
    "NormalCode": "models.distributions",
    "Objective": "objectives.base",
    "Recipe": "recipes.recipe",
    "Run": "runs.run",
    "VLAE": "models.ladder",
    "as_input": "models.inference",
    "compare": "studies.compare",
    "evaluate": "workflows",
    "load": "runs.opening",
    "merge": "merging",
    "mix": "codes.mix",
    "train": "workflows",
    "widget": "notebook.widget",
}

__all__ = [
    "ELBO",
    "VLAE",
    "Batch",
    "CodeDistribution",
    "ForwardPass",
    "Images",
    "Index",
    "LadderClassifier",
    "LadderEncoder",
    "LadderLevel",
    "LatentModel",
    "Level",
    "LevelSettings",
    "Likelihood",
    "LikelihoodHead",
    "Loss",
    "MomentsLevel",
    "NormalCode",
    "Objective",
    "Recipe",
    "Run",
    "as_input",
    "compare",
    "evaluate",
    "load",
    "merge",
    "mix",
    "train",
    "widget",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"vlae.{_HOME[name]}"), name)
    if name.isidentifier() and not name.startswith("_") and importlib.util.find_spec(f"vlae.{name}") is not None:
        return importlib.import_module(f"vlae.{name}")  # `vlae.data.load`, without an import of its own
    raise AttributeError(f"module 'vlae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
