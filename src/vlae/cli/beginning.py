"""What `vlae train` does before PyTorch is imported, which takes seconds: it reads the source, and says so."""

import os
import sys
from pathlib import Path

from vlae.cli.options import Reading
from vlae.cli.output import print

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""The environment variables that number the processes of a training on several devices; the first alone speaks."""


def read_first(source: str, out: Path | None, reading: Reading) -> None:
    """Read a source into the cache, and print what it holds. The run's folder is tried before.

    Args:
        source: the data to train on.
        out: the folder of the new run; None: runs/ and the source's name.
        reading: how to read the source.

    Raises:
        DataError: if the source cannot be read.
        RunError: if there is something in the folder already.
        WriteError: if the folder cannot be made.
    """
    from vlae.runs.layout import default_folder, new_folder

    with new_folder(out or default_folder(source)):
        pass
    from vlae.data import load
    from vlae.data.account import say_found

    say_found(load(source, split="all", progress=True, **vars(reading)))


def is_first_process() -> bool:
    """Whether this process is alone, or the first of those that train together."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def say_reading(source: str) -> None:
    """Print at once that a source is being read.

    Args:
        source: the data to train on.
    """
    print(f"reading   {source} …", file=sys.stderr)
