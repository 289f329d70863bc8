"""What is in memory → images or vectors: arrays, tensors, tables, pictures, lists of them, and map-style data sets."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vlae import memory
from vlae.data.arrays import IMAGE_ARRAYS, read_as_asked
from vlae.data.arrow import read_columns
from vlae.data.columns import with_columns
from vlae.data.files import open_picture
from vlae.data.huggingface import from_loaded
from vlae.data.source import Array, DataError, EncodedPictures, ReadSettings, SourceData, first_present
from vlae.data.tables import from_arrow
from vlae.errors import reason
from vlae.names import printable

IMAGE_KEYS = ("image", "img", "picture", "pixel_values", *IMAGE_ARRAYS)
"""The usual names of the picture in an item that is a dict. The first that is present is used."""


def read_memory(source: Any, settings: ReadSettings) -> tuple[SourceData, str]:
    """Read what is in memory. Its type tells what it is; no library is imported for that.

    Args:
        source: a numpy array or torch tensor; a pandas or polars DataFrame or another Arrow table; a data set of
            `datasets`; a PIL image; a list of PIL images, of paths of pictures, or of arrays; a pair of any of
            these and of labels; or an object with a length whose items are data, tuples (datum, label), or dicts.
        settings: how to read it.

    Returns:
        The data, and what the source is in two or three words.

    Raises:
        DataError: if the content cannot be used.
        FileNotFoundError: if a path in a list leads nowhere.
        TypeError: if the source is of another type.
    """
    for is_of_kind, read, what in _KINDS:
        if is_of_kind(source):
            return read(source, settings), what
    raise TypeError(
        f"{type(source).__name__} is no source of images; give a path, a name, an array, a tensor, a DataFrame, a list "
        "of pictures or paths, a data set with a length, or Images"
    )


# What it is ----------------------------------------------------------------------------------------------------------


def _is_from(source: Any, library: str, *names: str) -> bool:
    """Tell whether a type, or one that it is made from, is a library's type of such a name."""
    kinds = type(source).__mro__
    return any(kind.__module__.partition(".")[0] == library and kind.__name__ in names for kind in kinds)


def _is_array(source: Any) -> bool:
    return isinstance(source, np.ndarray) or _is_from(source, "torch", "Tensor")


def _is_table(source: Any) -> bool:
    return _is_from(source, "pandas", "DataFrame") or hasattr(source, "__arrow_c_stream__")


def _is_picture(source: Any) -> bool:
    return _is_from(source, "PIL", "Image")


def _is_pair(source: Any) -> bool:
    """Tell (data, labels) from two data, such as two grey pictures. One-hot labels may be as wide as the data."""
    if not isinstance(source, tuple) or len(source) != 2 or isinstance(source[0], str | Path):
        return False
    if all(map(_is_array, source)):
        data, labels = (array.shape for array in source)
        if len(data) == len(labels) == 2 and data[0] == labels[0]:
            return data != labels or _is_one_hot(_to_numpy(source[1]))
        return len(data) > len(labels)
    return (
        _is_array(source[1])
        or _is_from(source[1], "pandas", "Series")
        or _is_from(source[1], "polars", "Series")
        or _is_flat(source[1])
    )


def _is_one_hot(labels: Array) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def _is_flat(source: Any) -> bool:
    """Tell a list of numbers and text."""
    return isinstance(source, list | tuple) and all(isinstance(item, int | float | str | None) for item in source)


def _is_list_of_items(source: Any) -> bool:
    """Tell a list of (datum, label), or of dicts, from a list of data."""
    return isinstance(source, list) and len(source) > 0 and _has_beside(source[0])


def _is_list(source: Any) -> bool:
    return isinstance(source, list | tuple) and not any(isinstance(item, int | float) for item in source)


def _has_beside(item: Any) -> bool:
    """Tell an item that is a dict, or a tuple that begins with a datum."""
    is_tuple = isinstance(item, tuple | list) and len(item) > 0
    return isinstance(item, Mapping) or (is_tuple and (hasattr(item[0], "shape") or _is_picture(item[0])))


def _has_items(source: Any) -> bool:
    is_one = isinstance(source, str | bytes | Path | Mapping | list | tuple)
    return hasattr(source, "__getitem__") and hasattr(source, "__len__") and not is_one


# How it is read ------------------------------------------------------------------------------------------------------


def _to_numpy(array: Any) -> Array:
    """Turn a tensor into an array; an array stays. What is masked becomes NaN."""
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        return np.where(np.ma.getmaskarray(array), np.nan, array.data)
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    array = array.detach().cpu()
    array = array.to_dense() if array.is_sparse else array
    return np.asarray(array.float() if str(array.dtype) == "torch.bfloat16" else array)


def _read_array(source: Any, settings: ReadSettings) -> SourceData:
    return SourceData(values=read_as_asked(_to_numpy(source), settings, "the array"))


def _read_table(source: Any, settings: ReadSettings) -> SourceData:
    import pyarrow

    try:
        table = source if isinstance(source, pyarrow.Table) else pyarrow.table(source)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"the table: {reason(error)}; give each column a name of its own and values of one type"
        ) from error
    return from_arrow(table, "the table", settings)


def _read_pair(source: Any, settings: ReadSettings) -> SourceData:
    data, given = read_memory(source[0], settings)[0], source[1]
    if _is_array(given):
        labels = _to_numpy(given)
    elif _is_flat(given):
        is_text = any(isinstance(label, str | None) for label in given)
        labels = np.array(given, object if is_text else None)
    else:
        labels = given.to_numpy()
    if len(labels) != len(data):
        raise DataError(f"the pair: {len(data)} data, but {len(labels)} labels; give one label for each")
    return with_columns(data, {"label": labels})


def _read_sparse(source: Any, settings: ReadSettings) -> SourceData:
    memory.require(source.dtype.itemsize * prod(source.shape), "the sparse matrix, written out,", "give fewer columns")
    return _read_array(source.toarray(), settings)


def _read_list(source: Sequence[Any], settings: ReadSettings) -> SourceData:
    if not source:
        raise DataError("the list is empty; give at least one picture")
    if all(isinstance(item, str | Path) for item in source):
        files = [Path(item).expanduser() for item in source]
        if absent := [file for file in files if not file.is_file()]:
            raise FileNotFoundError(f"{absent[0]}: no such file; check the paths in the list")
        pictures = EncodedPictures(num=len(files), open=lambda i: open_picture(files[i]))
        return SourceData(values=pictures, names=tuple(printable(Path(item).as_posix()) for item in source))
    if all(map(_is_picture, source)):
        return SourceData(values=EncodedPictures(num=len(source), open=lambda i: source[i].copy()))
    if any(map(_is_picture, source)) or any(isinstance(item, str | Path) for item in source):
        kinds = ", ".join(sorted({type(item).__name__ for item in source}))
        raise DataError(f"the list holds {kinds}; give pictures, or paths, or arrays, of one kind only")
    try:
        arrays = [_to_numpy(item) if _is_array(item) else np.asarray(item) for item in source]
    except ValueError as error:
        raise DataError(f"the list: {reason(error)}; give arrays, pictures or paths") from error
    if other := next((i for i, array in enumerate(arrays) if array.shape != arrays[0].shape), None):
        raise DataError(
            f"the list: item {other} is of shape {arrays[other].shape}, item 0 of {arrays[0].shape}; give all one "
            "shape, or PIL images"
        )
    return SourceData(values=read_as_asked(np.stack(arrays), settings, "the list"))


def _read_items(source: Any, settings: ReadSettings) -> SourceData:
    """Read a map-style data set: each item once, in order, and all are held in memory."""
    import pyarrow

    data, columns = [], []
    for i in range(len(source)):
        datum, beside = _split(source[i], settings.key)
        data.append(datum)
        columns.append(beside)
    result = _read_list(data, settings)
    read: dict[str, Array | str] = {}
    for name in dict.fromkeys(name for beside in columns for name in beside):
        cells: list[Any] = [beside.get(name) for beside in columns]
        cells = [cell.tolist() if hasattr(cell, "tolist") else cell for cell in cells]
        try:
            read |= read_columns(pyarrow.table({name: pyarrow.array(cells)}), "the data set", settings.id)
        except (pyarrow.ArrowException, TypeError, ValueError):
            read[name] = "neither numbers nor text"
    names = class_names(source)
    return with_columns(result, read, class_names={"label": names} if names else None, id=settings.id)


def class_names(source: Any) -> tuple[str, ...]:
    """The names of the classes of a data set, as torchvision's have them; none if it has no such names.

    Args:
        source: a data set in Python.
    """
    classes = getattr(source, "classes", None)
    named = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    return tuple(classes) if named and classes else ()


def _split(item: Any, key: str | None) -> tuple[Any, dict[str, Any]]:
    """Split an item into the datum and what is known of it, by name."""
    if isinstance(item, Mapping):
        chosen = key or first_present(IMAGE_KEYS, list(item))
        if chosen not in item:
            raise DataError(f"the data set: which of {', '.join(map(str, item))} is the picture? say key=NAME")
        return item[chosen], {str(name): value for name, value in item.items() if name != chosen}
    if _has_beside(item):
        names = ("label", *(f"item {i}" for i in range(2, len(item))))
        return item[0], dict(zip(names, item[1:], strict=False))
    return item, {}


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, ReadSettings], SourceData], str], ...] = (
    (_is_array, _read_array, "an array"),
    (lambda source: hasattr(source, "toarray") and hasattr(source, "nnz"), _read_sparse, "an array"),
    (
        lambda source: _is_from(source, "datasets", "Dataset", "DatasetDict"),
        lambda source, settings: from_loaded(source, "the data set", settings),
        "a data set",
    ),
    (_is_table, _read_table, "a table"),
    (_is_picture, lambda picture, settings: _read_list([picture], settings), "a picture"),
    (_is_pair, _read_pair, "arrays"),
    (_is_list_of_items, _read_items, "a list"),
    (_is_list, _read_list, "a list"),
    (_has_items, _read_items, "a data set"),
)
"""Which sources are of a kind, how they are read, and what they are called. The first that fits decides."""

IN_MEMORY = frozenset(what for *_, what in _KINDS)
"""What sources are called that were in memory, and cannot be read again by their name."""
