"""A file of codes → pictures, in a folder or an .npz file."""

import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from vlae.atomic import unfinished, writing
from vlae.codes import files
from vlae.codes.encode import identity
from vlae.codes.files import CodesError
from vlae.data.counting import counting
from vlae.data.depths import out_of_range
from vlae.data.files import PICTURE_SUFFIXES
from vlae.models.inference import evaluating, generator_of
from vlae.models.priors import complete
from vlae.names import printable
from vlae.numpy_files import write_array
from vlae.runs import Run
from vlae.shapes import is_image, level_column, named_levels

LONGEST = 240
"""The most bytes of the name of a file without its number and ending, which have 15; most disks take 255."""

DEEPEST = 1_000
"""The most bytes of all of its folders' names together."""


def decode(run: Run, file: str | Path, out: str | Path, *, seed: int = 0, progress: bool = False) -> Path:
    """Decode a file of codes to pictures: the mean of r(x | z) of each row.

    Levels that have no column are drawn from the run's prior, given the others.

    Args:
        run: the run that made the codes.
        file: a file of codes that `vlae.codes.encode.encode` has written, or a table with the columns level1, level2, …
            (one list of numbers per row), or some of them.
        out: a folder, for one PNG file per row, with the row's name (or its number), shortened and without control
            characters where a disk would not take it; or an .npz file with the array `images`,
            uint8 (N, C, H, W), or for vectors `x`, float32 (N, D), and the names of its `columns` if it has any. If the
            run's data have more than 8 bits, `images` are float32 in the own numbers of the data. PNG files
            then have 16 bits and these numbers, if they are grey and the numbers from 0 to 65,535; otherwise 8 bits, in
            which 0 and 255 are the ends of the range.
        seed: of the draws of missing levels.
        progress: whether to show a progress bar, and say which levels are drawn, on the error output.

    Returns:
        The path of the folder or file: `out`.

    Raises:
        CodesError: if the output exists, or another run made the codes, or the file holds no codes, or some that are
            not finite.
        FileNotFoundError: if there is no such file.
        WriteError: if the output cannot be written.
    """
    out = Path(out)
    code_file = files.open_codes(file)
    files.check_new(out, "pictures")
    if not out.suffix and (not is_image(run.recipe.shape) or run.recipe.shape[0] > 4):
        data = f"{run.recipe.shape[0]} channels" if is_image(run.recipe.shape) else "vectors"
        raise CodesError(f"{out}: {data} are no pictures; give an .npz file")
    missing = _check_codes(run, code_file)
    if missing and progress:
        print(f"{named_levels(missing)} drawn from {run.prior.name}, given the others", file=sys.stderr)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(out) as partial:
            with counting("decoding", code_file.num, progress) as advance:
                form = _numbers if out.suffix else _pixels
                formed = (form(run, values) for values in _decode_batches(run, code_file, seed, advance))
                if out.suffix:
                    _write_npz(run, code_file.num, formed, partial)
                else:
                    _write_folder(formed, _stems(code_file), partial)
            files.check_new(out, "pictures")
            partial.rename(out)
    return out


def _check_codes(run: Run, code_file: files.CodeFile) -> list[int]:
    """Check that this run made the codes, and that levels have columns; return the levels that have none."""
    own = identity(run)
    if code_file.about.get("weights", own["weights"]) != own["weights"]:
        raise CodesError(
            f"{code_file.path} was made by another run ({code_file.about.get('run')}); give that, or encode with this "
            "one"
        )
    levels = run.recipe.levels_with_code
    missing = [level for level in levels if level_column(level) not in code_file.columns]
    if len(missing) == len(levels):
        columns = ", ".join(map(level_column, levels))
        raise CodesError(f"{code_file.path} has none of the columns {columns}; it has {', '.join(code_file.columns)}")
    if not code_file.num:
        raise CodesError(f"{code_file.path} has no rows; there is nothing to decode")
    return missing


def _decode_batches(
    run: Run, code_file: files.CodeFile, seed: int, advance: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """Yield the values of each batch: float32 (n, C, H, W) images in [0, 1], or float32 (n, D) vectors."""
    sizes = run.recipe.code_sizes
    levels = [name for level in run.recipe.levels_with_code if (name := level_column(level)) in code_file.columns]
    generator = generator_of(seed)
    first = 0
    for batch in code_file.batches(levels):
        num = len(batch[levels[0]])
        for name in levels:
            _check_finite(batch[name], name, first, code_file.path)
        codes = {i: batch[name] for i, _ in enumerate(sizes, start=1) if (name := level_column(i)) in batch}
        values = run.decode(_whole(run, codes, num, generator))
        first += num
        advance(num)
        yield values


def _check_finite(codes: np.ndarray, column: str, first: int, path: str | Path) -> None:
    """Refuse codes of which no picture can be drawn.

    Args:
        codes: some rows of the column.
        column: its name.
        first: the number of the first of these rows.
        path: of the file of codes.
    """
    if codes.dtype.kind == "f" and not np.isfinite(codes).all():
        row = first + int(np.argwhere(~np.isfinite(codes))[0, 0])
        raise CodesError(f"{path}: {column} of row {row:,} is NaN or infinite; leave such rows out")


def _stems(code_file: files.CodeFile) -> list[PurePosixPath]:
    """The name of each row's file in the folder, without its ending: the row's name, or its number if it has none."""
    names: list[Any] = [None] * code_file.num
    if "name" in code_file.columns:
        names = [name for batch in code_file.batches(["name"]) for name in batch["name"].tolist()]
    return [_stem(f"{row:08d}" if name is None or name != name else str(name)) for row, name in enumerate(names)]


def _stem(name: str) -> PurePosixPath:
    """The name of a file inside the folder, whatever the row is called, without the ending of a picture.

    No folder is called as a file may be, nothing is longer than a disk takes, and all characters can be printed.
    """
    words = [word for word in PurePosixPath(printable(name)).parts if word not in ("/", "..", ".")]
    *folders, last = words or ["unnamed"]
    inner = PurePosixPath(last)
    last = inner.stem if inner.suffix.lower() in PICTURE_SUFFIXES else last
    folders = [f"{word}_" if word.lower().endswith(".png") else word for word in map(_short, folders)]
    while folders and len("/".join(folders).encode()) > DEEPEST:
        folders.pop(0)
    return PurePosixPath(*folders, _short(last))


def _short(word: str) -> str:
    """The beginning of a name, which a disk takes with a number and an ending behind it."""
    return word.encode()[:LONGEST].decode(errors="ignore")


def _numbers(run: Run, values: np.ndarray) -> np.ndarray:
    """Decoded data in the own numbers of the run's data: bytes, or float32."""
    if not is_image(run.recipe.shape):
        return values
    if run.value_range is None:
        return (values * 255).round().astype(np.uint8)
    return out_of_range(values, run.value_range)


def _pixels(run: Run, values: np.ndarray) -> np.ndarray:
    """Decoded images as PNG can hold them: uint16 in their own numbers, or uint8 from end to end of the range."""
    if run.value_range is not None and len(run.value_range) == 1:
        [(low, high)] = run.value_range
        if low >= 0 and 1 < high < 2**16:
            return _numbers(run, values).round().astype(np.uint16)
    return (values * 255).round().astype(np.uint8)


def _whole(run: Run, codes: Mapping[int, np.ndarray], num: int, generator: torch.Generator) -> list[np.ndarray]:
    """The codes of all levels; those that are not given are drawn from the prior, given the others."""
    if codes.keys() == set(run.recipe.levels_with_code):
        return [codes.get(level, np.zeros((num, 0))) for level in range(1, run.model.num_levels + 1)]
    for level, code in codes.items():
        if code.shape != (num, run.recipe.code_sizes[level - 1]):
            size = run.recipe.code_sizes[level - 1]
            raise CodesError(f"level {level} has codes of shape {code.shape}; this ladder's are (N, {size})")
    given = {level: torch.tensor(code, dtype=torch.float32, device=run.model.device) for level, code in codes.items()}
    with evaluating(run.model):
        return [code.cpu().numpy() for code in complete(run.model, run.prior, given, generator)]


def _write_npz(run: Run, num: int, batches: Iterator[np.ndarray], out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        write_array(archive, "images" if is_image(run.recipe.shape) else "x", num, batches)
        if run.columns and not is_image(run.recipe.shape):
            write_array(archive, "columns", len(run.columns), [np.array(run.columns)])


def _write_folder(batches: Iterator[np.ndarray], stems: Sequence[PurePosixPath], out: Path) -> None:
    """Write one PNG file per row inside the folder. A further row of one name gets a number that no other row has."""
    rows, taken = iter(stems), set(stems)
    counts: dict[PurePosixPath, int] = {}
    for values in batches:
        for pixels, stem in zip(values, rows, strict=False):  # the rows go on in the next batch
            count = counts.get(stem, 0) + 1
            place = stem if count == 1 else _numbered(stem, count)
            while (count > 1 and place in taken) or (out / f"{place}.png").exists():  # "A" may be "a" on this disk
                count += 1
                place = _numbered(stem, count)
            counts[stem] = count
            file = out / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            save_pixels(pixels, file)


def _numbered(stem: PurePosixPath, count: int) -> PurePosixPath:
    return stem.with_name(f"{stem.name}-{count}")


def save_pixels(pixels: np.ndarray, file: Path) -> None:
    """Write a picture.

    Args:
        pixels: uint8 (C, H, W), 0 to 255, with 1 to 16 channels; or uint16 (1, H, W).
        file: where to write it.
    """
    from PIL import Image

    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(file)
