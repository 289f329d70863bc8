"""Files of codes (Parquet, .npz, a Hugging Face data set, or Lance): joined from parts, and read in batches."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vlae.codes.errors import CodesError as CodesError
from vlae.codes.lance import LanceCodes, command, is_lance
from vlae.errors import MissingExtraError, reason
from vlae.lance_tables import as_place, is_address
from vlae.memory import NotEnoughMemoryError
from vlae.names import is_utf8
from vlae.numpy_files import NumpyFileError, npz_shapes, read_npz, write_array

Kind = Literal["parquet", "npz", "dataset", "lance"]

ABOUT = "vlae"
"""The key of the file's metadata, or the array of an .npz file, that describes in JSON what made the file."""

BATCH = 512
"""Rows read at a time."""


def kind_of(path: str | Path) -> Kind:
    """Return the kind of file by its ending: .parquet, .npz, .lance, or no ending for the folder of a data set.

    Args:
        path: the file or folder, or the address of a Lance data set; it need not exist.

    Raises:
        CodesError: if the ending is another.
    """
    if is_lance(path):
        return "lance"
    if is_address(path):
        raise CodesError(f"{path}: in an object store, codes are kept as Lance; give a name that ends in .lance")
    path = Path(path)
    kinds: dict[str, Kind] = {".parquet": "parquet", ".npz": "npz", "": "dataset"}
    if path.suffix.lower() not in kinds:
        raise CodesError(
            f"{path}: codes are kept in a .parquet, .npz or .lance file, or in a folder for Hugging Face's datasets "
            "(a name without an ending)"
        )
    return kinds[path.suffix.lower()]


def check_new(out: Path, what: Literal["codes", "pictures", "table"] = "codes") -> None:
    """Check a name for an output, and that nothing is there.

    Args:
        out: the file or folder to write.
        what: what is written: "codes", whose name Arrow must be able to write; "pictures", to an .npz file or a folder;
            or a "table", to a .csv or .parquet file.

    Raises:
        CodesError: if it has another ending, is not UTF-8 for codes, or something is there.
    """
    if what == "codes" and not is_utf8(out):
        raise CodesError(f"{out}: codes are written to names in UTF-8 alone; choose another --out (out=)")
    if what == "pictures" and out.suffix.lower() not in (".npz", ""):
        raise CodesError(f"{out}: pictures are written to an .npz file, or to a folder (a name without an ending)")
    if what == "table" and out.suffix.lower() not in (".csv", ".parquet"):
        raise CodesError(f"{out}: a table is a .csv or .parquet file; give such a name")
    if out.exists():
        other = "name" if what == "table" else "--out (out=)"
        raise CodesError(f"{out} exists already, and is not written over; choose another {other}, or remove it")


def check_there(place: str | Path) -> None:
    """Check that there is a file of codes.

    Args:
        place: the file or folder, or an address, which is not looked for.

    Raises:
        FileNotFoundError: if there is nothing.
    """
    path = as_place(place)
    if isinstance(path, Path) and not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder of codes; write one with: vlae encode RUN DATA --out")


# Writing -------------------------------------------------------------------------------------------------------------


def as_table(columns: Mapping[str, Any], about: Mapping[str, Any]) -> Any:
    """Make a pyarrow table.

    Args:
        columns: by name, arrays of shape (n,) or (n, d), or lists of n strings. An (n, d) array becomes a column of
            lists of size d.
        about: what made the codes, as JSON values. It becomes metadata.
    """
    import pyarrow

    arrays = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray) and column.ndim == 2:
            flat = pyarrow.array(np.ascontiguousarray(column).reshape(-1))
            arrays[name] = pyarrow.FixedSizeListArray.from_arrays(flat, column.shape[1])
        else:
            arrays[name] = pyarrow.array(column)
    return pyarrow.table(arrays).replace_schema_metadata(metadata(about))


def metadata(about: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a table of codes.

    Args:
        about: what made the codes, as JSON values.
    """
    return {ABOUT: json.dumps(about)}


def join(parts: Sequence[Path], out: Path, kind: Kind) -> None:
    """Join Parquet files to one file or folder. One part at a time is in memory.

    Args:
        parts: one or more Parquet files with the same columns, in order.
        out: the file or folder to write. It must not exist.
        kind: the kind of file to write: "parquet", "npz" or "dataset".
    """
    {"parquet": _join_parquet, "npz": _join_npz, "dataset": _join_dataset}[kind](parts, out)


def _join_parquet(parts: Sequence[Path], out: Path) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(out, parquet.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part))


def _join_npz(parts: Sequence[Path], out: Path) -> None:
    """Write an .npz file like numpy's, each array streamed from the parts."""
    from pyarrow import parquet

    schema = parquet.read_schema(parts[0])
    num = sum(parquet.read_metadata(part).num_rows for part in parts)
    with zipfile.ZipFile(out, "w") as archive:
        for name in schema.names:
            dtype = np.result_type(*{array.dtype for array in _column(parts, name)})  # strings differ in length
            write_array(archive, name, num, _column(parts, name), dtype)
        with archive.open(f"{ABOUT}.npy", "w") as stream:
            np.lib.format.write_array(stream, np.array(schema.metadata[ABOUT.encode()].decode()))


def _column(parts: Sequence[Path], name: str) -> Iterator[np.ndarray]:
    """Yield one column, a part at a time."""
    from pyarrow import parquet

    return (_as_array(parquet.read_table(part, columns=[name])[name]) for part in parts)


def _join_dataset(parts: Sequence[Path], out: Path) -> None:
    """Write a folder for `datasets.load_from_disk`, with class names if they are known."""
    import datasets
    import pyarrow
    from pyarrow import parquet

    schema = parquet.read_schema(parts[0])
    about = schema.metadata[ABOUT.encode()].decode()
    features = datasets.Features.from_arrow_schema(schema)
    if names := json.loads(about).get("label_names"):
        features["label"] = datasets.ClassLabel(names=names)
    stream = out.with_name(f"{out.name}.arrow")
    try:
        with pyarrow.ipc.new_stream(str(stream), schema) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part))
        info = datasets.DatasetInfo(features=features, description=about)
        bar_was_shown = datasets.utils.logging.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            datasets.Dataset.from_file(str(stream), info=info).save_to_disk(out)
        finally:
            if bar_was_shown:
                datasets.enable_progress_bars()
    finally:
        stream.unlink(missing_ok=True)


# Reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, repr=False)
class CodeFile:
    """A file of codes.

    Attributes:
        path: its path, or its address in an object store.
        about: what made it; empty if the file does not tell.
        columns: the names of its columns.
        num: the number of rows.
    """

    path: str | Path
    about: dict[str, Any]
    columns: tuple[str, ...]
    num: int

    def __repr__(self) -> str:
        return f"CodeFile({self.path}: {self.num} rows, columns {', '.join(self.columns)})"

    def batches(self, columns: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Yield some columns, at most 512 rows at a time.

        Args:
            columns: the names of the columns.

        Yields:
            Each column by name: an array of shape (n,), or (n, d) for codes.

        Raises:
            CodesError: if the file is damaged.
        """
        try:
            for table in _tables(self.path, list(columns)):
                yield {name: _as_array(table[name]) for name in columns}
        except Exception as error:  # as in `open_codes`
            raise damaged(self.path, error) from error


def open_codes(path: str | Path) -> CodeFile:
    """Open a file of codes. Its rows are read later, by `CodeFile.batches`.

    Args:
        path: a .parquet or .npz file, the folder of a Hugging Face data set, or a Lance data set, also in an object
            store.

    Raises:
        FileNotFoundError: if there is no such file.
        CodesError: if the file is damaged, unfinished, or not a file of codes.
        MissingExtraError: if it is a Lance data set, and LanceDB is not installed.
    """
    path = as_place(path)
    check_there(path)
    try:
        columns, num, text = _header(path, kind_of(path))
        about = json.loads(text) if text else {}
        if not isinstance(about, dict):
            raise ValueError("what made it is no JSON object")
    except Exception as error:  # a damaged file raises almost anything
        raise damaged(path, error) from error
    return CodeFile(path=path, about=about, columns=tuple(columns), num=num)


def damaged(path: str | Path, error: Exception) -> ValueError:
    """The error of one line for what reading a file raised.

    Args:
        path: the file.
        error: what was raised.
    """
    if isinstance(error, CodesError | NotEnoughMemoryError | MissingExtraError):
        return error
    if isinstance(error, NumpyFileError):
        return CodesError(str(error))
    return CodesError(f"{path}: no file of codes, or a damaged one ({reason(error)})")


def _header(path: str | Path, kind: Kind) -> tuple[list[str], int, str | bytes | None]:
    """Read the names of the columns, the number of rows, and the JSON text of what made the file."""
    if kind == "lance":
        return _lance_header(LanceCodes(path))
    path = Path(path)
    if kind == "npz":
        shapes = npz_shapes(path)
        about = _read_npz(path, [ABOUT])[ABOUT] if ABOUT in shapes else None
        names = [name for name in shapes if name != ABOUT]
        lengths = {shapes[name][:1] for name in names}
        if len(lengths) > 1 or () in lengths:
            raise CodesError(f"{path}: its arrays differ in length")
        return names, next(iter(lengths))[0] if names else 0, None if about is None else str(about)
    if kind == "dataset":
        import datasets

        loaded = datasets.load_from_disk(str(path))
        if not isinstance(loaded, datasets.Dataset):
            raise CodesError(f"{path}: a data set of several parts ({', '.join(loaded)}); give the folder of one")
        description = loaded.info.description or ""
        return loaded.column_names, len(loaded), description if description.startswith("{") else None
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    metadata = file.schema_arrow.metadata or {}
    return file.schema_arrow.names, file.metadata.num_rows, metadata.get(ABOUT.encode())


def _lance_header(codes: LanceCodes) -> tuple[list[str], int, str]:
    if codes.table is None:
        raise CodesError(f"{codes.place}: there is no such data set; write one with: vlae encode RUN DATA --out")
    about, num = codes.about, len(codes)
    if num < about.get("num", num):
        raise CodesError(
            f"{codes.place} is unfinished ({num:,} of {about['num']:,} rows); go on with: {command(codes.place, about)}"
        )
    codes.check_whole(about.get("num", num))
    return list(codes.table.schema.names), num, json.dumps(about)


def _read_npz(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    arrays, unreadable = read_npz(path, names)
    for name, why in unreadable.items():
        raise CodesError(f"{path}: the array {name!r} cannot be read ({why}); write the file again")
    return arrays


def _tables(path: str | Path, columns: list[str]) -> Iterator[Any]:
    kind = kind_of(path)
    if kind == "lance":
        yield from LanceCodes(path).batches(columns, BATCH)
        return
    path = Path(path)
    if kind == "npz":
        arrays = _read_npz(path, columns)
        for start in range(0, len(arrays[columns[0]]), BATCH):
            yield {name: array[start : start + BATCH] for name, array in arrays.items()}
    elif kind == "dataset":
        import datasets

        loaded = datasets.load_from_disk(str(path)).select_columns(columns).with_format("arrow")
        yield from loaded.iter(batch_size=BATCH)
    else:
        from pyarrow import parquet

        yield from parquet.ParquetFile(path).iter_batches(batch_size=BATCH, columns=columns)


def _as_array(column: Any) -> np.ndarray:
    """Turn a column into an array: (n,) numbers or strings, or (n, d) for lists of one length."""
    if isinstance(column, np.ndarray):
        return column
    from pyarrow import types

    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        from pyarrow import compute

        lengths = set(compute.list_value_length(column).to_pylist())
        if len(lengths) > 1 or None in lengths:
            raise CodesError(f"a column holds lists of different lengths: {sorted(map(str, lengths))[:5]}")
        flat = compute.list_flatten(column).to_numpy(zero_copy_only=False)
        return np.asarray(flat).reshape(len(column), -1)
    if types.is_integer(column.type):
        column = column.fill_null(-1)  # arrays of whole numbers have no null
    return np.asarray(column.to_pylist() if types.is_string(column.type) else column.to_numpy(zero_copy_only=False))
