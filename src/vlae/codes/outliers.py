"""The strangest images of a set, by level: strange in colour, strange in shape, strange altogether."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlae.atomic import whole
from vlae.codes import files
from vlae.codes.files import CodesError
from vlae.data import Images
from vlae.evaluation.rates import elbos_of
from vlae.figures import canvas
from vlae.figures.panels import rows as rows_of_data
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, evaluating
from vlae.runs import Run
from vlae.text_table import columns

NEIGHBOURS = 10
MAX_REFERENCE = 20_000  # data among which neighbours are sought
BATCH = 250
WHOLE = "whole"
"""The score of an image altogether: minus its evidence lower bound, in nats."""


@dataclass(frozen=True, kw_only=True)
class Oddities:
    """How odd every datum is, by every level and altogether.

    Attributes:
        images: what was looked at.
        scores: for each level that has a code, "level1", …, and for "whole", one number per datum; higher is odder.
    """

    images: Images
    scores: Mapping[str, np.ndarray]

    def strangest(self, by: str, num: int) -> np.ndarray:
        """Positions of the oddest, the oddest first."""
        return np.argsort(-self.scores[by], kind="stable")[:num]

    def rows(self, num: int) -> list[dict[str, Any]]:
        """A table of the `num` oddest by each score: by, rank from 1, row, name and label if known, and all scores."""
        found = []
        for by in self.scores:
            for rank, row in enumerate(self.strangest(by, num).tolist(), start=1):
                entry: dict[str, Any] = {"by": by, "rank": rank, "row": row}
                if self.images.names is not None:
                    entry["name"] = self.images.names[row]
                if self.images.labels is not None:
                    entry["label"] = int(self.images.labels[row])
                found.append(entry | {name: float(score[row]) for name, score in self.scores.items()})
        return found

    def figure(self, model: LatentModel, num: int) -> canvas.Picture:
        """A row of the `num` oddest by each score, the oddest leftmost."""
        if num < 1:
            raise ValueError(f"num is {num}; give a whole number from 1 up")
        rows = []
        for by in self.scores:
            values = as_input(np.ascontiguousarray(self.images.values[self.strangest(by, num)]))
            rows.append((by.replace("level", "level "), values))
        return rows_of_data(model, rows)


def find(run: Run, images: Images, *, level: int | None = None, seed: int = 0) -> Oddities:
    """How odd each of many images, or vectors, is among the others.

    Altogether, a datum is as odd as its evidence lower bound is low. By level, it is as odd as it lies far from its ten
    nearest neighbours, in that level's code and in what becomes of the code when the datum's reconstruction is read
    again: a rare colour has a rare code at level 1; a shape that the ladder has no words for is given an ordinary code
    of a level above, but does not keep it. Both are standardised over the data.

    Args:
        run: of any model.
        images: of the run's shape, at least 12; neighbours are sought among 20,000 of them at most.
        level: this level alone, counted from 1, beside "whole"; None: all.
        seed: of the choice of those, and of the draws for the bound.

    Raises:
        ValueError: if the images are too few or not of the run's shape, or the level has no code.
    """
    if images.shape != run.recipe.shape:
        raise ValueError(
            f"{images.source} has data of shape {images.shape}, the run in {run.path} takes {run.recipe.shape}; "
            "give data of that shape"
        )
    if len(images) < NEIGHBOURS + 2:
        raise ValueError(f"{images.source}: {len(images)} are given; give at least {NEIGHBOURS + 2} to compare")
    occupied = run.recipe.levels_with_code
    if level is not None and level not in occupied:
        raise ValueError(f"level {level} has no code; choose one of {', '.join(map(str, occupied))}")
    read, again, elbos = _look(run.model, images.values, seed)
    wanted = occupied if level is None else (level,)
    scores = {files.level_column(number): _distances(read[number - 1], again[number - 1], seed) for number in wanted}
    return Oddities(images=images, scores={**scores, WHOLE: -elbos})


def _look(model: LatentModel, values: np.ndarray, seed: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Every level's code of the data, and of their reconstructions; and the data's evidence lower bounds."""
    read, again, elbos = [], [], []
    with evaluating(model):
        for start in range(0, len(values), BATCH):
            x = as_input(np.ascontiguousarray(values[start : start + BATCH]), model.device)
            posteriors = model.infer(x)
            means = tuple(q.mean for q in posteriors)
            read.append(means)
            again.append(tuple(q.mean for q in model.infer(model.decode(means))))
            elbos.append(elbos_of(model, x, posteriors, seed=seed))
    levels = [[torch.cat(level).cpu().numpy() for level in zip(*batches, strict=True)] for batches in (read, again)]
    return levels[0], levels[1], torch.cat(elbos).cpu().numpy()


def _distances(read: np.ndarray, again: np.ndarray, seed: int) -> np.ndarray:
    """Mean distance of each row to its nearest neighbours, in the code and in its change, both standardised."""
    from sklearn.neighbors import NearestNeighbors

    points = np.concatenate([_standardised(read), _standardised(again - read)], axis=1)
    chosen = np.random.default_rng(seed).permutation(len(points))[:MAX_REFERENCE]
    distances = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points[chosen]).kneighbors(points)[0]
    among = np.isin(np.arange(len(points)), chosen)  # these find themselves first
    return np.where(among, distances[:, 1:].mean(1), distances[:, :-1].mean(1))


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)


def draw(run: Run, found: Oddities, num: int = 12, out: Path | None = None) -> Path:
    """Draws the `num` oddest by each score, a row each, and keeps the picture.

    Args:
        run: by whose model they were found.
        found: what `find` gave.
        num: how many.
        out: a PNG file; None: figures/odd.png in the run's folder.

    Returns:
        The file.

    Raises:
        ValueError: if the file is not called .png, or `num` is below 1.
        WriteError: if it cannot be written.
    """
    out = run.outputs / "figures" / "odd.png" if out is None else out
    canvas.check_png(out)
    return canvas.save(found.figure(run.model, num), out)


def write_table(rows: list[dict[str, Any]], out: Path) -> None:
    """Writes the table of `Oddities.rows` as .csv or .parquet.

    Raises:
        CodesError: if the file is called otherwise, or exists.
        WriteError: if it cannot be written.
    """
    import pyarrow
    from pyarrow import csv, parquet

    if out.suffix.lower() not in (".csv", ".parquet"):
        raise CodesError(f"{out}: a table is a .csv or .parquet file; give such a name")
    if out.exists():
        raise CodesError(f"{out} exists already, and is not written over; choose another --table, or remove it")
    table = pyarrow.Table.from_pylist(rows)
    with whole(out) as file:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".csv":
            csv.write_csv(table, file)
        else:
            parquet.write_table(table, file)


def as_text(rows: list[dict[str, Any]]) -> str:
    """The table for a terminal."""
    lines = [["by", "rank", "which", "score"]]
    for row in rows:
        which = row.get("name") or f"row {row['row']}"
        label = f" ({row['label']})" if "label" in row else ""
        lines.append([row["by"], str(row["rank"]), f"{which}{label}", f"{row[row['by']]:.2f}"])
    return columns(lines)
