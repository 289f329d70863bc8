"""The tables of docs/order.md and docs/comparison.md, from folders that `vlae compare` wrote; see README.md here."""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

NAMES = {
    "streets": "street numbers",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "omniglot_small": "Omniglot",
    "emoji": "emoji",
    "sprites": "sprites",
    "frey_faces": "Frey faces",
    "cifar10_part": "CIFAR-10",
    "photos": "600 photographs",
    "photos128": "600 photographs, 128 px",
}
SYSTEMS = ("vae", "hvae", "lvae", "joint", "before", "lean")
PACE = "images/s in training"
"""Is left out: several trainings run at once. `ladder_pace.py` measures it."""
COLUMNS = ("dataset", "system", "level", "measure", "median", "least", "most")

Spread = tuple[float, float, float]
"""Median, least and most."""

Measured = dict[str, dict[str, dict[str, Spread]]]
"""By data set, system and measure."""


def read(folders: Iterable[Path]) -> Measured:
    """What the comparisons in these folders say. Of FOLDER=before, only `lean` is taken, as `before`."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for each in folders:
        folder, _, name = str(each).partition("=")
        for file in sorted(Path(folder).glob("*/comparison.csv")):
            with file.open(newline="") as stream:
                for row in csv.DictReader(stream):
                    if name and row["system"] != "lean":
                        continue
                    if row["measure"] == PACE:
                        continue
                    measure = earlier(row["measure"]) if name else row["measure"]
                    values[file.parent.name, name or row["system"], measure].append(float(row["value"]))
    found: Measured = {}
    for dataset, title in NAMES.items():
        for system in SYSTEMS:
            for (data, of_system, measure), numbers in values.items():
                if (data, of_system) == (dataset, system):
                    spread = (float(np.median(numbers)), min(numbers), max(numbers))
                    found.setdefault(title, {}).setdefault(system, {})[measure] = spread
    return found


def earlier(measure: str) -> str:
    """A measure of the time when samples were drawn from N(0, I), by its name of today."""
    return f"{measure} of N(0, I)" if measure.endswith(", samples") else measure


def read_earlier(file: Path) -> Measured:
    """An earlier table of this program, in which `lean` is called `before`."""
    found: Measured = {}
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            system = "before" if row["system"] == "lean" else row["system"]
            if row["measure"] == PACE:
                continue
            measure = earlier(row["measure"]) + (f", level {row['level']}" if row["level"] else "")
            spread = (float(row["median"]), float(row["least"]), float(row["most"]))
            found.setdefault(row["dataset"], {}).setdefault(system, {})[measure] = spread
    return found


def write(measured: Measured, file: Path) -> None:
    """Writes one row for each data set, system and measure, with the columns of docs/tables."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for dataset, systems in measured.items():
            for system, measures in systems.items():
                for measure, spread in measures.items():
                    name, _, level = measure.partition(", level ")
                    writer.writerow([dataset, system, level, name, *(f"{value:.4g}" for value in spread)])


def middle(measures: Mapping[str, Spread], measure: str, form: str = ".2f", times: float = 1) -> str:
    """The median; nothing where it is not defined."""
    return f"{times * measures[measure][0]:{form}}" if measure in measures else ""


def spread(measures: Mapping[str, Spread], measure: str, form: str = ".2f") -> str:
    """The median, with the least and the most where they are shown differently."""
    if measure not in measures:
        return ""
    median, least, most = (f"{value:{form}}" for value in measures[measure])
    return median if least == most else f"{median} ({least} to {most})"


def by_level(measures: Mapping[str, Spread], measure: str, form: str = ".2f", times: float = 1) -> str:
    """The medians of all levels, level 1 first, with dots between."""
    levels = [f"{measure}, level {level}" for level in range(1, 9)]
    return " · ".join(middle(measures, each, form, times) for each in levels if each in measures)


Cell = Callable[[Mapping[str, Spread]], str]

LADDERS: dict[str, dict[str, Cell]] = {
    "Scores": {
        "squared error": partial(spread, measure="squared error", form=".4f"),
        "order": partial(spread, measure="level order"),
        "untrained": partial(middle, measure="level order, untrained"),
        "told": partial(spread, measure="told"),
        "told, untrained": partial(middle, measure="told, untrained"),
        "separation": partial(spread, measure="level separation"),
    },
    "Levels": {
        "class named, %": partial(by_level, measure="class probe", form=".0f", times=100),
        "by all levels": partial(middle, measure="class probe, all levels", form=".0f", times=100),
        "R² of brightness": partial(by_level, measure="brightness"),
        "active units": partial(by_level, measure="active units", form=".0f"),
        "KL, nats": partial(by_level, measure="KL (nats)", form=".0f"),
        "read back": partial(by_level, measure="read back"),
    },
    "Pictures": {
        kind: lambda measures, kind=kind: " · ".join(
            filter(
                None,
                (
                    middle(measures, f"Fréchet distance, {kind}", ".3g"),
                    middle(measures, f"told from real, {kind}", ".0%"),
                ),
            )
        )
        for kind in ("real", "reconstructions", "swapped", "samples", "samples of N(0, I)")
    },
    "Mesh": {
        f"{kind}, mesh of 2 · 4 · 8 pixels": lambda measures, kind=kind: " · ".join(
            filter(None, (middle(measures, f"mesh of {period} pixels, {kind}") for period in (2, 4, 8)))
        )
        for kind in ("reconstructions", "samples")
    },
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    """Writes the table and prints its parts in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER[=before]", help="of vlae compare --out")
    parser.add_argument(
        "--before",
        type=Path,
        help="an earlier table: its `lean` is shown as `before`, its other systems where no folder has them",
    )
    parser.add_argument("--out", type=Path, help="where to write all numbers, a CSV file")
    options = parser.parse_args()
    measured = read(options.folders)
    if not measured:
        sys.exit(f"no comparison.csv in a folder of {', '.join(map(str, options.folders))}; run vlae compare first")
    of_before = read_earlier(options.before) if options.before else {}
    for dataset, systems in of_before.items():
        if dataset in measured and "before" in systems:
            measured[dataset].setdefault("before", systems["before"])
    if options.out:
        write(measured, options.out)
    for dataset, systems in of_before.items():  # others are in the file that they come from
        for system, measures in systems.items() if dataset in measured else ():
            measured[dataset].setdefault(system, measures)
    for title, cells in LADDERS.items():
        rows = [
            [
                dataset,
                f"`{system}`" if system != "before" else system,
                *(cell(systems[system]) for cell in cells.values()),
            ]
            for dataset, systems in measured.items()
            for system in ("joint", "before", "lean")
            if system in systems
        ]
        print(f"{title}\n\n{table(['data', 'system', *cells], rows)}\n")
    for dataset, systems in measured.items():
        known = dict.fromkeys(measure for measures in systems.values() for measure in measures)
        ordered = [system for system in SYSTEMS if system in systems]
        rows = [[measure, *(middle(systems[system], measure, ".4g") for system in ordered)] for measure in known]
        print(f"{dataset}\n\n{table(['measure', *(f'`{system}`' for system in ordered)], rows)}\n")


if __name__ == "__main__":
    main()
