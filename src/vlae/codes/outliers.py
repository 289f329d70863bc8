"""The outliers of a data set: by each level (in colour, in shape, …), and by the whole model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlae.atomic import whole
from vlae.codes import files
from vlae.codes.nearest import check_affordable, find_nearest
from vlae.data import Images
from vlae.data.content import content_hashes
from vlae.data.counting import counting
from vlae.data.picture_files import original, original_file
from vlae.data.streams import Stream
from vlae.evaluation.rates import elbos_of
from vlae.figures import canvas
from vlae.figures.panels import rows as rows_of_data
from vlae.figures.pictures import to_pictures
from vlae.html_repr import HtmlRepr
from vlae.models.base import LatentModel
from vlae.models.inference import as_input, batch_of, evaluating, given
from vlae.names import path_text, safe_row
from vlae.runs import Run
from vlae.runs.contents import Contents, Place, Reread, contents_of
from vlae.runs.layout import FIGURES
from vlae.shapes import level_column
from vlae.text_table import columns

NEIGHBOURS = 10
"""Nearest neighbours whose mean distance is the score by a level."""

BATCH = 250
"""Data encoded at a time, or fewer where pictures are large."""

WHOLE = "whole"
"""The name of the score by the whole model: minus the evidence lower bound, in nats."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Outliers(HtmlRepr):
    """The outlier scores of every datum: by each level, and by the whole model.

    Attributes:
        images: the data that were scored.
        scores: float (n,) for each of "level1", … and "whole". A higher score is a stronger outlier.
        recall: for each level, the share of the nearest neighbours that the graph found; empty if the search was exact,
            as it is among up to 20,000 data.
    """

    images: Images
    scores: Mapping[str, np.ndarray]
    recall: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Outliers({len(self.images)} of {self.images.source}, by {', '.join(self.scores)})"

    def top(self, by: str, num: int) -> np.ndarray:
        """Return the rows with the highest scores, the highest first.

        Args:
            by: a name in `scores`: "level1", … or "whole".
            num: how many rows, 1 or more.

        Returns:
            int (num,), or (n,) if there are fewer data.
        """
        return np.argsort(-self.scores[by], kind="stable")[:num]

    def rows(self, num: int) -> list[dict[str, Any]]:
        """Return a table of the strongest outliers by each score.

        Args:
            num: how many outliers by each score, 1 or more.

        Returns:
            Dicts with the keys by (the name of the score), rank (from 1), row, name and label (if the source has
            them; None where it is unknown), file (if any has one; None where there is none), and each of the scores by
            name.
        """
        table: list[dict[str, Any]] = []
        labels, source = self.images.label_of_each(), self.images.source
        for by in self.scores:
            for rank, row in enumerate(self.top(by, num).tolist(), start=1):
                entry: dict[str, Any] = {"by": by, "rank": rank, "row": row}
                if self.images.names is not None:
                    entry["name"] = self.images.names[row]
                    file = original_file(source, entry["name"])
                    entry["file"] = None if file is None else path_text(file)
                if labels is not None:
                    entry["label"] = labels[row]
                table.append(entry | {name: float(score[row]) for name, score in self.scores.items()})
        if not any(entry.get("file") for entry in table):
            table = [{name: value for name, value in entry.items() if name != "file"} for entry in table]
        return table

    def cells(self, by: str, num: int) -> list[tuple[canvas.Picture, str, str]]:
        """Return the strongest outliers by one score, the strongest first, to be drawn with their words.

        Args:
            by: a name in `scores`: "level1", … or "whole".
            num: how many, 1 or more.

        Returns:
            For each the picture, uint8 (H, W, 3), as its file has it if the file is there; its name; and its score.
        """
        images, rows = self.images, self.top(by, num).tolist()
        values = as_input(np.ascontiguousarray(images.values[rows]))
        small = to_pictures(values, images.shape, opacity=images.value_range is None)
        names = [f"row {row}" if images.names is None else images.names[row] for row in rows]
        pictures = [original(images.source, name) for name in names]
        return [
            (small[i] if picture is None else picture, name, f"{self.scores[by][row]:.2f}")
            for i, (picture, name, row) in enumerate(zip(pictures, names, rows, strict=True))
        ]

    def figure(self, model: LatentModel, num: int) -> canvas.Picture:
        """Draw the strongest outliers: one row per score, the strongest at the left, each above its name and score.

        Args:
            model: a model of the data's shape, which tells how they are drawn.
            num: pictures per row, 1 or more.

        Raises:
            ValueError: if num is below 1.
        """
        if num < 1:
            raise ValueError(f"num is {num}; give a whole number from 1 up")
        if self.images.is_vectors:
            values = ((by, np.ascontiguousarray(self.images.values[self.top(by, num)])) for by in self.scores)
            return rows_of_data(model, [(by.replace("level", "level "), as_input(rows)) for by, rows in values])
        rows: list[list[canvas.Picture | str]] = []
        for by in self.scores:
            drawn = [canvas.captioned(picture, words) for picture, *words in self.cells(by, num)]
            rows.append([f" {by.replace('level', 'level ')} ", *drawn])
        return canvas.sheet(rows, least=1)


def find_outliers(
    run: Run,
    images: Images | Contents | Stream,
    *,
    level: int | None = None,
    reference: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Outliers:
    """Score every datum as an outlier, by each level and by the whole model.

    The score by the whole model is minus the evidence lower bound. The score by a level is the mean distance to the
    ten nearest neighbours, in two things side by side, both standardised over the data:

    - the code z of that level (the posterior mean);
    - its change z' - z, where z' is the code of the datum's reconstruction.

    A rare colour has a rare code at level 1. A shape that the model cannot draw has an ordinary code at a level above,
    but this code changes.

    Args:
        run: a run of any model that has an encoder and an evidence lower bound.
        images: data of the run's shape, at least 12; or a stream (`vlae.data.open_stream`), also as
            `vlae.runs.contents.contents_of` opens it.
        level: score by this level (1 is nearest the pixels) and by the whole model. None: by all levels.
        reference: among how many of the data, chosen at random, neighbours are searched, 12 or more. None: among all,
            up to a million.
        seed: seed of that choice and of the draws for the bound, 0 or more.
        progress: whether to show how far a stream is, and what could not be read of it.

    Returns:
        The scores, and the data. Among more than 20,000 the neighbours are found by a graph, and `recall` tells how
        many of them.

    Raises:
        MissingExtraError: if neighbours are searched among more than 20,000, and usearch is not installed.
        DataError: if a stream cannot be read, or changes meanwhile.
        ValueError: if the images are too few or not of the run's shape, or the level has no code.
        NotDefinedError: if the model has no density.
    """
    run.model.require("encoder", "density")
    if isinstance(images, Stream):
        images = contents_of(run, images, progress=progress)
    form = images if isinstance(images, Images) else images.form
    if form.shape != run.recipe.shape:
        raise ValueError(
            f"{form.source} has data of shape {form.shape}, the run in {run.path} takes {run.recipe.shape}; "
            "give data of that shape"
        )
    if len(form) < NEIGHBOURS + 2:
        raise ValueError(f"{form.source}: {len(form)} are given; give at least {NEIGHBOURS + 2} to compare")
    if reference is not None and reference < NEIGHBOURS + 2:
        raise ValueError(f"reference is {reference}; give at least {NEIGHBOURS + 2}")
    chosen = levels_of(run, level)
    if isinstance(images, Images):
        codes, new_codes, elbos = _encode_twice(run.model, images.values, run.features_of(images), seed)
    else:
        check_affordable(images.num // 2, reference)  # before all of it is read; the number may be an estimate
        images, (codes, new_codes, elbos) = _stream_twice(run.model, images, chosen, seed, progress)
    found = {
        level_column(k): score(codes[k - 1], new_codes[k - 1] - codes[k - 1], reference=reference, seed=seed)
        for k in chosen
    }
    return Outliers(
        images=images,
        scores={**{name: scores for name, (scores, _) in found.items()}, WHOLE: -elbos},
        recall={name: recall for name, (_, recall) in found.items() if recall is not None},
    )


def _encode_twice(
    model: LatentModel, values: np.ndarray, features: np.ndarray | None, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return the codes of each level, for the data and for their reconstructions, and the evidence lower bounds."""
    codes, new_codes, elbos = [], [], []
    size = batch_of(model.shape, BATCH)
    with evaluating(model):
        for start in range(0, len(values), size):
            x = as_input(np.ascontiguousarray(values[start : start + size]), model.device)
            posteriors = model.infer(x, **given(features, start, size, model.device))
            means = tuple(q.mean for q in posteriors)
            codes.append(means)
            new_codes.append(tuple(q.mean for q in model.infer(model.decode(means))))
            elbos.append(elbos_of(model, x, posteriors, seed=seed))
    levels = [
        [torch.cat(level).cpu().numpy() for level in zip(*batches, strict=True)] for batches in (codes, new_codes)
    ]
    return levels[0], levels[1], torch.cat(elbos).cpu().numpy()


def _stream_twice(
    model: LatentModel, contents: Contents, levels: Sequence[int], seed: int, progress: bool
) -> tuple[Images, tuple[list[np.ndarray], list[np.ndarray], np.ndarray]]:
    """The data of a stream, which are read again to be drawn; and some levels of what `_encode_twice` gives."""
    codes: tuple[list[list[np.ndarray]], ...] = tuple([[] for _ in model.code_sizes] for _ in range(2))
    elbos, labels, shards, rows, hashes = (list[np.ndarray]() for _ in range(5))
    names = list[str]()
    with counting("encoding", contents.num, progress) as advance:
        for images, place, numbers in contents.pieces(Place()):
            *twice, bounds = _encode_twice(model, images.values, None, seed)
            for kept, found in zip(codes, twice, strict=True):
                for level in levels:
                    kept[level - 1].append(found[level - 1])
            elbos.append(bounds)
            if images.labels is not None:
                labels.append(images.labels)
            if contents.is_named:
                names.extend(images.names or ())
            shards.append(np.full(len(images), contents.shards[place.shard], np.int32))
            rows.append(numbers)
            hashes.append(content_hashes(images.values))
            advance(len(images))
    contents.check_unchanged("run this again when it no longer does")
    if progress:
        contents.say_skipped()
    source = contents.form.source
    if (num := sum(map(len, elbos))) < NEIGHBOURS + 2:
        raise ValueError(f"{source}: {num} can be read; give at least {NEIGHBOURS + 2} to compare")
    joined = [[np.concatenate(kept) if kept else np.zeros((num, 0), np.float32) for kept in each] for each in codes]
    whole = replace(
        contents.form,
        values=Reread(contents, *map(np.concatenate, (shards, rows, hashes))),  # type: ignore[arg-type]
        labels=np.concatenate(labels) if labels else None,
        names=tuple(names) if contents.is_named else None,
        groups=None,
        skipped=tuple(contents.skipped),
        fates={},
    )
    return whole, (joined[0], joined[1], np.concatenate(elbos))


def levels_of(run: Run, level: int | None) -> tuple[int, ...]:
    """The levels by which data are scored.

    Args:
        run: a run of any model.
        level: the only one that is asked for. None: all that have a code.

    Raises:
        ValueError: if the level has no code.
    """
    levels = run.recipe.levels_with_code
    if level is not None and level not in levels:
        raise ValueError(f"level {level} has no code; choose one of {', '.join(map(str, levels))}")
    return levels if level is None else (level,)


def score(
    codes: np.ndarray, changes: np.ndarray, *, reference: int | None = None, seed: int = 0
) -> tuple[np.ndarray, float | None]:
    """Score data as outliers by one level: the mean distance to the nearest neighbours.

    Args:
        codes: (n, code size), that level's codes of the data, n at least 12.
        changes: (n, code size), that level's codes of their reconstructions, less `codes`.
        reference: among how many rows, chosen at random, neighbours are searched. None: among all, up to a million.
        seed: seed of that choice.

    Returns:
        The scores, float (n,), and the share of the neighbours that was found; None if all were.
    """
    points = np.concatenate([standardised(codes), standardised(changes)], axis=1)
    nearest = find_nearest(points, NEIGHBOURS, reference=reference, seed=seed)
    return nearest.distances.mean(1), nearest.recall


def standardised(values: np.ndarray) -> np.ndarray:
    """Return each column less its mean, in its standard deviations.

    Args:
        values: (n, D).
    """
    mean, stddev = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    return ((values - mean.astype(values.dtype)) / np.maximum(stddev, 1e-6).astype(values.dtype)).astype(values.dtype)


def draw(run: Run, outliers: Outliers, num: int = 12, out: Path | None = None) -> Path:
    """Draw the strongest outliers to a PNG file: one row of pictures per score.

    Args:
        run: the run whose model scored the data.
        outliers: the scores, and the data.
        num: pictures per row, 1 or more.
        out: the PNG file. None: figures/odd.png in the run's folder, with a number if another picture has that name.

    Returns:
        The path of the file.

    Raises:
        ValueError: if the file's name does not end in .png, or `num` is below 1.
        WriteError: if the file cannot be written.
    """
    if out is None:
        return canvas.save_beside(outliers.figure(run.model, num), run.outputs / FIGURES / "odd.png")
    canvas.check_png(out)
    return canvas.save(outliers.figure(run.model, num), out)


def write_table(rows: list[dict[str, Any]], out: Path) -> None:
    """Write a table of outliers to a file.

    Args:
        rows: the table, from `Outliers.rows`.
        out: a new .csv or .parquet file.

    Raises:
        CodesError: if the name has another ending, or the file exists.
        WriteError: if the file cannot be written.
    """
    import pyarrow
    from pyarrow import csv, parquet

    files.check_new(out, "table")
    with whole(out) as file:
        out.parent.mkdir(parents=True, exist_ok=True)
        is_csv = out.suffix.lower() == ".csv"
        table = pyarrow.Table.from_pylist([safe_row(row) for row in rows] if is_csv else rows)
        with file.open("wb") as stream:
            (csv.write_csv if is_csv else parquet.write_table)(table, stream)


def as_text(rows: list[dict[str, Any]]) -> str:
    """Return the table as lines of text, one per outlier.

    Args:
        rows: the table, from `Outliers.rows`.
    """
    lines = [["by", "rank", "which", "score"]]
    for row in rows:
        datum = row.get("name") or f"row {row['row']}"
        label = "" if row.get("label") is None else f" ({row['label']})"
        lines.append([row["by"], str(row["rank"]), f"{datum}{label}", f"{row[row['by']]:.2f}"])
    return columns(lines)
