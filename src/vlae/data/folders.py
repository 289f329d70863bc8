"""Folders of pictures; subfolders tell the parts and the classes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vlae.data.files import PICTURE_SUFFIXES, is_picture, open_picture, walk
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, SourceData, as_classes, parts_by_name


def find_pictures(path: Path) -> list[Path]:
    """Find the pictures in a folder, at any depth, or take a single picture.

    Args:
        path: a file or folder.

    Raises:
        DataError: if a folder holds no picture.
    """
    if path.is_file():
        return [path] if is_picture(path) else []
    files = list(walk(path))
    pictures = [file for file in files if is_picture(file)]
    if pictures:
        return pictures
    if any(file.name == "data.mdb" for file in files):
        raise DataError(
            f"{path}: an LMDB, which is not read; export its pictures to a folder (lsun's data.py export does)"
        )
    kinds = Counter(file.suffix.lower() or "without ending" for file in files)
    seen = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "it is empty"
    raise DataError(
        f"{path}: no picture among {len(files)} files ({seen}); accepted are"
        f" {' '.join(PICTURE_SUFFIXES)}, or give a data file itself"
    )


def read_pictures(path: Path, files: list[Path], settings: ReadSettings) -> SourceData:
    """Read a folder of pictures, or a single picture.

    Folders called train and test are the parts. If every picture lies in a folder one level below, these folders are
    the classes.

    Args:
        path: the folder, or the picture.
        files: the pictures.
        settings: not used.
    """
    if path.is_file():
        return SourceData(values=_encoded(files), names=(path.name,))
    names = [file.relative_to(path).as_posix() for file in files]
    parts = parts_by_name([name.partition("/")[0] for name in names])
    inner = [name.partition("/")[2] for name in names] if parts is not None else names
    labels: Array | None = None
    label_names: tuple[str, ...] = ()
    classes = {name.partition("/")[0] for name in inner}
    if len(classes) > 1 and all(name.count("/") == 1 for name in inner):
        labels, label_names = as_classes([name.partition("/")[0] for name in inner])
    return SourceData(values=_encoded(files), labels=labels, label_names=label_names, names=tuple(names), parts=parts)


def _encoded(files: Sequence[Path]) -> EncodedPictures:
    return EncodedPictures(num=len(files), open=lambda i: open_picture(files[i]))
