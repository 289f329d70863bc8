"""How long an index of 100,000 images takes to answer, beside brute force in numpy; see README.md in this folder."""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from vlae import recipes
from vlae.data import load
from vlae.runs.run import Run
from vlae.search.index import Index

CODES = (6, 4, 4, 10)  # of the default recipe at 32 × 32
SHAPE = (3, 16, 16)


class RandomCodes(Run):
    """An untrained run that gives images random codes; one image is encoded nevertheless, and always gets the same."""

    def encode(self, x: np.ndarray | torch.Tensor, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:  # noqa: D102
        draw = np.random.standard_normal
        if len(x) == 1:
            super().encode(x)
            draw = np.random.default_rng(int(np.asarray(x).sum())).standard_normal
        return tuple(draw((len(x), size)).astype(np.float32) for size in CODES)


def timed(do: Callable[[], object], num: int) -> str:
    """Median, least and most of some calls, in milliseconds; two more before them are left out."""
    times = []
    for _ in range(num + 2):
        start = time.perf_counter()
        do()
        times.append(1e3 * (time.perf_counter() - start))
    return spread(times[2:])


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{median(values):8.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=100_000, help="images in the index")
    parser.add_argument("--queries", type=int, default=50, help="of each kind")
    args = parser.parse_args()
    np.random.seed(0)
    recipe = recipes.lean(SHAPE, code_sizes=CODES)
    values = np.random.randint(0, 256, (args.num, *SHAPE), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        model = recipes.build(recipe, mean=torch.tensor(0.5), stddev=torch.tensor(0.5)).eval()
        about = {"recipe": recipe, "model": model, "data": {}, "summary": {}, "examples": values[:64]}
        run = RandomCodes(path=Path(folder), from_checkpoint=True, **about)  # it has no file of weights
        images = load(values, split="all")
        start = time.perf_counter()
        index = Index.build(run, images)
        seconds = time.perf_counter() - start
        print(f"load average {os.getloadavg()[0]:.1f}; {len(index):,} images indexed in {seconds:.0f} s")
        table = index.table.search().select([f"level{level}" for level in range(1, 5)]).to_arrow()
        codes = [np.stack(table[name].to_numpy()) for name in table.column_names]
        query = np.random.randint(0, 256, (1, *SHAPE), dtype=np.uint8)

        def brute(*levels: int, of: np.ndarray = query) -> np.ndarray:
            near = sum(
                ((codes[level - 1] - run.encode(of)[level - 1]) ** 2).sum(1) / index.spread[level - 1] ** 2
                for level in levels
            )
            return np.argpartition(near, 10)[:10]

        print("milliseconds, median (least to most)")
        print("encode one image         ", timed(lambda: run.encode(query), args.queries))
        for level in (1, 4):
            shares = []
            for each in np.random.randint(0, 256, (args.queries, 1, *SHAPE), dtype=np.uint8):
                names = index.similar(each, levels=level).table["name"].to_pylist()
                shares.append(10.0 * len(set(map(int, names)) & set(brute(level, of=each).tolist())))
            assert np.mean(shares) > 95, "an index finds fewer neighbours than it promises"
            print(f"recall@10, level {level}, %    ", spread(shares))
            print(
                f"similar, level {level}         ",
                timed(lambda at=level: index.similar(query, levels=at), args.queries),
            )
            print(f"numpy, level {level}           ", timed(lambda at=level: brute(at), args.queries))
        where = "name LIKE '%7'"
        print("similar, level 4, filter ", timed(lambda: index.similar(query, levels=4, where=where), args.queries))
        asked = index._query(query)
        together = timed(lambda: index._nearest(asked, (1, 4), 10, None), args.queries)
        print("levels 1 and 4 together  ", together)
        print("numpy, both              ", timed(lambda: brute(1, 4), args.queries))
        print("similar, every level     ", timed(lambda: index.similar(query), args.queries))


if __name__ == "__main__":
    main()
