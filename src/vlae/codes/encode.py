"""Images → a file of codes: written in parts that survive a stop, and joined when all are done."""

import copy
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vlae.atomic import beside, locked, remove, whole, writing
from vlae.codes import files
from vlae.codes.progress import progress_bar
from vlae.data.images import Images
from vlae.data.readers import check_unchanged, identify
from vlae.data.source import ReadSettings, Source
from vlae.evaluation.rates import rates_of
from vlae.models.base import LatentModel
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, given
from vlae.nn.folding import fold_norms
from vlae.nn.moments import AffineInvariantConv
from vlae.runs import Run
from vlae.shapes import is_image, level_column

PART = 8_192
"""Rows of one part. A stop loses at most this much work."""

DONE = "done.json"
"""The file in the folder of parts that describes what they are parts of."""


def encode(
    run: Run,
    source: Source,
    out: str | Path,
    *,
    split: Literal["train", "test", "all"] = "all",
    limit: int | None = None,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    id: str | None = None,
    stddev: bool = False,
    sample: bool = False,
    reconstruction: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Write the codes of images, or of vectors, to a file: one row per datum.

    The columns of the file:

    - `row`: the number of the datum, 0 for the first;
    - `name` and `label`, if the source has them; the label is null (in .npz -1) where it is unknown;
    - `level1`, `level2`, …: the posterior means, one list of numbers per row;
    - `level1_stddev`, … and `level1_sample`, …, if `stddev` and `sample` are set;
    - `level1_kl_nats`, …, and `kl_nats`, their sum over all levels;
    - `reconstruction_error`: of the datum decoded from the means, the mean squared error per pixel; of vectors, the
      root mean square error in standard deviations of the columns of the training data.

    A level without a code has no column. The file's metadata name the run that made it (see `identity`).

    Memory does not grow with the number of images. Some thousand rows at a time are written to a hidden folder beside
    the output. After a stop, the same call continues from there. The output appears when all rows are done.

    Args:
        run: a run of any model that has an encoder.
        source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C) or
            (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are cropped and
            resized like the training images.
        out: a .parquet file, an .npz file, or (a name without an ending) the folder of a Hugging Face data set.
        split: the part of the source: "train", "test" or "all".
        limit: the most rows to encode, chosen at random, 1 or more. None: all rows.
        layout: the order of an array's dimensions: "NHW", "NHWC" or "NCHW". None: inferred from the shape.
        key: the array of an .npz file, or the column of a table, that holds the images. None: inferred.
        id: the column of a table that names the rows. None: that of the run's own table.
        stddev: whether to write the posterior standard deviations.
        sample: whether to write a draw from each posterior.
        reconstruction: whether to write the reconstruction error. It needs the decoder, and so takes longer.
        seed: seed of the draws and of the choice of rows, 0 or more.
        progress: whether to show a progress bar, and to print on the error output which pictures are skipped or
            resized.

    Returns:
        The path of the file or folder: `out`.

    Raises:
        CodesError: if the output exists already, or has an unknown ending.
        NotDefinedError: if the model has no encoder.
        DataError: if the source cannot be read, or changes while it is encoded.
        ValueError: if the data do not have the run's shape.
        WriteError: if the output cannot be written, or another process writes it.
    """
    out = Path(out)
    kind = files.kind_of(out)
    files.check_new(out)
    settings = ReadSettings(**run.reading(source, layout=layout, key=key, id=id))
    fingerprint = identify(source, settings)[0] if isinstance(source, str | Path) else None
    images = run.read(source, split=split, limit=limit, layout=layout, key=key, id=id, seed=seed, progress=progress)
    about = {**identity(run), "source": images.source, "split": split, "num": len(images)}
    about["label_names"] = list(images.label_names)
    content = {"stddev": stddev, "sample": sample, "reconstruction": reconstruction, "seed": seed, "limit": limit}
    with _parts_folder(out, {**about, **content, "source_is": fingerprint}) as folder:
        encoder = Encoder(run.model, stddev=stddev, sample=sample, reconstruction=reconstruction, seed=seed)
        parts = list(_write_parts(encoder, images, folder, about, progress))
        if fingerprint is not None:
            _check_source(source, settings, fingerprint, folder)
        joined = folder / f"joined{out.suffix}"
        remove(joined)
        with writing(out):
            files.join(parts, joined, kind)
            files.check_new(out)
            joined.rename(out)
    return out


def identity(run: Run) -> dict[str, str]:
    """Return what identifies a run: a hash of its weights, its folder, its recipe's name and the version of vlae.

    Args:
        run: a run of any model.
    """
    return {
        "weights": run.identity[:32],
        "run": str(run.path),
        "recipe": run.recipe.name,
        "vlae": version("vlae"),
    }


def _check_source(source: Any, settings: ReadSettings, fingerprint: str, folder: Path) -> None:
    """Check that the source has not changed. If it has, remove the parts."""
    try:
        check_unchanged(source, settings, fingerprint)
    except ValueError:
        remove(folder)
        raise


# Parts ---------------------------------------------------------------------------------------------------------------


@contextmanager
def _parts_folder(out: Path, description: dict[str, Any]) -> Iterator[Path]:
    """Make the hidden folder of finished parts. It stays after a stop, and is removed when all is done.

    Parts of another run, source or choice of columns are removed first. So are parts of an array, because an array
    cannot be identified.

    Args:
        out: the output.
        description: what the parts belong to, as JSON values.
    """
    folder = beside(out, "parts")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with locked(beside(out, "lock"), f"writes {out}", "choose another place"):
        files.check_new(out)
        with writing(out):
            _keep_or_begin(folder, description)
        yield folder
        remove(folder)


def _keep_or_begin(folder: Path, description: dict[str, Any]) -> None:
    text = json.dumps(description, indent=2)
    try:
        continues = description["source_is"] is not None and (folder / DONE).read_text() == text
    except OSError:
        continues = False
    if not continues:
        remove(folder)
        folder.mkdir()
        with whole(folder / DONE) as file:
            file.write_text(text)


def _write_parts(
    encoder: "Encoder", images: Images, folder: Path, about: dict[str, Any], progress: bool
) -> Iterator[Path]:
    """Encode the parts that are missing, and yield all parts in order."""
    from pyarrow import parquet

    def write(part: Path, columns: dict[str, Any]) -> None:
        with whole(part) as file:
            parquet.write_table(files.as_table(columns, about), file)

    # One part is written while the next is encoded.
    with progress_bar("Encoding", len(images), progress) as advance, ThreadPoolExecutor(1) as writer:
        writing_part = None
        for number, start in enumerate(range(0, len(images), PART)):
            rows = images.take(slice(start, start + PART))
            part = folder / f"{number:06d}.parquet"
            if part.exists():
                advance(len(rows))
            else:
                columns = {
                    **_source_columns(rows, start),
                    **encoder.columns(rows.values, number, advance, features=rows.features),
                }
                if writing_part is not None:
                    writing_part.result()
                writing_part = writer.submit(write, part, columns)
            yield part
        if writing_part is not None:
            writing_part.result()


def _source_columns(rows: Images, start: int) -> dict[str, Any]:
    """Return the columns that come from the source: the row, its name and its label."""
    columns: dict[str, Any] = {"row": np.arange(start, start + len(rows))}
    if rows.names is not None:
        columns["name"] = list(rows.names)
    if rows.labels is not None:
        import pyarrow

        labels = np.asarray(rows.labels, np.int64)
        columns["label"] = pyarrow.array(labels, mask=labels < 0)
    return columns


def error_of(model: LatentModel, decoded: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The reconstruction error of each datum, float (n,).

    Args:
        model: any model.
        decoded: the reconstructions, (n, *shape).
        x: the data, (n, *shape); images are in [0, 1].

    Returns:
        Of images, the mean squared error per pixel; of vectors, the root mean square error in standard deviations of
        the columns of the training data.
    """
    error = decoded - x
    if is_image(model.shape):
        return error.square().flatten(1).mean(1)
    unit = model.state_dict().get("stddev", torch.ones((), device=x.device))
    return (error / unit).square().mean(1).sqrt()


class Encoder:
    """A copy of a model that encodes images quickly.

    Norms are folded into the layers before them. Channels are last in memory, unless a layer filters each channel by
    itself. A batch is small enough for its maps to stay in the processor's caches.

    Args:
        model: any model that has an encoder.
        stddev: whether to return the posterior standard deviations.
        sample: whether to return a draw from each posterior.
        reconstruction: whether to return the reconstruction error.
        seed: seed of the draws, 0 or more.
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
        fold_norms(self.model)
        each_channel = any(isinstance(part, AffineInvariantConv) for part in self.model.modules())
        last = is_image(model.shape) and not each_channel
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.model.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.stddev, self.sample, self.reconstruction, self.seed = stddev, sample, reconstruction, seed
        self.batch_size = min(256, max(16, 2**18 // prod(model.shape[1:]))) if is_image(model.shape) else 1024

    def columns(
        self,
        values: np.ndarray,
        number: int = 0,
        advance: Callable[[int], None] | None = None,
        *,
        features: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute codes, KL in nats, and reconstruction error.

        Args:
            values: uint8 (n, C, H, W) images, 0 to 255, or float32 (n, D) vectors.
            number: the number of this part, 0 or more. Each part has draws of its own.
            advance: a function that is called with the size of each batch when it is done.
            features: of the full-size pictures, (n, F). None: a model that reads features computes them from the
                values.

        Returns:
            The columns by name: float32 (n,), or (n, code size).
        """
        batches: list[tuple[CodeDistribution, ...]] = []
        errors: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(values), self.batch_size):
                x = as_input(values[start : start + self.batch_size], self.model.device)
                x = x.contiguous(memory_format=self.layout)
                batches.append(self.model.infer(x, **given(features, start, self.batch_size, self.model.device)))
                if self.reconstruction:
                    decoded = self.model.decode(tuple(q.mean for q in batches[-1]))
                    errors.append(error_of(self.model, decoded, x))
                if advance is not None:
                    advance(len(x))
            # The posteriors are small, so all batches are handled at once.
            posteriors = tuple(type(level[0]).cat(level) for level in zip(*batches, strict=True))
            columns = self._code_columns(posteriors, torch.Generator().manual_seed(self.seed * 1_000_003 + number))
            if self.reconstruction:
                columns["reconstruction_error"] = torch.cat(errors)
            return {name: tensor.cpu().numpy() for name, tensor in columns.items()}

    def _code_columns(
        self, posteriors: tuple[CodeDistribution, ...], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Return the columns of codes and KL, by name."""
        rates = rates_of(self.model, posteriors)
        columns: dict[str, torch.Tensor] = {}
        for level in self.model.levels_with_code:
            q, name = posteriors[level - 1], level_column(level)
            columns[name] = q.mean
            if self.stddev:
                columns[f"{name}_stddev"] = q.stddev
            if self.sample:
                noise = torch.randn(q.mean.shape, generator=generator).to(q.mean)
                columns[f"{name}_sample"] = q.place(noise)
            columns[f"{name}_kl_nats"] = rates[level - 1]
        return {**columns, "kl_nats": rates.sum(0)}
