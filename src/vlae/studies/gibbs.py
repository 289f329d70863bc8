"""Does a hierarchy need its upper levels? Compares the Gibbs chain on the bottom level with ancestral samples.

The chain draws z_1 ~ q(z_1 | x), then x' ~ p(x | z_1). At the optimum of the ELBO of a hierarchical VAE, its stationary
distribution is that of the data. Then the levels above the first add nothing to z_1 (Zhao et al. 2017, section 3.1,
proposition 1). For a trained model this can be measured: how far from the data are its ancestral samples, and how far
are the samples of the chain after many steps? Ancestral samples come from the model's own prior p(z), N(0, I) at the
top, and not from the prior that is fitted to its codes: the proposition is about the former.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from inspect import signature
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlae.atomic import whole, writing
from vlae.data import Images
from vlae.evaluation.feature_spaces import COMPONENTS
from vlae.evaluation.samples import GROUP, GROUPS, Judge
from vlae.figures import canvas
from vlae.figures.pictures import to_pictures
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input, batch_of, evaluating
from vlae.recipes import check_names
from vlae.renamed import renamed
from vlae.runs.layout import source_name
from vlae.runs.run import Run
from vlae.studies.train_alike import PAPER_CODES, CodeSizes, RunsBySystem, are_recipes, say, train_alike

RECIPES = ("hvae", "lvae", "lean")
STEPS = (1, 2, 5, 10, 20)  # of the chain, after which samples are judged
REFERENCE = 5_000  # held-out data at most, with which all samples are compared
CHAINS = ("level 1", "all levels")
SHOWN = 6  # chains in the figure
NUMBERS, TABLE, FIGURE = "gibbs.json", "gibbs.md", "gibbs.png"


def chain(
    model: LatentModel, x: Float[Tensor, "n *shape"], *, levels: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "n *shape"]:
    """One step of the chain: the codes of `levels` are drawn from their posteriors, all others from the prior.

    Codes on which a posterior depends are drawn too, so that z_1 follows q(z_1 | x) even where that is a mixture. The
    next picture is that of `picture_of_step`.

    Args:
        model: any model, in eval mode.
        x: current state of the chain, n data of the model's shape; images are in [0, 1].
        levels: numbers of the levels whose codes are inferred, from 1 up; level 1 is nearest the pixels.
        generator: of all random draws.

    Returns:
        The next state, like `x`.
    """
    ancestral = model.place(model.draw_noise(len(x), generator))
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        [inferred] = model.sample_posterior(x)
    pairs = zip(inferred, ancestral, strict=True)
    codes = tuple(drawn if level in levels else z for level, (drawn, z) in enumerate(pairs, start=1))
    return picture_of_step(model, codes, generator)


def picture_of_step(model: LatentModel, codes: Codes, generator: torch.Generator) -> Float[Tensor, "n *shape"]:
    """The picture of codes in a chain, and of ancestral samples: the mean of p(x | z), or drawn pixels.

    Drawn pixels would add the noise of the likelihood, which no level carries. But pixels of an autoregressive
    likelihood depend on each other, so there they are part of the picture, and are drawn.

    Args:
        model: any model, in eval mode.
        codes: one tensor (n, code size) per level, level 1 first.
        generator: of the pixels.
    """
    return model.draw(codes, generator) if model.autoregressive else model.decode(codes)


def _ancestral(model: LatentModel, num: int, generator: torch.Generator) -> Float[Tensor, "n *shape"]:
    return picture_of_step(model, model.place(model.draw_noise(num, generator)), generator)


def study_run(run: Run, judge: Judge, start: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """Draws ancestral samples of a run and follows its chains, and measures how far both are from the data.

    Args:
        run: of any model.
        judge: of the data the run was trained on.
        start: data from which the chains start, uint8 (N, C, H, W) or float32 (N, D).
        seed: of all random draws.

    Returns:
        "ancestral": the distances of N ancestral samples. "chains": for "level 1" (only its code is inferred) and "all
        levels", for each number of steps: the distances, and "moved", the mean squared difference per dimension from
        the start.
    """
    model, generator = run.model, torch.Generator().manual_seed(seed)
    x, size = as_input(start), batch_of(model.shape)
    with evaluating(model):
        ancestral = torch.cat([_ancestral(model, len(part), generator) for part in torch.split(x, size)])
        result: dict[str, Any] = {"ancestral": judge.distances(ancestral.numpy()), "chains": {}}
        for name, levels in zip(CHAINS, ((1,), range(1, model.num_levels + 1)), strict=True):
            at, by_step = x, dict[str, Any]()
            for before, after in pairwise((0, *STEPS)):
                for _ in range(after - before):
                    parts = torch.split(at, size)
                    at = torch.cat([chain(model, part, levels=levels, generator=generator) for part in parts])
                by_step[str(after)] = {
                    **judge.distances(at.numpy()),
                    "moved": (at - x).double().square().mean().item(),
                }
            result["chains"][name] = by_step
    return result


@renamed(codes="code_sizes")
def study(
    what: Sequence[str | Path] = RECIPES,
    *,
    data: Sequence[str] = (),
    out: str | Path = "runs/gibbs",
    seeds: int = 3,
    code_sizes: CodeSizes = PAPER_CODES,
    seed: int = 0,
    progress: bool = True,
    reading: Mapping[str, Any] | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Measures how redundant the upper levels of several systems are; writes gibbs.md, gibbs.png and gibbs.json.

    Runs are trained alike and kept in OUT/SOURCE/RECIPE-SEED, and the folder of a `vlae.compare` can be given again.
    The measurements of a run are kept in its folder (of a run of the hub, or that ships with vlae, in
    runs/OWNER--NAME), until it is trained further. If the call was stopped, the same
    call goes on from there.

    Args:
        what: names of recipes, or folders of finished runs on the same data.
        data: sources to train on, each a path or name that `vlae.data.load` reads; there is one study for each. Empty
            for finished runs.
        out: folder for runs, tables and figures.
        seeds: number of runs of each recipe, from 1 up; the seeds are 0, 1, …
        code_sizes: sizes of the ladder's codes, level 1 first, or these sizes by the shape of the data; other systems
            get as many dimensions in all (`vlae.recipes.rival_codes`). None: the recipe's own sizes.
        seed: of all random draws of the study.
        progress: print on the error output what is being done.
        reading: options for reading the data, by name: size (pixels), crop (pixels), channels (1 to 4), layout, key,
            limit (number of data, taken at random). The reader chooses what is left out; without a limit, all are read.
        settings: settings of the training, the same for all runs: any of `vlae.recipes.Settings`, such as steps,
            batch_size, learning_rate.

    Returns:
        For each data set a dictionary that JSON can hold: source; data, the distances of further training data;
        systems, for each the results of `study_run` for every run; protocol.

    Raises:
        ValueError: if there are too few data, if data are given for finished runs, or if recipes or runs do not go
            together.
        FileNotFoundError: if there is no such run.
        RunError: if the folder holds a run with other settings.
        WriteError: if a result cannot be written.
        Stopped: after Ctrl-C; finished runs are kept.
    """
    check_names(settings, others=signature(study).parameters)
    if data and not are_recipes(what):
        raise ValueError("finished runs are judged by what they were trained on; leave --data (data=) out")
    studies = []
    for folder, systems in train_alike(
        what,
        data=data,
        out=Path(out),
        seeds=seeds,
        code_sizes=code_sizes,
        progress=progress,
        reading=reading,
        **settings,
    ):
        first = next(iter(systems.values()))[0]
        start, further, held_out = _parts(first, seed)
        protocol = _protocol(start, held_out, seed)
        judge = Judge(further, held_out, seed=seed)
        result: dict[str, Any] = {"source": source_name(first.data["source"]), "protocol": protocol}
        result["data"] = judge.distances(as_input(further).numpy())
        result["systems"] = {
            system: [_result_of(run, judge, start, protocol, seed, progress) for run in runs]
            for system, runs in systems.items()
        }
        _save(result, picture(result, systems, start, seed=seed), folder)
        studies.append(result)
    return studies


def _result_of(
    run: Run, judge: Judge, start: np.ndarray, protocol: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Any]:
    """The results of a run: those where it writes if protocol and weights are the same, else new ones, kept there."""
    file, weights = run.outputs / NUMBERS, run.identity
    if file.exists():
        kept = json.loads(file.read_text())
        if kept["protocol"] == protocol and kept.get("weights") == weights:
            return dict(kept["found"])
    say(f"following the chains of {run.path}", progress)
    result = study_run(run, judge, start, seed=seed)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as partial:
        partial.write_text(
            json.dumps({"protocol": protocol, "weights": weights, "found": result}, indent=2, allow_nan=False)
        )
    return result


def _parts(run: Run, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training data from which the chains start, as many other training data, and held-out data.

    The training data are in random order, so that each group that is judged is like all: a folder of classes is sorted.
    """
    known, held_out = run.part("train"), run.part("test")
    num = min(GROUPS * GROUP, len(known) // 2)
    if num < 20 * GROUPS or len(held_out) < 40:
        raise ValueError(
            f"{known.source} has {len(known)} data to start from and {len(held_out)} held out; "
            f"the study needs {40 * GROUPS} and 40"
        )
    rows = np.random.default_rng(seed).permutation(len(known))
    start, further = known.take(rows[:num]), known.take(rows[num : 2 * num])
    return np.array(start.values), np.array(further.values), np.array(_limited(held_out, seed).values)


def _limited(images: Images, seed: int) -> Images:
    rows = np.random.default_rng(seed).permutation(len(images))[:REFERENCE]
    return images.take(np.sort(rows))


def _protocol(start: np.ndarray, held_out: np.ndarray, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "steps": list(STEPS),
        "samples": len(start),
        "groups": GROUPS,
        "held_out": len(held_out),
        "features": f"first {COMPONENTS} principal components of training data in [0, 1]",
        "two_sample": "kernel ridge regression on standardised features, scored on rows it was not fitted to",
        "pictures": "means of r(x | z), drawn pixels where r is autoregressive; codes are drawn, and so is what their "
        "posteriors depend on",
        "versions": {name: version(name) for name in ("vlae", "torch", "numpy", "scikit-learn")},
    }


# The table and the figure -------------------------------------------------------------------------------------------


def as_text(result: Mapping[str, Any]) -> str:
    """The table in Markdown: a row per system; distances are means with the spread over groups and runs.

    Args:
        result: one of the results of `study`.
    """
    last, keys = str(STEPS[-1]), ("frechet", "two_sample")
    kinds = ("ancestral", f"level 1's chain, {last} steps", f"all levels' chain, {last} steps")
    header = [
        result["source"],
        *(f"{what}: {of}" for what in ("Fréchet", "told apart") for of in kinds),
        "moved by one step",
    ]
    further = [_with_bar([result["data"]], key) for key in keys]
    rows = [header, ["---"] * len(header), ["further data", further[0], "", "", further[1], "", "", ""]]
    for system, runs in result["systems"].items():
        groups = [[run["ancestral"] for run in runs], *(_after(runs, name, last) for name in CHAINS)]
        moved = np.mean([distances["moved"] for distances in _after(runs, "level 1", "1")])
        rows.append([system, *(_with_bar(group, key) for key in keys for group in groups), f"{moved:.4f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _after(runs: Sequence[Mapping[str, Any]], chain_on: str, step: str) -> list[Mapping[str, Any]]:
    """The distances of every run after so many steps of one chain."""
    return [run["chains"][chain_on][step] for run in runs]


def _with_bar(groups: Sequence[Mapping[str, Any]], key: str) -> str:
    values = np.concatenate([group[key] for group in groups])
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def picture(result: Mapping[str, Any], systems: RunsBySystem, start: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """A column per system: above some of its chains, below their distance from the data after each number of steps.

    Args:
        result: one of the results of `study`.
        systems: for each system its runs; the chains of the first run are drawn.
        start: data from which the chains start, uint8 (N, C, H, W) or float32 (N, D); the first 6 are drawn.
        seed: of all random draws.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(systems), 8), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(systems), squeeze=False, height_ratios=[1.1, 1])
    highest = 0.0
    for column, (system, runs) in enumerate(systems.items()):
        above, below = axes[:, column]
        above.imshow(_chains(runs[0].model, as_input(start[:SHOWN]), seed))
        steps = ", ".join(map(str, STEPS))
        above.set_title(f"{system}\ndata · level 1's chain after {steps} steps · ancestral", fontsize=9)
        above.set_axis_off()
        results = result["systems"][system]
        curves = {f"chain on {name}": [_after(results, name, str(step)) for step in STEPS] for name in CHAINS}
        curves["ancestral"] = [[run["ancestral"] for run in results]] * len(STEPS)
        curves["further data"] = [[result["data"]]] * len(STEPS)
        for number, (label, groups) in enumerate(curves.items()):
            values = [np.concatenate([each["frechet"] for each in group]) for group in groups]
            mean, spread = np.array([v.mean() for v in values]), np.array([v.std(ddof=1) for v in values])
            style = "-o" if number < 2 else "--"
            below.plot(STEPS, mean, style, color=f"C{number}", label=label, markersize=4)
            below.fill_between(STEPS, mean - spread, mean + spread, color=f"C{number}", alpha=0.2, linewidth=0)
            highest = max(highest, float((mean + spread).max()))
        below.set(xscale="log", xlabel="steps of the chain", ylabel="Fréchet distance from held-out data")
        below.set_xticks(STEPS, [str(step) for step in STEPS])
        below.minorticks_off()
        below.spines[["top", "right"]].set_visible(False)
        below.legend(frameon=False)
    for below in axes[1]:
        below.set_ylim(0, 1.05 * highest)
    return canvas.rendered(figure)


def _chains(model: LatentModel, x: Float[Tensor, "n *shape"], seed: int) -> np.ndarray:
    """A row per datum: the datum, its chain on level 1 after each number of steps, and an ancestral sample."""
    generator = torch.Generator().manual_seed(seed)
    with evaluating(model):
        columns, at = [x], x
        for before, after in pairwise((0, *STEPS)):
            for _ in range(after - before):
                at = chain(model, at, levels=(1,), generator=generator)
            columns.append(at)
        columns.append(_ancestral(model, len(x), generator))
    small = to_pictures(torch.cat(columns), model.shape, opacity=model.opacity)
    factor = ceil(48 / max(small.shape[1:3]))
    tiles = small.repeat(factor, axis=1).repeat(factor, axis=2)
    order = [column * len(x) + row for row in range(len(x)) for column in range(len(columns))]
    return canvas.grid(tiles[order], len(columns))


def _save(result: Mapping[str, Any], drawn: np.ndarray, folder: Path) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / TABLE) as file:
        file.write_text(as_text(result) + "\n")
    with whole(folder / NUMBERS) as file:
        file.write_text(json.dumps(result, indent=2, allow_nan=False))
    canvas.save(drawn, folder / FIGURE)
