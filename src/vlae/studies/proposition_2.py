"""What do factorised Gaussian conditionals deny a hierarchy? Shows it on mixtures in the plane, whose truth is known.

The bound of a hierarchical VAE falls short of the data's likelihood by KL(q(x, z_1, z_2) || p(x, z_1, z_2)), where q is
the data with the inference. So at a perfect optimum p(z_1 | z_2) is the reverse of the inference, q(z_1 | z_2), and the
latter is then a factorised Gaussian too (Reference: Zhao et al. 2017, proposition 2). A feature z_2 that leaves open
which of several things is below it, such as a class with two kinds, has a reverse of several modes: it costs nats.

The first part is exact. Level 1 is the plane itself, z_2 is a feature given by hand, and the cost is the KL of each
q(z_1 | z_2) from the best factorised Gaussian. The second part trains a hierarchy and a ladder on one of the mixtures,
and looks which level keeps the class, and which the kind.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlae.atomic import whole, writing
from vlae.evaluation.rates import summarise
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.figures import canvas
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import evaluating
from vlae.models.levels import Level
from vlae.models.likelihoods import Gaussian
from vlae.objectives.bounds import log_likelihood
from vlae.recipes.recipe import Recipe, Training
from vlae.studies.train_alike import say
from vlae.text_table import padded
from vlae.training.train import fit

NUMBERS, TABLE, FIGURE = "proposition-2.json", "proposition-2.md", "proposition-2.png"
SYSTEMS = {"hierarchy": "HierarchicalVAE", "ladder": "VLAE"}
NUM = 4_000  # data to train on, and as many held out
NUM_BOUNDED = 500  # data whose likelihood is bounded by importance samples
NUM_SAMPLES = 200  # importance samples of each
HELD = 6  # codes that a panel of the figure holds, with DRAWS pictures each
DRAWS = 120

Feature = Literal["nothing", "class", "mode"]
"""What z_2 says of a datum: "mode" is the finest."""

FEATURES: tuple[Feature, ...] = ("nothing", "class", "mode")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of Gaussians in the plane. All modes have the same weight and the same covariance.

    Attributes:
        name: a few words.
        means: the mean of each mode, (classes, modes of each class, 2).
        covariance: of every mode, (2, 2).
    """

    name: str
    means: Float[np.ndarray, "classes modes 2"]
    covariance: Float[np.ndarray, "2 2"]

    def sample(
        self, num: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "num 2"], Int[np.ndarray, " num"], Int[np.ndarray, " num"]]:
        """Draws data.

        Args:
            num: the number of data.
            rng: of all draws.

        Returns:
            The data, float32 (num, 2); the class of each; its mode, counted over all classes.
        """
        of_class = self.means.shape[1]
        modes = rng.integers(0, len(self.means) * of_class, num)
        noise = rng.multivariate_normal(np.zeros(2), self.covariance, num)
        return (self.means.reshape(-1, 2)[modes] + noise).astype(np.float32), modes // of_class, modes

    def given(self, feature: Feature) -> Float[np.ndarray, "values modes 2"]:
        """The means of the modes that are left, for each value of a feature.

        Args:
            feature: what is known of a datum.
        """
        return {
            "nothing": self.means.reshape(1, -1, 2),
            "class": self.means,
            "mode": self.means.reshape(-1, 1, 2),
        }[feature]


def _round(spread: float) -> Float[np.ndarray, "2 2"]:
    return np.eye(2) * spread**2


def _rings(*radii: float, num: int) -> Float[np.ndarray, "classes num 2"]:
    angles = 2 * np.pi * np.arange(num) / num
    return np.stack([radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) for radius in radii])


CROSSED = Mixture(
    name="crossed", means=np.array([[[-1.0, -1.0], [1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]]), covariance=_round(0.25)
)
MIXTURES: tuple[Mixture, ...] = (
    Mixture(name="round", means=np.array([[[-1.0, 0.0]], [[1.0, 0.0]]]), covariance=_round(0.25)),
    Mixture(
        name="tilted",
        means=np.array([[[-1.0, 0.0]], [[1.0, 0.0]]]),
        covariance=0.4**2 * np.array([[1.0, 0.9], [0.9, 1.0]]),
    ),
    Mixture(
        name="stacked",
        means=np.array([[[-1.0, -1.0], [-1.0, 1.0]], [[1.0, -1.0], [1.0, 1.0]]]),
        covariance=_round(0.25),
    ),
    CROSSED,
    Mixture(name="rings", means=_rings(0.5, 1.4, num=24), covariance=_round(0.12)),
)
"""The mixtures of the first part; the second part trains on `CROSSED`."""


# The exact part -------------------------------------------------------------------------------------------------------


def cost(mixture: Mixture, feature: Feature) -> dict[str, float]:
    """What a feature costs above a level of a factorised Gaussian: E KL(q(z_1 | z_2) || best factorised Gaussian).

    The best one has the mean and the variances of q(z_1 | z_2). The KL is a sum of two parts: "dependence", the mutual
    information of the two coordinates; and "shape", the KL of each coordinate from the Gaussian of its variance. All
    integrals are sums over a fine grid.

    Args:
        mixture: the data, which are z_1.
        feature: what z_2 says.

    Returns:
        dependence, shape and total, in nats per datum.
    """
    parts = np.mean([_cost_of(means, mixture.covariance) for means in mixture.given(feature)], axis=0)
    return {"dependence": float(parts[0]), "shape": float(parts[1]), "total": float(parts.sum())}


def _cost_of(means: Float[np.ndarray, "modes 2"], covariance: Float[np.ndarray, "2 2"]) -> tuple[float, float]:
    """Dependence and shape of an even mixture of Gaussians, in nats."""
    axis = np.linspace(-4, 4, 401)
    cell = axis[1] - axis[0]
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    precision, scale = np.linalg.inv(covariance), 2 * np.pi * np.sqrt(np.linalg.det(covariance))
    density = np.zeros(points.shape[:2])
    for mean in means:
        away = points - mean
        density += np.exp(-np.einsum("...i,ij,...j->...", away, precision, away) / 2) / (scale * len(means))
    marginals = [density.sum(1 - side) * cell for side in range(2)]
    variances = np.diag(covariance) + means.var(axis=0)
    entropies = [_entropy(marginal, cell) for marginal in marginals]
    shape = sum(np.log(2 * np.pi * np.e * variances) / 2) - sum(entropies)
    return sum(entropies) - _entropy(density, cell**2), float(shape)


def _entropy(density: np.ndarray, cell: float) -> float:
    """The entropy of a density on a grid, in nats."""
    inside = density[density > 0]
    return float(-(inside * np.log(inside)).sum() * cell)


def entropy(mixture: Mixture) -> float:
    """The entropy of the data in nats: no model's mean log-likelihood is above its negative.

    Args:
        mixture: the data.
    """
    dependence, shape = _cost_of(mixture.given("nothing")[0], mixture.covariance)
    variances = np.diag(mixture.covariance) + mixture.means.reshape(-1, 2).var(axis=0)
    return float(sum(np.log(2 * np.pi * np.e * variances) / 2) - dependence - shape)


# The trained part -----------------------------------------------------------------------------------------------------


def held(
    model: LatentModel, x: Float[Tensor, "n 2"], level: int, *, draws: int, generator: torch.Generator
) -> Float[Tensor, "n draws 2"]:
    """What a model draws if it holds the code of one level of each datum, and draws all other codes from their priors.

    Args:
        model: any model of two levels, in eval mode.
        x: the data, (n, 2).
        level: the level whose code is drawn from its posterior once, and held.
        draws: the number of draws for each datum.
        generator: of all draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        [codes_of_x] = model.sample_posterior(x)
        code = codes_of_x[level - 1].repeat_interleave(draws, dim=0)
    noise = model.draw_noise(len(code), generator)
    codes: Codes = ()
    for number in range(model.num_levels, 0, -1):
        codes = (code if number == level else model.prior(number, codes).place(noise[number - 1]), *codes)
    return model.decode(codes).reshape(len(x), draws, 2)


def _recipe(name: str, seed: int, steps: int) -> Recipe:
    return Recipe(
        name=name,
        shape=(2,),
        levels=tuple(Level(code_size=2, dense=(64, 64)) for _ in range(2)),
        model=SYSTEMS[name],
        likelihood=Gaussian(scale=0.2),  # as wide as a mode; with an optimal scale, both systems may use no code at all
        mean=None,
        stddev=None,
        training=Training(steps=steps, batch_size=256, learning_rate=3e-3, seed=seed),
    )


def _measured(model: LatentModel, x: np.ndarray, classes: np.ndarray, modes: np.ndarray, seed: int) -> dict[str, Any]:
    """The bound, the likelihood and the rates of a model; which share of draws keeps class and mode, for each level."""
    generator = torch.Generator().manual_seed(seed)
    summary = summarise(model, x, seed=seed)
    result: dict[str, Any] = {
        "elbo_nats": summary["elbo_nats"],
        "kl_nats": [level["kl_nats"] for level in summary["levels"]],
        "kept": {},
    }
    data = torch.from_numpy(x)
    with evaluating(model):
        bounded = log_likelihood(model, data[:NUM_BOUNDED], num_samples=NUM_SAMPLES, chunk=50, seed=seed)
        result["log_likelihood_nats"] = bounded.mean().item()
        for level in (1, 2):
            drawn = held(model, data, level, draws=1, generator=generator)[:, 0].numpy()
            nearest = _nearest(drawn)
            of_class = nearest // CROSSED.means.shape[1]
            result["kept"][f"level {level}"] = {
                "class": float((of_class == classes).mean()),
                "mode": float((nearest == modes).mean()),
            }
    return result


def _nearest(x: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    means = CROSSED.means.reshape(-1, 2)
    distances: np.ndarray = np.square(x[:, None] - means).sum(axis=2)
    return distances.argmin(axis=1)


def study(
    *, out: str | Path = "runs/proposition-2", seeds: int = 3, steps: int = 1_500, progress: bool = True
) -> dict[str, Any]:
    """Measures what factorised Gaussian conditionals cost; writes proposition-2.md, .png and .json.

    Args:
        out: folder for the table, the figure and the numbers.
        seeds: number of trainings of each system, from 1 up; the seeds are 0, 1, …
        steps: optimiser steps of each training, from 1 up.
        progress: print on the error output what is being done.

    Returns:
        A dictionary that JSON can hold: "cost", of each mixture and feature (`cost`); "entropy_nats" of the data that
        are trained on; "systems", for each its trainings with elbo_nats, log_likelihood_nats, kl_nats of each level,
        and for each level that is held the share of draws that keep the class and the mode; protocol.

    Raises:
        ValueError: if the number of seeds or of steps is below 1.
        WriteError: if a result cannot be written.
    """
    if seeds < 1 or steps < 1:
        raise ValueError(f"{seeds} seeds of {steps} steps; give whole numbers from 1 up")
    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "cost": {mixture.name: {name: cost(mixture, name) for name in FEATURES} for mixture in MIXTURES},
        "entropy_nats": entropy(CROSSED),
        "systems": {name: [] for name in SYSTEMS},
        "protocol": {
            "data": f"{NUM:,} of the mixture '{CROSSED.name}', and as many held out",
            "steps": steps,
            "importance_samples": NUM_SAMPLES,
            "versions": {name: version(name) for name in ("vlae", "torch", "numpy")},
        },
    }
    first: dict[str, LatentModel] = {}
    x, classes, modes = CROSSED.sample(2 * NUM, np.random.default_rng(0))
    for seed in range(seeds):
        for name, measured in result["systems"].items():
            say(f"training a {name}, seed {seed}", progress)
            model = fit(x[:NUM], _recipe(name, seed, steps))
            first.setdefault(name, model)
            measured.append(_measured(model, x[NUM:], classes[NUM:], modes[NUM:], seed))
    with whole(folder / TABLE) as file:
        file.write_text(as_text(result) + "\n")
    with whole(folder / NUMBERS) as file:
        file.write_text(json.dumps(result, indent=2, allow_nan=False))
    canvas.save(picture(result, first), folder / FIGURE)
    return result


# The tables and the figure --------------------------------------------------------------------------------------------


def as_text(result: Mapping[str, Any]) -> str:
    """Two tables in Markdown: the cost of each feature, and the trained systems.

    Args:
        result: what `study` returns.
    """
    exact = [["nats that a factorised Gaussian costs", *(f"z_2 says {name}" for name in FEATURES)]]
    for name, costs in result["cost"].items():
        exact.append([name, *(_with_parts(costs[feature]) for feature in FEATURES)])
    trained = [[f"trained on '{CROSSED.name}', each seed", *result["systems"]]]
    rows = {system: [_row(run, result["entropy_nats"]) for run in runs] for system, runs in result["systems"].items()}
    for words in next(iter(rows.values()))[0]:
        trained.append([words, *(" · ".join(f"{run[words]:.2f}" for run in runs) for runs in rows.values())])
    return f"{_markdown(exact)}\n\n{_markdown(trained)}\n\n{LIKELIHOOD_CAUTION}"


def _with_parts(costs: Mapping[str, float]) -> str:
    total, dependence, shape = (abs(round(costs[part], 2)) for part in ("total", "dependence", "shape"))
    return f"{total:.2f} ({dependence:.2f} dependence, {shape:.2f} shape)" if total else "0.00"


def _row(run: Mapping[str, Any], entropy_nats: float) -> dict[str, float]:
    """The numbers of one training, by their words in the table."""
    return {
        "log-likelihood below the best possible (nats)": -entropy_nats - run["log_likelihood_nats"],
        "ELBO below the best possible (nats)": -entropy_nats - run["elbo_nats"],
        **{f"KL of level {level} (nats)": nats for level, nats in enumerate(run["kl_nats"], start=1)},
        **{f"{what} kept, {at} held": share for at, kept in run["kept"].items() for what, share in kept.items()},
    }


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = padded(rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["-" * len(cell) for cell in head], *body])


def picture(result: Mapping[str, Any], models: Mapping[str, LatentModel], *, seed: int = 0) -> np.ndarray:
    """Above, the best factorised Gaussians of each mixture; below, what each level of the trained systems holds.

    Args:
        result: what `study` returns.
        models: the trained model of each system.
        seed: of the data and of the draws.
    """
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(13, 11), dpi=100, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[3, 1.25])
    above, below = parts
    above.suptitle("z_2 is given: the best factorised Gaussian for each of its values, and what it costs", fontsize=11)
    for column, mixture in zip(above.subplots(len(FEATURES), len(MIXTURES)).T, MIXTURES, strict=True):
        x, classes, _ = mixture.sample(600, rng)
        for axes, feature in zip(column, FEATURES, strict=True):
            axes.scatter(*x.T, s=2, c=np.where(classes == 0, "C0", "C1"), linewidths=0)
            for means in mixture.given(feature):
                _draw_gaussian(axes, means, mixture.covariance)
            nats = abs(round(result["cost"][mixture.name][feature]["total"], 2))
            axes.set_title(f"{mixture.name}, z_2: {feature}, {nats:.2f} nats", fontsize=9)
            _frame(axes)
    below.suptitle(f"trained on '{CROSSED.name}': {HELD} data, each in its colour, with one level held", fontsize=11)
    panels = below.subplots(1, 2 * len(models))
    x, _, modes = CROSSED.sample(200, rng)
    shown = np.concatenate([np.flatnonzero(modes == mode)[:2] for mode in range(4)])[:HELD]
    start = torch.from_numpy(x[shown])
    for number, (name, level) in enumerate((name, level) for name in models for level in (1, 2)):
        model, axes = models[name], panels[number]
        with evaluating(model):
            generator = torch.Generator().manual_seed(seed)
            drawn = held(model, start, level, draws=DRAWS, generator=generator).numpy()
        axes.scatter(*x.T, s=4, c="0.85", linewidths=0)
        for colour, (at, draws) in enumerate(zip(x[shown], drawn, strict=True)):
            axes.scatter(*draws.T, s=5, c=f"C{colour}", linewidths=0, alpha=0.6)
            axes.plot(*at, "o", color=f"C{colour}", markeredgecolor="black", markersize=7)
        kept = result["systems"][name][0]["kept"][f"level {level}"]
        words = f"keeps class {kept['class']:.0%}, mode {kept['mode']:.0%}"
        axes.set_title(f"{name}, level {level} held\n{words}", fontsize=9)
        _frame(axes)
    return canvas.rendered(figure)


def _draw_gaussian(axes: Any, means: Float[np.ndarray, "modes 2"], covariance: Float[np.ndarray, "2 2"]) -> None:
    """The ellipses of one and two standard deviations of the best factorised Gaussian of a mixture."""
    angles = np.linspace(0, 2 * np.pi, 100)
    spread = np.sqrt(np.diag(covariance) + means.var(axis=0))
    for width in (1, 2):
        ellipse = means.mean(axis=0) + width * spread * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        axes.plot(*ellipse.T, color="black", linewidth=0.8)


def _frame(axes: Any) -> None:
    axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xticks=[], yticks=[])
