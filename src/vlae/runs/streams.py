"""A stream in the form that a run takes."""

from vlae.data.sampling import sample_of
from vlae.data.streams import Stream
from vlae.runs.run import Run


def stream_for(run: Run, stream: Stream, *, progress: bool = False) -> Stream:
    """Give a stream the form that a run takes, and the names of its classes, from a sample of its rows.

    Args:
        run: the run that encodes it.
        stream: as it was opened.
        progress: whether to show what is read.

    Raises:
        ValueError: if the data do not have the run's shape, or the run reads features of full-size pictures.
    """
    if run.network is not None:
        raise ValueError("the run reads features of full-size pictures, which a stream does not give; leave stream out")
    form = sample_of(stream, progress=progress)
    run.fitted(form)
    return stream.like(form)
