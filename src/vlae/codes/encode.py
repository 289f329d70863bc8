"""Images → a file of codes, and back: streamed, restartable, and whole or not there at all."""

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch

from vlae.atomic import whole, writing
from vlae.codes import files
from vlae.codes.files import CodesError, level_column
from vlae.data.images import Images
from vlae.data.readers import check_unchanged, identify
from vlae.data.source import ReadSettings
from vlae.evaluation.rates import rates_of
from vlae.models.base import LatentModel
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input
from vlae.runs import Run
from vlae.shapes import is_image

PART = 8_192  # rows; what a kill can lose of the work done
DONE = "done.json"
"""In the folder of parts: what they are parts of."""


def encode(
    run: Run,
    source: str | Path | np.ndarray | Images,
    out: str | Path,
    *,
    split: Literal["train", "test", "all"] = "all",
    limit: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    stddev: bool = False,
    sample: bool = False,
    reconstruction: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Writes the codes of any number of images, or vectors, one row each, to one file.

    Its columns: `row`, from 0; `name`, the file's, and `label`, where the source says them; `level1`, `level2`, …, the
    posterior means, lists of one size; `level1_stddev`, …, and `level1_sample`, …, if asked for; `level1_kl_nats`, …,
    and `kl_nats` of all levels; `reconstruction_error`, the mean squared error per pixel of what the means give back.
    A level without a code has no column. The file's metadata say which run made it (see `identity`).

    Memory does not grow with the number of images. Rows are kept in a hidden folder beside the output, some thousand at
    a time, from which the same call goes on after a kill; the output appears when all is done.

    Args:
        run: of any model.
        source: anything `vlae.data.load` takes; pictures of another size are cut and resized as in training.
        out: a .parquet or .npz file, or, without an ending, the folder of a data set of Hugging Face's.
        split: which part of the source.
        limit: at most so many, chosen at random by the seed.
        layout: as in `vlae.data.load`.
        key: as in `vlae.data.load`.
        stddev: also the posterior standard deviations.
        sample: also a draw from each posterior.
        reconstruction: also the reconstruction error, which takes the decoder's time as well.
        seed: of what is drawn.
        progress: show a progress bar, and say on the error output which pictures are skipped, and if any is resized.

    Returns:
        Where it was written.

    Raises:
        CodesError: if the output exists already, or is of no known kind.
        DataError: if the source cannot be read, or changes while it is encoded.
        ValueError: if the data are not of the run's shape.
        WriteError: if the output cannot be written.
    """
    out = Path(out)
    kind = files.kind_of(out)
    _refuse_existing(out)
    settings = ReadSettings(**run.reading(source, layout=layout, key=key))
    fingerprint = identify(source, settings)[0] if isinstance(source, str | Path) else None
    images = run.read(source, split=split, limit=limit, layout=layout, key=key, seed=seed, progress=progress)
    about = {**identity(run), "source": images.source, "split": split, "num": len(images)}
    about["label_names"] = list(images.label_names)
    content = {"stddev": stddev, "sample": sample, "reconstruction": reconstruction, "seed": seed, "limit": limit}
    with _parts_folder(out, {**about, **content, "source_is": fingerprint}) as folder:
        encoder = Encoder(run.model, stddev=stddev, sample=sample, reconstruction=reconstruction, seed=seed)
        parts = list(_write_parts(encoder, images, folder, about, progress))
        if fingerprint is not None:
            _check_source(source, settings, fingerprint, folder)
        joined = folder / f"joined{out.suffix}"
        files.remove(joined)
        with writing(out):
            files.join(parts, joined, kind)
            _refuse_existing(out)
            joined.rename(out)
    return out


def identity(run: Run) -> dict[str, str]:
    """What tells a run from every other: a hash of its weights, its folder, its recipe's name and vlae's version."""
    return {
        "weights": run.identity[:32],
        "run": str(run.path),
        "recipe": run.recipe.name,
        "vlae": version("vlae"),
    }


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise CodesError(f"{out} exists already, and is not written over; choose another --out, or remove it")


def _check_source(source: Any, settings: ReadSettings, fingerprint: str, folder: Path) -> None:
    """Refuses what was encoded while the source changed, and forgets it."""
    try:
        check_unchanged(source, settings, fingerprint)
    except ValueError:
        files.remove(folder)
        raise


# Parts ---------------------------------------------------------------------------------------------------------------


@contextmanager
def _parts_folder(out: Path, what: dict[str, Any]) -> Iterator[Path]:
    """The hidden folder of finished parts: kept for another try if this one is stopped, gone when all is done.

    Parts of something else (another run, source, or choice of columns) are thrown away, and so are those of an array,
    which cannot be told from another.
    """
    folder = out.with_name(f".{out.name}.parts")
    said = json.dumps(what, indent=2)
    with writing(out):
        try:
            goes_on = what["source_is"] is not None and (folder / DONE).read_text() == said
        except OSError:
            goes_on = False
        if not goes_on:
            files.remove(folder)
            folder.mkdir(parents=True)
            with whole(folder / DONE) as file:
                file.write_text(said)
    yield folder
    files.remove(folder)


def _write_parts(
    encoder: "Encoder", images: Images, folder: Path, about: dict[str, Any], progress: bool
) -> Iterator[Path]:
    """Encodes what is not yet there, and yields all parts in order."""
    from pyarrow import parquet

    def write(part: Path, columns: dict[str, Any]) -> None:
        with whole(part) as file:
            parquet.write_table(files.as_table(columns, about), file)

    # One part is written while the next is encoded.
    with _bar("Encoding", len(images), progress) as advance, ThreadPoolExecutor(1) as beside:
        writing_part = None
        for number, start in enumerate(range(0, len(images), PART)):
            rows = images.take(slice(start, start + PART))
            part = folder / f"{number:06d}.parquet"
            if part.exists():
                advance(len(rows))
            else:
                columns = {**_known(rows, start), **encoder.columns(rows.values, number, advance)}
                if writing_part is not None:
                    writing_part.result()
                writing_part = beside.submit(write, part, columns)
            yield part
        if writing_part is not None:
            writing_part.result()


def _known(rows: Images, start: int) -> dict[str, Any]:
    """What is known of each row without looking at it."""
    known: dict[str, Any] = {"row": np.arange(start, start + len(rows))}
    if rows.names is not None:
        known["name"] = list(rows.names)
    if rows.labels is not None:
        known["label"] = np.asarray(rows.labels)
    return known


@contextmanager
def _bar(title: str, total: int, progress: bool) -> Iterator[Any]:
    """A progress bar on the error output, if that is a terminal; what it gives is called with how many are done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not (progress and console.is_terminal)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda num: bar.advance(task, num)


class Encoder:
    """A model made ready to encode: a copy, its images laid out with channels last, which convolutions are faster on.

    Args:
        model: any.
        stddev: whether the posterior standard deviations are wanted.
        sample: whether a draw from each posterior is.
        reconstruction: whether the reconstruction error is.
        seed: of the draws.
    """

    def __init__(
        self,
        model: LatentModel,
        *,
        stddev: bool = False,
        sample: bool = False,
        reconstruction: bool = True,
        seed: int = 0,
    ):
        model.require("encoder")
        self.model = copy.deepcopy(model).eval()
        if is_image(model.shape):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stddev, self.sample, self.reconstruction, self.seed = stddev, sample, reconstruction, seed
        # Larger images fill the memory, and the processor's caches, with fewer.
        self.batch_size = min(256, max(16, 2**20 // prod(model.shape[1:]))) if is_image(model.shape) else 1024

    def columns(self, values: np.ndarray, number: int = 0, advance: Any = None) -> dict[str, np.ndarray]:
        """Codes, KL and reconstruction error of stored values, by the names of their columns.

        Args:
            values: uint8 images (n, C, H, W) or float32 vectors (n, D).
            number: of the part these are, from which, and the seed, its draws follow.
            advance: called with the size of each batch done.
        """
        batches: list[tuple[CodeDistribution, ...]] = []
        errors: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(values), self.batch_size):
                x = as_input(values[start : start + self.batch_size], self.model.device)
                x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
                batches.append(self.model.infer(x))
                if self.reconstruction:
                    again = self.model.decode(tuple(q.mean for q in batches[-1]))
                    errors.append((again - x).square().flatten(1).mean(1))
                if advance is not None:
                    advance(len(x))
            # What is small is done for all of them at once.
            posteriors = tuple(type(level[0]).cat(level) for level in zip(*batches, strict=True))
            found = self._named(posteriors, torch.Generator().manual_seed(self.seed * 1_000_003 + number))
            if self.reconstruction:
                found["reconstruction_error"] = torch.cat(errors)
            return {name: tensor.cpu().numpy() for name, tensor in found.items()}

    def _named(self, posteriors: tuple[CodeDistribution, ...], generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Codes and KL by the names of their columns."""
        rates = rates_of(self.model, posteriors)
        found: dict[str, torch.Tensor] = {}
        for level, q in enumerate(posteriors, start=1):
            if not q.mean.shape[1]:
                continue
            name = level_column(level)
            found[name] = q.mean
            if self.stddev:
                found[f"{name}_stddev"] = q.stddev
            if self.sample:
                noise = torch.randn(q.mean.shape, generator=generator).to(q.mean)
                found[f"{name}_sample"] = q.place(noise)
            found[f"{name}_kl_nats"] = rates[level - 1]
        return {**found, "kl_nats": rates.sum(0)}


# Back ----------------------------------------------------------------------------------------------------------------


def decode(run: Run, file: str | Path, out: str | Path, *, progress: bool = False) -> Path:
    """Writes the pictures of a file of codes: the mean of r(x | z) of each row.

    Args:
        run: which made the codes.
        file: as `encode` writes it, or with the same columns: level1, level2, ….
        out: a folder, for one PNG per row, called what the row is called (or its number); or an .npz file with the
            array `images`, uint8 (N, C, H, W), or for vectors `x`, float32 (N, D).
        progress: show a progress bar.

    Returns:
        Where they were written.

    Raises:
        CodesError: if the output exists, or the codes were made by another run or are none.
        FileNotFoundError: if there is no such file.
        WriteError: if the output cannot be written.
    """
    out = Path(out)
    opened = files.open_codes(file)
    if out.suffix.lower() not in (".npz", ""):
        raise CodesError(f"{out}: pictures are written to an .npz file, or to a folder (a name without an ending)")
    if not out.suffix and not is_image(run.recipe.shape):
        raise CodesError(f"{out}: vectors are no pictures; give an .npz file")
    _refuse_existing(out)
    _check_codes(run, opened)
    unfinished = out.with_name(f".{out.name}.unfinished{out.suffix}")
    files.remove(unfinished)
    try:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            with _bar("Decoding", opened.num, progress) as advance:
                write = _write_npz if out.suffix else _write_folder
                write(_decoded(run, opened, advance), unfinished)
            _refuse_existing(out)
            unfinished.rename(out)
    finally:
        files.remove(unfinished)
    return out


def _check_codes(run: Run, opened: files.CodeFile) -> None:
    """Refuses codes of another run, and files that lack a level."""
    own = identity(run)
    if opened.about.get("weights", own["weights"]) != own["weights"]:
        raise CodesError(
            f"{opened.path} was made by another run ({opened.about.get('run')}); give that, or encode with this one"
        )
    wanted = [level_column(level) for level in run.recipe.levels_with_code]
    if absent := [name for name in wanted if name not in opened.columns]:
        raise CodesError(f"{opened.path} has no column {', '.join(absent)}; it has {', '.join(opened.columns)}")
    if not opened.num:
        raise CodesError(f"{opened.path} has no rows; there is nothing to decode")


def _decoded(run: Run, opened: files.CodeFile, advance: Any) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and what is stored of each batch: uint8 images, or vectors."""
    sizes = run.recipe.code_sizes
    levels = [level_column(level) for level in run.recipe.levels_with_code]
    named = ["name"] if "name" in opened.columns else []
    first = 0
    for batch in opened.batches([*levels, *named]):
        num = len(batch[levels[0]])
        values = run.decode([batch.get(level_column(i), np.zeros((num, 0))) for i, _ in enumerate(sizes, start=1)])
        if values.ndim == 4:
            values = (values * 255).round().astype(np.uint8)
        names = list(batch["name"]) if named else [f"{row:08d}" for row in range(first, first + num)]
        first += num
        advance(num)
        yield [str(name) for name in names], values


def _write_npz(batches: Iterator[tuple[list[str], np.ndarray]], out: Path) -> None:
    values = np.concatenate([values for _, values in batches])
    with out.open("wb") as stream:
        if values.ndim == 4:
            np.savez_compressed(stream, images=values)
        else:
            np.savez_compressed(stream, x=values)


def _write_folder(batches: Iterator[tuple[list[str], np.ndarray]], out: Path) -> None:
    """A PNG of each, below the folder whatever the names say; of two with one name the second gets a number."""
    for names, values in batches:
        for name, pixels in zip(names, values, strict=True):
            inner = [word for word in PurePosixPath(name).parts if word not in ("/", "..", ".")]
            file = (out.joinpath(*inner) if inner else out / "unnamed").with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            count = 1
            while file.exists():
                count += 1
                file = file.with_name(f"{file.stem}-{count}.png")
            save_pixels(pixels, file)


def save_pixels(pixels: np.ndarray, file: Path) -> None:
    """Writes uint8 (C, H, W) as a picture of 1 to 4 channels."""
    from PIL import Image

    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(file)
