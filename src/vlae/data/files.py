"""Which files a folder has, how they begin, which of them are pictures, and how a picture is opened."""

import logging
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vlae.data.source import DataError
from vlae.names import printable

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs of a file that another reader then takes

PICTURE_FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG": (".jpeg", ".jpg", ".jpe", ".jfif", ".jif"),
    "PNG": (".png",),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The picture formats that are decoded, and the endings of their files. Pillow's other decoders are never used."""

PICTURE_SUFFIXES = tuple(suffix for suffixes in PICTURE_FORMATS.values() for suffix in suffixes)
"""The endings of picture files, in upper or lower case."""

NEEDED = {"AVIF": "pip install -U pillow", "HEIF": 'pip install "vlae[heic]"'}
"""What reads a format that not every installation can decode."""

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
"""The endings of Parquet files in a folder, each of which is a shard."""

HIDDEN = "is hidden: its name begins with a dot"
"""Why `walk` leaves out a file or folder that need not be told of by name."""

RUN_RECIPE, RUN_WEIGHTS = "recipe.json", {"model.safetensors", "checkpoint.ckpt"}
"""The files by which the folder of a run is known, as `vlae.runs.layout` names them."""


def walk(folder: str | Path, left_out: list[tuple[str, str]] | None = None) -> Iterator[Path]:
    """Yield the regular files below a folder in a fixed order, at any depth.

    Links are followed, but no folder is entered twice. The folder of a run is not entered.

    Args:
        folder: the folder to start from.
        left_out: gets the path of everything that is not yielded, with the reason.

    Raises:
        OSError: if the folder itself cannot be read.
    """
    left_out = [] if left_out is None else left_out
    seen: set[tuple[int, int]] = set()
    folders = [_entries(folder, seen, left_out)]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
            continue
        try:
            if entry.name.startswith("."):
                left_out.append((entry.path, HIDDEN))
            elif entry.is_dir():
                folders.append(_entries(entry.path, seen, left_out))
            elif entry.is_file():
                yield Path(entry.path)
            else:
                exists = Path(entry.path).exists()
                left_out.append((entry.path, "no file and no folder" if exists else "a link to nothing"))
        except OSError as error:  # of one folder: no permission, too long a path
            left_out.append((entry.path, f"cannot be read: {error.strerror}"))


def _entries(
    folder: str | Path, seen: set[tuple[int, int]], left_out: list[tuple[str, str]]
) -> Iterator["os.DirEntry[str]"]:
    """The entries of a folder by name; none if it was entered before, by a link, or if it is a run."""
    identity = Path(folder).stat()
    if (identity.st_dev, identity.st_ino) in seen:
        left_out.append((str(folder), "a folder that was read already, by a link"))
        return iter(())
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    names = {entry.name for entry in entries}
    if seen and names >= {RUN_RECIPE} and names & RUN_WEIGHTS:
        left_out.append((str(folder), "a run of vlae, whose figures are no data"))
        return iter(())
    seen.add((identity.st_dev, identity.st_ino))
    return iter(entries)


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


def as_stored(path: Path) -> Path:
    """Find the path that was meant where a name for show (`vlae.names.printable`) stands in its place.

    Args:
        path: as it is, or with escapes for line breaks, bytes that are not UTF-8 and the like.

    Returns:
        The path itself if it is there, or if no other is shown like it.
    """
    if "\\" not in str(path) or os.path.lexists(path):
        return path
    folder = as_stored(path.parent)
    try:
        names = sorted(file.name for file in folder.iterdir())
    except (OSError, ValueError):
        return path
    return folder / next((name for name in names if printable(name) == path.name), path.name)


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


# Pictures ------------------------------------------------------------------------------------------------------------


def picture_format(file: Path) -> str | None:
    """Return the picture format that the ending of a file says, a key of `PICTURE_FORMATS`; None if it is no picture.

    Args:
        file: its path; the file is not opened.
    """
    suffix = file.suffix.lower()
    return next((name for name, suffixes in PICTURE_FORMATS.items() if suffix in suffixes), None)


def is_picture(file: Path) -> bool:
    """Tell whether a file is a picture that can be decoded here, by its ending.

    Args:
        file: its path; the file is not opened.
    """
    return picture_format(file) in decoders()


@cache
def decoders() -> tuple[str, ...]:
    """Return those of `PICTURE_FORMATS` that can be decoded with what is installed."""
    missing = set()
    if find_spec("PIL._avif") is None:
        missing.add("AVIF")
    if find_spec("pillow_heif") is None:
        missing.add("HEIF")
    else:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return tuple(name for name in PICTURE_FORMATS if name not in missing)


def open_picture(file: Any) -> Any:
    """Open a picture; its pixels are decoded later, when they are used.

    Args:
        file: a path, or an open binary file.

    Returns:
        A PIL.Image.Image, or a `vlae.data.wide.TiffPicture` if Pillow has no such kind. The caller closes it.

    Raises:
        PIL.UnidentifiedImageError: if it is none of `PICTURE_FORMATS`.
    """
    from PIL import Image, JpegImagePlugin, UnidentifiedImageError

    if (limit := max_pixels()) and Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS)
    try:  # without Pillow's limit on pixels: a large JPEG is decoded at a part of its size, see `pixels.py`
        return JpegImagePlugin.JpegImageFile(file)
    except SyntaxError:  # another format
        if hasattr(file, "seek"):
            file.seek(0)
    try:
        return Image.open(file, formats=decoders())
    except UnidentifiedImageError as error:
        from vlae.data.wide import open_tiff

        tiff = open_tiff(file)
        if tiff is None:
            raise error
        return tiff


def max_pixels() -> int | None:
    """Return the most pixels that a picture may have when it is decoded: $VLAE_MAX_PIXELS, or Pillow's limit.

    Raises:
        DataError: if $VLAE_MAX_PIXELS is not a whole number of 1 or more.
    """
    from PIL import Image

    if (text := os.environ.get("VLAE_MAX_PIXELS")) is None:
        return Image.MAX_IMAGE_PIXELS
    if not text.isdecimal() or int(text) < 1:
        raise DataError(
            f"VLAE_MAX_PIXELS is {text!r}: give a whole number of pixels, width × height, such as 200000000"
        )
    return int(text)


def has_more_frames(image: Any) -> bool:
    """Tell whether a picture has more frames than the first.

    Args:
        image: a PIL.Image.Image.
    """
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first frame is broken
        return True


Places = dict[str, list[int]]
"""Where the pages of a TIFF file begin, in Pillow's own words."""

PLACES = ("_frame_pos", "_tag_data_limits")
"""What Pillow keeps of each page that it has found; without it, it reads all pages before the one that is asked for."""


def pages(file: Path) -> tuple[list[int], Places, str | None]:
    """Find the pages of a TIFF file that are pictures.

    Args:
        file: its path.

    Returns:
        The numbers of these pages, 0 or more; the place of every page in the file, for `open_page`; and why the pages
        that follow cannot be read, None if they can. Smaller versions of a page, and masks, are no pictures of their
        own (TIFF 6.0, NewSubfileType).
    """
    numbers: list[int] = []
    number = 0
    try:
        with open_picture(file) as image:
            if not hasattr(image, "tag_v2"):  # not Pillow's TIFF, whatever the ending says
                return list(range(getattr(image, "n_frames", 1))), {}, None
            try:
                while True:
                    image.seek(number)
                    if not image.tag_v2.get(254, 0) & 0b101:
                        numbers.append(number)
                    number += 1
            except EOFError:  # behind the last page
                return numbers or [0], {name: list(vars(image)[name]) for name in PLACES if name in vars(image)}, None
    except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
        fault = f"{type(error).__name__}: {error}".splitlines()[0]
        return numbers or [0], {}, fault if numbers else None  # if the first page is broken, it will tell itself


def open_page(file: Path, number: int, places: Places) -> Any:
    """Open one page of a TIFF file.

    Args:
        file: its path.
        number: of the page, 0 or more.
        places: of the pages in the file, as `pages` found them; without, Pillow reads all pages before this one.

    Returns:
        A PIL.Image.Image, which the caller closes.
    """
    image = open_picture(file)
    try:
        vars(image).update({name: list(each) for name, each in places.items()})
        image.seek(number)
    except (LookupError, AttributeError, TypeError):  # another Pillow keeps more; without places it finds the page, too
        image.close()
        image = open_picture(file)
        image.seek(number)
    image.is_animated = False  # the other pages are pictures of their own
    return image
