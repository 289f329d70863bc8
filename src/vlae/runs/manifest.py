"""The manifest of a shared run, which lists the checksums of its files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from vlae.runs import safe_load
from vlae.runs.layout import EVALUATION, EXAMPLES, HELD_OUT, MANIFEST, METRICS, MODEL, PRIOR, RECIPE, SUMMARY

FILES = (RECIPE, MODEL, SUMMARY, EVALUATION, EXAMPLES, HELD_OUT, METRICS, PRIOR)
"""The files of a shared run, besides the manifest and the model card."""


def verify(folder: Path) -> Mapping[str, str] | None:
    """Checks the files of a shared run against its manifest.

    Args:
        folder: of any run.

    Returns:
        The SHA-256 of every file in the manifest; None if there is no manifest, because the run was not shared.

    Raises:
        ValueError: if a file is missing or was changed, or the manifest lists other files than those of a run.
        OSError: if a file cannot be read.
    """
    if not (folder / MANIFEST).exists():
        return None
    checksums = safe_load.read_json(folder / MANIFEST, limit=safe_load.MAX_RECIPE).get("sha256")
    if not isinstance(checksums, dict) or not {RECIPE, MODEL, SUMMARY} <= set(checksums) <= set(FILES):
        raise ValueError(f"{MANIFEST} must list the files of a run and nothing else")
    for name, checksum in checksums.items():
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if hash_file(folder / name) != checksum:
            raise ValueError(f"{name} is not the file that was shared: its SHA-256 differs from that in {MANIFEST}")
    return checksums


def hash_file(file: Path) -> str:
    """SHA-256 of a file, in hex.

    Args:
        file: the path of the file.

    Raises:
        ValueError: if it is no regular file.
        OSError: if it cannot be read.
    """
    safe_load.check_regular(file)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
