"""Images → a file of codes, written in parts that survive a stop: joined when all are done, or commits to Lance."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from vlae.atomic import remove, writing
from vlae.codes import files, parts
from vlae.codes.choice import Choice
from vlae.codes.encoder import Encoder
from vlae.codes.files import CodesError
from vlae.codes.lance import PATH, SETTINGS, LanceCodes
from vlae.data.content import content_hashes, digest
from vlae.data.readers import check_unchanged, identify
from vlae.data.sharding import SHARD, Share, in_memory
from vlae.data.source import ReadSettings, Source
from vlae.data.streams import is_streamed
from vlae.lance_tables import alone, as_place
from vlae.runs import Run


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
            f"{out}: only a .lance data set of a whole source is added to; leave out --add (add=), and encode new "
            "data to a file of its own"
        )
    if isinstance(out, Path) and kind != "lance":
        files.check_new(out)
    target = LanceCodes(out) if kind == "lance" else None  # fail before anything is read
    choice = Choice(
        stream=stream,
        layout=layout,
        key=key,
        id=id,
        stddev=stddev,
        sample=sample,
        reconstruction=reconstruction,
        seed=seed,
    )
    settings = choice.settings | {"limit": limit}
    if stream:
        from vlae.codes.streaming import encode_stream

        if split != "all" or limit is not None:
            raise ValueError("split and limit need a source that is read as a whole; leave them out, or stream")
        return encode_stream(run, source, out, choice, shard=shard, progress=progress)
    reading = ReadSettings(**run.reading(source, **choice.how))
    fingerprint = identify(source, reading)[0] if isinstance(source, str | Path) else None
    images = run.read(source, split=split, limit=limit, **choice.how, seed=seed, progress=progress, shard=shard)
    about = about_of(run, images.source, images.label_names, split)
    about |= {"num": len(images), PATH: path_of(source, images.source, fingerprint)}
    if shard is not None:
        about[SHARD] = shard.record(images.total, fingerprint or in_memory(source), settings)
    encoder = Encoder(run.model, **choice.columns)
    if target is not None:
        about["source_hash"] = hash_of(fingerprint) if fingerprint else digest(content_hashes(images.values))
        about[SETTINGS] = settings | {"rows_per_part": parts.PART}
        with alone(out, f"writes {out}"):
            target = LanceCodes(out)  # as it is now: another process may have written while the source was read
            if add:
                parts.add(encoder, images, target, about, progress)
            else:
                parts.commit(encoder, images, target, about, progress)
            if fingerprint is not None:
                _check_source(source, reading, fingerprint, (lambda: None) if add else target.drop)
        return out
    out = Path(out)
    with parts.parts_folder(out, {**about, **settings, "source_is": fingerprint}) as folder:
        written = list(parts.write_files(encoder, images, folder, about, progress))
        if fingerprint is not None:
            _check_source(source, reading, fingerprint, lambda: remove(folder))
        joined = folder / f"joined{out.suffix}"
        remove(joined)
        with writing(out):
            files.join(written, joined, kind)
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


def about_of(run: Run, source: str, label_names: Sequence[str], split: str = "all") -> dict[str, Any]:
    """Return what every file of codes says of what made it, as JSON values.

    Args:
        run: a run of any model.
        source: what the source is called.
        label_names: the names of the classes, class 0 first.
        split: the part of the source.
    """
    return {**identity(run), "source": source, "split": split, "label_names": list(label_names)}


def _check_source(source: Any, settings: ReadSettings, fingerprint: str, forget: Callable[[], None]) -> None:
    """Check that the source has not changed. If it has, forget the parts."""
    try:
        check_unchanged(source, settings, fingerprint)
    except ValueError:
        forget()
        raise


def path_of(source: Any, name: str, fingerprint: str | None) -> str:
    """Return where a source is, by which codes of a source that has grown are told: a path from the root, or its name.

    Args:
        source: as it was given.
        name: what it is called.
        fingerprint: of its files (`vlae.data.readers.identify`). None: it is not made of files.
    """
    return str(Path(source).resolve()) if fingerprint and Path(source).exists() else name


def hash_of(fingerprint: str) -> str:
    """Return a hash of a source.

    Args:
        fingerprint: of its files' names, sizes and times.
    """
    return blake2b(fingerprint.encode(errors="surrogateescape"), digest_size=16).hexdigest()
