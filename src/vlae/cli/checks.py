"""What a command refuses before PyTorch is imported: what its words and the file system tell by themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECIPES = (
    *("lean", "joint", "vae", "hvae", "lvae", "infogan", "implicit"),
    *("mnist", "svhn", "celeba", "lsun", "m1", "m2", "m1+m2"),
)
"""The names of `vlae.recipes.RECIPES`."""


def check_source(*sources: str | Path | None, streamed: bool = False) -> None:
    """Check that there is such a file, folder or name.

    Args:
        sources: data to read; None: none is given.
        streamed: whether they are read shard by shard; then nothing is checked before they are opened.

    Raises:
        FileNotFoundError: if a source is a path, and nothing is there.
        DataError: if it is a pipe or a device.
    """
    from vlae.data.readers import check_exists

    for source in sources:
        if source is not None and not streamed:
            check_exists(source)


def check_run(*runs: Path) -> None:
    """Check that there are such runs; those on the hub are not looked for.

    Args:
        runs: folders, or names of runs.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if the folder holds no run.
    """
    from vlae.runs.layout import find_run

    for run in runs:
        find_run(run)


def check_index(run: Path, index: str | Path | None) -> None:
    """Check that there is a folder for the index of a run; whether it is one is seen when it is opened.

    Args:
        run: the run's folder or name.
        index: the folder of the index, or its address, which is not looked for; None: that of the run.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if there is no such run.
    """
    from vlae.lance_tables import as_place
    from vlae.names import quoted
    from vlae.runs.layout import INDEX, find_run

    path = find_run(run).outputs / INDEX if index is None else as_place(index)
    if isinstance(path, Path) and not path.exists():
        command = f"make one with: vlae index {quoted(run)} DATA --out {quoted(path)}"
        raise FileNotFoundError(f"there is no index {path}; {command}")


def check_out(*, figure: Path | None = None, table: Path | None = None, page: Path | None = None) -> None:
    """Check the names of files that are to be written.

    Args:
        figure: a PNG file, which may replace another; None: none is given.
        table: a new .csv or .parquet file; None: none is given.
        page: an HTML file, which may replace another; None: none is given.

    Raises:
        ValueError: if the name has another ending, or is that of a folder, or the table exists.
    """
    for file in (figure, page):
        if file is not None and file.is_dir():
            raise ValueError(f"{file} is a folder; give the name of a file to write")
    if figure is not None:
        from vlae.figures.canvas import check_png

        check_png(figure)
    if table is not None:
        from vlae.codes.files import check_new

        check_new(table, "table")


def check_figure(kind: str, options: Mapping[str, Any], from_image: Path | None, out: Path | None) -> None:
    """Check what is asked of a figure.

    Args:
        kind: the name of the figure.
        options: its options by name.
        from_image: the picture that it starts from; None: none is given.
        out: the file to write; None: none is given.

    Raises:
        ValueError: if there is no such figure or option, or the file is called no PNG file.
        FileNotFoundError: if there is no such picture.
    """
    from vlae.figures.options import check_kind

    if from_image is not None:
        if "start" in options:
            raise ValueError("a figure starts from one image or from start; give one of the two")
        options = {**options, "start": from_image}
    check_kind(kind, options, command=True)
    check_out(figure=out)
    check_source(from_image)


def check_from(least: int, **numbers: int | None) -> None:
    """Check numbers for which a least one is known.

    Args:
        least: the least that each may be.
        numbers: by the names of their options; None: not given.

    Raises:
        ValueError: if one is less.
    """
    from vlae.errors import check_whole

    for name, value in numbers.items():
        if value is not None:
            check_whole(name.replace("_", "-"), value, least)


def check_labels(labels: str | None) -> None:
    """Check a file of labels.

    Args:
        labels: all, a number, or a .csv file; None: none are given.

    Raises:
        DataError: if it is a file that is not there, or cannot be read.
    """
    from vlae.data.labels import check_labels as check

    check(labels)


def check_recipe(*names: str) -> None:
    """Check that there are such recipes.

    Args:
        names: of recipes.

    Raises:
        ValueError: if there is no such recipe.
    """
    for name in names:
        if name not in RECIPES:
            raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
