"""What ten million pictures take: encoding, an index without pictures, search by each level, and the odd ones.

    python benchmarks/ten_million.py --num 100000 1000000                # pictures drawn on the fly, and encoded
    python benchmarks/ten_million.py --num 100000 1000000 --codes-only   # codes from a mixture: no encoder
    python benchmarks/ten_million.py --num 10000000 --codes-only         # ten million: hours, and 10 GB of disk

The pictures are 32 × 32, drawn when they are read, so that they fill no disk. Their model is untrained: encoding takes
as long as by a trained one. Its codes have less structure than real ones. So with --codes-only the codes come from
a mixture of 500 clusters in few directions, each with its own spread, and rows of noise: the index and the odd ones are
measured on these, and the encoder apart. Each size runs in a process of its own, for its peak of memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from vlae import recipes
from vlae.codes.encode import encode
from vlae.codes.outliers import score
from vlae.data.images import Images
from vlae.lance_tables import table_at
from vlae.runs.layout import MODEL
from vlae.runs.run import Run
from vlae.search import building
from vlae.search.index import Index, _Query
from vlae.search.partitions import NUM, scan, vectors

CODES, SHAPE = (6, 4, 4, 10), (3, 32, 32)  # of the default recipe at this size
CLUSTERS = 500


class Drawn:
    """Pictures that are drawn when they are read: smooth blobs of two colours, from a small table and the row."""

    dtype = np.dtype(np.uint8)

    def __init__(self, rows: np.ndarray, *, late: bool = False) -> None:
        self.rows, self.late, self.shape, self.ndim = rows, late, (len(rows), *SHAPE), 4

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Any:
        rows = self.rows[which]
        if np.ndim(rows) == 0:
            return drawn(rows[None])[0]
        return Drawn(rows, late=True) if self.late else drawn(rows)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return drawn(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), 1_024):
            yield from drawn(self.rows[start : start + 1_024])


def drawn(rows: np.ndarray) -> np.ndarray:
    """Pictures by their rows, uint8 (n, 3, 32, 32)."""
    at = np.arange(32, dtype=np.float32)
    mixed = (rows[:, None].astype(np.uint64) + 1) * np.array(
        [2654435761, 40503, 97561, 15485863, 32452843, 49979687, 67867967, 86028121], np.uint64
    )
    x, y, width, *colours = ((mixed >> np.uint64(7)) % np.uint64(251)).astype(np.float32).T / 251
    reach = (3 + 6 * width)[:, None]
    across = np.exp(-(((at - 32 * x[:, None]) / reach) ** 2))
    down = np.exp(-(((at - 32 * y[:, None]) / reach) ** 2))
    ink = np.stack(colours[:3], 1)[:, :, None, None]
    wall = np.stack((colours[3], colours[4], colours[0]), 1)[:, :, None, None]
    blob = (down[:, :, None] * across[:, None])[:, None]
    pictures: np.ndarray = (255 * (wall + (ink - wall) * blob)).astype(np.uint8)
    return pictures


def mixture(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Codes by their rows, one level after the other: float32 (n, code size)."""
    levels = []
    for level, size in enumerate(CODES):
        once = np.random.default_rng(level)
        centres = once.normal(size=(CLUSTERS, min(size, 3))) @ once.normal(size=(min(size, 3), size))
        spreads = 0.05 + 0.4 * once.random((CLUSTERS, size))
        rng = np.random.default_rng([level, int(rows[0]), len(rows)])
        cluster = rng.integers(0, CLUSTERS, len(rows))
        codes = centres[cluster] + spreads[cluster] * rng.normal(size=(len(rows), size))
        noise = rng.random(len(rows)) < 0.02
        codes[noise] = 2 * rng.normal(size=(noise.sum(), size))
        levels.append(codes.astype(np.float32))
    return tuple(levels)


class GivenCodes(Run):
    """A run that takes codes from the mixture, by the rows of the pictures."""

    def encode(self, x: Any, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:  # noqa: D102
        return mixture(x.values.rows)


def run_in(folder: Path, kind: type[Run]) -> Run:
    """An untrained run of the default recipe."""
    torch.manual_seed(0)
    recipe = recipes.lean(SHAPE, code_sizes=CODES)
    model = recipes.build(recipe, mean=torch.tensor(0.5), stddev=torch.tensor(0.25)).eval()
    folder.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / MODEL)
    return kind(path=folder, recipe=recipe, model=model, data={}, summary={}, examples=drawn(np.arange(64)))


class Clock:
    """Seconds on the wall and of the processor."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), cpu()

    def stop(self) -> dict[str, float]:
        """Seconds since it was made."""
        return {"seconds": time.perf_counter() - self.wall, "processor_seconds": cpu() - self.cpu}


def text(of: dict[str, float]) -> str:
    """What `Clock.stop` gave, in words."""
    return f"{of['seconds']:,.0f} s ({of['processor_seconds']:,.0f} s of the processor)"


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """The most memory so far, without the cache of files, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def search(index: Index, num: int, queries: int) -> dict[str, dict[str, float]]:
    """Times of whole searches, and recall@10 against all rows, which are read once for all queries."""
    levels = [(level,) for level in range(1, len(CODES) + 1)] + [tuple(range(1, len(CODES) + 1))]
    rows = np.random.default_rng(1).integers(0, num, queries)
    asked = [index._named(str(row)) for row in rows]
    results = {}
    for group in levels:
        farthest = exact(index, asked, group)
        times, found = [], 0
        for query, most in zip(asked, farthest, strict=True):
            begun = time.perf_counter()
            table = index._nearest(query, group, NUM, None)
            times.append(1e3 * (time.perf_counter() - begun))
            found += int((table["distance"].to_numpy() <= most * (1 + 1e-4)).sum())
        name = f"level {group[0]}" if len(group) == 1 else "all levels"
        half, most = np.percentile(times[2:], [50, 95])
        recall = found / NUM / queries
        results[name] = {"p50_ms": float(half), "p95_ms": float(most), "recall": recall}
        print(f"search, {name:10}  p50 {half:.1f} ms, p95 {most:.1f} ms, recall@10 {recall:.4f}", flush=True)
    return results


def exact(index: Index, asked: list[_Query], group: tuple[int, ...]) -> np.ndarray:
    """The distance of each query's tenth nearest row, itself left out."""
    names = [f"level{level}" for level in group]
    scaled = [np.concatenate([query.codes[level - 1] / index.spread[level - 1] for level in group]) for query in asked]
    best = np.full((len(asked), NUM + 1), np.inf)
    for batch in scan(index.table, names):
        codes = [vectors(batch[name]) / index.spread[level - 1] for name, level in zip(names, group, strict=True)]
        points = np.concatenate(codes, axis=1)
        far = np.stack([np.square(points - query).sum(1) for query in scaled])
        best = np.partition(np.concatenate([best, far], axis=1), NUM, axis=1)[:, : NUM + 1]
    found: np.ndarray = np.sqrt(best.max(1) / len(group))
    return found


def odd(num: int) -> dict[str, dict[str, float]]:
    """Time of the outliers by each level, on codes of the mixture and changes of it."""
    results = {}
    for level, size in enumerate(CODES):
        codes = np.concatenate([mixture(np.arange(i, min(i + 10**5, num)))[level] for i in range(0, num, 10**5)])
        changes = 0.1 * np.random.default_rng(level).normal(size=(num, size)).astype(np.float32)
        clock = Clock()
        _, recall = score(codes, changes)
        result = {**clock.stop(), "recall": 1.0 if recall is None else recall}
        results[f"level {level + 1}"] = result
        print(
            f"odd, level {level + 1}: {text(result)}, recall@10 {result['recall']:.4f}, peak {peak():.2f} GB",
            flush=True,
        )
    return results


def measure(num: int, codes_only: bool, queries: int, place: Path) -> dict[str, Any]:
    """Everything at one size."""
    print(f"\n{num:,} pictures{', codes of a mixture' * codes_only}; load {os.getloadavg()[0]:.1f}", flush=True)
    names = tuple(map(str, range(num)))
    print(f"names of all: peak {peak():.2f} GB", flush=True)
    few = min(num, 20_000) if codes_only else num
    some = Images(values=Drawn(np.arange(few)), names=names[:few], source="drawn")  # type: ignore[arg-type]
    clock = Clock()
    encode(run_in(place / "run", Run), some, place / "codes.lance", reconstruction=False)
    encoding = clock.stop() | {"pictures": few, "peak_gb": peak(), "bytes_a_row": size_of(place / "codes.lance") / few}
    speed = few / encoding["seconds"]
    print(f"encode {few:,} to Lance: {text(encoding)}, {speed:,.0f} pictures/s, peak {peak():.2f} GB", flush=True)
    print(f"codes: {encoding['bytes_a_row']:.0f} bytes a row", flush=True)
    run = run_in(place / "run", GivenCodes if codes_only else Run)
    images = Images(values=Drawn(np.arange(num), late=codes_only), names=names, source="drawn")  # type: ignore[arg-type]
    clock = Clock()
    index = Index.build(run, images, place / "index", pictures=False, progress=True)
    indexing = clock.stop() | {"peak_gb": peak(), "gb": size_of(place / "index") / 1e9}
    print(f"index: {text(indexing)}, peak {peak():.2f} GB, {indexing['gb']:.2f} GB", flush=True)
    for name, each in index.state.recall.items():
        print(f"  {name}: {each.nprobes} of {each.partitions} partitions, recall@10 {each.recall:.4f}", flush=True)
    assert len(index) == num and table_at(place / "index", "images") is not None
    results = {"num": num, "encode": encoding, "index": indexing}
    results |= {"search": search(index, num, queries), "odd": odd(num), "peak_gb": peak()}
    print(f"peak of all: {peak():.2f} GB", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, nargs="+", default=[10**5, 10**6], help="pictures, one size or several")
    parser.add_argument("--codes-only", action="store_true", help="codes from a mixture instead of the encoder's")
    parser.add_argument("--queries", type=int, default=200, help="searches of each kind")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    parser.add_argument("--commit", type=int, default=50_000, help="rows of a commit of the index")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs; its numbers mean nothing")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    building.COMMIT = given.commit
    results = []
    for num in [500] if given.quick else given.num:
        with TemporaryDirectory(dir=given.folder) as place:
            if given.one:
                results.append(measure(num, given.codes_only, given.queries, Path(place)))
                continue
            file = Path(place, "one.json")
            words = [sys.executable, __file__, "--one", "--num", str(num), "--queries", str(given.queries)]
            words += ["--commit", str(given.commit), "--folder", place, *["--codes-only"] * given.codes_only]
            subprocess.run([*words, "--json", file], check=True)
            results += json.loads(file.read_text())
    if given.json:
        given.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
