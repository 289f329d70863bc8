"""Few labels: a ladder learns from all digits without their labels, a classifier from its codes of a few labelled ones.

    python examples/few_labels.py                             # scikit-learn's own digits, 8×8
    python examples/few_labels.py MNIST_FOLDER                # the folder of MNIST's four files
    python examples/few_labels.py MNIST_FOLDER --run RUN      # with a ladder that was trained before

It prints the share of wrong answers on held-out digits, in per cent, for features of equal rights: the pixels, their
principal components (as many as the ladder's codes have dimensions), each level's code, and all codes side by side.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import vlae
from vlae.data import load


def digits() -> tuple[np.ndarray, ...]:
    """Training and test images, floats in [0, 1] (N, 8, 8), and their labels."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images.reshape(-1, 8, 8) / 16, labels, test_size=500, stratify=labels, random_state=0)


def folder(path: str) -> tuple[np.ndarray, ...]:
    """The same of a data set on disk, (N, C, H, W)."""
    train, test = load(path, split="train"), load(path, split="test")
    return train.values / np.float32(255), test.values / np.float32(255), train.labels, test.labels


def errors(train: np.ndarray, test: np.ndarray, labels: tuple[np.ndarray, np.ndarray], num: int, draws: int) -> list:
    """Error in per cent with `num` labels, as many of each class, for several choices of them."""
    percentages = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        of_each = [rng.choice(np.flatnonzero(labels[0] == c), num // 10, replace=False) for c in range(10)]
        rows = np.concatenate(of_each)
        classifier = SVC(C=10).fit(train[rows], labels[0][rows])
        percentages.append(100 * (1 - classifier.score(test, labels[1])))
    return percentages


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?")
parser.add_argument("--run")
parser.add_argument("--labels", type=int, nargs="+", default=[100])
parser.add_argument("--draws", type=int, default=10)
args = parser.parse_args()

train, test, *labels = folder(args.data) if args.data else digits()
if args.run:
    run = vlae.load(args.run)
    pairs = zip(run.encode(train), run.encode(test), strict=True)
    features = {f"level {level}": pair for level, pair in enumerate(pairs, start=1)}
else:
    encoder = vlae.LadderEncoder(code_sizes=(4, 4, 8), steps=3000, random_state=0).fit(train)
    codes = encoder.transform(train), encoder.transform(test)
    features = {}
    for level in encoder.levels_:
        own = [name.startswith(f"level{level}_") for name in encoder.get_feature_names_out()]
        features[f"level {level}"] = tuple(code[:, own] for code in codes)
features["all levels"] = tuple(np.concatenate(side, axis=1) for side in zip(*features.values(), strict=True))
flat = train.reshape(len(train), -1), test.reshape(len(test), -1)
components = PCA(features["all levels"][0].shape[1], random_state=0).fit(flat[0])
features = {"pixels": flat, "principal components": tuple(map(components.transform, flat)), **features}

print(f"{'error in %':28}", *(f"{num:>7} labels" for num in args.labels))
for name, (train_codes, test_codes) in features.items():
    cells = [errors(train_codes, test_codes, tuple(labels), num, args.draws) for num in args.labels]
    title = f"{name} ({train_codes.shape[1]})"
    print(f"{title:28}", *(f"{np.mean(cell):7.2f} ± {np.std(cell):4.2f}" for cell in cells), flush=True)
