"""How a run reads data: its own again, and others in the form that its model takes."""

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlae.data.depths import listed_range
from vlae.data.source import KnownColumns, NoRowNamesError, as_value_range
from vlae.errors import reason
from vlae.names import quoted
from vlae.nn.pretrained import FeatureNetwork
from vlae.recipes.recipe import Recipe
from vlae.runs import safe_load
from vlae.runs.layout import HELD_OUT, RunError
from vlae.shapes import is_image, listed

if TYPE_CHECKING:
    from vlae.data.images import Images
    from vlae.data.source import Source, ValueRange


class ReadsData:
    """What a run does with data before its model sees them: the part of `vlae.runs.run.Run` that knows `vlae.data`."""

    if TYPE_CHECKING:
        path: Path
        recipe: Recipe
        data: dict[str, Any]
        summary: dict[str, Any]

        @property
        def network(self) -> FeatureNetwork | None: ...  # noqa: D102

    def read(
        self,
        source: "Source",
        *,
        split: Literal["train", "test", "all"] = "all",
        limit: int | None = None,
        layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
        key: str | None = None,
        id: str | None = None,
        seed: int = 0,
        progress: bool = False,
        **others: Any,
    ) -> "Images":
        """Reads data in the form that the model takes; pictures are resized and scaled as the training data were.

        Args:
            source: a picture file, a folder, an array, or anything else that `vlae.data.load` reads.
            split: the part to return: "train", "test" or "all".
            limit: return at most this many data, chosen at random; None: all.
            layout: the order of an array's axes, if its shape leaves it open: "NHW", "NHWC" or "NCHW".
            key: the name of the array in an .npz file, or of the column in a table.
            id: the column of a table that names the rows. None: that of the run's own table, if the table has it.
            seed: seed of the random choice.
            progress: show a progress bar; print which pictures were skipped, resized or scaled, on the error output.
            others: options of `vlae.data.load`, in place of those of the training: fit, crop, …

        Raises:
            DataError: if the source cannot be read.
            FileNotFoundError: if there is no such file.
            ValueError: if the data have another shape or range than the training data.
        """
        from vlae.data import load as load_data
        from vlae.data.images import say_form, say_skipped

        reading: dict[str, Any] = {**self.reading(source, layout=layout, key=key, id=id), **others}
        reading |= {"split": split, "limit": limit, "seed": seed, "progress": progress, "features": self.network}
        reading["held_out"] = self.held_out_of(source, layout=layout, key=key, **others)
        try:
            images = load_data(source, **reading)
        except NoRowNamesError as error:
            if id is not None or self.is_own(source):
                raise
            images = load_data(source, **{**reading, "id": None})
            if progress:
                print(f"{error}, as in the training data", file=sys.stderr)
        images = self.accepted(images)
        if progress:
            say_skipped(images, with_parts=split != "all")
            say_form(images, ", like the training data")
        return images

    def accepted(self, images: "Images") -> "Images":
        """Data that were read for this run, in the form that the model takes.

        Args:
            images: data that were read.

        Raises:
            ValueError: if the data have another shape or range than the training data.
            DataError: if a column that the model takes is missing.
        """
        images = self.fitted(images)
        self._check_range(images)
        return images

    def fitted(self, images: "Images") -> "Images":
        """Data in the form that the model takes: of its shape, with the columns of vectors in its order, by name.

        Args:
            images: data that were read.

        Raises:
            ValueError: if the data are images and the model takes vectors, or the other way round, or of another shape.
            DataError: if a column that the model takes is missing.
        """
        images = images.in_columns(self.columns)
        if images.shape != self.recipe.shape:
            raise ValueError(
                f"{images.source} has {_described(images.shape)}; the run in {self.path} takes "
                f"{_described(self.recipe.shape)}: give such data"
            )
        return images

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of the training data; () of images, and of vectors without names."""
        return tuple(str(name) for name in self.summary.get("column_names", ()))

    @property
    def known_columns(self) -> KnownColumns | None:
        """The columns of the training data, for `vlae.data.load`, which makes the same vectors of another table.

        None of images, of vectors without names, and of runs of an earlier version.
        """
        if not self.columns or "column_medians" not in self.summary:
            return None
        return KnownColumns(
            names=self.columns, medians=self.summary["column_medians"], decimal=self.summary.get("column_decimal")
        )

    def reading(
        self, source: Any, *, layout: str | None = None, key: str | None = None, id: str | None = None
    ) -> dict[str, Any]:
        """The settings with which `vlae.data.load` turns a source into what the model takes.

        Args:
            source: a picture file, a folder, an array, or anything else that `vlae.data.load` reads.
            layout: the order of an array's axes: "NHW", "NHWC" or "NCHW". None: that of the training, if the source
                is the training data.
            key: the name of the array in an .npz file, or of the column in a table. None: that of the training, if
                the source is the training data.
            id: the column of a table that names the rows. None: that of the training.
        """
        recorded = self.data if self.is_own(source) else {}
        reading: dict[str, Any] = {"layout": layout or recorded.get("layout"), "key": key or recorded.get("key")}
        if not hasattr(source, "fates"):  # `Images` are read already
            reading |= {"id": id or self.data.get("id"), "columns": self.known_columns}
        if not is_image(self.recipe.shape):
            return reading
        channels, height, width = self.recipe.shape
        size = height if height == width else f"{height}x{width}"
        how = {name: self.data.get(name) for name in ("fit", "crop")}
        how |= {"value_range": self.value_range, "as_bytes": self.value_range is None}
        return {**reading, **how, "size": size, "channels": channels}

    @property
    def value_range(self) -> "ValueRange | None":
        """The own numbers of the data that are 0 and 1 to the model, (low, high) of each channel; None: bytes."""
        return as_value_range(self.data.get("value_range"))

    def part(self, split: Literal["train", "test", "all"]) -> "Images":
        """A part of the run's data, read again from its source; of a stream, a part of its sample.

        Args:
            split: "train", the part the model was trained on, no more of it than the limit that was asked for; "test",
                the part held out; or "all".

        Raises:
            DataError: if the data cannot be read again, or were in memory.
            FileNotFoundError: if the data are no longer there.
        """
        from vlae.data import DataError, open_stream
        from vlae.data import load as load_data
        from vlae.data.in_memory import IN_MEMORY
        from vlae.data.sampling import part_of_sample

        if self.data["source"] in IN_MEMORY:
            raise DataError(
                f"the run in {self.path} was trained on {self.data['source']} in memory, and does not keep it; give "
                f"the data, where they can be given, as in: vlae evaluate {quoted(self.path)} DATA"
            )
        others = ("source", "content", "limit", "labels", "labels_sha256", "features", "stream", "white", "estimator")
        reading = {name: value for name, value in self.data.items() if name not in others}
        reading["columns"] = self.known_columns
        source, held_out = self.data["source"], self._held_out
        if "stream" in self.data:
            images = part_of_sample(open_stream(source, **reading), split, held_out=held_out)
        else:
            limit = self.data.get("limit") if split == "train" else None
            images = load_data(source, split=split, features=self.network, held_out=held_out, limit=limit, **reading)
        self._check_range(images)
        return images

    def _check_range(self, images: "Images") -> None:
        """Refuses images whose own numbers are mapped to [0, 1] in another way than those of the training."""
        if images.value_range == self.value_range:
            return
        ranges = (images.value_range, self.value_range)
        has, takes = ("8 bits, or 0 to 1" if each is None else listed_range(each) for each in ranges)
        raise ValueError(
            f"{images.source} has numbers of {has}; the run in {self.path} takes {takes}; convert the pictures to that"
        )

    def held_out_of(self, source: Any, **reading: Any) -> np.ndarray | None:
        """What of a source this run has held out, for `vlae.data.load`: hashes, int64 (n,).

        Args:
            source: anything that `vlae.data.load` reads.
            reading: how it is read; None where as the training data were.

        Returns:
            None if the source is not the run's own, is read otherwise, or the run does not know what it held out.
        """
        alike = all(value is None or value == self.data.get(name) for name, value in reading.items())
        return self._held_out if alike and self.is_own(source) else None

    def is_own(self, source: Any) -> bool:
        """Whether a source is the one that the run was trained on, however its path is written.

        Args:
            source: a path, a name, or anything else.
        """
        if not isinstance(source, str | Path):
            return False
        paths = [Path(str(name)).expanduser() for name in (source, self.data["source"])]
        return str(source).rstrip("/") == self.data["source"] or (
            paths[0].exists() and paths[0].resolve() == paths[1].resolve()
        )

    @cached_property
    def _held_out(self) -> np.ndarray | None:
        file = self.path / HELD_OUT
        if not file.exists():  # a run of an earlier version, or shared without examples
            return None
        try:
            return safe_load.read_hashes(file)
        except (ValueError, EOFError, OSError) as error:
            raise RunError(f"{file} is damaged ({reason(error)}); download the run again") from error


def _described(shape: Sequence[int]) -> str:
    """The kind and shape of data in words."""
    return f"images of shape ({listed(shape)})" if is_image(shape) else f"vectors of {listed(shape)} columns"
