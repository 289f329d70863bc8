"""A source, undecoded → `Images`: all rows are brought to one shape, and those that cannot be read are left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vlae.data.cache import new_array
from vlae.data.columns import ROW_NAME
from vlae.data.depths import found_range, into_range, listed_range, of_channels, within_bytes
from vlae.data.files import has_more_frames
from vlae.data.frames import CONVERT, array_frame, how_fitted, look_at_all, picture_frame
from vlae.data.holdout import group_copies
from vlae.data.images import PICTURES, Images
from vlae.data.pixels import array_pictures, fit_picture
from vlae.data.source import (
    Array,
    DataError,
    EncodedPictures,
    NoRowNamesError,
    ReadSettings,
    SourceData,
    ValueRange,
    counted,
)
from vlae.data.threads import for_each
from vlae.names import some_of
from vlae.shapes import is_image


class NoneReadableError(DataError):
    """None of the pictures of a source, or of a shard of it, can be read."""


def beside(of: SourceData | Images) -> dict[str, Any]:
    """What both a source and its images tell beside the values, by the names of the fields.

    Args:
        of: the source, or the images.
    """
    both = {each.name for each in fields(SourceData)} & {each.name for each in fields(Images)}
    return {name: getattr(of, name) for name in both - {"values"}}


def row_name(of: SourceData | Images, row: int) -> str:
    """The name of a row, or else its number.

    Args:
        of: the source, or its images.
        row: the number, 0 or more.
    """
    return of.names[row] if of.names else f"row {row}"


def copy_rows(values: Array, rows: Array, out: Array) -> None:
    """Copy the chosen rows, 1024 at a time.

    Args:
        values: (N, ...), all rows.
        rows: the numbers of n of them.
        out: (n, ...), where they are written.
    """
    for start in range(0, len(rows), 1024):
        out[start : start + 1024] = values[rows[start : start + 1024]]


def decode(
    data: SourceData, settings: ReadSettings, source: str, progress: bool, folder: Path | None
) -> tuple[Images, Array | None]:
    """Bring all rows to one shape, and leave out those that cannot be read.

    Args:
        data: the source.
        settings: the shape that was asked for.
        source: the name of the source, for messages.
        progress: whether to show a progress bar.
        folder: where to write values.npy; None: keep the values in memory.

    Returns:
        The images, and the part of each.

    Raises:
        DataError: if none can be read, or not in this shape.
    """
    _check_row_names(data, settings.id, source)
    fitted = _fit_all(data, settings, source, progress, folder)
    values, broken, parts = fitted.values, fitted.broken, data.parts
    told = {**beside(data), "fates": {**data.fates, **fitted.fates}, "crop": fitted.crop}
    whole = Images(values=values, source=source, fitted=fitted.how, sizes=fitted.sizes, **told)
    if broken:
        good = np.setdiff1d(np.arange(len(data)), list(broken))
        if len(good) == 0:
            raise _all_broken(data, broken, source)
        if folder is None:
            whole = whole.take(good)
        else:
            copy_rows(values, good, new_array(folder / "good.npy", (len(good), *values.shape[1:]), values.dtype))
            (folder / "good.npy").replace(folder / "values.npy")
            whole = whole._with_rows(np.load(folder / "values.npy", mmap_mode="r"), good)
        skipped = tuple((row_name(data, i), broken[i]) for i in sorted(broken))
        fates = _without(whole.fates, [name for name, _ in skipped])
        whole = replace(whole, skipped=data.skipped + skipped, left_out=tuple(sorted(broken)), fates=fates)
        parts = None if parts is None else parts[good]
    whole = _in_range(whole, settings.value_range, folder)
    if not whole.is_vectors:
        whole = group_copies(whole, parts, near=isinstance(data.values, EncodedPictures))
    return whole, parts


def _check_row_names(data: SourceData, asked: str | None, source: str) -> None:
    """Check that the column which was asked for names the rows.

    Raises:
        NoRowNamesError: if it is not there, or cannot name them.
    """
    fates = {
        name.partition(" ")[2]: fate for name, fate in data.fates.items() if name.startswith(("column ", "array "))
    }
    if asked is None or fates.get(asked) == ROW_NAME:
        return
    if asked in fates:
        raise NoRowNamesError(
            f"{source}: the column {asked!r} cannot name the rows ({fates[asked]}); choose another id"
        )
    there = f"it has {some_of(list(fates))}" if fates else "only tables and archives of arrays have columns"
    raise NoRowNamesError(f"{source}: no column {asked!r} to name the rows; {there}")


def _without(fates: Mapping[str, str], files: Sequence[str]) -> dict[str, str]:
    """What became of each kind of file, in which the pictures that cannot be read are not counted."""
    broken = Counter(PurePosixPath(file).suffix.lower() for file in files)
    left: dict[str, str] = {}
    for name, fate in fates.items():
        num, _, ending = name.partition(" ")
        count = int(num) - broken[ending] if fate == PICTURES and ending in broken else None
        left |= {name: fate} if count is None else {f"{count} {ending}": fate} if count > 0 else {}
    return left


def _all_broken(data: SourceData, broken: dict[int, str], source: str) -> DataError:
    first = min(broken)
    example = f"{row_name(data, first)}: {broken[first].removesuffix(CONVERT)}"
    advice = "ask for as many channels as they have" if "channels, expected" in example else "get them again"
    advice = "convert them" if all(why.endswith(CONVERT) for why in broken.values()) else advice
    return NoneReadableError(f"{source}: none of its {len(data)} pictures can be read ({example}); {advice}")


@dataclass
class _Fitted:
    """All rows in one frame."""

    values: Array
    """Images still in their own numbers."""
    broken: dict[int, str] = field(default_factory=dict)
    """Why a row could not be read, by its number."""
    how: str | None = None
    """What was done to pictures of another size, None if there were none."""
    fates: dict[str, str] = field(default_factory=dict)
    """What became of the frames of animations."""
    sizes: tuple[tuple[int, int], ...] = ()
    """The least and the greatest width and height."""
    crop: int | None = None
    """The side of the square that was cut from the middle, None if there was no crop."""


def _fit_all(data: SourceData, settings: ReadSettings, source: str, progress: bool, folder: Path | None) -> _Fitted:
    """Bring every row to one frame."""
    if not isinstance(data.values, EncodedPictures) and not is_image(data.values.shape[1:]):
        if any((settings.size, settings.fit, settings.crop, settings.channels, settings.value_range)):
            raise DataError(
                f"{source}: these are vectors; size, fit, crop, channels and value_range are for images, and so is a"
                " run of images"
            )
        return _Fitted(_store(data.values, folder))
    if isinstance(data.values, EncodedPictures):
        looks, broken = look_at_all(data.values, settings, progress, is_shard=data.total not in (None, len(data)))
        if not looks:
            raise _all_broken(data, broken, source)
        frame = picture_frame(looks, data, settings, source)
        sizes, pictures = {look.size for look in looks}, data.values
    else:
        broken = {}
        frame = array_frame(data.values, settings, source)
        if frame.shape == data.values.shape[1:] and not frame.crop:
            return _Fitted(_store(data.values, folder))
        sizes, pictures = {data.values.shape[:1:-1]}, array_pictures(data.values)
    animated = set()
    kind = np.float32 if frame.wide else np.uint8
    out = new_array(folder and folder / "values.npy", (pictures.num, *frame.shape), np.dtype(kind))

    def fit(i: int) -> None:
        with pictures.open(i) as image:
            out[i] = fit_picture(image, frame, f"{source}, {row_name(data, i)}")
            if has_more_frames(image):
                animated.add(i)

    _, more_broken = for_each(fit, [i for i in range(pictures.num) if i not in broken], "decoding pictures", progress)
    more = {f"{counted(len(animated), 'picture')} of several frames": "ignored: all frames but the first"}
    ends = tuple((end(width for width, _ in sizes), end(height for _, height in sizes)) for end in (min, max))
    return _Fitted(out, broken | more_broken, how_fitted(sizes, frame), more if animated else {}, ends, frame.crop)


def _store(values: Array, folder: Path | None) -> Array:
    """Write an array into the folder; without a folder, keep it in memory."""
    if folder is None:
        return np.ascontiguousarray(values)
    out = new_array(folder / "values.npy", values.shape, values.dtype)
    out[:] = values
    return out


def _in_range(whole: Images, asked: ValueRange | None, folder: Path | None) -> Images:
    """Map the numbers of images to float32 in [0, 1], by the range that was asked for or that they have.

    Bytes stay as they are, unless a range was asked for.
    """
    are_bytes = whole.values.dtype == np.uint8
    if whole.is_vectors or (are_bytes and asked is None):
        return whole
    if are_bytes and asked is not None and not within_bytes(asked):
        raise DataError(
            f"{whole.source}: bytes, from 0 to 255, but value_range is {listed_range(asked)}; give the data in a wider"
            " type"
        )
    value_range = found_range(whole.values, whole.source) if asked is None else of_channels(asked, whole.shape[0])
    file = folder and folder / "mapped.npy"
    mapped = new_array(file, whole.values.shape, np.dtype(np.float32))
    num_clipped = into_range(whole.values, value_range, mapped)
    if file:
        file.replace(file.with_name("values.npy"))
    return replace(whole, values=mapped, value_range=value_range, num_clipped=num_clipped)
