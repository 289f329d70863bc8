"""The cache of decoded sources. An entry is complete or absent, even after a crash or a full disk."""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vlae.atomic import remove_abandoned, replacing
from vlae.data.images import Images
from vlae.data.source import Array, DataError

FORMAT = 10
"""The format of the cache. Raise it if the same source and settings give other values, or if more is kept."""

KEPT = (
    *("label_names", "names", "columns", "medians", "decimal", "skipped", "left_out", "fates", "fitted", "sizes"),
    *("value_range", "num_clipped", "crop", "first", "total"),
)
"""The fields of `Images` that are kept as JSON, under their own names."""


def cache_folder() -> Path:
    """Return the folder of the cache: $VLAE_CACHE, or vlae in $XDG_CACHE_HOME or in ~/.cache."""
    if folder := os.environ.get("VLAE_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlae"


def computed_once(what: str, of: Any, compute: Callable[[], Any]) -> Any:
    """Compute something once on this machine; from then on it is read from the cache.

    Args:
        what: of what kind it is, the name of its folder in the cache.
        of: all that it depends on, as JSON values, besides the versions of vlae and PyTorch.
        compute: computes it, as JSON values.

    Returns:
        What `compute` returns. Without a cache that can be written, it is computed each time.
    """
    on = json.dumps([of, version("vlae"), version("torch")])
    file = cache_folder() / what / f"{hashlib.sha256(on.encode()).hexdigest()[:32]}.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    computed = compute()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            unfinished.write_text(json.dumps(computed), encoding="utf-8")
    return computed


def open_entry(entry: Path, source: str) -> tuple[Images, Array | None] | None:
    """Open a source that was decoded before.

    Args:
        entry: the folder of the decoded source.
        source: the name of the source, which the images get.

    Returns:
        All its images and the part of each row, int8 (N,); None if the entry is absent or damaged.
    """
    try:
        about = {"first": 0, "total": None} | json.loads((entry / "about.json").read_text(encoding="utf-8"))
        with np.load(entry / "rows.npz") as archive:
            rows = {name: archive[name] for name in archive}
        images = Images(
            values=np.load(entry / "values.npy", mmap_mode="r"),
            labels=rows.get("labels"),
            factors={name: rows[f"factor_{i}"] for i, name in enumerate(about["factors"])},
            groups=rows.get("groups"),
            source=source,
            cache=entry,
            **{name: _tuples(about[name]) for name in KEPT},
        )
    except (OSError, ValueError, EOFError, LookupError, TypeError, zipfile.BadZipFile):
        return None
    return images, rows.get("parts")


def _tuples(value: Any) -> Any:
    """What was a tuple before JSON made a list of it, at any depth."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def write_rows(folder: Path, whole: Images, parts: Array | None) -> None:
    """Write the labels, factors, names, groups and parts of the rows beside their values.

    Args:
        folder: where to write.
        whole: all images of the source.
        parts: int8 (N,), TRAIN, TEST or OTHER of each row; None if the source has no parts.
    """
    rows: dict[str, Any] = {f"factor_{i}": factor for i, factor in enumerate(whole.factors.values())}
    rows |= {} if whole.labels is None else {"labels": whole.labels}
    rows |= {} if whole.groups is None else {"groups": whole.groups}
    rows |= {} if parts is None else {"parts": parts}
    np.savez(folder / "rows.npz", **rows)
    about = {"format": FORMAT, "source": whole.source, "factors": list(whole.factors)}
    about |= {name: getattr(whole, name) for name in KEPT}
    (folder / "about.json").write_text(json.dumps(about, default=dict), encoding="utf-8")


@contextmanager
def new_entry(entry: Path) -> Iterator[Path]:
    """Give a folder to write in, which becomes the entry when the block ends. It is removed if the block fails.

    Args:
        entry: the folder that the entry is to have.

    Raises:
        DataError: if it cannot be written.
    """
    with _disk_errors(entry.parent):
        entry.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(entry.parent, ".unfinished-*")
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


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """Give a file to write, which becomes `file` when the block ends. It is removed if the block fails.

    Args:
        file: the file to make.

    Raises:
        DataError: if it cannot be written.
    """
    with _disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            yield unfinished


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into a DataError that says what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: cannot keep decoded images here ({error.strerror or error}); make room, or set VLAE_CACHE to a"
            " folder with room"
        ) from error


def new_array(file: Path | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array in memory, or in a file whose room on the disk is reserved.

    Without reserved room, a full disk would kill the process when it writes to the mapped file.

    Args:
        file: the .npy file to make; None: make the array in memory.
        shape: of the array.
        dtype: of the array.

    Raises:
        OSError: if the disk has no room.
    """
    if file is None:
        return np.empty(shape, dtype)
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("r+b") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array
