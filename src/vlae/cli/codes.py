"""The commands that use a run's codes: files of codes, outliers, classes."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from vlae.cli import checks
from vlae.cli.options import AsJson, Part, Seed
from vlae.cli.output import print, print_json, print_path


def encode(
    run: Path,
    source: str,
    /,
    *,
    out: str,
    part: Part = Part(),
    stream: Annotated[bool, Parameter(negative=())] = False,
    stddev: Annotated[bool, Parameter(negative=())] = False,
    sample: Annotated[bool, Parameter(negative=())] = False,
    reconstruction: bool = True,
    seed: Seed = 0,
    shard: str | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    ray: str | None = None,
    workers: int | None = None,
    accelerator: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Write the codes of images to a file: one row per image, one column per level.

    If the command is stopped, the same command continues where it stopped.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to encode: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images.
        out: A .parquet file, an .npz file, a .lance data set, also in an object store (s3://BUCKET/NAME.lance), or (a
            name without an ending) the folder of a Hugging Face data set.
        part: Which part of the source to use, and how to read it.
        stream: Read the source shard by shard, and never hold all of it: as for train.
        stddev: Also write the standard deviation of each posterior.
        sample: Also write a random draw from each posterior.
        reconstruction: Also write the error of each reconstruction: mean squared error per pixel; of vectors, standard
            deviations.
        seed: Seed of the draws and of the choice of --limit.
        shard: i/n: only part i of n equal parts, from 1/n to n/n, so that n processes share the work; vlae merge joins
            their files.
        add: Add what is new in the source, told by the names of its data, to the .lance data set that --out has of it.
        ray: Let the workers of a Ray cluster encode, to a .lance data set: "local" starts a cluster here, "auto" takes
            that of this machine; or ray://HOST:10001, or HOST:6379.
        workers: How many of its workers encode, each on one processor; by default as many as it has processors,
            or four for each GPU.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.codes.files import check_new, kind_of
    from vlae.data.sharding import Share
    from vlae.data.streams import is_streamed
    from vlae.lance_tables import as_place

    cut = Share.parse(shard)
    if workers is not None and ray is None:
        raise ValueError("--workers is for --ray; start several processes with --shard instead")
    if ray is not None and (cut is not None or add or part.split != "all" or part.limit is not None):
        raise ValueError("--ray encodes a whole source; leave out --shard, --add, --split and --limit")
    checks.check_source(source, streamed=stream or is_streamed(source))
    checks.check_run(run)
    place = as_place(out)
    if isinstance(place, Path) and kind_of(place) != "lance":  # a Lance data set may go on
        check_new(place)
    from vlae.codes import encode as encoding
    from vlae.runs.opening import load

    trained = load(run, accelerator="cpu" if ray is not None else accelerator)
    options: dict[str, Any] = {"stream": stream, "stddev": stddev, "sample": sample, "reconstruction": reconstruction}
    options |= {"seed": seed, "progress": True}
    try:
        if ray is not None:
            from vlae.codes.cluster import encode_on_cluster

            options |= {"layout": part.layout, "key": part.key, "id": part.id}
            options |= {"address": ray, "workers": workers, "accelerator": accelerator}
            written = encode_on_cluster(trained, source, out, **options)
        else:
            written = encoding.encode(trained, source, out, **vars(part), **options, shard=cut, add=add)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from here") from None
    print_path(written, as_json=as_json)


def merge(out: str, /, *parts: str, as_json: AsJson = False) -> None:
    """Join the shards of a source to one file of codes, or to one index, as one process would have made it.

    Args:
        out: What to write: of files of codes, a .parquet or .npz file, a .lance data set, also in an object store, or
            (a name without an ending) the folder of a Hugging Face data set; of indexes, the folder of an index.
        parts: What vlae encode --shard, or vlae index --shard, has written: all shards, in any order.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.codes.files import check_there

    for part in parts:
        check_there(part)
    from vlae.merging import merge as merge_shards

    print_path(merge_shards(out, parts), as_json=as_json)


def decode(run: Path, file: str, /, *, out: Path, seed: Seed = 0) -> None:
    """Decode a file of codes to pictures.

    Levels that have no column in the file are drawn from the run's prior, given the others.

    Args:
        run: Folder of the run that made the codes; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        file: A file of codes that vlae encode has written, also in an object store, or a table with the same columns.
        out: A folder for PNG files, or an .npz file.
        seed: Seed of the draws of missing levels.
    """
    from vlae.codes.files import check_new, check_there

    checks.check_run(run)
    check_there(file)
    check_new(out, "pictures")
    from vlae.codes.decode import decode
    from vlae.runs.opening import load

    print(decode(load(run), file, out, seed=seed, progress=True))


def odd(
    run: Path,
    source: str,
    /,
    *,
    level: int | None = None,
    num: int = 12,
    reference: int | None = None,
    part: Part = Part(),
    stream: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    table: Path | None = None,
    seed: Seed = 0,
    accelerator: str = "auto",
    as_json: AsJson = False,
) -> None:
    """List the outliers of a data set, by each level and by the whole model, as a table and a figure.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to search: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images.
        level: Use this level only; level 1 is nearest the pixels. By default, all levels.
        num: Number of outliers by each level.
        reference: Search neighbours among this many of the images, chosen at random; by default all, up to a million.
            Among more than 20,000 a graph finds nearly all of them; how many is printed.
        part: Which part of the source to use, and how to read it.
        stream: Read the source shard by shard, and never hold all of it: as for train.
        out: PNG file of the figure; by default figures/odd.png in the run's folder, with a number if that is another.
        table: Write the table to this new .csv or .parquet file instead of printing it.
        seed: Seed of all random choices.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.data.streams import is_streamed

    checks.check_from(1, num=num, level=level)
    checks.check_from(12, reference=reference)
    stream = stream or is_streamed(source)
    checks.check_source(source, streamed=stream)
    checks.check_run(run)
    checks.check_out(figure=out, table=table)
    from vlae.codes import outliers
    from vlae.runs.contents import contents_of
    from vlae.runs.opening import load

    trained = load(run, accelerator=accelerator)
    outliers.levels_of(trained, level)
    if stream:
        images: Any = contents_of(trained, source, stream=True, progress=True, **vars(part))
    else:
        images = trained.read(source, seed=seed, progress=True, **vars(part))
    result = outliers.find_outliers(trained, images, level=level, reference=reference, seed=seed, progress=True)
    rows = result.rows(num)
    if table is not None:
        outliers.write_table(rows, table)
    figure = outliers.draw(trained, result, num, out)
    if as_json:
        print_json({"outliers": rows, "recall": result.recall, "table": table, "figure": figure})
        return
    if result.recall:
        found = ", ".join(f"{name} {recall:.3f}" for name, recall in result.recall.items())
        print(f"neighbours found by a graph: recall@{outliers.NEIGHBOURS} {found}", file=sys.stderr)
    print(outliers.as_text(rows) if table is None else table)
    print(figure)


def classify(
    run: Path,
    source: str,
    /,
    *,
    labels: str = "all",
    part: Part = Part(),
    out: Path | None = None,
    seed: Seed = 0,
    accelerator: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Name the class of images, by a run that learned from labels; any other run gets a classifier on its codes.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to classify: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face
            data set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another
            size are cropped and resized like the training images.
        labels: For a run that learned without labels: which labels of its training data a classifier on its codes may
            know: all, a number of them, or a .csv file of names and classes.
        part: Which part of the source to use, and how to read it.
        out: Write the class, and the probability of each, to this new .csv or .parquet file instead of printing them.
        seed: Seed of the choice of labels.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_source(source)
    checks.check_run(run)
    checks.check_labels(labels)
    checks.check_out(table=out)
    from vlae.codes import classify, outliers
    from vlae.runs.opening import load

    trained = load(run, accelerator=accelerator)
    images = trained.read(source, seed=seed, progress=True, **vars(part))
    classified = classify.classify(trained, images, labels=labels, seed=seed)
    if out is not None:
        outliers.write_table(classified.rows(), out)
    if as_json:
        print_json({"classes": classified.rows(), "error": classified.error, "table": out})
        return
    if out is None:
        print(classify.as_text(classified))
        return
    if classified.verdict:
        print(classified.verdict)
    print(out)
