"""Any source of images → one `Images`: uint8, decoded once, memory-mapped, N C H W (or vectors: float32, N D).

What kinds of source there are, and how each is read, stands in `sources.py`. Here are the three things done with every
one of them: its pictures are brought to one shape, the result is kept in a cache, and a part is held out for testing.
"""

import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from vlae.sources import (
    TEST,
    TRAIN,
    Array,
    DataError,
    Found,
    Pictures,
    Settings,
    hash_bytes,
    identify,
    read_array,
)

__all__ = ["DataError", "Images", "load"]

FORMAT = 1  # of the cache; raise it when the same source and settings come to give other values
IN_MEMORY = 2**30  # bytes; a larger selection of scattered rows is kept in the cache, not in memory
SMALL = 64  # pictures of one size up to this stay as they are; others become squares of this side
MAX_HELD_OUT = 5_000  # images; enough to know a mean by, however large the source


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images:
    """Images, or vectors, ready to be sliced into batches.

    >>> images = load(np.zeros((100, 28, 28), np.uint8))
    >>> images
    Images(84 × 1×28×28, train part of an array)
    >>> images.values[:10].shape
    (10, 1, 28, 28)
    """

    values: Array
    """uint8 (N, C, H, W), read-only and memory-mapped where it comes from the cache, or float32 (N, D)."""
    labels: Array | None = None
    """int64 (N,): the class of each, where the source says it."""
    label_names: tuple[str, ...] = ()
    """What the classes are called, where the source says it."""
    factors: Mapping[str, Array] = field(default_factory=dict)
    """What else is known of each, by name, arrays of shape (N,): true factors, or attributes."""
    names: tuple[str, ...] | None = None
    """File names relative to the folder, or what the table calls its rows."""
    source: str = "an array"
    """Where they come from, as given."""
    split: str = "all"
    """Which part of the source this is: "train", "test" or "all"."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The files (or columns) of the whole source that could not be read, each with the reason."""
    cache: Path | None = None
    """The folder where the decoded source lies."""

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Images({len(self)} × {'×'.join(map(str, self.shape))}, {self.split} part of {self.source})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one: (C, H, W), or (D,)."""
        return tuple(self.values.shape[1:])

    @property
    def is_vectors(self) -> bool:
        """Whether these are vectors, (N, D), not images."""
        return len(self.shape) == 1

    def take(self, indices: slice | npt.ArrayLike) -> Self:
        """Select some, with all that is known of them.

        Args:
            indices: positions, or a slice, which copies nothing.

        Returns:
            The selected images, in the order of the indices.

        >>> images = load(np.zeros((100, 28, 28), np.uint8), split="all")
        >>> len(images.take([3, 1])), len(images.take(slice(0, 10)))
        (2, 10)
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, np.int64)
        return self._with_rows(self.values[chosen], chosen)

    def _with_rows(self, values: Array, rows: slice | Array) -> Self:
        """Replace the values by those of some rows, and select the rest to match."""
        positions = np.arange(len(self))[rows]
        return replace(
            self,
            values=values,
            labels=None if self.labels is None else self.labels[rows],
            factors={name: factor[rows] for name, factor in self.factors.items()},
            names=None if self.names is None else tuple(self.names[i] for i in positions),
        )

    def describe(self) -> dict[str, Any]:
        """Say what these are, in words and numbers that JSON can hold.

        Returns:
            The count, the shape, the kind ("images" or "vectors"), the range of values, the count of each label, the
            range of each factor, how many files were skipped (and the first ten of them), the source, part and cache.

        >>> load(np.zeros((100, 28, 28), np.uint8)).describe()["shape"]
        [1, 28, 28]
        """
        return {
            "source": self.source,
            "split": self.split,
            "kind": "vectors" if self.is_vectors else "images",
            "count": len(self),
            "shape": list(self.shape),
            "value_range": _range(self.values),
            "labels": self._label_counts(),
            "factors": {
                name: {"num_values": len(np.unique(factor)), "range": _range(factor)}
                for name, factor in self.factors.items()
            },
            "num_skipped": len(self.skipped),
            "skipped": [list(pair) for pair in self.skipped[:10]],
            "cache": None if self.cache is None else str(self.cache),
        }

    def _label_counts(self) -> dict[str, int]:
        """Count each class, by its name where it has one."""
        if self.labels is None:
            return {}
        labels, counts = np.unique(self.labels, return_counts=True)
        names = dict(enumerate(self.label_names))
        return {names.get(int(i), str(i)): int(count) for i, count in zip(labels, counts, strict=True)}


def _range(values: Array) -> list[Any]:
    return [values.min().item(), values.max().item()] if len(values) else []


def load(
    source: str | Path | Array | Images,
    *,
    split: Literal["train", "test", "all"] = "train",
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    holdout: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Images:
    """Load images, or vectors, from almost anything.

    A source is known by its content:

    - `"streets"`, or `"streets:NUM"`: the built-in street numbers, 50,000 or NUM to train with;
    - a folder of pictures (BMP, GIF, JPEG, PNG, TIFF, WebP; any depth, size and mode). Subfolders called train and
      test (or val) are its parts, and subfolders that hold all the pictures are their classes. Broken files are left
      out and listed in `skipped`;
    - CelebA's folder, with its 108-pixel crop, and its attributes and parts where their lists lie with it;
    - a picture file (with split="all");
    - an .npy or .npz file, or a numpy array;
    - a folder of MNIST's IDX files or of SVHN's .mat files, or one of them;
    - a .csv, .tsv or .parquet table, whose numbers are vectors;
    - a folder that Hugging Face's `datasets` has saved, or the name of a data set on their hub ("hf:NAME" if a folder
      has the same name). The hub is asked once; delete the cache to ask again.

    A picture is cut to the square in its middle and resized. Arrays keep their shape unless `size` or `crop` is given.
    Vectors stay as they are. What was read is kept in a cache ($VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache)
    until the files change, and is memory-mapped from there.

    A source that has no test part of its own gives up a random one: `holdout` of it, at least 16 where that is not
    more than a quarter, at most 5,000. The order of the source is kept.

    Args:
        source: where the images are. An `Images` gives the part of it that is asked for.
        split: "train" or "test" part, or "all".
        size: side of the square images, 8 to 256 pixels. If None, pictures that are all of one size up to 64 pixels
            keep it, and others become 64 × 64.
        crop: side of the square cut from the middle of each picture before it is resized, in pixels.
        channels: 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha). If None, 1 if all pictures are grey and
            else 3. Where alpha goes, the background becomes white.
        layout: how an array is laid out, where its shape does not tell.
        key: the array of an .npz file, or the column of a table, that holds the images.
        holdout: fraction of the source to hold out, 0 to less than 1.
        limit: if given, at most so many of the part: a random choice, the same for a seed, its order kept.
        seed: of the choices above.
        progress: whether to show a progress bar while pictures are decoded.

    Returns:
        The images.

    Raises:
        DataError: if the source cannot be used as asked.
        FileNotFoundError: if there is no such path.

    >>> load(np.random.default_rng(0).random((200, 32, 32, 3)), split="test").values.shape
    (16, 3, 32, 32)
    """
    if split not in ("train", "test", "all"):
        raise DataError(f"split is {split!r}: choose 'train', 'test' or 'all'")
    if not 0 <= holdout < 1:
        raise DataError(f"holdout is {holdout}: choose a fraction from 0 to less than 1")
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}: choose 1 or more")
    whole, parts = _whole(source, Settings(size=size, crop=crop, channels=channels, layout=layout, key=key), progress)
    if split != "all" and parts is None and len(whole) < 2:
        raise DataError(
            f"{whole.source}: one picture is not enough to train and test with; give more (split='all' takes it)"
        )
    rng = np.random.default_rng(seed)
    rows = _rows(len(whole), parts, split, holdout, rng)
    if len(rows) == 0:
        raise DataError(
            f"{whole.source}: its {split} part is empty; take another part, or change holdout ({holdout:g})"
        )
    if limit is not None and limit < len(rows):
        rows = np.sort(rng.permutation(rows)[:limit])
    return replace(_select(whole, rows, None if isinstance(source, Images) else whole.cache), split=split)


# Parts ---------------------------------------------------------------------------------------------------------------


def _rows(num: int, parts: Array | None, split: str, holdout: float, rng: np.random.Generator) -> Array:
    """Find the rows of a part, in order."""
    if split == "all":
        return np.arange(num)
    if parts is None:
        parts = _hold_out(num, holdout, rng)
    return np.flatnonzero(parts == (TRAIN if split == "train" else TEST))


def _hold_out(num: int, holdout: float, rng: np.random.Generator) -> Array:
    """Choose the rows to test with.

    >>> [int(_hold_out(num, 0.05, np.random.default_rng(0)).sum()) for num in (2, 20, 100, 1_000, 1_000_000)]
    [1, 5, 16, 50, 5000]
    """
    num_test = min(MAX_HELD_OUT, max(1, min(16, num // 4), round(holdout * num))) if holdout else 0
    parts = np.full(num, TRAIN, np.int8)
    parts[rng.permutation(num)[:num_test]] = TEST
    return parts


def _select(whole: Images, rows: Array, folder: Path | None) -> Images:
    """Select rows: without a copy if they follow each other, else in memory, or, if too many, in the folder."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    if last - first == len(rows):
        return whole.take(slice(first, last))
    if folder is None or len(rows) * whole.values[0].nbytes <= IN_MEMORY:
        return whole.take(rows)
    file = folder / f"rows-{hash_bytes(rows.tobytes())}.npy"
    if not file.exists():
        with _new_file(file) as unfinished:
            _copy_rows(whole.values, rows, _new_array(unfinished, (len(rows), *whole.shape), whole.values.dtype))
    return whole._with_rows(np.load(file, mmap_mode="r"), rows)


def _copy_rows(values: Array, rows: Array, out: Array) -> None:
    """Copy the chosen rows, some at a time."""
    for start in range(0, len(rows), 1024):
        out[start : start + 1024] = values[rows[start : start + 1024]]


# The whole of a source, decoded --------------------------------------------------------------------------------------


def _whole(source: str | Path | Array | Images, settings: Settings, progress: bool) -> tuple[Images, Array | None]:
    """Decode a source, or find it decoded; with it the part that each row belongs to, if the source says."""
    if isinstance(source, Images):
        part = {"train": TRAIN, "test": TEST}.get(source.split)
        parts = None if part is None else np.full(len(source), part, np.int8)
        if settings == Settings():
            return source, parts
        found = Found(
            values=source.values,
            labels=source.labels,
            label_names=source.label_names,
            factors=source.factors,
            names=source.names,
            parts=parts,
            skipped=source.skipped,
        )
        return _decode(found, settings, source.source, progress, None)
    if isinstance(source, np.ndarray):
        found = Found(values=read_array(source, layout=settings.layout, what="the array"))
        return _decode(found, settings, "an array", progress, None)
    if not isinstance(source, str | Path):
        raise TypeError(f"{type(source).__name__} is no source of images; give a path, a name, a numpy array or Images")
    fingerprint, read = identify(source, settings)
    entry = cache_folder() / hash_bytes(f"{FORMAT}\n{settings}\n{fingerprint}".encode(errors="surrogateescape"))
    if (cached := _open_entry(entry, str(source))) is None:
        found = read()
        with _new_entry(entry) as folder:
            whole, parts = _decode(found, settings, str(source), progress, folder)
            _write_rows(folder, whole, parts)
        cached = _open_entry(entry, str(source))
    assert cached is not None
    return cached


def _decode(
    found: Found, settings: Settings, source: str, progress: bool, folder: Path | None
) -> tuple[Images, Array | None]:
    """Bring all rows to one shape, in memory or in a file of the folder, and leave out what cannot be read."""
    values, broken = _fit_all(found, settings, source, progress, folder)
    whole = Images(
        values=values,
        labels=found.labels,
        label_names=found.label_names,
        factors=found.factors,
        names=found.names,
        source=source,
        skipped=found.skipped,
    )
    if not broken:
        return whole, found.parts
    good = np.setdiff1d(np.arange(len(found)), list(broken))
    if len(good) == 0:
        raise _all_broken(found, broken, source)
    skipped = tuple((_name(found, i), broken[i]) for i in sorted(broken))
    if folder is None:
        whole = whole.take(good)
    else:
        _copy_rows(values, good, _new_array(folder / "good.npy", (len(good), *values.shape[1:]), values.dtype))
        (folder / "good.npy").replace(folder / "values.npy")
        whole = whole._with_rows(np.load(folder / "values.npy", mmap_mode="r"), good)
    return replace(whole, skipped=found.skipped + skipped), None if found.parts is None else found.parts[good]


def _name(found: Found, i: int) -> str:
    return found.names[i] if found.names else f"row {i}"


def _all_broken(found: Found, broken: dict[int, str], source: str) -> DataError:
    first = min(broken)
    example = f"{_name(found, first)}: {broken[first]}"
    return DataError(f"{source}: none of its {len(found)} pictures can be read ({example}); get them again")


def _fit_all(
    found: Found, settings: Settings, source: str, progress: bool, folder: Path | None
) -> tuple[Array, dict[int, str]]:
    """Bring every row to the frame; return also why rows could not be read, by their number."""
    if not isinstance(found.values, Pictures) and found.values.ndim == 2:
        if settings.size or settings.crop or settings.channels:
            raise DataError(f"{source}: these are vectors; size, crop and channels are for images")
        return _store(found.values, folder), {}
    if isinstance(found.values, Pictures):
        looks, broken = _look(found.values, progress)
        if not looks:
            raise _all_broken(found, broken, source)
        frame = _picture_frame(looks, found, settings, source)
        pictures = found.values
    else:
        broken = {}
        frame = _array_frame(found.values.shape, settings, source)
        if frame.shape == found.values.shape[1:] and frame.crop is None:
            return _store(found.values, folder), {}
        pictures = _array_pictures(found.values)
    out = _new_array(folder and folder / "values.npy", (pictures.num, *frame.shape), np.dtype(np.uint8))

    def fit(i: int) -> None:
        with pictures.open(i) as image:
            out[i] = _fit(image, frame, f"{source}, {_name(found, i)}")

    _, more_broken = _each(fit, [i for i in range(pictures.num) if i not in broken], "Decoding", progress)
    return out, broken | more_broken


def _store(values: Array, folder: Path | None) -> Array:
    """Write an array as it is into the folder, if there is one."""
    if folder is None:
        return np.ascontiguousarray(values)
    out = _new_array(folder / "values.npy", values.shape, values.dtype)
    _copy_rows(values, np.arange(len(values)), out)
    return out


def _each(do: Any, indices: list[int], title: str, progress: bool) -> tuple[dict[int, Any], dict[int, str]]:
    """Do something with every picture, in threads (Pillow decodes without the lock); collect results, and failures."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)  # what a command prints may be read by a program

    def run(start: int) -> list[tuple[int, Any, str | None]]:
        return [attempt(i) for i in indices[start : start + 64]]

    def attempt(i: int) -> tuple[int, Any, str | None]:
        try:
            return i, do(i), None
        except DataError:
            raise
        except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
            return i, None, _reason(error)

    results: dict[int, Any] = {}
    failures: dict[int, str] = {}
    starts = range(0, len(indices), 64)
    with ThreadPoolExecutor() as pool:
        shown = progress and console.is_terminal
        for outcomes in track(pool.map(run, starts), title, len(starts), console=console, disable=not shown):
            for i, result, failure in outcomes:
                if failure is None:
                    results[i] = result
                else:
                    failures[i] = failure
    return results, failures


def _reason(error: Exception) -> str:
    """Say in one line why a picture cannot be read."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    return f"{type(error).__name__}: {error}".splitlines()[0]


# From a picture to pixels --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What every picture is brought to."""

    shape: tuple[int, int, int]  # C, H, W
    crop: int | None  # pixels, before resizing


def _look(pictures: Pictures, progress: bool) -> tuple[set[tuple[tuple[int, int], bool]], dict[int, str]]:
    """Read only the heads of all pictures: every (width, height) and whether grey; and what cannot be read."""

    def look(i: int) -> tuple[tuple[int, int], bool]:
        with pictures.open(i) as image:
            _check_bomb(image.size)
            turned = image.size[0] != image.size[1] and max(image.size) <= SMALL and _is_turned(image)
            return image.size[:: -1 if turned else 1], image.mode.split(";")[0] in ("1", "L", "LA", "La", "I", "F")

    looks, broken = _each(look, list(range(pictures.num)), "Looking", progress)
    return set(looks.values()), broken


def _check_bomb(size: tuple[int, int]) -> None:
    """Refuse pictures that would fill the memory (Pillow itself only warns of those up to twice its limit)."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise ValueError(f"{size[0]}×{size[1]} pixels are more than {limit} (a decompression bomb?)")


def _is_turned(image: Any) -> bool:
    """Tell whether EXIF says that width and height change places."""
    from PIL import ExifTags

    return bool(image.getexif().get(ExifTags.Base.Orientation, 1) >= 5)


def _picture_frame(looks: set[tuple[tuple[int, int], bool]], found: Found, settings: Settings, source: str) -> _Frame:
    """Choose the frame of pictures: one small size stays, else 64 × 64; grey if all are."""
    crop, size = settings.crop or found.crop, settings.size or found.size
    sizes = {(crop, crop)} if crop else {size for size, _ in looks}
    width, height = next(iter(sizes)) if len(sizes) == 1 else (SMALL, SMALL)
    if size or max(width, height) > SMALL:
        width = height = size or SMALL
    channels = settings.channels or (1 if all(grey for _, grey in looks) else 3)
    return _checked(_Frame(shape=(channels, height, width), crop=crop), source)


def _array_frame(shape: tuple[int, ...], settings: Settings, source: str) -> _Frame:
    """Choose the frame of an array's images: as they are, but for what is asked."""
    side = settings.size or settings.crop
    height, width = (side, side) if side else shape[2:]
    return _checked(_Frame(shape=(settings.channels or shape[1], height, width), crop=settings.crop), source)


def _checked(frame: _Frame, source: str) -> _Frame:
    """Refuse images that no model here is made for."""
    _, height, width = frame.shape
    if min(height, width) < 8 or max(height, width) > 256:
        raise DataError(f"{source}: images of {width}×{height} pixels; sides must be 8 to 256; say size=64, for one")
    return frame


def _array_pictures(images: Array) -> Pictures:
    """Make pictures of an array again, to resize them or change their channels."""
    from PIL import Image

    def picture(i: int) -> Any:
        pixels = np.ascontiguousarray(images[i].transpose(1, 2, 0))
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    return Pictures(num=len(images), open=picture)


def _fit(image: Any, frame: _Frame, what: str) -> Array:
    """Bring one picture to the frame: uint8 (C, H, W)."""
    from PIL import Image, ImageOps

    _check_bomb(image.size)
    channels, height, width = frame.shape
    if frame.crop is None:
        _draft(image, max(height, width))
    image = ImageOps.exif_transpose(image)
    if frame.crop is not None and min(image.size) < frame.crop:
        raise DataError(f"{what}: {image.width}×{image.height} pixels, less than crop={frame.crop}; say a smaller crop")
    if frame.crop is not None or height == width:
        side = frame.crop or min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    image = _in_mode(image, channels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    pixels: Array = np.asarray(_on_white(image, channels))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _draft(image: Any, side: int) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth of its size where that is still twice what is needed."""
    scale = 2 * side / min(image.size)
    if scale < 1:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


def _in_mode(image: Any, channels: int) -> Any:
    """Bring a picture to 8 bits, grey or colour, with alpha where it has any or is to have it."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    colour = "L" if channels <= 2 else "RGB"
    alpha = image.has_transparency_data or channels in (2, 4)
    if not alpha:
        return image.convert(colour)
    return image.convert("RGBA").convert("LA") if colour == "L" else image.convert("RGBA")


def _eight_bits(values: Array) -> Array:
    """Scale 16-bit grey to 8 bits, and floats from [0, 1]."""
    if values.dtype.kind != "f":
        scaled = np.clip(values, 0, 65_535) / 257
        return scaled.round().astype(np.uint8)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"floats from {values.min():g} to {values.max():g}, expected 0 to 1")
    return (values * 255).round().astype(np.uint8)


def _on_white(image: Any, channels: int) -> Any:
    """Lay a picture whose alpha is not wanted on white."""
    from PIL import Image

    if channels in (2, 4) or image.mode in ("L", "RGB"):
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("L" if channels == 1 else "RGB")


# The cache -----------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder where decoded sources are kept: $VLAE_CACHE, or vlae in $XDG_CACHE_HOME or ~/.cache."""
    if folder := os.environ.get("VLAE_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlae"


def _open_entry(entry: Path, source: str) -> tuple[Images, Array | None] | None:
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
        cache=entry,
    )
    return images, rows.get("parts")


def _write_rows(folder: Path, whole: Images, parts: Array | None) -> None:
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
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


@contextmanager
def _new_entry(entry: Path) -> Iterator[Path]:
    """Give a folder to write in, which takes its place in the cache only when all is written, and else is removed."""
    with _disk_errors(entry.parent):
        entry.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(entry.parent)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=entry.parent))
        try:
            yield folder
            if _open_entry(entry, "") is None:  # nothing there, or something damaged
                shutil.rmtree(entry, ignore_errors=True)
            folder.rename(entry)
        except OSError:
            if _open_entry(entry, "") is None:  # else another process was first, with the same content
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """Remove what a killed process left behind two days ago or before."""
    for folder in cache.glob(".unfinished-*"):
        if time.time() - folder.stat().st_mtime > 2 * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
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


def _new_array(file: Path | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make an array in memory, or in a file whose room on the disk is made sure of (writing to a full disk kills)."""
    if file is None:
        return np.empty(shape, dtype)
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("r+b") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array
