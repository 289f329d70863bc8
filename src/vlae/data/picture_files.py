"""The picture of a row as its file has it: at its own proportions, and sharper than what a model sees."""

import re
from pathlib import Path

from vlae.data.files import as_stored, is_below, is_picture, open_page, open_picture
from vlae.data.originals import shrink
from vlae.data.source import Array
from vlae.data.wide import is_wide

SIDE = 256
"""Pixels of the longer side, to which a larger picture is reduced."""


def original_file(source: str | Path, name: str | None) -> Path | None:
    """Find the file of a row.

    Args:
        source: the folder of pictures, or the one picture, that was read.
        name: the name of the row, as `Images.names` has it: the file relative to the folder, and "#2" behind it for the
            second page of a TIFF.

    Returns:
        None if there is no such picture below the folder, or a link leads there.
    """
    return _file_and_page(source, name)[0]


def original(source: str | Path, name: str | None, *, side: int = SIDE) -> Array | None:
    """Read the picture of a row from its file.

    Args:
        source: the folder of pictures, or the one picture, that was read.
        name: the name of the row: the file relative to the folder, and "#2" behind it for the second page of a TIFF.
        side: pixels of the longer side, to which a larger picture is reduced.

    Returns:
        uint8 (H, W, 3). None if there is no such file, it cannot be read, or it has more than 8 bits a channel.
    """
    file, page = _file_and_page(source, name)
    if file is None:
        return None
    try:
        with open_page(file, page - 1, {}) if page else open_picture(file) as image:
            return None if is_wide(image) else shrink(image, side)
    except Exception:  # a broken or hostile file makes Pillow raise almost anything
        return None


def _file_and_page(source: str | Path, name: str | None) -> tuple[Path | None, int]:
    """The file of a row, and the number of its page from 1 up; 0: the file is one picture."""
    if not name:
        return None, 0
    folder = as_stored(Path(source).expanduser())
    if folder.is_file():
        folder = folder.parent
    page = re.fullmatch(r"(.+)#(\d+)", name)
    places = [(as_stored(folder / name), 0)] + ([(as_stored(folder / page[1]), int(page[2]))] if page else [])
    for file, number in places:
        if is_below(file, folder) and is_picture(file):
            return file, number
    return None, 0
