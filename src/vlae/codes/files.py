"""Files of codes: Parquet, .npz, or a data set of Hugging Face's; put together from parts, read a batch at a time."""

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["parquet", "npz", "dataset"]

ABOUT = "vlae"
"""The key of the file's metadata, and the array of an .npz, under which it is said what made the file, as JSON."""

BATCH = 512  # rows read at a time


class CodesError(ValueError):
    """A file of codes that cannot be written or read as asked."""


def kind_of(path: Path) -> Kind:
    """What a file of this name is: .parquet, .npz, or, without an ending, the folder of a data set.

    Raises:
        CodesError: if the ending is another.
    """
    kinds: dict[str, Kind] = {".parquet": "parquet", ".npz": "npz", "": "dataset"}
    if path.suffix.lower() not in kinds:
        raise CodesError(
            f"{path}: codes are kept in a .parquet or .npz file, or in a folder for Hugging Face's datasets (a name "
            "without an ending)"
        )
    return kinds[path.suffix.lower()]


def level_column(level: int) -> str:
    """The column that holds a level's codes."""
    return f"level{level}"


# Writing -------------------------------------------------------------------------------------------------------------


def as_table(columns: Mapping[str, Any], about: Mapping[str, Any]) -> Any:
    """A pyarrow table of columns: arrays (n,) or (n, d), the latter as lists of fixed size; or lists of words."""
    import pyarrow

    arrays = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray) and column.ndim == 2:
            flat = pyarrow.array(np.ascontiguousarray(column).reshape(-1))
            arrays[name] = pyarrow.FixedSizeListArray.from_arrays(flat, column.shape[1])
        else:
            arrays[name] = pyarrow.array(column)
    return pyarrow.table(arrays).replace_schema_metadata({ABOUT: json.dumps(about)})


def join(parts: Sequence[Path], out: Path, kind: Kind) -> None:
    """Puts Parquet parts together as one file, or folder, of the kind; a part at a time is in memory.

    Args:
        parts: at least one, in order, of the same columns.
        out: what is written, which may not exist yet.
        kind: which kind.
    """
    {"parquet": _join_parquet, "npz": _join_npz, "dataset": _join_dataset}[kind](parts, out)


def _join_parquet(parts: Sequence[Path], out: Path) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(out, parquet.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part))


def _join_npz(parts: Sequence[Path], out: Path) -> None:
    """An .npz as numpy writes it, each array streamed from the parts."""
    from pyarrow import parquet

    schema = parquet.read_schema(parts[0])
    num = sum(parquet.read_metadata(part).num_rows for part in parts)
    with zipfile.ZipFile(out, "w") as archive:
        for name in schema.names:
            kinds = {(array.dtype, array.shape[1:]) for array in _column(parts, name)}  # words differ in length
            dtype, shape = np.result_type(*(dtype for dtype, _ in kinds)), (num, *next(iter(kinds))[1])
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_2_0(stream, header)
                for array in _column(parts, name):
                    stream.write(array.astype(dtype, copy=False).tobytes())
        with archive.open(f"{ABOUT}.npy", "w") as stream:
            np.lib.format.write_array(stream, np.array(schema.metadata[ABOUT.encode()].decode()))


def _column(parts: Sequence[Path], name: str) -> Iterator[np.ndarray]:
    """One column, a part at a time."""
    from pyarrow import parquet

    return (_as_array(parquet.read_table(part, columns=[name])[name]) for part in parts)


def _join_dataset(parts: Sequence[Path], out: Path) -> None:
    """A folder that `datasets.load_from_disk` opens, with class names where they are known."""
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
        shown = datasets.utils.logging.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            datasets.Dataset.from_file(str(stream), info=info).save_to_disk(out)
        finally:
            if shown:
                datasets.enable_progress_bars()
    finally:
        stream.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# Reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    """A file of codes, opened.

    Attributes:
        path: where it is.
        about: what made it; empty where the file does not say.
        columns: the names of its columns.
        num: of rows.
    """

    path: Path
    about: dict[str, Any]
    columns: tuple[str, ...]
    num: int

    def batches(self, columns: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """Some columns, a few hundred rows at a time: arrays (n,) or (n, d)."""
        for table in _tables(self.path, list(columns)):
            yield {name: _as_array(table[name]) for name in columns}


def open_codes(path: str | Path) -> CodeFile:
    """A file of codes, not yet read.

    Raises:
        FileNotFoundError: if it is not there.
        CodesError: if it is none.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder of codes; write one with: vlae encode RUN DATA --out")
    try:
        names, num, about = _look(path, kind_of(path))
        found = json.loads(about) if about else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, CodesError):
            raise
        raise CodesError(f"{path}: no file of codes, or a damaged one ({str(error).splitlines()[0]})") from error
    return CodeFile(path=path, about=found, columns=tuple(names), num=num)


def _look(path: Path, kind: Kind) -> tuple[list[str], int, str | bytes | None]:
    """Names of the columns, number of rows, and what the file says about itself."""
    if kind == "npz":
        with np.load(path, allow_pickle=False) as archive:
            names = [name for name in archive.files if name != ABOUT]
            about = str(archive[ABOUT]) if ABOUT in archive.files else None
            return names, len(archive[names[0]]) if names else 0, about
    if kind == "dataset":
        import datasets

        loaded = datasets.load_from_disk(str(path))
        if not isinstance(loaded, datasets.Dataset):
            raise CodesError(f"{path}: a data set of several parts ({', '.join(loaded)}); give the folder of one")
        said = loaded.info.description or ""
        return loaded.column_names, len(loaded), said if said.startswith("{") else None
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    metadata = file.schema_arrow.metadata or {}
    return file.schema_arrow.names, file.metadata.num_rows, metadata.get(ABOUT.encode())


def _tables(path: Path, columns: list[str]) -> Iterator[Any]:
    kind = kind_of(path)
    if kind == "npz":
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in columns}
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
    """A column as an array: numbers (n,), lists of one length (n, d), or words (n,)."""
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
    return np.asarray(column.to_pylist() if types.is_string(column.type) else column.to_numpy(zero_copy_only=False))
