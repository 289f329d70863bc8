"""Writes shards that streams are read from: .tar files, Parquet files and Lance data sets of small pictures."""

import io
import tarfile

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

CLASSES = ("cat", "dog", "owl")


def picture(seed, size=(8, 8)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(file, members):
    """Writes the files of a .tar file, given by name and content, in their order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def write_tars(folder, *, shards=3, rows=20):
    """Shards of PNG pictures, number `shard * rows + row` from seed of that number, with classes that take turns."""
    for shard in range(shards):
        members = []
        for number in range(shard * rows, (shard + 1) * rows):
            members += [
                (f"{number:05d}.png", png(picture(number))),
                (f"{number:05d}.cls", CLASSES[number % 3].encode()),
            ]
        write_tar(folder / f"train-{shard:03d}.tar", members)
    return folder


def table(numbers):
    """The same pictures as a table of Arrow."""
    return pyarrow.table(
        {
            "image": [png(picture(number)) for number in numbers],
            "label": [CLASSES[number % 3] for number in numbers],
            "id": [f"{number:05d}" for number in numbers],
        }
    )


def write_parquet(file, numbers, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table(numbers), file, **options)
    return file
