"""metrics.csv, the curves of a training: a row every few steps, each written at once."""

import csv
from collections.abc import Sequence
from pathlib import Path

from vlae.atomic import whole, writing


class Curves:
    """The file of curves; without a path nothing is written.

    Args:
        path: of the file.
        columns: their names; the first is "step".
    """

    def __init__(self, path: Path | None, columns: Sequence[str]):
        self.path, self.columns = path, list(columns)

    def keep_until(self, step: int) -> None:
        """Begins the file, or drops what was logged after the checkpoint, which is now done again."""
        if self.path is None:
            return
        kept: list[list[str]] = []
        if self.path.exists():
            with self.path.open(newline="") as stream:
                rows = list(csv.reader(stream))[1:]
            kept = [row for row in rows if len(row) == len(self.columns) and int(row[0]) <= step]
        with whole(self.path) as partial, partial.open("w", newline="") as stream:
            csv.writer(stream).writerows([self.columns, *kept])

    def add(self, row: Sequence[float]) -> None:
        """Appends a row."""
        if self.path is not None:
            with writing(self.path), self.path.open("a", newline="") as stream:
                csv.writer(stream).writerow(row)
