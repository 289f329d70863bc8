"""What is asked of a file of codes, besides the run, the source and the place."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How the rows of a source are read, and which columns are written: as `vlae.codes.encode.encode` takes it."""

    stream: bool = False
    layout: Literal["NHW", "NHWC", "NCHW"] | None = None
    key: str | None = None
    id: str | None = None
    stddev: bool = False
    sample: bool = False
    reconstruction: bool = True
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a call that goes on, as JSON values; a stream is known by its own hash."""
        return {name: value for name, value in asdict(self).items() if name != "stream"}

    @property
    def how(self) -> dict[str, Any]:
        """How a source is read."""
        return {name: getattr(self, name) for name in ("layout", "key", "id")}

    @property
    def columns(self) -> dict[str, Any]:
        """What the encoder is told (`vlae.codes.encoder.Encoder`)."""
        return {name: getattr(self, name) for name in ("stddev", "sample", "reconstruction", "seed")}
