"""Runs: a trained model, its recipe, curves and figures in one folder; opened safely, shared on the hub."""

from vlae.runs.layout import RunError as RunError
from vlae.runs.run import Run as Run
from vlae.runs.run import load as load
