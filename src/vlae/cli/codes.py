"""Put a run's codes to use: files of codes, odd images, search and mixing."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from vlae.cli.options import Part, level_numbers


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
) -> None:
    """Write the codes of images to a file, one row per image and one column per level; run again, it goes on.

    Args:
        run: Folder of the run.
        source: Images, as for train; those of another size are cut and resized as in training.
        out: A .parquet or .npz file, or, without an ending, the folder of a Hugging Face data set.
        part: Which part of it, and how it is read.
        stddev: Also write how sure the codes are.
        sample: Also write a draw from each posterior.
        reconstruction: Also write how well the codes give each image back, which takes the decoder's time as well.
        seed: Of what is drawn.
    """
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
    print(written)


def decode(run: Path, file: Path, /, *, out: Path) -> None:
    """Write the pictures of a file of codes.

    Args:
        run: Folder of the run that made the codes.
        file: What encode has written, or a table with the same columns.
        out: A folder for PNG files, or an .npz file.
    """
    from vlae.codes import encode as encoding
    from vlae.runs.run import load

    print(encoding.decode(load(run), file, out, progress=True))


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
) -> None:
    """List the strangest images by level, and altogether, as a table and a figure.

    Args:
        run: Folder of the run.
        source: Images, as for encode.
        level: This level alone, counted from 1.
        num: How many by each level.
        part: Which part of it, and how it is read.
        out: PNG file of the figure; by default figures/odd.png in the run's folder.
        table: Write the table to this .csv or .parquet file, instead of printing it.
        seed: Of what is chosen and drawn.
    """
    from vlae.codes import outliers
    from vlae.runs.run import load

    trained = load(run)
    images = trained.read(source, seed=seed, progress=True, **vars(part))
    found = outliers.find(trained, images, level=level, seed=seed)
    rows = found.rows(num)
    if table is None:
        print(outliers.as_text(rows))
    else:
        outliers.write_table(rows, table)
        print(table)
    print(outliers.draw(trained, found, num, out))


def index(
    run: Path,
    source: str,
    /,
    *,
    out: Path | None = None,
    add: Annotated[bool, Parameter(negative=())] = False,
    part: Part = Part(),
) -> None:
    """Index images for search by level: a LanceDB table with one vector column per level.

    Args:
        run: Folder of the run whose codes are indexed.
        source: Images, as for train; they are cut and resized as in training.
        out: Folder of the index; by default index in the run's folder.
        add: Add to the index that is there, all that is not yet in it.
        part: Which part of it, and how it is read.
    """
    from vlae.runs.run import load
    from vlae.search.index import Index

    trained = load(run)
    old = Index.open(trained, out) if add else None
    images = trained.read(source, progress=True, **vars(part))
    if old is None:
        made = Index.build(trained, images, out, progress=True)
        print(f"{len(made)} images in {made.path}")
    else:
        num = old.add(images, progress=True)
        print(f"{num} images added, {len(images) - num} were there; {len(old)} images in {old.path}")


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
) -> None:
    """Find the images of an index that are nearest to one by a level; by several, by each and by all together.

    Distances are in units of the level's spread: 1 is as far as two images of the index taken at random.

    Args:
        run: Folder of the run.
        image: A picture file, or the name of an image in the index.
        level: By this level, 1 nearest the pixels; may be given several times. By default by every level.
        num: How many.
        where: Only among images for which this SQL condition holds, as "label = 3".
        index: Folder of the index; by default index in the run's folder.
        out: PNG file of the figure; by default figures/similar.png in the run's folder.
        table: New CSV file for the table, with all that is known of each image.
    """
    from vlae.runs.run import load
    from vlae.search.index import Index

    trained = load(run)
    found = Index.open(trained, index).similar(image, levels=level, num=num, where=where)
    if table is not None:
        found.save_table(table)
    path = out or trained.outputs / "figures" / "similar.png"
    found.figure(path)
    print(f"{found}\n{path}")


def mix(
    run: Path,
    /,
    *,
    level: list[tuple[str, Path]],
    base: Path | None = None,
    out: Path | None = None,
) -> None:
    """Mix a picture by example: --level 1 a.png --level 3,4 b.png: level 1 like one image, levels 3 and 4 like another.

    Args:
        run: Folder of the run.
        level: Levels, with commas between, and the picture file that gives them; may be given several times.
        base: Picture file that gives all other levels; by default the last of the examples.
        out: PNG file of the figure; by default figures/mixed.png in the run's folder.
    """
    from vlae.codes.mix import mix as mix_by_example
    from vlae.runs.run import load

    examples: dict[int | tuple[int, ...], Any] = {}
    for levels, image in level:
        chosen = level_numbers(levels)
        if chosen in examples:
            raise ValueError(f"levels {levels} are given twice; say of each level once what it is like")
        examples[chosen] = image
    trained = load(run)
    path = out or trained.outputs / "figures" / "mixed.png"
    mix_by_example(trained, examples, base=base).figure(path)
    print(path)
