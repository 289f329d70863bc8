"""Runs: a trained model, its recipe, curves and figures in one folder; opened safely, shared on the hub."""

from typing import TYPE_CHECKING, Any

from vlae.runs.layout import RunError as RunError

if TYPE_CHECKING:
    from vlae.runs.run import Run as Run
    from vlae.runs.run import load as load


def __getattr__(name: str) -> Any:  # PyTorch is not needed to say that a folder is not empty
    if name in ("Run", "load"):
        from vlae.runs import run

        return getattr(run, name)
    raise AttributeError(f"module 'vlae.runs' has no attribute {name!r}")
