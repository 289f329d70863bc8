"""Makes the table of benchmarks/table.py, and the page docs/speed.md, from the figures that are kept."""

from collections.abc import Mapping, Sequence
from math import log
from statistics import median
from typing import Any, NamedTuple

import quoted
from cluster_plan import plan
from table_parts import HERE, PARTS

from vlae.text_table import columns, number

Figures = Mapping[str, Any]
TRAININGS = ("train-lean", "train-mnist", "train-svhn", "train-celeba")
NETS = {
    "lean28": "`lean`, 28 × 28 × 1",
    "lean32": "`lean`, 32 × 32 × 3",
    "lean64": "`lean`, 64 × 64 × 3",
    "mnist": "`mnist`",
    "svhn": "`svhn`",
    "celeba": "`celeba`",
    "mnist-deep": "`mnist`, deep heads",
    "svhn-deep": "`svhn`, deep heads",
    "celeba-deep": "`celeba`, deep heads",
}
BUSY = 0.1
"""Cores that others kept busy while a part ran, above which the page says so."""


class Section(NamedTuple):
    """One table of the page."""

    place: str
    """Its mark in the template."""
    parts: tuple[str, ...]
    """The parts whose figures it shows."""
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


class Goal(NamedTuple):
    """One goal, and what came of it."""

    what: str
    goal: str
    measured: str
    reached: bool
    net: str = ""
    """Whose step it is about, if it is about one."""


def form(value: float) -> str:
    """A number with three digits that count."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - len(f"{abs(value):.0f}") + 1) if abs(value) >= 1 else 3
    return f"{value:,.{decimals}f}"


def spread(values: Sequence[float], percent: bool = False) -> str:
    """Median, least and most."""
    words = [f"{value:.0%}" if percent else form(value) for value in (median(values), min(values), max(values))]
    return words[0] if len(values) == 1 else f"{words[0]} ({words[1]} to {words[2]})"


def ratios(ours: Sequence[float], beside: Sequence[float]) -> list[float]:
    """Median, least and most of a ratio of two things that were not measured in turns."""
    return [median(ours) / median(beside), min(ours) / max(beside), max(ours) / min(beside)]


def in_turns(ours: Sequence[float], beside: Sequence[float]) -> list[float]:
    """The ratio in every round."""
    return [mine / other for mine, other in zip(ours, beside, strict=True)]


def speeds(result: Figures, turn: str) -> list[float]:
    return [each["images_per_second"] for each in result["rounds"].get(turn, ())]


def limit(gflops: Figures, kind: str) -> list[float]:
    """GFLOP/s of the machine's convolution, in its better memory layout, or of its matrix product."""
    return max((values for name, values in gflops.items() if name.startswith(kind)), key=median)


def trainings(kept: Figures) -> list[tuple[str, str, Figures, Figures]]:
    """Net, precision, its result and the machine's rates, of every training that was measured."""
    return [
        (result["recipe"], precision, result, figures["machine"]["gflops"])
        for part in TRAININGS
        if part in kept
        for precision, figures in kept[part]["figures"].items()
        for result in figures["recipes"]
    ]


def of_limit(result: Figures, rates: Sequence[float]) -> list[float]:
    reached = [speed * result["flop_per_image"] / 1e9 for speed in speeds(result, "engine")]
    return ratios(reached, rates)


def training(kept: Figures) -> list[Section]:
    rows, shares = [], []
    fp32 = {net: speeds(result, "engine") for net, precision, result, _ in trainings(kept) if precision == "fp32"}
    for net, precision, result, gflops in trainings(kept):
        ours, plain = speeds(result, "engine"), speeds(result, "plain")
        authors, earlier = quoted.AUTHORS.get(net), quoted.EARLIER.get((net, precision))
        rows.append(
            (
                f"{NETS[net]}, {precision}",
                spread(ours),
                spread(in_turns(ours, speeds(result, "bare"))),
                spread(in_turns(ours, plain)) if plain else "",
                spread(ratios(ours, fp32[net])) if precision == "bf16" and net in fp32 else "",
                f"{spread(ratios(ours, authors))}, of {' and '.join(map(form, authors))}" if authors else "",
                f"{spread(ratios(ours, [earlier]))}, of {form(earlier)}" if earlier else "",
            )
        )
        by_kind = [spread(of_limit(result, limit(gflops, kind)), percent=True) for kind in ("convolution", "product")]
        rates = [spread(limit(gflops, kind)) for kind in ("convolution", "product")]
        shares.append((f"{NETS[net]}, {precision}", f"{result['flop_per_image'] / 1e6:,.0f}", *by_kind, *rates))
    return [
        Section(
            "training",
            TRAININGS,
            (
                *("net", "ours, images/s", "to the bare loop", "to plain PyTorch", "bf16 to fp32"),
                *("to the authors' code (quoted)", "to earlier vlae (quoted)"),
            ),
            rows,
        ),
        Section(
            "limit",
            TRAININGS,
            (
                *("net", "MFLOP an image", "of the convolution", "of the product"),
                *("convolution, GFLOP/s", "matrix product, GFLOP/s"),
            ),
            shares,
        ),
    ]


def profile(kept: Figures) -> list[Section]:
    results = kept["profile"]["figures"]["figures"] if "profile" in kept else []
    totals = [sum(result["milliseconds"].values()) for result in results]
    kinds = sorted(
        {kind for result in results for kind in result["milliseconds"]},
        key=lambda kind: (
            -max(result["milliseconds"].get(kind, 0) / sum(result["milliseconds"].values()) for result in results)
        ),
    )
    rows = [
        (
            kind,
            *(
                f"{result['milliseconds'].get(kind, 0) / total:.1%}"
                for result, total in zip(results, totals, strict=True)
            ),
        )
        for kind in kinds
    ]
    if results:
        rows.append(("a step, ms: watched", *(form(total) for total in totals)))
        rows.append(("a step, ms: unwatched", *(form(result["milliseconds_unwatched"]) for result in results)))
    return [Section("profile", ("profile",), ("kind of work", *(NETS[result["recipe"]] for result in results)), rows)]


def pythae(kept: Figures) -> list[Section]:
    systems = kept["pythae"]["figures"]["figures"]["systems"] if "pythae" in kept else {}
    names = {
        "lean": "`lean`",
        "vae": "our recipe `vae`",
        "pythae mse": "pythae's VAE, `mse` (its default)",
        "pythae bce": "pythae's VAE, `bce`",
    }
    rows = [
        (
            names[name],
            f"{result['parameters'] / 1e6:.2f} M",
            f"{result['seconds']:.1f}",
            f"{result['images_per_second']:,.0f}",
            f"{result['squared_error']['mean']:.4f}",
            f"{result['squared_error']['drawn']:.4f}",
        )
        for name, result in systems.items()
    ]
    header = ("system", "parameters", "seconds", "images/s", "test squared error, means", "test squared error, drawn")
    return [Section("pythae", ("pythae",), header, rows)]


def quality(kept: Figures) -> list[Section]:
    rows = []
    if "quality" in kept:
        figures = kept["quality"]["figures"]["figures"]
        theirs = quoted.TARGET_SECONDS
        measured = {
            "training, codes drawn as theirs": (figures["training_seconds"], "training"),
            "training, codes' means": (figures["training_seconds_of_means"], None),
            "the whole command, with start and figures": ((figures["command"] or {}).get("seconds"), "command"),
        }
        for what, (seconds, earlier) in measured.items():
            ratio = [] if seconds is None else [time / seconds for time in (*theirs, sum(theirs) / 2)]
            rows.append(
                (
                    what,
                    "not reached" if seconds is None else f"{seconds:.1f}",
                    f"{theirs[0]:.0f} to {theirs[1]:.0f}",
                    f"{spread(ratio)} times" if ratio else "",
                    f"{quoted.EARLIER_TARGET_SECONDS[earlier]:.0f}" if earlier else "",
                )
            )
    header = ("seconds", "ours", "the authors' code (quoted)", "faster", "earlier vlae (quoted)")
    return [Section("quality", ("quality",), header, rows)]


def demo(kept: Figures) -> list[Section]:
    results = kept["demo"]["figures"]["figures"] if "demo" in kept else []
    rows = [
        (
            f"{result['minutes']:g} min, seed {result['seed']}",
            f"{result['steps']:,}",
            f"{result['command_seconds']:.0f}",
            f"{result['squared_error']:.5f}",
            interval(result, "level_order"),
            interval(result, "told"),
        )
        for result in results
    ]
    header = ("training", "steps", "the command, s", "held-out squared error", "order", "told")
    return [Section("demo", ("demo",), header, rows)]


def interval(result: Figures, name: str) -> str:
    """A score with its interval, where it is defined."""
    if not result[f"{name}_interval"]:
        return number(result[name], ".2f")
    low, high = result[f"{name}_interval"]
    return f"{result[name]:.2f} ({low:.2f} to {high:.2f})"


def encode(kept: Figures) -> list[Section]:
    recipes = kept["encode"]["figures"]["figures"]["recipes"] if "encode" in kept else {}
    rows = []
    for name, result in recipes.items():
        speed = result["images_per_second"]
        for ending, what in (("", ", without the error"), (" with decoder", "")):
            ours, bare = speed[f"encode{ending}"], speed[f"bare{ending}"]
            rows.append((NETS[name] + what, spread(ours), spread(bare), spread(in_turns(ours, bare))))
    speeds = kept["encode-files"]["figures"]["figures"]["images_per_second"] if "encode-files" in kept else {}
    of_files = [
        (NETS[name], spread(of["encode"]), spread(of["decoding"]), spread(in_turns(of["encode"], of["decoding"])))
        for name, of in speeds.items()
    ]
    header = ("`vlae encode` of JPEG files", "images/s", "decoding alone, images/s", "ratio")
    return [
        Section("encode", ("encode",), ("`vlae encode`", "images/s", "bare loop, images/s", "ratio"), rows),
        Section("encode-files", ("encode-files",), header, of_files),
    ]


def evaluate(kept: Figures) -> list[Section]:
    runs = kept["evaluate"]["figures"]["figures"] if "evaluate" in kept else {}
    rows = []
    for name, stages in runs.items():
        total = sum(stages.values()) - stages["encoding"]
        for what, seconds in {f"`{name}`, all": total, **stages}.items():
            rows.append((what, form(seconds), form(seconds / stages["encoding"])))
    header = ("`vlae evaluate`, stage", "seconds", "in times one encoding")
    return [Section("evaluate", ("evaluate",), header, rows)]


def start(kept: Figures) -> list[Section]:
    seconds = kept["start"]["figures"]["figures"] if "start" in kept else {}
    names = {
        "bare Python": "`python -c ''`, for comparison",
        "import vlae": "`import vlae`",
        "vlae --help": "`vlae --help`",
        "exists already": "`vlae train` to a folder that exists already",
        "first work": "first work: `vlae data`",
        "figure": "`vlae figure RUN levels`",
    }
    rows = [
        (names.get(name, name), spread(taken), f"at most {quoted.SECONDS[name]:g}" if name in quoted.SECONDS else "")
        for name, taken in seconds.items()
    ]
    return [Section("start", ("start",), ("command", "seconds", "goal"), rows)]


def million(kept: Figures) -> list[Section]:
    sizes = sizes_of(kept)
    far = at_ten_million(sizes)
    more = ["10,000,000, extrapolated"] if far else []
    rows = [
        (name, *(form(facts(size)[name]) for size in sizes), *(form(far[name]) if name in far else "" for _ in more))
        for name in (facts(sizes[0]) if sizes else ())
    ]
    header = ("", *(f"{size['num']:,} pictures" for size in sizes), *more)
    return [Section("million", ("million", "ten-million"), header, rows)]


def sizes_of(kept: Figures) -> list[Figures]:
    """The collections that were measured, the smallest first."""
    return [size for part in ("million", "ten-million") if part in kept for size in kept[part]["figures"]["figures"]]


def facts(size: Figures) -> dict[str, float]:
    """What is shown of a collection of one size."""
    search, odd = size["search"].values(), size["odd"].values()
    return {
        "index, s": size["index"]["seconds"],
        "index on the disk, GB": size["index"]["gb"],
        "search, p50 of the slowest level, ms": max(each["p50_ms"] for each in search),
        "search, p95 of the slowest level, ms": max(each["p95_ms"] for each in search),
        "search, recall@10 of the worst level": min(each["recall"] for each in search),
        "odd, all levels, s": sum(each["seconds"] for each in odd),
        "odd, recall@10 of the worst level": min(each["recall"] for each in odd),
        "most memory of all, GB": size["peak_gb"],
    }


def at_ten_million(sizes: Sequence[Figures]) -> dict[str, float]:
    """What the two largest sizes let expect: seconds by the power that they show, memory and disk by a line.

    Empty if ten million were measured.
    """
    if len(sizes) < 2 or not sizes[-2]["num"] < sizes[-1]["num"] < 1e7:
        return {}
    small, large = (facts(size) for size in sizes[-2:])
    times = sizes[-1]["num"] / sizes[-2]["num"]
    steps = 1e7 / sizes[-1]["num"]
    power = {name: log(large[name] / small[name], times) for name in ("index, s", "odd, all levels, s")}
    slope = {name: (large[name] - small[name]) / (times - 1) * times for name in large if name.endswith("GB")}
    return {
        **{name: large[name] * steps**each for name, each in power.items()},
        **{name: large[name] + each * (steps - 1) for name, each in slope.items()},
    }


ASSUMED = {"num": 1e9, "hours": 24.0, "cores": 64, "per_core_hour": 0.04}
"""What the plan for a billion pictures takes for granted."""


def cluster(kept: Figures) -> list[Section]:
    measured = kept["cluster"]["figures"]["figures"] if "cluster" in kept else {"results": []}
    rows = [
        (
            f"{result['workers']}" + ", one of them killed" * result["killed"],
            form(result["images a second"]),
            f"{result['efficiency per core']:.2f}",
            str(measured["num"] - result["different names"]),
            str(result["rows"] - result["different names"]),
        )
        for result in measured["results"]
    ]
    planned = list(plan(measured, **ASSUMED).items()) if rows else []
    header = ("workers", "images/s", "a core, in times the one worker's", "pictures lost", "there twice")
    return [
        Section("cluster", ("cluster",), header, rows),
        Section("billion", ("cluster",), ("a billion pictures", ""), planned),
    ]


def others(kept: Figures) -> list[Section]:
    search = kept["search"]["figures"]["figures"] if "search" in kept else {}
    found = [
        (name, f"{form(middle)} ({form(least)} to {form(most)})") for name, (middle, least, most) in search.items()
    ]
    first = kept["first-minute"]["figures"]["figures"] if "first-minute" in kept else {}
    seen = [(name, form(seconds)) for name, seconds in sorted(first.items(), key=lambda item: item[1])]
    onnx = kept["onnx"]["figures"]["figures"] if "onnx" in kept else []
    encoders = [
        (
            f"`{result['run']}`",
            f"{result['images_per_second']['pytorch']:,}",
            *(form(result["times_pytorch"][way]) for way in ("onnxruntime", "onnxruntime_int8")),
        )
        for result in onnx
    ]
    return [
        Section("search", ("search",), ("search", "milliseconds, or % where it says so"), found),
        Section("first-minute", ("first-minute",), ("what is seen", "seconds after the command"), seen),
        Section("onnx", ("onnx",), ("encoder", "PyTorch, images/s", "ONNX Runtime", "ONNX Runtime, int8"), encoders),
    ]


def goals(kept: Figures) -> list[Goal]:
    """The goals whose figures are there."""
    found: list[Goal] = []

    def ratio(net: str, what: str, values: Sequence[float], least: float, *, percent: bool = False) -> None:
        wanted = f"{least:.0%}" if percent else f"{least:g} times"
        found.append(Goal(what, f"at least {wanted}", spread(values, percent), median(values) >= least, net))

    for net, precision, result, gflops in trainings(kept):
        name, ours = f"{NETS[net]}, {precision}", speeds(result, "engine")
        if net in quoted.AUTHORS:
            times = ratios(ours, quoted.AUTHORS[net])
            ratio(net, f"{name}: the authors' images/s (quoted)", times, quoted.TIMES_AUTHORS)
        if net.startswith("lean") and (net, precision) in quoted.EARLIER:
            times = ratios(ours, [quoted.EARLIER[net, precision]])
            ratio(net, f"{name}: earlier images/s (quoted)", times, quoted.TIMES_EARLIER)
        if not net.startswith("lean"):
            share = of_limit(result, limit(gflops, "convolution"))
            ratio(net, f"{name}: share of the machine's convolution", share, quoted.OF_CONVOLUTION, percent=True)
        lost, most = result["overhead"], quoted.OVERHEAD
        words = f"{name}: data and logging, lost to the bare loop"
        found.append(Goal(words, f"below {most:.0%}", spread(lost, percent=True), median(lost) < most, net))
    if "quality" in kept:
        taken, most = kept["quality"]["figures"]["figures"]["training_seconds"], quoted.OF_TARGET_SECONDS
        limit_s = quoted.TARGET_SECONDS[0] * most
        measured = "not reached" if taken is None else f"{taken:.1f} s"
        reached = taken is not None and taken <= limit_s
        found.append(Goal("seconds to the authors' test error", f"at most {limit_s:g} s", measured, reached))
    chosen: dict[str, list[float]] = {}
    for net, _, result, _ in trainings(kept):
        if (net, "fp32") in quoted.EARLIER and net.startswith("lean"):
            chosen[net] = max(chosen.get(net, [0.0]), speeds(result, "engine"), key=median)
    for net, ours in chosen.items():
        times = ratios(ours, [quoted.EARLIER[net, "fp32"]])
        ratio(net, f"{NETS[net]}, by default: earlier default, fp32 (quoted)", times, quoted.TIMES_EARLIER)
    if "demo" in kept:
        wanted = quoted.EARLIER["lean32", "fp32"] * 300 / quoted.BATCH
        for result in kept["demo"]["figures"]["figures"]:
            if result["minutes"] == 2.5:
                what = "steps of `vlae demo` in 2.5 minutes: those of five at earlier images/s (quoted)"
                found.append(Goal(what, f"at least {wanted:,.0f}", f"{result['steps']:,}", result["steps"] >= wanted))
    if "evaluate" in kept:
        for name, stages in kept["evaluate"]["figures"]["figures"].items():
            total = sum(stages.values()) - stages["encoding"]
            found.append(seconds_goal(f"`vlae evaluate` of 5,000 pictures, `{name}`", [total], "evaluate"))
    if sizes := sizes_of(kept):
        largest, far = facts(sizes[-1]), at_ten_million(sizes)
        least, p95 = quoted.RECALL, largest["search, p95 of the slowest level, ms"]
        recall = largest["search, recall@10 of the worst level"]
        words = f"{form(p95)} ms, recall {recall:.4f}"
        wanted = f"p95 below {quoted.SEARCH_MS:g} ms at recall@10 of at least {least:g}"
        what = f"search in {sizes[-1]['num']:,} pictures"
        found.append(Goal(what, wanted, words, p95 < quoted.SEARCH_MS and recall >= least))
        how, far = (", extrapolated", far) if far else ("", largest)
        if how or sizes[-1]["num"] >= 1e7:
            minutes, most = far["odd, all levels, s"] / 60, quoted.ODD_MINUTES
            what = f"`odd` among ten million, all levels{how}"
            found.append(Goal(what, f"below {most:g} min", f"{form(minutes)} min", minutes < most))
            memory, most = far["most memory of all, GB"], quoted.MEMORY_GB
            what = f"memory with ten million{how}"
            found.append(Goal(what, f"below {most:g} GB", f"{form(memory)} GB", memory < most))
    if "cluster" in kept:
        measured = kept["cluster"]["figures"]["figures"]
        for result in measured["results"]:
            lost = measured["num"] - result["different names"]
            twice = result["rows"] - result["different names"]
            if result["killed"]:
                what = f"{result['workers']} Ray workers, one killed: lost, twice"
                found.append(Goal(what, "0, 0", f"{lost}, {twice}", lost == twice == 0))
    if "start" in kept:
        seconds = kept["start"]["figures"]["figures"]
        for name, what in (
            ("exists already", "`exists already`"),
            ("first work", "first work"),
            ("figure", "a figure"),
        ):
            found.append(seconds_goal(what, seconds[name], name))
    return found


def seconds_goal(what: str, seconds: Sequence[float], name: str) -> Goal:
    most = quoted.SECONDS[name]
    return Goal(what, f"at most {most:g} s", f"{spread(seconds)} s", median(seconds) <= most)


def longest(kept: Figures, goal: Goal) -> str:
    """The three kinds of work that take most of a step, of a goal that is not reached and a net that was watched."""
    watched = kept["profile"]["figures"]["figures"] if "profile" in kept and not goal.reached else []
    kinds = next((result["milliseconds"] for result in watched if result["recipe"] == goal.net), {})
    most = sorted(kinds, key=lambda kind: -kinds[kind])[:3]
    return ", ".join(f"{kind} {kinds[kind] / sum(kinds.values()):.0%}" for kind in most)


def sections(kept: Figures) -> list[Section]:
    """Every table, in the order of the page."""
    rows = [
        (goal.what, goal.goal, goal.measured, "yes" if goal.reached else "**no**", longest(kept, goal))
        for goal in goals(kept)
    ]
    header = ("goal", "wanted", "measured", "reached", "most of a step, where it is not")
    of_parts = (training, profile, pythae, quality, demo, encode, evaluate, start, million, cluster, others)
    return [
        Section("goals", tuple(PARTS), header, rows),
        *(section for make in of_parts for section in make(kept)),
    ]


def machines(kept: Figures) -> Section:
    """Where and when each part was measured."""
    rows = []
    for name, part in kept.items():
        machine, others = part["machine"], part["others"]
        versions = machine["versions"]
        said = [f"{machine['cores']} cores", machine["processor"], ", ".join(machine["flags"]) or "flags unknown"]
        beside = "unknown" if others is None else f"{others:.2f}" + " **busy**" * (others > BUSY)
        torch = ", ".join(f"{package} {versions[package]}" for package in ("torch", "lightning") if package in versions)
        seconds = f"{part['seconds']:.0f}"
        rows.append((name, part["date"], "; ".join(said), torch, machine["commit"] or "", seconds, beside))
    header = ("part", "date", "machine", "versions", "commit", "seconds", "cores busy with other work")
    return Section("machines", tuple(PARTS), header, rows)


def commands(kept: Figures) -> Section:
    rows = [(name, f"`{command}`") for name, part in kept.items() for command in part["commands"]]
    return Section("commands", tuple(PARTS), ("part", "what it ran"), rows)


def markdown(section: Section) -> str:
    """A table, or what to run where there are no figures."""
    if not section.rows:
        if len(section.parts) == len(PARTS):
            return "Nothing has been measured yet."
        return f"Not measured yet: `python benchmarks/table.py --only {' '.join(section.parts)}`."
    lines = [section.header, ["---"] * len(section.header), *section.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(kept: Figures) -> str:
    """The page docs/speed.md."""
    text = (HERE / "speed_page.md").read_text()
    for section in [*sections(kept), machines(kept), commands(kept)]:
        mark = f"{{{{{section.place}}}}}"
        if mark not in text:
            raise ValueError(f"speed_page.md has no place {mark}")
        text = text.replace(mark, markdown(section))
    return text


def table(kept: Figures) -> str:
    """The whole table, for a terminal."""
    return "\n\n".join(
        columns([[cell.replace("`", "").replace("**", "") for cell in row] for row in (section.header, *section.rows)])
        for section in sections(kept)
        if section.rows
    )
