"""Which files there are, how they begin, and which of them are pictures."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The endings, in either case, of the files that count as pictures."""

PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""The formats that a picture may really have; no other decoder of Pillow's is let near a file."""


def walk(folder: str | Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """Yield the regular files below a folder, links followed, hidden ones left out, in a fixed order."""
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
    """Tell a picture by its ending."""
    return file.suffix.lower() in PICTURE_SUFFIXES


def open_picture(file: Any) -> Any:
    """Open a picture, which is decoded only when its pixels are asked for."""
    from PIL import Image

    return Image.open(file, formats=PICTURE_FORMATS)


def begins_with(path: Path, *magic: bytes) -> bool:
    """Tell whether a file begins with one of these bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(max(map(len, magic))).startswith(magic)
