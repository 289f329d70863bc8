"""How far the spectrum of blurred pictures departs from that of real ones at the strides' frequencies, without strides.

A ladder's reconstructions are blurred, and a spectrum changes its shape with that. Principal components blur as much
when there are as many as give the same error, and have no strides: what they show beside real pictures is no mesh.

A mesh is drawn into a picture, whatever that shows. So the power of reconstructions is also divided: into what goes
with the real pictures, frequency by frequency, and what is foreign to them.

python benchmarks/mesh_control.py RUN [RUN ...] --out mesh.csv
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

import vlae
from vlae.evaluation.mesh import peaks, spectrum
from vlae.models.inference import as_input

MOST = 5_000
DRAWS = 200  # of pictures, for the range in which a ratio lies by chance
FEW = 500  # held-out pictures below which all pictures are measured


def principal_components(train: np.ndarray, test: np.ndarray, error: float) -> tuple[int, np.ndarray]:
    """Reconstructions of test pictures by as many principal components as give the squared error, and their number."""
    most = min(256, *train.shape, len(train) - 1)
    fitted = PCA(most, random_state=0).fit(train)
    scores = fitted.transform(test)
    outside = np.square(test - fitted.mean_).sum(1).mean() - np.cumsum(np.square(scores).mean(0))
    num = 1 + int(np.abs(outside / test.shape[1] - error).argmin())
    return num, np.clip(fitted.mean_ + scores[:, :num] @ fitted.components_[:num], 0, 1)


def foreign(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The power of each drawn picture that does not go with the real one: |Y - gX|² at each frequency.

    g is the gain E[Y X*] / E|X|² with which the real picture's part of a frequency is drawn.
    """
    y, x = spectrum(drawn), spectrum(real)
    gain = (y * x.conj()).mean(0) / (np.square(np.abs(x)).mean(0) + 1e-12)
    return np.square(np.abs(y - gain * x))


def ratios(powers: np.ndarray, of_real: np.ndarray, *, paired: bool) -> dict[int, list[float]]:
    """The mesh of pictures in times that of real ones, for each period: of all, and where 90 % of bootstrap draws lie.

    Args:
        powers: the power of each picture at each frequency, (n, height, width).
        of_real: the same of real pictures, (m, height, width).
        paired: whether the pictures are of these real ones, and drawn together with them.
    """
    rng = np.random.default_rng(0)

    def means(of: np.ndarray) -> np.ndarray:
        """Of all pictures, and of those of each draw."""
        times = np.vstack([np.ones(len(of)), rng.multinomial(len(of), np.full(len(of), 1 / len(of)), DRAWS)])
        return (times @ of.reshape(len(of), -1) / len(of)).reshape(-1, *of.shape[1:])

    drawn = means(powers)
    rng = np.random.default_rng(0 if paired else 1)
    found = [(peaks(one), peaks(real)) for one, real in zip(drawn, means(of_real), strict=True)]
    values = {period: [one[period] / real[period] for one, real in found] for period in found[0][1]}
    return {period: [each[0], *np.percentile(each[1:], (5, 95))] for period, each in values.items()}


def main() -> None:
    """Prints, for each run and period, ratios to the mesh of real pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="where to write the rows, a CSV file")
    asked = parser.parse_args()
    rows = []
    for path in asked.runs:
        run = vlae.load(path)
        test, train = run.part("test").values, run.part("train").values[:MOST]
        if len(test) < FEW:
            test = run.part("all").values
        test = test[:MOST]
        real = as_input(test).numpy()
        drawn = run.decode(run.encode(test))
        error = float(np.square(drawn - real).mean())
        flat = real.reshape(len(real), -1)
        num, blurred = principal_components(as_input(train).numpy().reshape(len(train), -1), flat, error)
        of_real = np.square(np.abs(spectrum(real)))
        shown = {
            "ladder": ratios(np.square(np.abs(spectrum(drawn))), of_real, paired=True),
            "foreign to the pictures": ratios(foreign(drawn, real), of_real, paired=True),
            "samples": ratios(np.square(np.abs(spectrum(run.sample(len(test), seed=0)))), of_real, paired=False),
            "principal components": ratios(
                np.square(np.abs(spectrum(blurred.reshape(real.shape)))), of_real, paired=True
            ),
        }
        for period in shown["ladder"]:
            row = {"run": f"{path.parent.name} {path.name}", "period": period, "components": num}
            row["squared error"] = f"{error:.4f}"
            for name, of in shown.items():
                row |= {f"{name}{what}": f"{of[period][i]:.2f}" for i, what in enumerate(("", ", least", ", most"))}
            rows.append(row)
            print(*row.values(), sep="\t", flush=True)
    if asked.out:
        with asked.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
