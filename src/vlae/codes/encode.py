"""Images → a file of codes, written in parts that survive a stop: joined when all are done, or commits to Lance."""

import copy
import json
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vlae.atomic import beside, locked, remove, whole, writing
from vlae.codes import files
from vlae.codes.files import CodesError
from vlae.codes.lance import PATH, SETTINGS, LanceCodes
from vlae.codes.progress import progress_bar
from vlae.data.content import content_hashes, digest
from vlae.data.images import Images
from vlae.data.readers import check_unchanged, identify
from vlae.data.sharding import SHARD, Share, in_memory
from vlae.data.source import ReadSettings, Source
from vlae.data.streams import is_streamed
from vlae.evaluation.rates import rates_of
from vlae.lance_tables import alone, as_place
from vlae.models.base import LatentModel
from vlae.models.devices import exact_convolutions
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, given
from vlae.nn.folding import fold_norms
from vlae.runs import Run
from vlae.shapes import is_image, level_column

PART = 8_192
"""Rows of one part. A stop loses at most this much work."""

DRAWS = 1_024
"""Rows whose random draws are made together."""

DONE = "done.json"
"""The file in the folder of parts that describes what they are parts of."""


def encode(
    run: Run,
    source: Source,
    out: str | Path,
    *,
    split: Literal["train", "test", "all"] = "all",
    limit: int | None = None,
    stream: bool = False,
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
    key: str | None = None,
    id: str | None = None,
    stddev: bool = False,
    sample: bool = False,
    reconstruction: bool = True,
    seed: int = 0,
    shard: str | Share | None = None,
    add: bool = False,
    progress: bool = False,
) -> str | Path:
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

    A Lance data set needs no such folder: each part is a commit to it. So it can lie in an object store, and takes
    part after part; until all are there, nothing reads it as a file of codes.

    Args:
        run: a run of any model that has an encoder; `vlae.load(PATH, accelerator="gpu")` opens it on a GPU.
        source: a path, a name ("streets", "hf:NAME", "USER/NAME"), `Images`, or an array: (N, H, W), (N, H, W, C) or
            (N, C, H, W) images, uint8 or floats in [0, 1], or (N, D) vectors. Pictures of another size are cropped and
            resized like the training images.
        out: a .parquet file, an .npz file, a .lance data set, also in an object store ("s3://bucket/codes.lance"), or
            (a name without an ending) the folder of a Hugging Face data set.
        split: the part of the source: "train", "test" or "all".
        limit: the most rows to encode, chosen at random, 1 or more. None: all rows.
        stream: whether to read the source shard by shard, and never as a whole (`vlae.data.open_stream`). .tar shards,
            addresses of object storage and iterable data sets are always read so.
        layout: the order of an array's dimensions: "NHW", "NHWC" or "NCHW". None: inferred from the shape.
        key: the array of an .npz file, or the column of a table, that holds the images. None: inferred.
        id: the column of a table that names the rows. None: that of the run's own table.
        stddev: whether to write the posterior standard deviations.
        sample: whether to write a draw from each posterior.
        reconstruction: whether to write the reconstruction error. It needs the decoder, and so takes longer.
        seed: seed of the draws and of the choice of rows, 0 or more.
        shard: "i/n": encode only part i of n equal parts of the source, to a .parquet file that `vlae.merge` takes.
            None: all of it.
        add: whether to add to a .lance data set what is new in its source, told by the names of the data.
        progress: whether to show a progress bar, and to print on the error output which pictures are skipped or
            resized.

    Returns:
        The path of the file or folder, or its address: `out`.

    Raises:
        CodesError: if the output exists already, or has an unknown ending, or is one of another run, source or choice;
            if nothing can be added to it.
        MissingExtraError: if the output is a Lance data set, and LanceDB is not installed.
        NotDefinedError: if the model has no encoder.
        DataError: if the source cannot be read, or changes while it is encoded.
        ValueError: if the data do not have the run's shape.
        WriteError: if the output cannot be written, or another process writes it.
    """
    out = as_place(out)
    kind = files.kind_of(out)
    shard = Share.parse(shard)
    if shard is not None and kind != "parquet":
        raise CodesError(
            f"{out}: a shard is written to a .parquet file; vlae merge makes any kind of file of all shards"
        )
    stream = stream or is_streamed(source)
    if add and (kind != "lance" or shard is not None or stream or split != "all" or limit is not None):
        raise CodesError(
            f"{out}: only a .lance data set of a whole source is added to; leave out --add, and encode new data to a "
            "file of its own"
        )
    if isinstance(out, Path) and kind != "lance":
        files.check_new(out)
    target = LanceCodes(out) if kind == "lance" else None  # fail before anything is read
    how: dict[str, Any] = {"layout": layout, "key": key, "id": id}
    columns: dict[str, Any] = {"stddev": stddev, "sample": sample, "reconstruction": reconstruction, "seed": seed}
    content = columns | {"limit": limit}
    if stream:
        from vlae.codes.streaming import encode_stream

        if split != "all" or limit is not None:
            raise ValueError("split and limit need a source that is read as a whole; leave them out, or stream")
        return encode_stream(run, source, out, shard=shard, **how, **columns, progress=progress)
    settings = ReadSettings(**run.reading(source, layout=layout, key=key, id=id))
    fingerprint = identify(source, settings)[0] if isinstance(source, str | Path) else None
    images = run.read(source, split=split, limit=limit, **how, seed=seed, progress=progress, shard=shard)
    about = {**identity(run), "source": images.source, "split": split, "num": len(images)}
    about["label_names"] = list(images.label_names)
    if shard is not None:
        about[SHARD] = shard.record(images.total, fingerprint or in_memory(source), {**content, **how})
    encoder = Encoder(run.model, **columns)
    if target is not None:
        about |= {"source_hash": _hash_of(images, fingerprint), SETTINGS: content | how | {"rows_per_part": PART}}
        about[PATH] = str(Path(source).resolve()) if fingerprint and Path(source).exists() else images.source
        with alone(out, f"writes {out}"):
            if add:
                _add_parts(encoder, images, target, about, progress)
            else:
                _commit_parts(encoder, images, target, about, progress)
            if fingerprint is not None:
                _check_source(source, settings, fingerprint, (lambda: None) if add else target.drop)
        return out
    out = Path(out)
    with parts_folder(out, {**about, **content, "source_is": fingerprint}) as folder:
        parts = list(_write_parts(encoder, images, folder, about, progress))
        if fingerprint is not None:
            _check_source(source, settings, fingerprint, lambda: remove(folder))
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


def _check_source(source: Any, settings: ReadSettings, fingerprint: str, forget: Callable[[], None]) -> None:
    """Check that the source has not changed. If it has, forget the parts."""
    try:
        check_unchanged(source, settings, fingerprint)
    except ValueError:
        forget()
        raise


def _hash_of(images: Images, fingerprint: str | None) -> str:
    """A hash of a source: of its files' names, sizes and times, or of the data themselves if they are no files."""
    if fingerprint is None:
        return digest(content_hashes(images.values))
    return blake2b(fingerprint.encode(), digest_size=16).hexdigest()


# Parts ---------------------------------------------------------------------------------------------------------------


@contextmanager
def parts_folder(out: Path, description: dict[str, Any]) -> Iterator[Path]:
    """Make the hidden folder of finished parts. It stays after a stop, and is removed when all is done.

    Parts of another run, source or choice of columns are removed first. So are parts of an array, because an array
    cannot be identified.

    Args:
        out: the output.
        description: what the parts belong to, as JSON values.

    Yields:
        The folder.
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
    """Encode the parts that are missing to files of a folder, and yield all parts in order."""
    from pyarrow import parquet

    def write(number: int, rows: Any) -> None:
        with whole(folder / f"{number:06d}.parquet") as file:
            parquet.write_table(rows, file)

    there = {int(part.stem) for part in folder.glob("[0-9]*.parquet")}
    _encode_parts(encoder, images, there, write, about, progress)
    last = images.first + len(images)
    yield from (folder / f"{number:06d}.parquet" for number in range(images.first // PART, -(-last // PART)))


def _commit_parts(
    encoder: "Encoder", images: Images, target: LanceCodes, about: dict[str, Any], progress: bool
) -> None:
    """Encode the parts that are missing to a Lance data set."""
    target.check(about)
    _encode_parts(encoder, images, target.parts(PART), lambda _, rows: target.write(rows), about, progress)
    target.check_whole(len(images))


def _add_parts(encoder: "Encoder", images: Images, target: LanceCodes, about: dict[str, Any], progress: bool) -> None:
    """Encode what a Lance data set does not have yet, and add it."""
    first = images.take([0])
    columns = source_columns(first, 0) | encoder.columns(first.values, features=first.features)
    images, new, about = target.grow(images, about, columns)
    num = len(target)
    if progress:
        print(f"{len(new):,} of {len(images):,} are new", file=sys.stderr)
    if not len(new):
        return
    _encode_parts(encoder, images, (), lambda _, rows: target.write(rows), about, progress, rows=new, first=num)
    target.check_whole(num + len(new), "rows of one name may be there twice; remove these")


def _encode_parts(
    encoder: "Encoder",
    images: Images,
    there: Collection[int],
    write: Callable[[int, Any], None],
    about: dict[str, Any],
    progress: bool,
    *,
    rows: np.ndarray | None = None,
    first: int | None = None,
) -> None:
    """Encode the parts that are missing. One part is written while the next is encoded.

    Args:
        encoder: encodes them.
        images: all of them.
        there: the numbers of the parts that are there already.
        write: called with the number of each other part and its Arrow table, in order.
        about: what made the codes, as JSON values.
        progress: whether to show a bar.
        rows: which of the images to encode, int64 (n,). None: all.
        first: the number that the first of them gets. None: that of the first image in its source.
    """
    num, first = len(images) if rows is None else len(rows), images.first if first is None else first
    with progress_bar("Encoding", num, progress) as advance, ThreadPoolExecutor(1) as writer:
        written = None
        last = first + num
        for number in range(first // PART, -(-last // PART)):
            start, stop = max(first, number * PART), min(last, (number + 1) * PART)
            if number in there:
                advance(stop - start)
                continue
            chosen = slice(start - first, stop - first)
            part = images.take(chosen if rows is None else rows[chosen])
            columns = source_columns(part, start) | encoder.columns(part.values, start, advance, features=part.features)
            if written is not None:
                written.result()
            written = writer.submit(write, number, files.as_table(columns, about))
        if written is not None:
            written.result()


def source_columns(rows: Images, start: int) -> dict[str, Any]:
    """Return the columns that come from the source: the row, its name and its label.

    Args:
        rows: some rows of it.
        start: the number of the first.
    """
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

    Norms are folded into the layers before them. Maps have channels last in memory. On the processor a batch is small
    enough for its maps to stay in the caches; on a GPU it is large, and nothing waits for it before the rows are done.

    Args:
        model: any model that has an encoder; where it is, there it computes.
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
        if is_image(model.shape):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stddev, self.sample, self.reconstruction, self.seed = stddev, sample, reconstruction, seed
        most, pixels = (256, 2**18) if model.device.type == "cpu" else (4096, 2**22)
        self.batch_size = min(most, max(16, pixels // prod(model.shape[1:]))) if is_image(model.shape) else 4 * most

    def columns(
        self,
        values: np.ndarray,
        rows: int | np.ndarray = 0,
        advance: Callable[[int], None] | None = None,
        *,
        features: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute codes, KL in nats, and reconstruction error.

        Args:
            values: uint8 (n, C, H, W) images, 0 to 255, or float32 (n, D) vectors.
            rows: the number of the first row in the whole source, 0 or more; or of each, int64 (n,). They decide the
                draws.
            advance: a function that is called with the size of each batch when it is done.
            features: of the full-size pictures, (n, F). None: a model that reads features computes them from the
                values.

        Returns:
            The columns by name: float32 (n,), or (n, code size).
        """
        batches: list[tuple[CodeDistribution, ...]] = []
        errors: list[torch.Tensor] = []
        with torch.inference_mode(), exact_convolutions():
            for at in range(0, len(values), self.batch_size):
                x = as_input(values[at : at + self.batch_size], self.model.device)
                batches.append(self.model.infer(x, **given(features, at, self.batch_size, self.model.device)))
                if self.reconstruction:
                    decoded = self.model.decode(tuple(q.mean for q in batches[-1]))
                    errors.append(error_of(self.model, decoded, x))
                if advance is not None:
                    advance(len(x))
            # The posteriors are small, so all batches are handled at once.
            posteriors = tuple(type(level[0]).cat(level) for level in zip(*batches, strict=True))
            numbers = np.arange(rows, rows + len(values)) if isinstance(rows, int) else rows
            columns = self._code_columns(posteriors, numbers)
            if self.reconstruction:
                columns["reconstruction_error"] = torch.cat(errors)
            return {name: tensor.cpu().numpy() for name, tensor in columns.items()}

    def _code_columns(self, posteriors: tuple[CodeDistribution, ...], rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the columns of codes and KL, by name."""
        rates = rates_of(self.model, posteriors)
        columns: dict[str, torch.Tensor] = {}
        for level in self.model.levels_with_code:
            q, name = posteriors[level - 1], level_column(level)
            columns[name] = q.mean
            if self.stddev:
                columns[f"{name}_stddev"] = q.stddev
            if self.sample:
                columns[f"{name}_sample"] = q.place(_noise((self.seed, level), rows, q.mean))
            columns[f"{name}_kl_nats"] = rates[level - 1]
        return {**columns, "kl_nats": rates.sum(0)}


def _noise(seed: tuple[int, int], rows: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Standard normal noise that depends on the numbers of the rows alone, however these are cut into parts.

    Args:
        seed: of the draws, and the level.
        rows: their numbers, int64 (n,).
        like: its shape, type and device are taken, (n, code size).
    """
    noise = np.empty(like.shape)
    for block in np.unique(rows // DRAWS).tolist():
        of_block = rows // DRAWS == block
        draws = np.random.default_rng((*seed, block)).standard_normal((DRAWS, *like.shape[1:]))
        noise[of_block] = draws[rows[of_block] % DRAWS]
    return torch.from_numpy(noise).to(like)
