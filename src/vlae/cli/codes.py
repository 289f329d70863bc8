"""The commands that use a run's codes: files of codes, outliers, search and mixing."""

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
    out: Path,
    part: Part = Part(),
    stddev: Annotated[bool, Parameter(negative=())] = False,
    sample: Annotated[bool, Parameter(negative=())] = False,
    reconstruction: bool = True,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Write the codes of images to a file: one row per image, one column per level.

    If the command is stopped, the same command continues where it stopped.

    Args:
        run: Folder of the run; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to encode: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images.
        out: A .parquet file, an .npz file, or (a name without an ending) the folder of a Hugging Face data set.
        part: Which part of the source to use, and how to read it.
        stddev: Also write the standard deviation of each posterior.
        sample: Also write a random draw from each posterior.
        reconstruction: Also write the error of each reconstruction: mean squared error per pixel; of vectors, standard
            deviations.
        seed: Seed of the draws and of the choice of --limit.
        as_json: Print JSON, one line, instead of text.
    """
    from vlae.codes.files import check_new, kind_of

    checks.check_source(source)
    checks.check_run(run)
    kind_of(out)
    check_new(out)
    from vlae.codes import encode as encoding
    from vlae.runs.run import load

    trained = load(run)
    try:
        written = encoding.encode(
            trained,
            source,
            out,
            **vars(part),
            stddev=stddev,
            sample=sample,
            reconstruction=reconstruction,
            seed=seed,
            progress=True,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on from here") from None
    print_path(written, as_json=as_json)


def decode(run: Path, file: Path, /, *, out: Path, seed: int = 0) -> None:
    """Decode a file of codes to pictures.

    Levels that have no column in the file are drawn from the run's prior, given the others.

    Args:
        run: Folder of the run that made the codes; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        file: A file of codes that vlae encode has written, or a table with the same columns.
        out: A folder for PNG files, or an .npz file.
        seed: Seed of the draws of missing levels.
    """
    from vlae.codes.files import check_decoded, check_there

    checks.check_run(run)
    check_there(file)
    check_decoded(out)
    from vlae.codes.decode import decode
    from vlae.runs.run import load

    print(decode(load(run), file, out, seed=seed, progress=True))


def odd(
    run: Path,
    source: str,
    /,
    *,
    level: int | None = None,
    num: int = 12,
    part: Part = Part(),
    out: Path | None = None,
    table: Path | None = None,
    seed: int = 0,
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
        part: Which part of the source to use, and how to read it.
        out: PNG file of the figure; by default figures/odd.png in the run's folder, with a number if that is another.
        table: Write the table to this new .csv or .parquet file instead of printing it.
        seed: Seed of all random choices.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_source(source)
    checks.check_run(run)
    checks.check_out(figure=out, table=table)
    from vlae.codes import outliers
    from vlae.runs.run import load

    trained = load(run)
    images = trained.read(source, seed=seed, progress=True, **vars(part))
    result = outliers.find_outliers(trained, images, level=level, seed=seed)
    rows = result.rows(num)
    if table is not None:
        outliers.write_table(rows, table)
    figure = outliers.draw(trained, result, num, out)
    if as_json:
        print_json({"outliers": rows, "table": table, "figure": figure})
        return
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
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_source(source)
    checks.check_run(run)
    checks.check_out(table=out)
    from vlae.codes import classify, outliers
    from vlae.runs.run import load

    trained = load(run)
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
    out: Path | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    part: Part = Part(),
    as_json: AsJson = False,
) -> None:
    """Build an index of images for search by level: a LanceDB table with one vector column per level.

    Args:
        run: Folder of the run that encodes the images; or "streets" or "mnist", which ship with vlae; or hf:USER/NAME.
        source: Images to index: a folder of pictures; a .npy, .npz, .csv, .tsv or .parquet file; a Hugging Face data
            set; the files of MNIST, SVHN or CelebA; or "streets", the built-in street numbers. Images of another size
            are cropped and resized like the training images.
        out: Folder of the index; by default index in the run's folder.
        add: Add the images to an index that exists. Images that it already has are left out.
        part: Which part of the source to use, and how to read it.
        as_json: Print JSON, one line, instead of text.
    """
    checks.check_source(source)
    checks.check_run(run)
    if add:
        checks.check_index(run, out)
    from vlae.data.source import counted
    from vlae.runs.run import load
    from vlae.search.index import Index

    trained = load(run)
    old = Index.open(trained, out) if add else None
    images = trained.read(source, progress=True, **vars(part))
    datum = "row" if images.is_vectors else "image"
    index = Index.build(trained, images, out, progress=True) if old is None else old
    num = len(index) if old is None else old.add(images, progress=True)
    if as_json:
        print_json({"path": index.path, "images": len(index), "added": num})
    elif old is None:
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
    index: Path | None = None,
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
        index: Folder of the index; by default index in the run's folder.
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
    from vlae.runs.run import load
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
    from vlae.runs.run import load

    trained = load(run)
    mixed = mix_by_example(trained, examples, base=base, fill=fill, seed=seed)
    print_path(_kept(mixed.figure(out), out, trained.outputs / FIGURES / "mixed.png"), as_json=as_json)


def _kept(figure: "Image", out: Path | None, own: Path) -> Path:
    """Keep a figure that was not written to a file of the caller's under a name of its own."""
    import numpy as np

    from vlae.figures.canvas import save_beside

    return save_beside(np.asarray(figure), own) if out is None else out
