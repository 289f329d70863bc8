"""One run and its data, in rooms: the model, the collection of pictures, their codes, and what is found by them."""

from vlae.runs.run import Run
from vlae.web.collection import Collection
from vlae.web.encoding import Encoding
from vlae.web.finding import Finder
from vlae.web.map import Maps
from vlae.web.reasons import Reasons
from vlae.web.studio import Studio


class Session:
    """One run and all of its data, with what the page computes from them. Threads can share it.

    Attributes:
        run: the run.
        studio: what is computed with its model.
        collection: all its data.
        encoding: the codes of the data.
        finder: what is found among them.
        maps: their places on a plane.
        reasons: why.

    Args:
        run: a finished run.
        source: the path or name of the data. None: those that the run was trained on.
    """

    def __init__(self, run: Run, source: str | None = None) -> None:
        self.run = run
        self.studio = Studio(run)
        self.collection = Collection(run, source)
        self.encoding = Encoding(self.studio, self.collection)
        self.finder = Finder(self.studio, self.collection, self.encoding)
        self.maps = Maps(lambda level: self.encoding.noise[level - 1])
        self.reasons = Reasons(self.studio, self.encoding)

    def close(self) -> None:
        """Give up what other threads are computing: they get a ValueError."""
        self.studio.close()

    def prepare(self) -> None:
        """Read and encode the data before the page asks for them.

        Raises:
            ValueError: if the page is closed meanwhile.
        """
        self.encoding.prepare()
        _ = self.reasons.names
        self.finder.prepare()
