"""Pictures of the collection as files for a browser: small ones as the model sees them, large ones as they are."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from vlae.models.inference import as_input
from vlae.web.collection import PictureError
from vlae.web.session import Session

MAX_SIDE = 2048
"""The longest side of a picture that is sent, in pixels."""

QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture as it is sent.

    Attributes:
        content: the bytes of the file.
        kind: its media type.
        whole: whether it is what was asked for; if not, the full-size picture is gone, and this is the model's copy.
    """

    content: bytes
    kind: str
    whole: bool


def picture_file(session: Session, number: int, size: int) -> PictureFile:
    """Make the file of one picture.

    Args:
        session: the run and its data.
        number: the number of the picture, from 0.
        size: the most pixels of its longer side, 1 or more; it is cut to `MAX_SIDE`. Up to the model's own size the
            picture is as the model sees it; beyond, it is taken from the source again.

    Raises:
        ValueError: if there is no such picture, or the size is below 1.
    """
    if size < 1:
        raise ValueError(f"size is {size}; give a number of pixels from 1 up")
    collection = session.collection
    collection.check(number)
    shape = session.run.recipe.shape
    whole = True
    if len(shape) == 3 and size > max(shape[1:]):
        try:
            if (original := collection.original(number, min(size, MAX_SIDE))) is not None:
                return _file(original, exact=False, whole=True)
        except PictureError:
            whole = False
    seen = session.studio.to_pictures(as_input(collection.values([number])))[0]
    return _file(seen, exact=True, whole=whole)


def _file(pixels: np.ndarray, *, exact: bool, whole: bool) -> PictureFile:
    stream, picture = BytesIO(), Image.fromarray(pixels)
    if exact:
        picture.save(stream, "PNG", compress_level=1)
    else:
        picture.save(stream, "JPEG", quality=QUALITY)
    return PictureFile(content=stream.getvalue(), kind="image/png" if exact else "image/jpeg", whole=whole)
