"""Test errors of classifiers that know few labels, on any data set with labels; see README.md here."""

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from vlae import recipes
from vlae.codes.classify import classifier_of
from vlae.data import Images, load
from vlae.data.labels import Known, classes_of, known_labels
from vlae.models.inference import encode
from vlae.training.train import fit

COLUMNS = ("dataset", "labels", "draw", "system", "error", "seconds")

Setting = dict[str, Any]


def of_ladder(train: Images, known: Known, test: Images, draw: int, settings: Setting, **objective: Any) -> np.ndarray:
    """The classes of test data by a ladder with a class above its top, or by M2 or M1+M2 of the same code size."""
    sizes = recipes.rival_codes(settings["recipe"], settings["code_sizes"])
    recipe = recipes.make(settings["recipe"], train.shape, code_sizes=sizes)
    recipe = recipes.with_classes(recipe, values=known.values, names=known.names)
    recipe = recipes.adjust(recipe, steps=settings["steps"], seed=draw, **objective)
    model = fit(np.asarray(train.values), recipe, labels=known.labels)
    return encode(model, np.asarray(test.values))[-1][0].argmax(1)


def of_codes(train: Images, known: Known, test: Images, draw: int, settings: Setting) -> np.ndarray:
    """The classes by a classifier on the codes of a VAE that saw no label: M1."""
    recipe = recipes.make("vae", train.shape, code_sizes=(sum(settings["code_sizes"]),))
    recipe = recipes.adjust(recipe, steps=settings["steps"], seed=draw)
    model = fit(np.asarray(train.values), recipe)
    rows = np.flatnonzero(known.labels >= 0)
    codes = encode(model, np.asarray(train.values[rows]))[-1][0]
    return (
        classifier_of(len(rows), draw)
        .fit(codes, known.labels[rows])
        .predict(encode(model, np.asarray(test.values))[-1][0])
    )


def of_pixels(train: Images, known: Known, test: Images, components: int | None) -> np.ndarray:
    """The classes by a support vector machine on pixels, or on their principal components over all data."""
    rows = np.flatnonzero(known.labels >= 0)
    x, new = (np.asarray(part, np.float32).reshape(len(part), -1) / 255 for part in (train.values[rows], test.values))
    if components is not None:
        every = np.asarray(train.values[:10_000], np.float32).reshape(-1, x.shape[1]) / 255
        basis = PCA(components, random_state=0).fit(every)
        x, new = basis.transform(x), basis.transform(new)
        return make_pipeline(StandardScaler(), SVC(C=10)).fit(x, known.labels[rows]).predict(new)
    return SVC(C=10).fit(x, known.labels[rows]).predict(new)


def systems(settings: Setting) -> dict[str, Callable[[Images, Known, Images, int], np.ndarray]]:
    """Every system by its name."""
    return {
        "pixels": lambda train, known, test, draw: of_pixels(train, known, test, None),
        "components": lambda train, known, test, draw: of_pixels(train, known, test, 50),
        "m1": lambda *given: of_codes(*given, settings),
        "m2": lambda *given: of_ladder(*given, settings | {"recipe": "m2"}),
        "m1+m2": lambda *given: of_ladder(*given, settings | {"recipe": "m1+m2"}),
        "ladder": lambda *given: of_ladder(*given, settings),
        "ladder, noise": lambda *given: of_ladder(*given, settings, views=False),
    }


def table(file: Path) -> str:
    """The errors in per cent, mean and standard deviation over the draws, in Markdown."""
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            errors[row["dataset"], row["system"], row["labels"]].append(100 * float(row["error"]))
    lines = []
    for dataset in dict.fromkeys(key[0] for key in errors):
        counts = sorted({int(key[2]) for key in errors if key[0] == dataset})
        lines += [f"| {dataset} | " + " | ".join(map(str, counts)) + " |", "| --- |" + " --- |" * len(counts)]
        for system in dict.fromkeys(key[1] for key in errors if key[0] == dataset):
            cells = [errors.get((dataset, system, str(count)), []) for count in counts]
            words = [f"{np.mean(cell):.2f} ± {np.std(cell):.2f} ({len(cell)})" if cell else "" for cell in cells]
            lines.append(f"| {system} | " + " | ".join(words) + " |")
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", help="data sets with labels, each as NAME=SOURCE")
    parser.add_argument(
        "--out", type=Path, default=Path("few_labels.csv"), help="CSV file; what it holds is not run again"
    )
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 600, 1000, 3000])
    parser.add_argument("--draws", type=int, default=5, help="draws of the labels; the seed of each training follows")
    parser.add_argument("--systems", nargs="+", default=None, help="by default, all")
    parser.add_argument("--recipe", default="lean")
    parser.add_argument("--code-sizes", type=int, nargs="+", default=[4, 4, 16])
    parser.add_argument("--steps", type=int, default=1500)
    asked = parser.parse_args(arguments)
    settings = {"recipe": asked.recipe, "code_sizes": tuple(asked.code_sizes), "steps": asked.steps}
    done = set()
    if asked.out.exists():
        with asked.out.open(newline="") as stream:
            done = {tuple(row[name] for name in COLUMNS[:4]) for row in csv.DictReader(stream)}
    else:
        asked.out.write_text(",".join(COLUMNS) + "\n")
    for dataset in asked.data:
        name, _, source = dataset.partition("=")
        train, test = load(source, split="train"), load(source, split="test")
        assert test.labels is not None
        for draw in range(asked.draws):
            for number in asked.labels:
                known = known_labels(train, number, seed=draw)
                truth = classes_of(test, known.names, known.values)
                for system, classify in systems(settings).items():
                    key = (name, str(number), str(draw), system)
                    if key in done or (asked.systems and system not in asked.systems):
                        continue
                    begun = time.monotonic()
                    error = float((classify(train, known, test, draw) != truth).mean())
                    row = [*key, f"{error:.5f}", f"{time.monotonic() - begun:.0f}"]
                    with asked.out.open("a", newline="") as stream:
                        csv.writer(stream, lineterminator="\n").writerow(row)
                    print(*row, flush=True)
    print(table(asked.out))


if __name__ == "__main__":
    main()
