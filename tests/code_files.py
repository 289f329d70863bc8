"""Folders of pictures to encode, an encoder that stops, and the columns of a file of codes."""

import numpy as np
from PIL import Image

from vlae.codes.encoder import Encoder
from vlae.codes.files import open_codes

RNG = np.random.default_rng(0)


def write_folder(path, num=20, size=8):
    """Writes pictures of random pixels, in one folder per class."""
    for i in range(num):
        folder = path / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    return path


def columns_of(path):
    """Reads all columns of a file of codes."""
    code_file = open_codes(path)
    batches = list(code_file.batches(code_file.columns))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in code_file.columns}


def stopping_at(monkeypatch, call):
    """Stops the encoder at its nth part; returns the numbers of the parts that it has begun."""
    begun, columns = [], Encoder.columns

    def stop(encoder, values, start=0, advance=None, **given):
        begun.append(start)
        if len(begun) == call:
            raise KeyboardInterrupt
        return columns(encoder, values, start, advance, **given)

    monkeypatch.setattr(Encoder, "columns", stop)
    return begun
