"""The kinds of source that `vlae.data.load` reads. Each kind has one `find` and one `read` function in `READERS`.

`find(path)` returns the files that make up a source of its kind, or none. It looks only at names and first bytes.
`read(path, files, settings)` turns these files into a `SourceData`. It does not resize or split anything.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vlae import memory
from vlae.data.addresses import is_address
from vlae.data.arrays import find_numpy, read_numpy
from vlae.data.celeba import find_celeba, read_celeba
from vlae.data.files import PICTURE_SUFFIXES
from vlae.data.folders import find_pictures, read_pictures
from vlae.data.huggingface import find_saved_dataset, read_hub, read_saved_dataset
from vlae.data.idx import find_idx, read_idx
from vlae.data.mat import find_mat, read_mat
from vlae.data.sharding import take_shard
from vlae.data.source import DataError, ReadSettings, SourceData, train_and_test
from vlae.data.tables import find_table, read_table
from vlae.data.tar_shards import TAR_SUFFIXES

READERS: tuple[tuple[Callable[[Path], list[Path]], Callable[[Path, list[Path], ReadSettings], SourceData]], ...] = (
    (find_numpy, read_numpy),
    (find_idx, read_idx),
    (find_mat, read_mat),
    (find_table, read_table),
    (find_saved_dataset, read_saved_dataset),
    (find_celeba, read_celeba),
    (find_pictures, read_pictures),
)
"""A (find, read) pair for every kind of source. The first `find` that returns any file decides."""

FILE_SUFFIXES = (*PICTURE_SUFFIXES, ".npy", ".npz", ".mat", ".csv", ".tsv", ".parquet", ".gz", ".zip")
"""The endings of data files. A name with such an ending is a file, never a data set of the hub."""

STREETS = r"streets(?::(\d+))?"
"""The built-in street numbers, and how many of them, as a regular expression."""


def identify(source: str | Path, settings: ReadSettings, *, here: bool = False) -> tuple[str, Callable[[], SourceData]]:
    """Find the reader of a source from its name and first bytes.

    Args:
        source: a path, "streets", "streets:NUM", "hf:NAME", or "USER/NAME" of a data set on the Hugging Face hub.
        settings: how to read the source.
        here: whether the fingerprint is for this machine alone. It then tells apart files of the same names, sizes and
            times, too, as of an archive that sets all times to 0.

    Returns:
        A fingerprint that changes when the content changes, and a function that reads the source, or its shard.

    Raises:
        DataError: if the path holds nothing that can be read.
        FileNotFoundError: if there is no such path.
    """
    fingerprint, read = _identify(source, settings, here)
    if settings.shard is None:
        return fingerprint, read
    shard = settings.shard
    return fingerprint, lambda: take_shard(read(), shard, str(source))


def _identify(source: str | Path, settings: ReadSettings, here: bool) -> tuple[str, Callable[[], SourceData]]:
    """As `identify`; the function reads all shards."""
    if match := re.fullmatch(STREETS, str(source)):
        height, width = settings.sides or (32, 32)
        if height != width:
            raise DataError(f"{source}: size is {settings.size}; the street numbers are square, give one side")
        return _identify_streets(int(match[1] or 50_000), height)
    if (name := _hub_name(source)) is not None:
        return f"hub {name}", partial(read_hub, name, settings)
    check_exists(source)
    path = Path(source).expanduser()
    for find, read in READERS:
        if files := find(path):
            return _fingerprint(path, files, here), partial(_read, read, path, files, settings)
    raise DataError(
        f"{path}: a file of unknown kind; give a folder of pictures, or an .npy, .npz, IDX, .mat, .csv, .tsv or"
        " .parquet file"
    )


def _read(
    read: Callable[[Path, list[Path], ReadSettings], SourceData], path: Path, files: list[Path], settings: ReadSettings
) -> SourceData:
    """Read a source, and say which settings a source of its kind has no use for."""
    data = read(path, files, settings)
    if read not in (read_celeba, read_pictures):
        return data
    of = {"layout": "arrays", "key": "arrays and tables"}
    fates = {
        f"{name} {given}": f"ignored: a setting of {of[name]}" for name in of if (given := getattr(settings, name))
    }
    return replace(data, fates={**data.fates, **fates})


def check_exists(source: str | Path) -> None:
    """Check that there is such a file or folder. This takes no time: nothing is opened, and the hub is not asked.

    Args:
        source: a path, "streets", "streets:NUM", "hf:NAME", or "USER/NAME" of a data set on the Hugging Face hub.

    Raises:
        FileNotFoundError: if the source is a path, and nothing is there.
        DataError: if it is a pipe or a device, on which a reader could wait for ever; or is streamed (`streams.py`).
    """
    text = str(source)
    if not text.strip():
        raise DataError(f"the source is {text!r}, no path and no name; is a variable of the shell empty?")
    if re.fullmatch(STREETS, text) or _hub_name(source) is not None:
        return
    path = Path(source).expanduser()
    if is_address(text) or text.lower().endswith(TAR_SUFFIXES):
        raise DataError(f"{text}: read shard by shard, never as a whole: vlae train and vlae encode can do that")
    if path.is_file() or path.is_dir():
        return
    if path.exists():
        raise DataError(f"{text}: no file and no folder, but a pipe or a device; write its content to a file first")
    advice = "check the path"
    if _may_be_on_hub(source) and re.fullmatch(r"[\w.-]+", text):
        advice += f", or say hf:{text} for a data set of the Hugging Face hub"
    raise FileNotFoundError(f"{text}: no such file or folder; {advice}")


def check_unchanged(source: str | Path, settings: ReadSettings, fingerprint: str, *, here: bool = False) -> None:
    """Check that a source has not changed since it was identified.

    Args:
        source: a path or name that `identify` takes.
        settings: how the source was read.
        fingerprint: the fingerprint that `identify` returned before.
        here: as `identify` was given it.

    Raises:
        DataError: if there are other files now, or if a file was written to.
    """
    try:
        unchanged = identify(source, settings, here=here)[0] == fingerprint
    except (DataError, FileNotFoundError):  # all of it is gone
        unchanged = False
    if not unchanged:
        raise DataError(f"{source}: changed while it was being read; run this again when it no longer does")


def _fingerprint(path: Path, files: Sequence[Path], here: bool) -> str:
    """List the files with their sizes and times.

    The files of a folder are listed relative to it, so that the folder may be moved. For this machine alone the time is
    added at which the file system last changed each file, which no archive and no `touch` sets. It comes with the size,
    so it costs no further look at the file. A copy has another one: it is another source for the cache.
    """
    lines = [] if path.is_dir() else [str(path.resolve())]
    for file in files:
        status = file.stat()
        line = f"{str(file).removeprefix(str(path))}|{status.st_size}|{status.st_mtime_ns}"
        lines.append(f"{line}|{status.st_ctime_ns}" if here else line)
    return "\n".join(lines)


def _hub_name(source: str | Path) -> str | None:
    """Return the name of a data set on the hub, or None if the source is something else."""
    text = str(source)
    if text.startswith("hf:"):
        return text.removeprefix("hf:")
    is_name = _may_be_on_hub(source) and re.fullmatch(r"[\w.-]+/[\w.-]+", text)
    return text if is_name and not Path(text).expanduser().exists() else None


def _may_be_on_hub(source: str | Path) -> bool:
    return isinstance(source, str) and Path(source).suffix.lower() not in FILE_SUFFIXES


def hash_bytes(content: bytes) -> str:
    """Return a short name for the content, the same on every machine.

    Args:
        content: any bytes.
    """
    import hashlib

    return hashlib.sha256(content).hexdigest()[:32]


# Street numbers ------------------------------------------------------------------------------------------------------


def _identify_streets(num: int, size: int) -> tuple[str, Callable[[], SourceData]]:
    """Use the code that draws as the fingerprint, so that new code draws again."""
    from vlae.data import streets

    code = Path(streets.__file__).read_bytes()
    return f"streets {num} {size} {hash_bytes(code)}", partial(read_streets, num, size)


def read_streets(num: int, size: int) -> SourceData:
    """Draw street numbers with their factors.

    Args:
        num: how many to train with, 1 or more. A tenth as many, 1 to 5,000, are drawn to test with.
        size: height and width in pixels, 8 to 256.

    Raises:
        DataError: if num or size is out of range.
        NotEnoughMemoryError: if there is too little memory for so many.
    """
    from vlae.data import streets

    num_test = min(5_000, max(1, num // 10))
    memory.require(2 * 3 * (num + num_test) * size**2, f"streets:{num}", "give a smaller number, or a smaller size")
    try:
        drawn = [streets.draw(num, seed=0, size=size), streets.draw(num_test, seed=1, size=size)]
    except ValueError as error:
        raise DataError(f"streets:{num}: {error}") from error
    factors = {name: np.concatenate([drawn[0][1][name], drawn[1][1][name]]) for name in drawn[0][1]}
    return SourceData(
        values=np.concatenate([images for images, _ in drawn]),
        labels=factors["digit"].astype(np.int64),
        label_names=tuple("0123456789"),
        factors=factors,
        parts=train_and_test(num, num_test),
    )
