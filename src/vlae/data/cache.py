"""The cache of decoded sources: where it is, and entries that are whole or not there, whatever happens to the disk."""

import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vlae.data.images import Images
from vlae.data.source import Array, DataError

FORMAT = 2  # of the cache; raise it when the same source and settings come to give other values, or more is kept


def cache_folder() -> Path:
    """Return the folder where decoded sources are kept: $VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache."""
    if folder := os.environ.get("VLAE_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlae"


def open_entry(entry: Path, source: str) -> tuple[Images, Array | None] | None:
    """Open a source that was decoded before; None if it was not, or is damaged."""
    try:
        about = json.loads((entry / "about.json").read_text(encoding="utf-8"))
        with np.load(entry / "rows.npz") as archive:
            rows = {name: archive[name] for name in archive}
        values = np.load(entry / "values.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    images = Images(
        values=values,
        labels=rows.get("labels"),
        label_names=tuple(about["label_names"]),
        factors={name: rows[f"factor_{i}"] for i, name in enumerate(about["factors"])},
        names=None if about["names"] is None else tuple(about["names"]),
        source=source,
        skipped=tuple((file, reason) for file, reason in about["skipped"]),
        resized=about["resized"],
        cache=entry,
    )
    return images, rows.get("parts")


def write_rows(folder: Path, whole: Images, parts: Array | None) -> None:
    """Write what is known of each row beside its values."""
    rows: dict[str, Any] = {f"factor_{i}": factor for i, factor in enumerate(whole.factors.values())}
    rows |= {} if whole.labels is None else {"labels": whole.labels}
    rows |= {} if parts is None else {"parts": parts}
    np.savez(folder / "rows.npz", **rows)
    about = {
        "format": FORMAT,
        "source": whole.source,
        "factors": list(whole.factors),
        "label_names": whole.label_names,
        "names": whole.names,
        "skipped": whole.skipped,
        "resized": whole.resized,
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


@contextmanager
def new_entry(entry: Path) -> Iterator[Path]:
    """Give a folder to write in, which takes its place in the cache only when all is written, and else is removed."""
    with _disk_errors(entry.parent):
        entry.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(entry.parent)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=entry.parent))
        try:
            yield folder
            if open_entry(entry, "") is None:  # nothing there, or something damaged
                shutil.rmtree(entry, ignore_errors=True)
            folder.rename(entry)
        except OSError:
            if open_entry(entry, "") is None:  # else another process was first, with the same content
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """Remove what a killed process left behind two days ago or before."""
    for folder in cache.glob(".unfinished-*"):
        if time.time() - folder.stat().st_mtime > 2 * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """Give a file to write, which takes its place only when all is written, and else is removed."""
    unfinished = file.with_name(f".{os.getpid()}-{file.name}")
    with _disk_errors(file.parent):
        try:
            yield unfinished
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Say where there is no room, or no right, to write."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: cannot keep decoded images here ({error.strerror or error}); make room, or set VLAE_CACHE to a"
            " folder with room"
        ) from error


def new_array(file: Path | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array in memory, or in a file whose room on the disk is made sure of (writing to a full disk kills)."""
    if file is None:
        return np.empty(shape, dtype)
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("r+b") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array
