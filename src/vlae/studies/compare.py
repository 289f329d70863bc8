"""Compares several systems on the same data, with the same budget and seeds, in one table and one figure."""

import csv
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from vlae import recipes, workflows
from vlae.atomic import whole, writing
from vlae.data import Images
from vlae.errors import NotDefinedError
from vlae.evaluation import judging
from vlae.evaluation.cautions import CHECKS
from vlae.evaluation.feature_spaces import DEFAULT
from vlae.evaluation.measures import udr_of_finite
from vlae.evaluation.mesh import PERIODS
from vlae.evaluation.pictures import KINDS
from vlae.evaluation.protocol import protocol
from vlae.evaluation.rates import alarms
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.figures import canvas
from vlae.figures.panels import levels
from vlae.models.inference import as_input
from vlae.names import safe_cell
from vlae.recipes import Settings
from vlae.renamed import renamed
from vlae.runs.layout import COMPARED, EVALUATION, source_name
from vlae.runs.opening import load
from vlae.runs.run import Run
from vlae.shapes import is_image
from vlae.studies.train_alike import PRESETS, CodeSizes, RunsBySystem, are_recipes, say, train_alike
from vlae.text_table import padded

TABLE, FIGURE, NUMBERS, ROWS = "comparison.md", "comparison.png", "comparison.json", "comparison.csv"
UDR_ROWS = 2_000
KIND_WORDS = {"samples_standard": "samples of N(0, I)"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The evaluations of several systems on the same data.

    Attributes:
        source: name of the data.
        systems: for each system its runs.
        evaluations: for each system the evaluation of each run (`vlae.evaluation.measures.evaluate`).
        udr: for each system and run, in [0, 1], how well its dimensions agree with those of the other seeds
            (`vlae.evaluation.metrics.udr`); None where it is not defined.
    """

    source: str
    systems: RunsBySystem
    evaluations: Mapping[str, Sequence[Mapping[str, Any]]]
    udr: Mapping[str, Sequence[float | None]]

    def __post_init__(self) -> None:
        """Refuses evaluations that were not measured alike."""
        protocols = [each["protocol"] for evaluations in self.evaluations.values() for each in evaluations]
        first = protocols[0]
        for other in protocols[1:]:
            if other["hash"] != first["hash"]:
                differing = sorted(name for name in first if name != "hash" and first[name] != other.get(name))
                raise ValueError(
                    f"the runs were not measured alike (they differ in {', '.join(differing)}); "
                    "their numbers cannot stand in one table: measure them again, with the same data and settings"
                )

    @property
    def found(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Deprecated, the earlier name of `evaluations`."""
        warnings.warn("Comparison.found is deprecated; read evaluations", DeprecationWarning, stacklevel=2)
        return self.evaluations

    def measures(self) -> dict[str, dict[str, list[float | None]]]:
        """For each measure and system, the value of each run; None where it is not defined."""
        each = {
            system: [
                {
                    "parameters": _count_parameters(run),
                    f"{'images' if is_image(run.recipe.shape) else 'rows'}/s in training": _speed(run),
                    **_measures(evaluation),
                    "UDR": udr,
                }
                for run, evaluation, udr in zip(runs, self.evaluations[system], self.udr[system], strict=True)
            ]
            for system, runs in self.systems.items()
        }
        names = dict.fromkeys(name for rows in each.values() for row in rows for name in row)
        return {name: {system: [row.get(name) for row in rows] for system, rows in each.items()} for name in names}

    def rows(self) -> list[tuple[str, str, str, str, float]]:
        """Every number of the comparison: data, system, run, measure, value; what is not defined has no row.

        After the measures of the table comes how well each level predicts each statistic and factor.
        """
        measured = [
            (self.source, system, run.name, measure, value)
            for measure, values in self.measures().items()
            for system, runs in self.systems.items()
            for run, value in zip(runs, values[system], strict=True)
            if value is not None
        ]
        return measured + [
            (self.source, system, run.name, f"{name}, level {level['level']}", value)
            for system, runs in self.systems.items()
            for run, evaluation in zip(runs, self.evaluations[system], strict=True)
            for level in evaluation["levels"]
            for name, value in (level["statistics"] | level["factors"]).items()
        ]

    def as_text(self) -> str:
        """The table in Markdown: a row per measure and a column per system.

        A cell holds the median over the runs, with the least and the most. Below stands what likelihoods do not say,
        of which families they are if these differ, and `cautions`.
        """
        counts = {len(values) for values in self.systems.values()}
        seeds = f"median of {counts.pop()} runs" if len(counts) == 1 else "median of runs"
        header = [f"{self.source}, {seeds} (least to most)", *self.systems]
        rows = [
            [name, *(_shown(values[system]) for system in self.systems)]
            for name, values in self.measures().items()
            if any(value is not None for of_system in values.values() for value in of_system)
        ]
        head, *body = padded([header, *rows])
        table = "\n".join(f"| {' | '.join(row)} |" for row in [head, ["-" * len(cell) for cell in head], *body])
        has_likelihood = any(row[0] == "ELBO (nats)" for row in rows)
        below = [LIKELIHOOD_CAUTION] if has_likelihood else []
        if len(of_families := self._systems_by_family()) > 1:
            listed = "; ".join(f"{family}: {' and '.join(systems)}" for family, systems in of_families.items())
            below.append(f"ELBO and bits per dimension compare only likelihoods of one family. Here are {listed}.")
        said: dict[str, list[str]] = {}
        for system, of_runs in self.cautions().items():
            for caution in dict.fromkeys(each for of_run in of_runs for each in of_run):
                said.setdefault(caution, []).append(system)
        below += [f"{' and '.join(systems)}: {caution}" for caution, systems in said.items()]
        return "\n\n".join([table, *below])

    def cautions(self) -> dict[str, list[list[str]]]:
        """For each system and run, sentences on what must be known to read its column; [] if there are none."""
        alone = len({_labels_of(runs[0]) for runs in self.systems.values()}) > 1
        return {
            system: [
                [
                    *alarms(evaluation),
                    *evaluation.get("cautions", []),
                    *([of_labels] if alone and (of_labels := _learned(run)) else []),
                ]
                for run, evaluation in zip(self.systems[system], evaluations, strict=True)
            ]
            for system, evaluations in self.evaluations.items()
        }

    def _systems_by_family(self) -> dict[str, list[str]]:
        """The systems whose likelihood is of each family, of those that have an ELBO."""
        found: dict[str, list[str]] = {}
        for system, runs in self.systems.items():
            if any(evaluation["elbo_nats"] is not None for evaluation in self.evaluations[system]):
                found.setdefault(runs[0].recipe.likelihood.kind, []).append(system)
        return found

    def to_json(self) -> str:
        """All values of the table, folders, recipes, likelihood families and cautions of the runs, and the protocol."""
        record = {
            "source": self.source,
            "runs": {system: [str(run.path) for run in runs] for system, runs in self.systems.items()},
            "recipes": {system: runs[0].recipe.as_dict()["recipe"] for system, runs in self.systems.items()},
            "families": {system: runs[0].recipe.likelihood.kind for system, runs in self.systems.items()},
            "measures": self.measures(),
            "not_defined": {
                system: [evaluation["not_defined"] for evaluation in evaluations]
                for system, evaluations in self.evaluations.items()
            },
            "cautions": self.cautions(),
            "protocol": next(iter(self.evaluations.values()))[0]["protocol"],
        }
        return json.dumps(record, indent=2, allow_nan=False)

    def figure(self) -> np.ndarray:
        """A row per system: on the left what each level does, on the right how well it predicts each factor.

        The left shows the first run of the system. The right shows the median of R², or of accuracy above chance, over
        the runs, from 0 (white) to 1 (blue). The simplest factor is leftmost and level 1 is lowest, so a perfect ladder
        is a rising diagonal.
        """
        from matplotlib.figure import Figure

        rows = len(self.systems)
        figure = Figure(figsize=(13, 2.6 * rows + 0.8), dpi=100, layout="constrained")
        axes = figure.subplots(rows, 2, squeeze=False, width_ratios=[1.5, 1])
        for (left, right), (system, runs) in zip(axes, self.systems.items(), strict=True):
            first = runs[0]
            left.imshow(levels(first.model, prior=first.prior, held_out=as_input(first.examples), num=6))
            left.set_axis_off()
            left.set_title(system, loc="left", fontweight="bold")
            self._heat(right, system, last=system == list(self.systems)[-1])
        return canvas.rendered(figure)

    def _heat(self, axes: Any, system: str, *, last: bool) -> None:
        """Draws how well each level of a system predicts each factor; the names of the factors only below the last."""
        evaluations = self.evaluations[system]
        known = [each for each in evaluations if each["complexity"]]  # one without finite codes has none
        complexity = known[0]["complexity"] if known else {}
        factors = sorted(
            (name for name in complexity if all(name in each["complexity"] for each in known)),
            key=lambda name: complexity[name],
        )
        if not factors:
            axes.set_axis_off()
            return
        tables = [
            judging.factor_table(each)[:, [list(each["complexity"]).index(name) for name in factors]] for each in known
        ]
        scores = np.median(tables, axis=0)
        levels = [level["level"] for level in evaluations[0]["levels"] if level["code_size"]]
        axes.imshow(scores, vmin=0, vmax=1, cmap="Blues", aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(scores):
            colour = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.1f}".lstrip("0"), ha="center", va="center", fontsize=7, color=colour)
        axes.set_yticks(range(len(levels)), [f"level {level}" for level in levels])
        axes.set_xticks(range(len(factors)), [name.replace("_", " ") for name in factors] if last else [])
        axes.tick_params(axis="x", rotation=90)
        order, told = (_shown(self.measures()[name][system]) for name in ("level order", "told"))
        axes.set_title(f"order {order}, told {told}", fontsize=10)
        if last:
            axes.set_xlabel("from simple to complex")

    def save(self, folder: Path) -> None:
        """Writes comparison.md, comparison.png, comparison.json, and comparison.csv with one number a row.

        Args:
            folder: where to; it is made if need be.

        Raises:
            WriteError: if they cannot be written.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / TABLE) as file:
            file.write_text(self.as_text() + "\n")
        with whole(folder / NUMBERS) as file:
            file.write_text(self.to_json())
        with whole(folder / ROWS) as file, file.open("w", newline="") as stream:
            rows = [("data", "system", "run", "measure", "value"), *self.rows()]
            csv.writer(stream).writerows([[safe_cell(value) for value in row] for row in rows])
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
    **settings: Unpack[Settings],
) -> list[Comparison]:
    """Trains recipes alike on the same data, or takes finished runs, and compares them in a table and a figure.

    Of recipes, OUT/SOURCE keeps a run folder for each recipe and seed, and comparison.md, .png and .json. Of finished
    runs, OUT keeps these three files. If the call was stopped, the same call goes on from there.

    Args:
        what: names of recipes, or folders of finished runs. Runs of one recipe count as its seeds.
        data: sources to train on, each a path or name that `vlae.data.load` reads; there is one comparison for each.
            For finished runs, at most one, whose test part they are measured on; none: the held-out part of the data
            they were trained on, which must be the same for all.
        preset: name of one of `PRESETS`, in place of `what`; its own data are used if `data` is empty.
        out: folder for the results; None: runs/compare, or runs/ and the name of the preset.
        seeds: number of runs of each recipe, from 1 up; the seeds are 0, 1, …
        code_sizes: sizes of the ladder's codes, level 1 first, or these sizes by the shape of the data; other systems
            get as many dimensions in all (`vlae.recipes.rival_codes`). None: the recipe's own sizes.
        progress: print on the error output what is being done.
        reading: options for reading the data, by name: size (pixels), crop (pixels), channels (1 to 4), layout, key,
            limit (number of data, taken at random). The reader chooses what is left out; without a limit, all are read.
        settings: settings of the training, the same for all runs: any of `vlae.recipes.Settings`, such as steps,
            batch_size, learning_rate.

    Returns:
        A comparison for each data set.

    Raises:
        ValueError: if it is not clear what to compare, or a recipe does not fit the data.
        FileNotFoundError: if there is no such run.
        RunError: if the folder holds a run with other settings.
        WriteError: if a result cannot be written.
        Stopped: after Ctrl-C; finished runs are kept.
    """
    recipes.check_names(settings, others=signature(compare).parameters)
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
        asked = {name: value for name, value in (reading or {}).items() if value is not None and name != "labels"}
        images = load(what[0]).read(data[0], split="test", progress=progress, **asked)
    comparisons = []
    for folder, systems in train_alike(
        what, data=data, out=out, seeds=seeds, code_sizes=code_sizes, progress=progress, reading=reading, **settings
    ):
        comparisons.append(measure(systems, images, progress=progress))
        comparisons[-1].save(folder)
    return comparisons


def measure(systems: RunsBySystem, images: Images | None = None, *, progress: bool = True) -> Comparison:
    """Evaluates runs alike. An evaluation in a run's folder is used again if protocol, weights and prior are the same.

    One of another seed, of given features or complexities, with a log-likelihood or UDR stays as it is: it may have
    taken long. One of the default settings, by the methods of another version, is replaced.

    Args:
        systems: for each system its runs, all of data of one shape.
        images: the data to evaluate them on; None: the held-out part of the data they were trained on.
        progress: print on the error output what is being done.
    """
    first = next(iter(systems.values()))[0]
    chosen, probed = workflows.measured_on(first, images)
    wanted = protocol(chosen, probed=probed)
    evaluations: dict[str, list[Mapping[str, Any]]] = {}
    for system, runs in systems.items():
        evaluations[system] = []
        for run in runs:
            evaluation = next(
                (kept for kept in _kept(run, images) if kept["protocol"].get("hash") == wanted["hash"]), None
            )
            if evaluation is None:
                say(f"measuring {run.path}", progress)
                evaluation = workflows.evaluate(run, images, keep=False)
                if images is None:
                    stays = run.evaluation is not None and _asked(run.evaluation["protocol"]) != _asked(wanted)
                    workflows.keep_evaluation(run, evaluation, COMPARED if stays else EVALUATION)
            evaluations[system].append(evaluation)
    udr = {system: _udr_of_each([_codes(run, probed) for run in runs]) for system, runs in systems.items()}
    return Comparison(source=source_name(chosen.source), systems=systems, evaluations=evaluations, udr=udr)


def _kept(run: Run, images: Images | None) -> list[Mapping[str, Any]]:
    """The evaluations in a run's folder of the run as it is; none if it is measured on other images.

    One of an earlier version is left out: it does not say of what it is, or may be by another method.
    """
    kept = [run.kept_evaluation(name) for name in (EVALUATION, COMPARED)] if images is None else []
    return [each for each in kept if each and "of" in each and each.get("checks", 0) >= CHECKS]


def _asked(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """What one may ask of an evaluation of this protocol; where an early one does not say, nothing was asked."""
    features = settings.get("pictures", {}).get("features", DEFAULT)
    given = str(settings.get("complexity", "")).startswith("given")
    samples, runs = settings.get("importance_samples", 0), settings.get("udr_runs", 1)
    return settings.get("seed", 0), features, given, samples, runs


def _labels_of(run: Run) -> str | None:
    """Which labels a run has learned, as they were asked for; None: none."""
    return str(run.data.get("labels") or "all") if "labels_sha256" in run.data else None


def _learned(run: Run) -> str | None:
    """What must be known of a run that learned labels, beside others that learned none, or others; None: nothing."""
    labels = _labels_of(run)
    if labels is None:
        return None
    which = f"labels {labels}" if labels != "all" else "every label of its training data"
    return f"Learned {which}, others here other labels or none: what its levels tell of the class was taught."


def _codes(run: Run, images: Images) -> np.ndarray:
    """The codes of at most so many data, chosen at random: they may be stored by class."""
    rows = np.sort(np.random.default_rng(0).permutation(len(images))[:UDR_ROWS])
    return np.concatenate(run.encode(images.take(rows)), axis=1)


def _udr_of_each(tables: Sequence[np.ndarray]) -> list[float | None]:
    """UDR of each run against the others; None where it is not defined."""
    values: list[float | None] = []
    for i, table in enumerate(tables):
        try:
            values.append(udr_of_finite(table, [*tables[:i], *tables[i + 1 :]]))
        except NotDefinedError:
            values.append(None)
    return values


def _measures(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """The rows of the table, for one run."""
    levels, pictures = evaluation["levels"], evaluation["pictures"] or {}

    def each(name: str, key: str) -> dict[str, float | None]:
        return {f"{name}, level {level['level']}": level.get(key) if level["code_size"] else None for level in levels}

    def disentanglement(key: str, part: str | None = None) -> float | None:
        value = evaluation.get("disentanglement", {}).get(key)
        return value[part] if part and value else value

    return {
        "squared error": evaluation["reconstruction"].get("mse"),
        "R², mean of columns": evaluation["reconstruction"].get("r2"),
        "error (standard deviations)": evaluation["reconstruction"].get("error_stddevs"),
        "ELBO (nats)": evaluation["elbo_nats"],
        "bits per dimension": evaluation.get("bits_per_dimension"),
        **each("KL (nats)", "kl_nats"),
        **each("active units", "active_units"),
        "class named wrongly": evaluation.get("class_error"),
        **each("class probe", "label_probe_accuracy"),
        "class probe, all levels": evaluation.get("label_probe_accuracy"),
        "share of the commonest class": evaluation.get("label_commonest"),
        **{
            f"{name.replace('_', ' ')}{words}": evaluation[f"{name}{key}"]
            for name in judging.SCORES
            for key, words in (("", ""), ("_untrained", ", untrained"), ("_components", ", principal components"))
        },
        **{
            f"{words}, {KIND_WORDS.get(kind, kind)}": pictures.get(key, {}).get(kind)
            for key, words in (("frechet", "Fréchet distance"), ("two_sample", "told from real"))
            for kind in KINDS
        },
        **{
            f"mesh of {period} pixels, {KIND_WORDS.get(kind, kind)}": (
                (pictures.get("mesh") or {}).get(kind) or {}
            ).get(str(period))
            for period in PERIODS
            for kind in KINDS
        },
        **{f"sharpness, {KIND_WORDS.get(kind, kind)}": (pictures.get("sharpness") or {}).get(kind) for kind in KINDS},
        **each("read back", "read_back"),
        "MIG (20 bins)": disentanglement("mig"),
        "DCI disentanglement": disentanglement("dci", "disentanglement"),
        "DCI completeness": disentanglement("dci", "completeness"),
        "DCI informativeness": disentanglement("dci", "informativeness"),
        "DCI disentanglement, boosted": disentanglement("dci_boosted", "disentanglement"),
        "InfoMEC modularity": disentanglement("infomec", "modularity"),
        "InfoMEC explicitness": disentanglement("infomec", "explicitness"),
        "InfoMEC compactness": disentanglement("infomec", "compactness"),
        "SAP": disentanglement("sap"),
    }


def _speed(run: Run) -> float | None:
    """Images a second, the median along the training; None of a run without training curves."""
    try:
        speeds = run.history["images_per_second"]
    except (OSError, KeyError):
        return None
    return float(np.median(speeds))


def _count_parameters(run: Run) -> int:
    return sum(parameter.numel() for parameter in run.model.parameters())


def _shown(values: Sequence[float | None]) -> str:
    """The median, with the least and the most if they are shown differently; and of how many, if some are missing."""
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
