"""A selection of pictures that the page has exported: read, and put into a folder of links."""

import csv
import io
import json
from pathlib import Path

from vlae.atomic import WriteError, whole_folder
from vlae.data.files import as_stored, is_below
from vlae.data.source import DataError
from vlae.names import bare_cell

MAX_BYTES = 100 * 2**20
"""The largest file of a selection."""


def read_selection(file: Path, tag: str | None = None) -> list[str]:
    """Read the names in a CSV or JSON file that the page has exported.

    Args:
        file: the file.
        tag: only what has this tag. None: all.

    Raises:
        DataError: if it is no such file, or nothing in it has the tag.
        OSError: if it cannot be read.
    """
    wrong = DataError(f"{file} is no selection; give a .csv or .json file that the page has exported")
    if file.stat().st_size > MAX_BYTES:
        raise wrong
    try:
        text = file.read_bytes().decode("utf-8-sig")
        if file.suffix.lower() == ".json":
            rows = [(row["name"], list(row["tags"])) for row in json.loads(text)["pictures"]]
        else:
            table = csv.DictReader(io.StringIO(text, newline=""))  # breaks within a cell are kept
            rows = [(bare_cell(row["name"]), bare_cell(row["tags"] or "").split(";")) for row in table]
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise wrong from error
    names = [name for name, tags in rows if isinstance(name, str) and (tag is None or tag in tags)]
    if not names:
        known = sorted({each for _, tags in rows for each in tags if each})
        raise DataError(f"{file} has nothing {f'tagged {tag!r}' if tag else 'in it'}; its tags: {', '.join(known)}")
    return names


def link_selection(names: list[str], source: Path, out: Path) -> list[str]:
    """Make a new folder of links to pictures. They keep their folders and names; the pictures are not copied.

    Args:
        names: the names of the pictures, relative to the source. Pages of one file are one link.
        source: the folder of pictures.
        out: the folder to make; it appears when all links are there.

    Returns:
        The names that are no picture files of the source, and so have no link.

    Raises:
        DataError: if the source is no folder, or has none of the pictures.
        WriteError: if the folder is not empty, or cannot be written.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder; links lead to pictures of a folder")
    files = {}
    for name in names:
        name = name if as_stored(source / name).is_file() else name.rpartition("#")[0] or name
        files[name] = as_stored(source / name)
    own = source.resolve()
    missing = [name for name, file in files.items() if not is_below(file, source)]
    if len(missing) == len(files):
        raise DataError(f"{source} has none of the {len(files)} pictures, such as {missing[0]}; give their folder")
    if out.resolve().is_relative_to(own):
        raise WriteError(f"{out} lies in {source}, and would become part of it; choose another place")
    with whole_folder(out) as folder:
        for name, file in files.items():
            if name not in missing:
                inner = file.relative_to(source)
                link = folder / inner
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(own / inner)
    return missing
