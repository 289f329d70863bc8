"""The commands that search images by a run's codes, and mix them."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from PIL.Image import Image

from vlae.atomic import check_free
from vlae.cli import checks
from vlae.cli.options import AsJson, Part, Seed, level_numbers
from vlae.cli.output import print, print_json, print_path
from vlae.names import quoted


def index(
    run: Path,
    source: str,
    /,
    *,
    out: str | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    pictures: bool = True,
    part: Part = Part(),
    stream: Annotated[bool, Parameter(negative=())] = False,
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
        stream: Read the source shard by shard, and never hold all of it: as for train.
        shard: i/n: only part i of n equal parts, from 1/n to n/n, so that n processes share the work; vlae merge joins
            their indexes.
        accelerator: Where the run computes: auto (a GPU if there is one), cpu, gpu or mps.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.data.sharding import Share
    from vlae.data.streams import is_streamed

    cut = Share.parse(shard)
    if cut is not None and (add or out is None):
        raise ValueError(f"shard {cut} is an index of its own; give its folder (--out), and leave out --add")
    checks.check_source(source, streamed=stream or is_streamed(source))
    checks.check_run(run)
    if add:
        checks.check_index(run, out)
    from vlae.data.source import counted
    from vlae.lance_tables import as_place
    from vlae.runs.contents import contents_of
    from vlae.runs.opening import load
    from vlae.search.index import FOLDER, Index, check_new
    from vlae.search.shards import record_of

    trained = load(run, accelerator=accelerator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this very command may go on with what is unfinished
        old = Index.open(trained, out) if add else None
    if old is None:
        check_new(trained.outputs / FOLDER if out is None else as_place(out))
    contents = contents_of(trained, source, shard=cut, stream=stream, progress=True, **vars(part))
    record = record_of(trained, source, contents, cut, layout=part.layout, key=part.key, id=part.id)
    datum = "row" if contents.form.is_vectors else "image"
    given = {"out": out, "shard": cut, **vars(part)} | {"split": None if part.split == "all" else part.split}
    flags = {"add": add, "no-pictures": not pictures, "stream": stream}
    command = f"vlae index {quoted(run)} {quoted(source)}"
    command += "".join(f" --{name}" for name, is_set in flags.items() if is_set)
    command += "".join(f" --{name} {quoted(value)}" for name, value in given.items() if value is not None)
    try:
        if old is None:
            index = Index.build(
                trained, contents, out, pictures=pictures, command=command, record=record, progress=True
            )
            num = len(index)
        else:
            index, num = old, old.add(contents, command=command, progress=True)
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
        there = "" if contents.stream is not None else f", {contents.num - num} were there"
        print(f"{counted(num, datum)} added{there}; {len(index)} in {index.path}")


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
    checks.check_from(1, num=num)
    for each in level or ():
        checks.check_from(1, level=each)
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
    seed: Seed = 0,
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
