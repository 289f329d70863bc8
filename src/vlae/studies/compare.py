"""Several systems on the same data, with the same budget and seeds: one table, one figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlae import workflows
from vlae.atomic import whole, writing
from vlae.data import Images
from vlae.data import load as load_data
from vlae.errors import NotDefinedError
from vlae.evaluation import measures, metrics
from vlae.figures import canvas
from vlae.figures.panels import levels
from vlae.renamed import renamed
from vlae.runs.run import Run
from vlae.studies.train_alike import PRESETS, CodeSizes, Systems, are_recipes, say, systems_of
from vlae.training.train import source_name

TABLE, FIGURE, NUMBERS = "comparison.md", "comparison.png", "comparison.json"
UDR_ROWS = 2_000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Systems measured on the same data.

    Attributes:
        source: the data's name.
        systems: of every system its runs.
        found: of every system what `vlae.evaluation.measures.evaluate` says of each run.
        udr: of every system how far its seeds agree (`vlae.evaluation.metrics.udr`), for each run; None where it is
            not defined.
    """

    source: str
    systems: Systems
    found: Mapping[str, Sequence[Mapping[str, Any]]]
    udr: Mapping[str, Sequence[float | None]]

    def measures(self) -> dict[str, dict[str, list[float | None]]]:
        """Of every measure and system the value of each run; None where it is not defined."""
        each = {
            system: [
                {"parameters": _count_parameters(run), **_measures(found), "UDR": agreed}
                for run, found, agreed in zip(self.systems[system], self.found[system], self.udr[system], strict=True)
            ]
            for system in self.systems
        }
        names = dict.fromkeys(name for rows in each.values() for row in rows for name in row)
        return {name: {system: [row.get(name) for row in rows] for system, rows in each.items()} for name in names}

    def as_text(self) -> str:
        """The table, in Markdown: a row per measure, a column per system, the median over seeds with least and most."""
        counts = {len(values) for values in self.systems.values()}
        seeds = f"median of {counts.pop()} runs" if len(counts) == 1 else "median of runs"
        header = [f"{self.source}, {seeds} (least to most)", *self.systems]
        rows = [
            [name, *(_shown(values[system]) for system in self.systems)]
            for name, values in self.measures().items()
            if any(value is not None for runs_of in values.values() for value in runs_of)
        ]
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        ruled = [header, ["-" * width for width in widths], *rows]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in ruled
        )

    def to_json(self) -> str:
        """All of the table's values, where the runs are, and what the numbers depend on."""
        record = {
            "source": self.source,
            "runs": {system: [str(run.path) for run in of_it] for system, of_it in self.systems.items()},
            "recipes": {system: of_it[0].recipe.as_dict()["recipe"] for system, of_it in self.systems.items()},
            "measures": self.measures(),
            "not_defined": {system: [found["not_defined"] for found in of_it] for system, of_it in self.found.items()},
            "protocol": next(iter(self.found.values()))[0]["protocol"],
        }
        return json.dumps(record, indent=2, allow_nan=False)

    def figure(self) -> np.ndarray:
        """A row per system: what each level does, in its first run; and what each level tells of each factor.

        On the right the factors stand in the order of their complexity, and the levels from the bottom up, so that a
        perfect ladder is a rising diagonal. What is told is the median over the runs, from 0 (white) to 1.
        """
        from matplotlib.figure import Figure

        rows = len(self.systems)
        figure = Figure(figsize=(13, 2.6 * rows + 0.8), dpi=100, layout="constrained")
        axes = figure.subplots(rows, 2, squeeze=False, width_ratios=[1.5, 1])
        for (left, right), (system, of_it) in zip(axes, self.systems.items(), strict=True):
            left.imshow(levels(of_it[0].model, num=6))
            left.set_axis_off()
            left.set_title(system, loc="left", fontweight="bold")
            self._heat(right, system, last=system == list(self.systems)[-1])
        return canvas.rendered(figure)

    def _heat(self, axes: Any, system: str, *, last: bool) -> None:
        found = self.found[system]
        factors = sorted(found[0]["complexity"], key=lambda name: found[0]["complexity"][name])
        if not factors:
            axes.set_axis_off()
            return
        places = [list(found[0]["complexity"]).index(name) for name in factors]
        told = np.median([measures.factor_table(each) for each in found], axis=0)[:, places]
        levels = [level["level"] for level in found[0]["levels"] if level["code_size"]]
        axes.imshow(told, vmin=0, vmax=1, cmap="Blues", aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(told):
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.1f}".lstrip("0"), ha="center", va="center", fontsize=7, color=colour)
        axes.set_yticks(range(len(levels)), [f"level {level}" for level in levels])
        axes.set_xticks(range(len(factors)), [name.replace("_", " ") for name in factors] if last else [])
        axes.tick_params(axis="x", rotation=90)
        scores = (_shown(self.measures()[name][system]) for name in ("level order", "level separation"))
        axes.set_title("order {}, separation {}".format(*scores), fontsize=10)
        if last:
            axes.set_xlabel("from simple to complex")

    def save(self, folder: Path) -> None:
        """Keeps the table, the figure and the numbers in a folder."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / TABLE) as file:
            file.write_text(self.as_text() + "\n")
        with whole(folder / NUMBERS) as file:
            file.write_text(self.to_json())
        canvas.save(self.figure(), folder / FIGURE)


@renamed(codes="code_sizes")
def compare(
    what: Sequence[str | Path] = (),
    *,
    data: Sequence[str] = (),
    preset: str | None = None,
    out: str | Path | None = None,
    seeds: int = 3,
    code_sizes: CodeSizes = None,
    progress: bool = True,
    reading: Mapping[str, Any] | None = None,
    **settings: Any,
) -> list[Comparison]:
    """Trains recipes alike on the same data, or takes finished runs, measures them alike, leaves tables and figures.

    Of recipes, everything is kept in OUT/SOURCE: a run folder for each recipe and seed, comparison.md, .png and .json;
    of finished runs, these three in OUT. The same call goes on where an earlier one was stopped.

    Args:
        what: names of recipes, or folders of finished runs; those of one recipe are taken for its seeds.
        data: to train on, as for `vlae.train`, each for a comparison of its own. For finished runs, one to measure them
            on; none: the held-out part of what they were trained on, which must be the same.
        preset: the name of one of `PRESETS`, in place of `what`; it has data of its own, if none are given.
        out: the folder; None: runs/compare, or runs/ and the preset's name.
        seeds: how many runs of each recipe, with seeds 0, 1, …
        code_sizes: of the ladder, level 1 first; other systems get as many dimensions (`vlae.recipes.rival_codes`).
        progress: say on the error output what is being done.
        reading: how data is read, as for `vlae.data.load`.
        settings: as for `vlae.train`, the same for all.

    Returns:
        One for each data set.

    Raises:
        ValueError: if it is not clear what to compare, or a recipe cannot be had on the data.
        FileNotFoundError: if there is no such run.
        RunError: if the folder holds a run with other settings.
        Stopped: after Ctrl-C; what is done is kept.
    """
    if preset is not None:
        if what or preset not in PRESETS:
            raise ValueError(
                f"preset is {preset!r}; choose one of {', '.join(PRESETS)}, with no recipes or runs beside"
            )
        chosen = PRESETS[preset]
        what, data, code_sizes = chosen.recipes, data or chosen.sources, code_sizes or chosen.code_sizes
    out = Path(out or Path("runs") / (preset or "compare"))
    images = None
    if data and not are_recipes(what):
        if len(data) > 1:
            raise ValueError(f"finished runs are measured on one data set; {len(data)} are given")
        images = load_data(data[0], split="test", progress=progress, **(reading or {}))
    comparisons = []
    for folder, systems in systems_of(
        what, data=data, out=out, seeds=seeds, code_sizes=code_sizes, progress=progress, reading=reading, **settings
    ):
        comparisons.append(measured(systems, images, progress=progress))
        comparisons[-1].save(folder)
    return comparisons


def measured(systems: Systems, images: Images | None = None, *, progress: bool = True) -> Comparison:
    """Measures runs alike; what was found of a run by the same protocol is not measured again.

    Args:
        systems: of every system its runs, all of the same data.
        images: what to measure them on; None: the held-out part of what they were trained on.
        progress: say on the error output what is being done.
    """
    own = images is None
    first = next(iter(systems.values()))[0]
    images = first.part("test") if images is None else images
    protocol, complexity = measures.protocol(images), None
    found: dict[str, list[Mapping[str, Any]]] = {}
    for system, of_it in systems.items():
        found[system] = []
        for run in of_it:
            kept = run.evaluation if own else None
            if kept is None or not _same(kept["protocol"], protocol):
                say(f"measuring {run.path}", progress)
                kept = workflows.evaluate(run, None if own else images, complexity=complexity)
            complexity = kept["pixel_probes"]
            found[system].append(kept)
    udr = {system: _agreement([_codes(run, images) for run in of_it]) for system, of_it in systems.items()}
    return Comparison(source=source_name(images.source), systems=systems, found=found, udr=udr)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two protocols give the same table; importance samples and UDR are beside it."""
    beside = ("importance_samples", "udr_runs")
    return all(one.get(name) == value for name, value in other.items() if name not in beside)


def _codes(run: Run, images: Images) -> np.ndarray:
    rows = np.ascontiguousarray(images.values[:UDR_ROWS])
    return np.concatenate(run.encode(rows), axis=1)


def _agreement(tables: Sequence[np.ndarray]) -> list[float | None]:
    """UDR of each run beside the others."""
    agreed: list[float | None] = []
    for i, table in enumerate(tables):
        try:
            agreed.append(metrics.udr(table, [*tables[:i], *tables[i + 1 :]]))
        except NotDefinedError:
            agreed.append(None)
    return agreed


def _measures(found: Mapping[str, Any]) -> dict[str, float | None]:
    levels = found["levels"]

    def each(name: str, key: str) -> dict[str, float | None]:
        return {f"{name}, level {level['level']}": level.get(key) if level["code_size"] else None for level in levels}

    def alone(key: str, part: str | None = None) -> float | None:
        value = found.get("disentanglement", {}).get(key)
        return value[part] if part and value else value

    return {
        "squared error": found["reconstruction"].get("mse"),
        "ELBO (nats)": found["elbo_nats"],
        "bits per dimension": found.get("bits_per_dimension"),
        **each("KL (nats)", "kl_nats"),
        **each("active units", "active_units"),
        **each("class probe", "label_probe_accuracy"),
        "level order": found["level_order"],
        "level separation": found["level_separation"],
        "MIG (20 bins)": alone("mig"),
        "DCI disentanglement": alone("dci", "disentanglement"),
        "DCI completeness": alone("dci", "completeness"),
        "DCI informativeness": alone("dci", "informativeness"),
        "SAP": alone("sap"),
    }


def _count_parameters(run: Run) -> int:
    return sum(parameter.numel() for parameter in run.model.parameters())


def _shown(values: Sequence[float | None]) -> str:
    """The median, with least and most where they differ in what is shown; and of how many, if not defined for all."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    median, least, most = (_digits(float(f(known))) for f in (np.median, np.min, np.max))
    spread = "" if least == most else f" ({least} to {most})"
    return f"{median}{spread}" + (f", {len(known)} of {len(values)}" if len(known) < len(values) else "")


def _digits(value: float) -> str:
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"
