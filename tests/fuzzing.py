"""Mutated files of every kind that vlae reads, and how each is read: what comes out is a result or one line.

To try more of them: `PYTHONPATH=src:tests python tests/fuzzing.py 10000 SEED`, with the number of all files.
"""

import copy
import gzip
import json
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from interrupting import stop_at_step
from PIL import Image
from pyarrow import parquet

import vlae
from vlae.codes.encode import encode
from vlae.codes.files import open_codes
from vlae.report.numbers import levels_in_numbers, numbers_of
from vlae.report.page import content
from vlae.training.train import Stopped
from vlae.workflows import train

SECONDS = 60
"""How long one file may take; the machine may be busy."""

MEMORY = 6 * 2**30
"""Bytes of addresses that one file may take, beside what the process has."""

Read = Callable[[Path], object]
SETTINGS: dict[str, Any] = {"steps": 20, "batch_size": 8, "code_sizes": (1, 2), "seed": 1, "progress": False}


# The files, whole --------------------------------------------------------------------------------------------------


def make(folder: Path) -> dict[str, tuple[Path, Read]]:
    """Files of every kind, by name, each with what reads it. A file of a run lies in the folder of a run."""
    data, run, unfinished = folder / "data", folder / "run", folder / "unfinished"
    data.mkdir()
    _write_data(data)
    trained = train(data / "a.npy", out=run, **SETTINGS)
    vlae.evaluate(trained)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stop_at_step(patch, 7)
        train(data / "a.npy", out=unfinished, **SETTINGS)
    files: dict[str, tuple[Path, Read]] = {file.name: (file, _read_data) for file in sorted(data.iterdir())}
    for name in ("codes.npz", "codes.parquet"):
        files[name] = (encode(trained, str(data / "a.npy"), data / name), _read_codes)
    for name in ("recipe.json", "summary.json", "model.safetensors", "examples.npy", "prior.safetensors"):
        files[name] = (run / name, _read_run)
    files["metrics.csv"] = (run / "metrics.csv", lambda file: vlae.load(file.parent).history)
    files["evaluation.json"] = (run / "evaluation.json", _read_evaluation)
    files["unfinished checkpoint.ckpt"] = (unfinished / "checkpoint.ckpt", lambda file: _resume(file, data / "a.npy"))
    files["unfinished metrics.csv"] = (unfinished / "metrics.csv", lambda file: _resume(file, data / "a.npy"))
    return files


def _write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, label = rng.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8), np.arange(24) % 3
    np.save(folder / "a.npy", pixels)
    np.savez(folder / "stored.npz", images=pixels, label=label)
    np.savez_compressed(folder / "packed.npz", images=pixels, label=label, height=np.linspace(0, 1, 24))
    idx = struct.pack(">HBB3I", 0, 8, 3, 24, 8, 8) + pixels[..., 0].tobytes()
    (folder / "mine.idx").write_bytes(idx)
    (folder / "mine.idx.gz").write_bytes(gzip.compress(idx))
    numbers = {f"x{i}": column for i, column in enumerate(rng.normal(size=(4, 24)))}
    table = pyarrow.table(
        {"name": [f"row {i}" for i in range(24)], "label": [f"c{i % 3}" for i in range(24)], **numbers}
    )
    parquet.write_table(table, folder / "numbers.parquet")
    lines = [",".join(table.column_names), *(",".join(map(str, row.values())) for row in table.to_pylist())]
    (folder / "numbers.csv").write_text("\n".join(lines))
    for ending in ("png", "jpeg", "tiff", "gif", "bmp", "webp"):
        Image.fromarray(np.tile(pixels[0], (4, 4, 1))).save(folder / f"picture.{ending}")
    cells = [{"bytes": (folder / "picture.png").read_bytes(), "path": None}] * 24
    parquet.write_table(pyarrow.table({"image": cells, "label": label}), folder / "pictures.parquet")


# How each is read --------------------------------------------------------------------------------------------------


def _read_data(file: Path) -> object:
    return vlae.data.load(file, split="all").describe()


def _read_codes(file: Path) -> object:
    codes = open_codes(file)
    return list(codes.batches(codes.columns)) if codes.columns else None


def _read_run(file: Path) -> object:
    run = vlae.load(file.parent)
    return run.summary, run.sample(2), levels_in_numbers(run), numbers_of(run, None)


def _read_evaluation(file: Path) -> object:
    return content(vlae.load(file.parent))


def _resume(file: Path, source: Path) -> object:
    return train(source, out=file.parent, resume=True, **SETTINGS)


# How they are changed ----------------------------------------------------------------------------------------------


def mutated(content: bytes, rng: random.Random, *, is_json: bool) -> bytes:
    """The content with one to four changes: of bytes, of parts, of its length; or of one value of a JSON object."""
    if is_json and rng.random() < 0.7:
        record = json.loads(content)
        for _ in range(rng.randint(1, 3)):
            _change_value(record, rng)
        return json.dumps(record).encode(errors="surrogatepass")
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        # The beginning and the end of a file say most about it.
        at = rng.choice(
            (
                rng.randrange(len(changed) + 1),
                min(rng.randrange(160), len(changed)),
                max(0, len(changed) - rng.randrange(160)),
            )
        )
        num = rng.choice((1, 1, 2, 4, 8, rng.randrange(1, 100)))
        kind = rng.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + num] = rng.randbytes(num)
        elif kind == 2:
            del changed[at : at + num]
        elif kind == 3:
            changed[at:at] = rng.choice((rng.randbytes(num), bytes(num), b"\xff" * num, b"(" * num, b"9" * num, b"\n"))
        elif kind == 4:
            changed[at : at + num] = rng.choice((b"\xff", b"\x00", b"\x7f", b"9", b"-")) * num
        elif kind == 5:
            del changed[rng.choice((at, max(0, len(changed) - num))) :]
        else:
            changed[at:at] = changed[rng.randrange(len(changed) + 1) :][:num]
    return bytes(changed)


ODD = (None, True, "", "a", "\ud800", "\x1b[31m", 0, -1, 1, 2, 10**6, 10**30, -(10**30), 0.5, float("nan"),
       float("inf"), [], {}, [[]], [1], [0, 0, 0], {"a": 1}, "a" * 1_000, [[1, 1]] * 500)  # fmt: skip


def _change_value(record: Any, rng: random.Random) -> None:
    """Replaces, removes or doubles one value, anywhere in a JSON object."""
    while True:
        keys = list(record) if isinstance(record, dict) else range(len(record))
        if not keys:
            return
        key = rng.choice(list(keys))
        if isinstance(record[key], dict | list) and record[key] and rng.random() < 0.8:
            record = record[key]
            continue
        kind = rng.randrange(4)
        if kind == 0:
            del record[key]
        elif kind == 1 and isinstance(record, list):
            record.append(record[key])
        elif kind == 2 and isinstance(record, dict):
            record[str(rng.choice(ODD))[:20]] = record.pop(key)
        else:
            record[key] = copy.deepcopy(rng.choice(ODD))  # which may be changed in turn
        return


# What comes out ----------------------------------------------------------------------------------------------------


def fuzz(num: int, folder: Path, seed: int, *, kinds: Callable[[str], bool] = lambda name: True) -> Counter[str]:
    """Reads mutated files, and counts what comes out: "read", "refused", or a raw error, with its file and where.

    Args:
        num: of mutated files, divided among the kinds.
        folder: an empty folder to work in.
        seed: of the changes.
        kinds: which kinds are read, by name.
    """
    (folder / "whole").mkdir()
    files = {name: pair for name, pair in make(folder / "whole").items() if kinds(name)}
    # Starting a training takes a hundred times longer than reading a file.
    weights = {name: 0.05 if name.startswith("unfinished") else 1.0 for name in files}
    outcomes: Counter[str] = Counter()
    for name, (whole, read) in files.items():
        assert _outcome(whole, read, folder / "try") == "read", f"{name}: {_outcome(whole, read, folder / 'try')}"
        share = round(num * weights[name] / sum(weights.values()))
        for number in range(max(1, share)):
            rng = random.Random(f"{seed} {name} {number}")
            changed = mutated(whole.read_bytes(), rng, is_json=name.endswith(".json"))
            outcome = _outcome(whole, read, folder / "try", changed)
            outcomes[outcome if outcome in ("read", "refused") else f"{name} {number}: {outcome}"] += 1
    return outcomes


def _outcome(whole: Path, read: Read, folder: Path, changed: bytes | None = None) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    is_run = (whole.parent / "recipe.json").exists()
    shutil.copytree(whole.parent, folder) if is_run else folder.mkdir()
    file = folder / whole.name
    file.write_bytes(whole.read_bytes() if changed is None else changed)
    try:
        with _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(file)
        return "read"
    except ValueError as error:
        line = str(error)
        named = file.name in line or (is_run and str(folder) in line)
        own = type(error).__module__.startswith("vlae") or type(error) is ValueError
        if own and named and len(line.splitlines()) == 1:
            return "refused"
        return f"not one line that names the file: {error!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        ours = [each for each in traceback.extract_tb(error.__traceback__) if "/vlae/" in each.filename]
        return f"{type(error).__name__}: {str(error)[:200]!r} at {frame.name}:{frame.lineno}, in {ours[-1:]}"


class _TookTooLong(BaseException):
    """A file that takes too long."""


@contextmanager
def _bounded() -> Iterator[None]:
    """Stops the block after `SECONDS`, and lets it have `MEMORY`."""

    def stop(number: int, frame: object) -> None:
        raise _TookTooLong(f"{SECONDS} s")

    handler = signal.signal(signal.SIGALRM, stop)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLAE_CACHE", f"{temporary}/cache")
        begun = time.monotonic()
        wanted = sys.argv[3:]
        result = fuzz(
            int(sys.argv[1]), Path(temporary), int(sys.argv[2]), kinds=lambda name: not wanted or name in wanted
        )
        raw = {outcome: count for outcome, count in result.items() if outcome not in ("read", "refused")}
        print(*(f"{outcome}" for outcome in raw), sep="\n")
        print(f"{result.total():,} files in {time.monotonic() - begun:.0f} s: {result['read']:,} read, "
              f"{result['refused']:,} refused, {sum(raw.values())} raw errors")  # fmt: skip
