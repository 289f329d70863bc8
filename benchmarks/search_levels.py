"""Do neighbours by a level share what the level is to hold?

For each level: how often the nearest have the label of the image asked about, and the mean absolute difference of every
number that is known of them, or else of their mean colour, over that of two images taken at random.
"""

import argparse
from pathlib import Path

import numpy as np

import vlae
from vlae.search.neighbours import decode_png


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--num", type=int, default=10, help="neighbours of each")
    args = parser.parse_args()
    index = vlae.Index.open(vlae.load(args.run), args.index)
    factors = [name for name in index.columns if name not in ("name", "source", "label")]
    chosen = [name for name in index.columns if name != "source"] + ([] if factors else ["picture"])
    known = index.table.search().select(chosen).to_arrow().to_pandas().set_index("name")
    if not factors:  # then the colours, which pictures themselves tell
        colours = np.array([decode_png(png).mean((0, 1)) for png in known.pop("picture")])
        known[["mean red", "mean green", "mean blue"]] = colours
    rng = np.random.default_rng(0)
    queries = rng.choice(known.index.to_numpy(), args.queries, replace=False)
    others = rng.choice(len(known), (args.queries, args.num))
    pairs = {"at random": [known.iloc[row] for row in others]}
    for query in queries:
        for levels, rows in index.similar(query, num=args.num).by.items():
            pairs.setdefault(", ".join(map(str, levels)), []).append(rows.to_pandas().set_index("name"))
    numbers = [name for name in known.columns if name != "label" and known[name].dtype.kind in "iuf"]

    def share(by: str) -> float:
        both = zip(queries, pairs[by], strict=True)
        return float(np.mean([(rows["label"] == known.loc[q, "label"]).mean() for q, rows in both]))

    def apart(by: str, name: str) -> float:
        both = zip(queries, pairs[by], strict=True)
        return float(np.mean([np.abs(known.loc[rows.index, name] - known.loc[q, name]).mean() for q, rows in both]))

    by = [*(name for name in pairs if name != "at random"), "at random"]
    print(f"{args.queries} of {len(index):,} images, {args.num} neighbours each, by levels")
    print(f"{'':>24}", *(f"{name:>12}" for name in by))
    if "label" in known:
        print(f"{'share of the same label':>24}", *(f"{share(name):>12.1%}" for name in by))
    for name in numbers:
        print(f"{name:>24}", *(f"{apart(b, name) / apart('at random', name):>12.2f}" for b in by))


if __name__ == "__main__":
    main()
