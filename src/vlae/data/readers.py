"""The kinds of source that `vlae.data.load` reads, each by one `find` and one `read` function, in the table `READERS`.

`find` says which files of a path make up a source of its kind (none: another reader's turn), from names and first
bytes alone; `read` turns them into a `Found`: every row, with all that is known about it, nothing yet resized or split.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vlae.data.arrays import find_idx, find_numpy, find_svhn, read_idx, read_numpy, read_svhn
from vlae.data.files import PICTURE_SUFFIXES
from vlae.data.folders import find_celeba, find_pictures, read_celeba, read_pictures
from vlae.data.source import DataError, Found, Settings, train_and_test
from vlae.data.tables import find_saved_dataset, find_table, read_hub, read_saved_dataset, read_table


def identify(source: str | Path, settings: Settings) -> tuple[str, Callable[[], Found]]:
    """Say what a source is, without reading more of it than its beginning.

    Args:
        source: a path, "streets", "streets:NUM", "hf:NAME", or the name of a data set on the Hugging Face hub.
        settings: which may name an array or a column (`key`) or say how an array is laid out (`layout`).

    Returns:
        A fingerprint that changes when the content does, and the function that reads the source.

    Raises:
        DataError: if the path holds nothing that can be read.
        FileNotFoundError: if there is no such path.
    """
    text = str(source)
    if match := re.fullmatch(r"streets(?::(\d+))?", text):
        return _identify_streets(int(match[1] or 50_000), settings.size or 32)
    if text.startswith("hf:"):
        return f"hub {text[3:]}", partial(read_hub, text[3:], settings)
    path = Path(source).expanduser()
    if not path.exists():
        if (
            isinstance(source, str)
            and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text)
            and Path(text).suffix not in FILE_SUFFIXES
        ):
            return f"hub {text}", partial(read_hub, text, settings)
        raise FileNotFoundError(f"{text}: no such file or folder; check the path")
    for find, read in READERS:
        if files := find(path):
            return _fingerprint(path, files), partial(read, path, files, settings)
    raise DataError(
        f"{path}: a file of unknown kind; give a folder of pictures, or an .npy, .npz, IDX, SVHN .mat, .csv, .tsv or"
        " .parquet file"
    )


def check_unchanged(source: str | Path, settings: Settings, fingerprint: str) -> None:
    """Refuse a source that is no longer what it was when it was identified.

    Raises:
        DataError: if its files are others, or were written to.
    """
    try:
        unchanged = identify(source, settings)[0] == fingerprint
    except (DataError, FileNotFoundError):  # all of it is gone
        unchanged = False
    if not unchanged:
        raise DataError(f"{source}: changed while it was being read; run this again when it no longer does")


def _fingerprint(path: Path, files: Sequence[Path]) -> str:
    """List the files with their sizes and times: relative to a folder, so that it may be moved, or in full."""
    lines = [] if path.is_dir() else [str(path.resolve())]
    for file in files:
        status = file.stat()
        lines.append(f"{str(file).removeprefix(str(path))}|{status.st_size}|{status.st_mtime_ns}")
    return "\n".join(lines)


# Street numbers ------------------------------------------------------------------------------------------------------


def _identify_streets(num: int, size: int) -> tuple[str, Callable[[], Found]]:
    """Fingerprint the code that draws, so that a changed drawing is drawn again."""
    from vlae.data import streets

    code = Path(streets.__file__).read_bytes()
    return f"streets {num} {size} {hash_bytes(code)}", partial(read_streets, num, size)


def hash_bytes(content: bytes) -> str:
    """Return a short name for the content, the same on every machine."""
    import hashlib

    return hashlib.sha256(content).hexdigest()[:32]


def read_streets(num: int, size: int) -> Found:
    """Draw `num` street numbers to train with and a tenth as many, at most 5,000, to test with."""
    from vlae.data import streets

    num_test = min(5_000, max(1, num // 10))
    try:
        drawn = [streets.draw(num, seed=0, size=size), streets.draw(num_test, seed=1, size=size)]
    except ValueError as error:
        raise DataError(f"streets:{num}: {error}") from error
    factors = {name: np.concatenate([drawn[0][1][name], drawn[1][1][name]]) for name in drawn[0][1]}
    return Found(
        values=np.concatenate([images for images, _ in drawn]),
        labels=factors["digit"].astype(np.int64),
        label_names=tuple("0123456789"),
        factors=factors,
        parts=train_and_test(num, num_test),
    )


READERS: tuple[tuple[Callable[[Path], list[Path]], Callable[[Path, list[Path], Settings], Found]], ...] = (
    (find_numpy, read_numpy),
    (find_idx, read_idx),
    (find_svhn, read_svhn),
    (find_table, read_table),
    (find_saved_dataset, read_saved_dataset),
    (find_celeba, read_celeba),
    (find_pictures, read_pictures),
)
"""Every kind of source, by what finds it and what reads it; the first that finds anything is the one."""

FILE_SUFFIXES = (*PICTURE_SUFFIXES, ".npy", ".npz", ".mat", ".csv", ".tsv", ".parquet", ".gz", ".zip")
"""The endings that no data set of the hub has: what ends so and is not there is a missing file."""
