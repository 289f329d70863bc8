"""The commands that use a run's codes: files of codes, outliers, search and mixing."""

import shlex
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from PIL.Image import Image

from vlae.atomic import check_free
from vlae.cli import checks
from vlae.cli.options import AsJson, Part, level_numbers
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
    seed: int = 0,
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
    try:
        if ray is not None:
            from vlae.codes.cluster import encode_on_cluster

            written = encode_on_cluster(
                trained,
                source,
                out,
                address=ray,
                workers=workers,
                accelerator=accelerator,
                stream=stream,
                layout=part.layout,
                key=part.key,
                id=part.id,
                stddev=stddev,
                sample=sample,
                reconstruction=reconstruction,
                seed=seed,
                progress=True,
            )
        else:
            written = encoding.encode(
                trained,
                source,
                out,
                **vars(part),
                stream=stream,
                stddev=stddev,
                sample=sample,
                reconstruction=reconstruction,
                seed=seed,
                shard=cut,
                add=add,
                progress=True,
            )
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


def decode(run: Path, file: str, /, *, out: Path, seed: int = 0) -> None:
    """Decode a file of codes to pictures.

    Levels that have no column in the file are drawn from the run's prior, given the others.

    Args:
        run: Folder of the run that made the codes; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        file: A file of codes that vlae encode has written, also in an object store, or a table with the same columns.
        out: A folder for PNG files, or an .npz file.
        seed: Seed of the draws of missing levels.
    """
    from vlae.codes.files import check_decoded, check_there

    checks.check_run(run)
    check_there(file)
    check_decoded(out)
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
    out: Path | None = None,
    table: Path | None = None,
    seed: int = 0,
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
        reference: Search neighbours among this many of the images, chosen at random; by default all. Among more than
            20,000 a graph finds nearly all of them; how many is printed.
        part: Which part of the source to use, and how to read it.
        out: PNG file of the figure; by default figures/odd.png in the run's folder, with a number if that is another.
        table: Write the table to this new .csv or .parquet file instead of printing it.
        seed: Seed of all random choices.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_source(source)
    checks.check_run(run)
    checks.check_out(figure=out, table=table)
    from vlae.codes import outliers
    from vlae.runs.opening import load

    trained = load(run, accelerator=accelerator)
    images = trained.read(source, seed=seed, progress=True, **vars(part))
    result = outliers.find_outliers(trained, images, level=level, reference=reference, seed=seed)
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
    seed: int = 0,
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
    if classified.error is not None:
        print(f"wrong, of those with a label  {classified.error:.2%}")
    print(out)


def index(
    run: Path,
    source: str,
    /,
    *,
    out: str | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    pictures: bool = True,
    part: Part = Part(),
    shard: str | None = None,
    accelerator: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Build an index of images for search by level: a LanceDB table with one vector column per level.

    Images are added by commits. If the command is stopped, the same command continues where it stopped.

    Args:
        run: Folder of the run that encodes the images; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to index: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images.
        out: Folder of the index, or its address in an object store (s3://BUCKET/NAME); by default index in the run's
            folder.
        add: Add the images to an index that exists. Images that it already has are left out.
        pictures: Keep the pictures in the index. Without them it is smaller.
        part: Which part of the source to use, and how to read it.
        shard: i/n: only part i of n equal parts, from 1/n to n/n, so that n processes share the work; vlae merge joins
            their indexes.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.data.sharding import Share

    cut = Share.parse(shard)
    if cut is not None and (add or out is None):
        raise ValueError(f"shard {cut} is an index of its own; give its folder (--out), and leave out --add")
    checks.check_source(source)
    checks.check_run(run)
    if add:
        checks.check_index(run, out)
    from vlae.data.source import counted
    from vlae.runs.opening import load
    from vlae.search.index import Index
    from vlae.search.shards import read_shard

    trained = load(run, accelerator=accelerator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this very command may go on with what is unfinished
        old = Index.open(trained, out) if add else None
    images, record = read_shard(trained, source, cut, progress=True, **vars(part))
    datum = "row" if images.is_vectors else "image"
    given = {"out": out, "shard": cut, **vars(part)} | {"split": None if part.split == "all" else part.split}
    command = (
        f"vlae index {shlex.quote(str(run))} {shlex.quote(source)}{' --add' * add}{' --no-pictures' * (not pictures)}"
    )
    command += "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)
    try:
        if old is None:
            index = Index.build(trained, images, out, pictures=pictures, command=command, record=record, progress=True)
            num = len(index)
        else:
            index, num = old, old.add(images, command=command, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from here") from None
    recall = {name: asdict(each) for name, each in index.state.recall.items()}
    if as_json:
        print_json({"path": index.path, "images": len(index), "added": num, "recall": recall})
        return
    for name, each in index.state.recall.items():
        print(f"{name}: recall@10 {each.recall:.3f}, in {each.nprobes} of {each.partitions} partitions")
    if old is None:
        print(f"{counted(num, datum)} in {index.path}")
    else:
        print(f"{counted(num, datum)} added, {len(images) - num} were there; {len(index)} in {index.path}")


def similar(
    run: Path,
    image: str,
    /,
    *,
    level: list[int] | None = None,
    num: int = 10,
    where: str | None = None,
    index: str | None = None,
    out: Path | None = None,
    table: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Find the nearest neighbours of one image, by each level and by all chosen levels together.

    A distance of 1 is the root mean square distance between two random images of the index.

    Args:
        run: Folder of the run that made the index; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        image: A picture file, or the name of an image in the index.
        level: Compare by this level; level 1 is nearest the pixels. Repeat for several levels. By default, all levels.
        num: Number of neighbours.
        where: An SQL condition on the index's columns, for example "label = 3". By default, all images are searched.
        index: Folder of the index, or its address in an object store; by default index in the run's folder.
        out: PNG file of the figure; by default figures/similar-IMAGE.png in the run's folder, with a number if that is
            another.
        table: Also write the table, with all columns of the index, to this new CSV file.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_run(run)
    checks.check_out(figure=out)
    if table is not None:
        check_free(table, "choose another name for the table")
    checks.check_index(run, index)
    from vlae.runs.drawing import name_of
    from vlae.runs.layout import FIGURES
    from vlae.runs.opening import load
    from vlae.search.index import Index

    trained = load(run)
    neighbours = Index.open(trained, index).similar(image, levels=level, num=num, where=where)
    if table is not None:
        neighbours.save_table(table)
    name = name_of("similar", {}, image).replace("-from-", "-")
    kept = _kept(neighbours.figure(out), out, trained.outputs / FIGURES / f"{name}.png")
    if as_json:
        print_json({"neighbours": neighbours.table.to_pylist(), "figure": kept, "table": table})
    else:
        print(f"{neighbours}\n{kept}")


def mix(
    run: Path,
    /,
    *,
    level: list[tuple[str, Path]],
    base: Path | None = None,
    fill: Annotated[bool, Parameter(negative=())] = False,
    seed: int = 0,
    out: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Mix the levels of several pictures into one.

    For example, --level 1 a.png --level 3,4 b.png takes level 1 from a.png, and levels 3 and 4 from b.png.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        level: Level numbers, separated by commas, and the picture file they come from. Repeat for several pictures.
        base: Picture file that all other levels come from; by default the last --level picture.
        fill: Draw all other levels from the run's prior, given those that are taken, instead of a picture.
        seed: Seed of that draw.
        out: PNG file of the figure; by default figures/mixed.png in the run's folder, with a number if that is another.
        as_json: Print JSON, one line, instead of text.
    """
    examples: dict[int | tuple[int, ...], Any] = {}
    for levels, image in level:
        chosen = level_numbers(levels)
        if chosen in examples:
            raise ValueError(f"levels {levels} are given twice; give each level once")
        examples[chosen] = image
    if fill and base is not None:
        raise ValueError("the other levels come from the base or are drawn; give base or fill, not both")
    checks.check_run(run)
    checks.check_source(base, *examples.values())
    checks.check_out(figure=out)
    from vlae.codes.mix import mix as mix_by_example
    from vlae.runs.layout import FIGURES
    from vlae.runs.opening import load

    trained = load(run)
    mixed = mix_by_example(trained, examples, base=base, fill=fill, seed=seed)
    print_path(_kept(mixed.figure(out), out, trained.outputs / FIGURES / "mixed.png"), as_json=as_json)


def _kept(figure: "Image", out: Path | None, own: Path) -> Path:
    """Keep a figure that was not written to a file of the caller's under a name of its own."""
    import numpy as np

    from vlae.figures.canvas import save_beside

    return save_beside(np.asarray(figure), own) if out is None else out
