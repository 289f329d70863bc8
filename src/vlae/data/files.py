"""Which files a folder has, how they begin, and which of them are pictures."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings of picture files, in upper or lower case."""

PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""The picture formats that are decoded. Pillow's other decoders are never used."""


def walk(folder: str | Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """Yield the regular files below a folder in a fixed order.

    Links are followed. Hidden files and folders are left out.

    Args:
        folder: the folder to start from.
        seen: the folders (device, inode) that were visited, which are not visited again.
    """
    seen = set() if seen is None else seen
    identity = Path(folder).stat()
    if (identity.st_dev, identity.st_ino) in seen:  # a link back up
        return
    seen.add((identity.st_dev, identity.st_ino))
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir():
            yield from walk(entry.path, seen)
        elif entry.is_file():
            yield Path(entry.path)


def is_picture(file: Path) -> bool:
    """Tell whether a file is a picture, by its ending.

    Args:
        file: its path; the file is not opened.
    """
    return file.suffix.lower() in PICTURE_SUFFIXES


def open_picture(file: Any) -> Any:
    """Open a picture; its pixels are decoded later, when they are used.

    Args:
        file: a path, or an open binary file.

    Returns:
        A PIL.Image.Image, which the caller closes.

    Raises:
        PIL.UnidentifiedImageError: if it is none of `PICTURE_FORMATS`.
    """
    from PIL import Image

    return Image.open(file, formats=PICTURE_FORMATS)


def begins_with(path: Path, *magic: bytes) -> bool:
    """Tell whether a path is a file that begins with one of these byte strings.

    Args:
        path: any path.
        magic: the byte strings, at least one.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(max(map(len, magic))).startswith(magic)


def is_below(file: Path, folder: Path) -> bool:
    """Tell whether a path is a regular file below a folder, and neither it nor a folder on the way to it is a link.

    Args:
        file: the path; a stranger may have written it.
        folder: the folder, which may be a link itself.
    """
    own = folder.resolve()
    try:
        return file.is_file() and (own / file.relative_to(folder)) == file.resolve()
    except (ValueError, OSError):  # it lies elsewhere, or has a null byte
        return False
