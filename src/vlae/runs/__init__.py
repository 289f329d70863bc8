"""Runs: a trained model, its recipe, curves and figures in one folder; opened safely, shared on the hub."""

from typing import TYPE_CHECKING, Any

from vlae.runs.layout import RunError as RunError

if TYPE_CHECKING:
    from vlae.runs.opening import load as load
    from vlae.runs.run import Run as Run


def __getattr__(name: str) -> Any:  # PyTorch is not needed to say that a folder is not empty
    if name == "load":
        from vlae.runs.opening import load

        return load
    if name == "Run":
        from vlae.runs.run import Run

        return Run
    raise AttributeError(f"module 'vlae.runs' has no attribute {name!r}")
