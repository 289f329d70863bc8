"""What several tests of data need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_picture() -> Callable[..., None]:
    """A function that writes an array of bytes as a picture, in a folder that is made if it is not there."""

    def save(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(pixels, np.uint8))
        (image.convert(mode) if mode else image).save(path, **options)

    return save
