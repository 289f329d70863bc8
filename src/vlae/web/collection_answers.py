"""The answers to the page's questions about the collection: what there is, what is near or odd, and why."""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from vlae.web import exports
from vlae.web.answers import Answer, rounded
from vlae.web.collection import PictureError
from vlae.web.map import Method
from vlae.web.reasons import Reason
from vlae.web.session import Session
from vlae.web.studio import Row

Datum = Annotated[int, range(-1, 10**9)]
"""The number of a datum, from 0; -1 for none."""

Data = list[Annotated[int, range(10**9)]]
"""The numbers of data, from 0."""

ENDS = 3
"""Data shown at each end of a dimension."""

MOST_REASONS = 200
"""Data that are asked about at once."""

Num = Annotated[int, range(1, 10**9)]
"""How many data, 1 or more."""

NumClusters = Annotated[int, range(2, 51)]
"""How many clusters."""


class CollectionAnswers:
    """The answers about all data of a run: plain numbers in, plain numbers out. Long columns are bytes in base64.

    Args:
        session: the run, and its data.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Callable[..., Answer]]:
        """Return every answer as a function. It raises a ValueError if an argument does not fit the run."""
        methods: list[Callable[..., Answer]] = [self.progress, self.data, self.known, self.positions, self.near]
        methods += [self.neighbours, self.odd, self.along, self.copies, self.clusters]
        return [*methods, self.why_near, self.why_odd, self.about, self.dimensions, self.export]

    def progress(self) -> Answer:
        """Return what is being prepared ("reading", "encoding", "comparing" or "done"), and of how many data it is.

        Raises:
            ValueError: if it failed.
        """
        if failed := self._session.encoding.failed:
            raise ValueError(failed)
        phase, done = self._session.encoding.progress()
        return {"phase": phase, "done": done, "num": 0 if phase == "reading" else len(self._session.collection)}

    def data(self) -> Answer:
        """Return what is known of all data without their codes: names, classes, and their parts in the training."""
        collection = self._session.collection
        labels, class_of = collection.labels
        return {
            "num": len(collection),
            "names": collection.names,
            "labels": labels,
            "class_of": _bytes(class_of, np.int32),
            "part": _bytes(collection.parts, np.uint8),
            "note": collection.note,
            "version": collection.version,
        }

    def known(self) -> Answer:
        """Return the known numbers of all data: factors, and statistics of pictures."""
        properties = self._session.collection.properties()
        return {"known": {name: rounded(values) for name, values in properties.items()}}

    def positions(self, level: int, method: Method) -> Answer:
        """Return the places of all data on a plane, by one level's code.

        Args:
            level: the number of the level, 1 nearest the pixels.
            method: "code", "pca", "tsne" or "umap".
        """
        size = self._session.studio.size_of(level)
        if method == "code" and size > 2:
            raise ValueError(f"level {level} has {size} dimensions; only one or two can be shown as they are")
        plane = self._session.maps.place(level, method)
        return {
            "n": len(plane.points),
            "x": _bytes(plane.points[:, 0], np.float32),
            "y": _bytes(plane.points[:, 1], np.float32),
            "axes": list(plane.axes),
            "centre": None if plane.centre is None else rounded(plane.centre),
            "directions": None if plane.directions is None else plane.directions.tolist(),
        }

    def near(self, noise: Row, levels: list[int], num: Num, without: Datum) -> Answer:
        """Return the data nearest to one by some levels together, the nearest first, and their distances.

        Args:
            noise: one list of numbers per level, in standard deviations.
            levels: the level numbers, level 1 nearest the pixels.
            num: how many.
            without: the number of a datum that is left out, or -1.
        """
        session = self._session
        asked = session.studio.parse_noise(noise)
        numbers = session.finder.nearest(asked, levels, num, without=None if without < 0 else without)
        far = session.finder.distances(asked, levels)[numbers]
        return {"numbers": _bytes(numbers, np.int32), "values": _bytes(far, np.float32)}

    def neighbours(self, noise: Row, without: Datum) -> Answer:
        """Return the nearest data by each level whose code they tell, with the reason for each.

        Args:
            noise: one list of numbers per level, in standard deviations.
            without: the number of a datum that is left out, or -1.
        """
        session = self._session
        asked, out = session.studio.parse_noise(noise), None if without < 0 else without
        levels = []
        for level in session.studio.levels:
            if level in session.studio.model.unread:  # all are alike in what none of them tells
                continue
            images = session.finder.nearest(asked, [level], 8, without=out).tolist()
            reasons = session.reasons.near(asked, images, [level])
            levels.append({"level": level, "images": images, "reasons": [_said(each) for each in reasons]})
        return {"levels": levels}

    def odd(self, level: int) -> Answer:
        """Return all data, the oddest by one level first, and their scores.

        Args:
            level: the number of the level, 1 nearest the pixels.
        """
        scores = self._session.finder.oddness(level)
        numbers = np.argsort(-scores, kind="stable")
        return {"numbers": _bytes(numbers, np.int32), "values": _bytes(scores[numbers], np.float32)}

    def along(self, level: int, dimension: int) -> Answer:
        """Return all data in the order of one number of their codes, the highest first, and this number.

        Args:
            level: the number of the level, 1 nearest the pixels.
            dimension: the number of the dimension, from 0.
        """
        values = self._session.finder.along(level, dimension)
        numbers = np.argsort(-values, kind="stable")
        return {"numbers": _bytes(numbers, np.int32), "values": _bytes(values[numbers], np.float32)}

    def dimensions(self) -> Answer:
        """Return what each dimension of each level does, in words, and the data at its ends, the outermost first."""
        session = self._session
        levels = []
        for level, names in session.reasons.names.items():
            dimensions = []
            for name in names:
                order = np.argsort(session.finder.along(level, name.dimension), kind="stable").tolist()
                ends = {"low": order[:ENDS], "high": order[::-1][:ENDS]}
                dimensions.append({"name": name.text, "words": [name.low, name.high], **ends})
            levels.append({"level": level, "dimensions": dimensions})
        return {"levels": levels}

    def copies(self) -> Answer:
        """Return the sets of near-copies, the largest first."""
        return {"sets": self._session.finder.copies}

    def clusters(self, level: int, num: NumClusters) -> Answer:
        """Return groups of data that are alike by one level, the largest first, and in each the most typical first.

        Args:
            level: the number of the level, 1 nearest the pixels.
            num: how many groups.
        """
        return {"groups": [numbers.tolist() for numbers in self._session.finder.clusters(level, num)]}

    def why_near(self, noise: Row, numbers: Data, levels: list[int]) -> Answer:
        """Say what data share with one that is asked about: for each a reason by each level, the strongest first.

        Args:
            noise: one list of numbers per level, in standard deviations: the one that is asked about.
            numbers: the numbers of the data that were found.
            levels: the level numbers, level 1 nearest the pixels.
        """
        self._check(numbers)
        asked = self._session.studio.parse_noise(noise)
        return {"reasons": [_said(each) for each in self._session.reasons.near(asked, numbers, levels)]}

    def why_odd(self, numbers: Data, level: int) -> Answer:
        """Say by one level what is odd about some data, one reason for each.

        Args:
            numbers: the numbers of the data.
            level: the number of the level, 1 nearest the pixels.
        """
        self._check(numbers)
        return {"reasons": [_said([each]) for each in self._session.reasons.odd(numbers, level)]}

    def _check(self, numbers: list[int]) -> None:
        if len(numbers) > MOST_REASONS:
            raise ValueError(f"{len(numbers)} are asked about; ask about {MOST_REASONS} at a time")
        for number in numbers:
            self._session.collection.check(number)

    def about(self, number: int) -> Answer:
        """Return why a picture cannot be shown at its own size; "" if it can.

        Args:
            number: the number of the picture.
        """
        collection = self._session.collection
        collection.check(number)
        try:
            collection.original(number, 1)
            fault = ""
        except PictureError as error:
            fault = str(error)
        return {"fault": fault}

    def export(self, kind: Literal["atlas", "fiftyone"], numbers: Data, tags: list[str], level: int) -> Answer:
        """Return a selection as a file for another tool, in base64.

        Args:
            kind: "atlas", a Parquet table for Embedding Atlas; or "fiftyone", a data set for FiftyOne.
            numbers: the numbers of the data.
            tags: the tags of each, separated by semicolons.
            level: the level by which the table places the data.
        """
        if not numbers or len(tags) != len(numbers):
            raise ValueError(f"{len(numbers)} data and {len(tags)} tags are given; select some, and give each its tags")
        for number in {min(numbers), max(numbers)}:
            self._session.collection.check(number)
        if kind == "atlas":
            content = exports.atlas(self._session, numbers, tags, level)
        else:
            content = exports.fiftyone(self._session, numbers, [list(filter(None, own.split(";"))) for own in tags])
        return {"content": base64.b64encode(content).decode()}


def _said(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    return [
        {"level": each.level, "dimension": each.dimension, "words": each.words, "detail": each.detail}
        for each in reasons
    ]


def _bytes(values: np.ndarray, kind: Any) -> str:
    """Return a column of numbers as little-endian bytes in base64."""
    little = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode()
