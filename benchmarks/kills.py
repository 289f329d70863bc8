"""Kills vlae's commands at random moments, and checks that nothing is ever lost.

    python benchmarks/kills.py --kills 100 --runs 30

Each run is a small training on built-in street numbers. Its commands are killed (SIGKILL) after a random time and given
again until they are through: train (with --resume once there is something to resume), train --more, evaluate,
fit-prior, encode, index, index --add, export and share. Where kills came too late, further runs make up for them.
After each kill all that is there must open and be whole. Each training must end with the weights of one that nobody
disturbed. Commands are forked from one process that has loaded the libraries, so that no kill is spent on that; this
takes a system that has `fork`.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

import vlae
from vlae import workflows
from vlae.cli.main import main as command
from vlae.codes import classify, onnx
from vlae.codes.files import open_codes
from vlae.lance_tables import table_at
from vlae.runs.layout import MODEL, RECIPE
from vlae.runs.store import read_recipe
from vlae.search.index import TABLE, Index
from vlae.search.state import State
from vlae.training import loop

LOADED = (workflows, classify, onnx)  # loaded before the first fork
torch.set_num_threads(1)  # a fork has no other threads than the one that forks, and would wait for them for ever
COMMANDS = ("train", "more", "evaluate", "fit-prior", "encode", "index", "add", "export", "share")
STEPS, MORE = 30, 10
LONGEST = 600.0  # seconds for a command that nobody kills
MOST = 10  # times as many runs as asked for, where kills come too late
TRAIN = ("--size", "8", "--code-sizes", "1,2", "--batch-size", "8", "--steps", str(STEPS), "--accelerator", "cpu")
STREETS = "streets:200"  # and 20 to test with


def words(name: str, folder: Path) -> list[str]:
    """The words of a command now; none if what it makes is there already.

    Args:
        name: one of `COMMANDS`.
        folder: of one run and what is made of it.
    """
    run, index, codes, shared = (str(folder / part) for part in ("run", "index", "codes.npz", "shared"))
    train = ["train", STREETS, "--out", run, *TRAIN] + ["--resume"] * (folder / "run" / RECIPE).exists()
    every = {
        "train": [] if (folder / "run" / MODEL).exists() else train,
        "more": _more(folder / "run"),
        "evaluate": ["evaluate", run],
        "fit-prior": ["fit-prior", run],
        "encode": [] if Path(codes).exists() else ["encode", run, STREETS, "--out", codes],
        "index": [] if _is_built(folder / "index") else ["index", run, STREETS, "--split", "test", "--out", index],
        "add": ["index", run, STREETS, "--split", "train", "--add", "--out", index],
        "export": ["export", run],
        "share": [] if Path(shared).exists() else ["share", run, "--out", shared],
    }
    return every[name]


def _is_built(index: Path) -> bool:
    """Whether an index is there that only additions can have left unfinished."""
    if not index.exists():
        return False
    answer = index.with_name("is_built.json")

    def ask() -> None:
        table = table_at(index, TABLE)
        built = table is not None and all(each.adds for each in State.of(table.schema).unfinished)
        answer.write_text(json.dumps(built))

    forked(index.with_name("said.txt"), ask, tables=True)
    return bool(json.loads(answer.read_text()))


def _more(run: Path) -> list[str]:
    """The words that train a finished run further; none if that is done, or there is no such run."""
    if not (run / MODEL).exists():
        return []
    steps = read_recipe(run)[0].training.steps
    if steps == STEPS:
        return ["train", "--more", str(MORE), str(run)]
    return ["train", "--resume", str(run)] if vlae.load(run).undertrained else []


def check(folder: Path) -> None:
    """Opens all that is there; raises if anything is not whole."""
    if not (folder / "run" / MODEL).exists():
        return
    run = vlae.load(folder / "run")
    assert run.summary["training"]["steps"] in (STEPS, STEPS + MORE)
    assert run.summary["levels"] and not run.prior.is_standard
    assert run.evaluation is None or run.evaluation["levels"]
    if (folder / "codes.npz").exists():
        assert open_codes(folder / "codes.npz").num == 220
    if (folder / "shared").exists():
        assert vlae.load(folder / "shared").identity == run.identity
    if (folder / "index").exists() and table_at(folder / "index", TABLE) is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may be unfinished
            index = Index.open(run, folder / "index")
        names = index.table.search().select(["name"]).to_arrow()["name"].to_pylist()
        assert len(set(names)) == len(names) and (index.state.unfinished or len(names) in (20, 220))


def forked(
    said: Path, action: Callable[[], object], *, tables: bool, kill_after: float | None = None
) -> tuple[bool, float]:
    """Does something in a process of its own.

    Args:
        said: the file to which its output goes.
        action: what to do.
        tables: whether it opens an index, and so needs LanceDB.
        kill_after: seconds after which the process is killed, counted from when LanceDB is loaded; None: never.

    Returns:
        Whether it came to its end, and the seconds that it took.

    Raises:
        AssertionError: if it ended with an error, or not within ten minutes.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        with said.open("w") as stream:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
            try:
                if tables:
                    importlib.import_module("lancedb")
                os.write(writing, b"!")
                action()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    os.read(reading, 1)  # a byte, or the end of a process that could not load
    os.close(reading)
    begun, killed = time.monotonic(), False
    longest = LONGEST if kill_after is None else kill_after
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        seconds = time.monotonic() - begun
        if not killed and seconds > longest:
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)
    if os.WIFSIGNALED(ended[1]):
        assert kill_after is not None, f"it hangs: {said.read_text()}"
        return False, 0.0
    assert ended[1] == 0, said.read_text()
    return True, time.monotonic() - begun


def main() -> None:
    """Disturbs some runs, after one that nobody disturbs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3, help="that share the kills; more if these come too late")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    loop.CHECKPOINT_EVERY, loop.LOG_EVERY = 0, 5  # so that there are many moments at which files are written
    chance, killed, longest = random.Random(given.seed), Counter[str](), {}
    with tempfile.TemporaryDirectory() as place:
        said = Path(place, "said.txt")

        def disturb(folder: Path, kills: dict[str, int]) -> None:
            for name in kills:
                while given_words := words(name, folder):
                    wait = chance.random() * longest[name] if kills[name] > 0 else None
                    through, seconds = forked(
                        said, lambda each=given_words: command(each), tables=name in ("index", "add"), kill_after=wait
                    )
                    longest[name] = max(longest.get(name, 0.0), seconds)
                    if wait is not None:
                        kills[name] -= 1
                    killed[name] += not through
                    forked(said, lambda: check(folder), tables=(folder / "index").exists())
                    if through:
                        break

        disturb(Path(place, "undisturbed"), dict.fromkeys(COMMANDS, 0))
        print("undisturbed, in seconds:", {name: round(seconds, 1) for name, seconds in longest.items()}, flush=True)
        expected = load_file(Path(place, "undisturbed", "run", MODEL))
        for number in range(MOST * given.runs):
            if number >= given.runs and killed.total() >= given.kills:
                break
            folder = Path(place, f"run{number}")
            num = -(-(given.kills - killed.total()) // max(1, given.runs - number))
            kills = Counter(chance.choices(COMMANDS, weights=[4, 4, 1, 1, 1, 1, 2, 1, 1], k=num))
            needed = ["train", "more", *(["index"] if kills["add"] else [])]
            disturb(folder, {name: kills[name] for name in COMMANDS if name in needed or kills[name]})
            found = load_file(folder / "run" / MODEL)
            assert all(np.array_equal(found[name], expected[name]) for name in expected), "other weights"
            shutil.rmtree(folder)
            print(f"run {number}: as if undisturbed; {killed.total()} kills so far", flush=True)
        assert killed.total() >= given.kills, "the commands end sooner than they are killed"
    print(f"{killed.total()} kills, none lost: {dict(killed)}")


if __name__ == "__main__":
    main()
