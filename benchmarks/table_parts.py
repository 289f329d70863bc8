"""The parts of the table: what each runs, about how long it takes, and how its figures are read."""

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
LINE = re.compile(r"^(?P<name>.*\S)\s+(?P<median>[\d.,]+) \((?P<least>[\d.,]+) to (?P<most>[\d.,]+)\)$")


class Command(NamedTuple):
    """One script of a part, in a process of its own."""

    words: list[str]
    """The script, without its folder, and its arguments."""
    read: Callable[[str, Path], Any]
    """Its figures, of what it printed and of the file that `--json` names."""
    has_file: bool = True
    """Whether it takes `--json FILE`."""


class Part(NamedTuple):
    """Some rows of the table."""

    title: str
    seconds: int
    """About how long it takes on two cores."""
    commands: Callable[[Namespace], dict[str, Command]]
    needs: tuple[str, ...] = ()
    """Options without which it is left out."""
    by_name: bool = False
    """Whether it runs only where its name is asked for, because it takes long."""


def from_file(printed: str, file: Path) -> Any:
    """What a script wrote."""
    return json.loads(file.read_text())


def from_json(printed: str, file: Path) -> Any:
    """The last line that a script printed."""
    return json.loads(printed.splitlines()[-1])


def from_json_lines(printed: str, file: Path) -> Any:
    """Every line that a script printed."""
    return [json.loads(line) for line in printed.splitlines()]


def from_lines(printed: str, file: Path) -> Any:
    """Median, least and most by name, of lines such as `similar, level 1   14.1 (13.9 to 15.0)`."""
    found = (LINE.match(line) for line in printed.splitlines())
    return {
        row["name"]: [float(row[key].replace(",", "")) for key in ("median", "least", "most")] for row in found if row
    }


def training(*nets: str, seconds: float, rounds: int, plain: bool) -> Callable[[Namespace], dict[str, Command]]:
    """The commands that train some nets in fp32, and in bf16 where the processor has it; of a quick run the first.

    Args:
        nets: names of `train_speed.RECIPES`.
        seconds: of a round, about.
        rounds: how many.
        plain: whether plain PyTorch is measured beside, in fp32.
    """

    def commands(asked: Namespace) -> dict[str, Command]:
        chosen = nets[:1] if asked.quick else nets
        words = ["train_speed.py", "--recipes", *chosen, "--seconds", str(seconds), "--rounds", str(rounds)]
        precisions = ("fp32", "bf16") if asked.bf16 else ("fp32",)
        return {
            precision: Command(
                [
                    *words,
                    *("--precision", precision),
                    *([] if plain and precision == "fp32" else ["--no-plain"]),
                    *(["--quick"] if asked.quick else []),
                ],
                from_file,
            )
            for precision in precisions
        }

    return commands


def script(*words: str, quick: tuple[str, ...] = ("--quick",), **how: Any) -> Callable[[Namespace], dict[str, Command]]:
    """The one command of a part; in its words, {mnist} and the like stand for the options of that name."""
    how = {"read": from_file, **how}

    def commands(asked: Namespace) -> dict[str, Command]:
        filled = [word.format(**vars(asked)) for word in words]
        return {"figures": Command([*filled, *(quick if asked.quick else ())], **how)}

    return commands


def profile(*nets: str) -> Callable[[Namespace], dict[str, Command]]:
    """The command that tells what a step of some nets spends its time on; of a quick run the first."""

    def commands(asked: Namespace) -> dict[str, Command]:
        return script("step_profile.py", *(nets[:1] if asked.quick else nets))(asked)

    return commands


def beside_pythae(asked: Namespace) -> dict[str, Command]:
    words = ["beside_pythae.py", asked.mnist, *(["--quick"] if asked.quick else [])]
    words += ["--pythae-python", asked.pythae_python] if asked.pythae_python else []
    return {"figures": Command(words, from_file)}


PARTS: dict[str, Part] = {
    "train-lean": Part(
        "training, lean", 140, training("lean28", "lean32", "lean64", seconds=1.5, rounds=3, plain=True)
    ),
    "train-mnist": Part(
        "training, the paper's net for MNIST", 85, training("mnist-deep", "mnist", seconds=1.5, rounds=3, plain=True)
    ),
    "train-svhn": Part(
        "training, the paper's net for SVHN", 90, training("svhn-deep", "svhn", seconds=2, rounds=2, plain=False)
    ),
    "train-celeba": Part(
        "training, the paper's net for CelebA", 150, training("celeba-deep", "celeba", seconds=2, rounds=2, plain=False)
    ),
    "profile": Part(
        "a step by kind of work",
        60,
        profile("lean28", "lean32", "mnist-deep", "svhn-deep", "celeba-deep"),
    ),
    "pythae": Part("the same time with pythae", 115, beside_pythae, needs=("mnist",)),
    "quality": Part("time to the authors' error", 105, script("time_to_quality.py", "{mnist}"), needs=("mnist",)),
    "demo": Part("vlae demo, 2.5 and 5 minutes", 520, script("demo_quality.py")),
    "encode": Part("encoding", 50, script("encode_speed.py", "--recipes", "lean32", "--rounds", "2", "--seconds", "2")),
    "encode-files": Part("encoding picture files", 35, script("encode_files.py", "--rounds", "3")),
    "evaluate": Part("vlae evaluate", 65, script("evaluate_speed.py")),
    "start": Part("import, help, figure", 35, script("start_speed.py", "--rounds", "3")),
    "search": Part(
        "search in 100,000 pictures",
        45,
        script("search_speed.py", quick=("--num", "500", "--queries", "2"), read=from_lines, has_file=False),
    ),
    "million": Part(
        "a hundred thousand and a million pictures",
        900,
        script("ten_million.py", "--codes-only", quick=("--quick", "--queries", "3")),
    ),
    "ten-million": Part(
        "ten million pictures",
        2400,
        script(
            *("ten_million.py", "--codes-only", "--num", "10000000", "--queries", "50"),
            quick=("--quick", "--queries", "3"),
        ),
        by_name=True,
    ),
    "cluster": Part("workers of a Ray cluster", 150, script("cluster_speed.py")),
    "first-minute": Part(
        "the first minute with photographs",
        25,
        script("first_minute.py", "{photos}", "--json", quick=(), read=from_json, has_file=False),
        needs=("photos",),
    ),
    "onnx": Part(
        "encoders in ONNX Runtime",
        15,
        script(
            "export_speed.py",
            quick=("mnist", "--rounds", "1", "--batch", "10"),
            read=from_json_lines,
            has_file=False,
        ),
    ),
}
"""Every part, by its name, in the order in which they run."""
