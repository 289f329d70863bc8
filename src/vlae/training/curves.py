"""The training curves in metrics.csv: a row every few steps, written immediately."""

import csv
from collections.abc import Sequence
from pathlib import Path

from vlae.atomic import whole, writing
from vlae.runs.layout import RunError


class Curves:
    """Writes metrics.csv.

    Args:
        path: the file; None: nothing is written.
        columns: the names of the columns; the first is "step".

    Attributes:
        rows: the rows that were added.
    """

    def __init__(self, path: Path | None, columns: Sequence[str]):
        self.path, self.columns = path, list(columns)
        self.rows: list[Sequence[float]] = []

    def keep_until(self, step: int) -> None:
        """Begins the file, or deletes the rows after a checkpoint, whose steps will be repeated.

        Args:
            step: the step of the checkpoint; 0: the training begins.

        Raises:
            RunError: if the file is there and cannot be read.
            WriteError: if it cannot be written.
        """
        if self.path is None:
            return
        kept: list[list[str]] = []
        if self.path.exists():
            try:
                with self.path.open(newline="", encoding="utf-8") as stream:
                    rows = list(csv.reader(stream))[1:]
                kept = [row for row in rows if len(row) == len(self.columns) and int(row[0]) <= step]
            except (ValueError, csv.Error, OSError) as error:
                raise RunError(
                    f"{self.path} cannot be read ({error}); move it away, and --resume goes on without earlier "
                    "curves (resume=True)"
                ) from error
        with whole(self.path) as partial, partial.open("w", newline="") as stream:
            csv.writer(stream).writerows([self.columns, *kept])

    def add(self, row: Sequence[float]) -> None:
        """Appends a row.

        Args:
            row: one number per column.
        """
        self.rows.append(row)
        if self.path is not None:
            with writing(self.path), self.path.open("a", newline="") as stream:
                csv.writer(stream).writerow(row)
