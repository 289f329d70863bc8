"""Measures everything about speed, one part after the other, and writes docs/speed.md; see README.md in this folder.

    python benchmarks/table.py --mnist mnist/ --photos photos/ --pythae-python other/bin/python
    python benchmarks/table.py --only 'train-*' start      # these anew; the others stay as they were measured
    python benchmarks/table.py --only ten-million          # not part of the whole: forty minutes more
    python benchmarks/table.py --page                      # the page again, of the figures that are there
    python benchmarks/table.py --quick --only start        # only to see that it runs; its numbers mean nothing

Every raw figure is kept in docs/tables/speed.json. Each part has processes of its own, waits until the machine is
quiet, and is kept as soon as it is done.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import this_machine
from table_page import page, table
from table_parts import HERE, PARTS, Part

from vlae.atomic import whole

DOCS = HERE.parent / "docs"
PAGE, FIGURES = DOCS / "speed.md", DOCS / "tables" / "speed.json"
QUIET = 0.15
"""Cores that others may keep busy before a part begins."""


def measured(part: Part, asked: argparse.Namespace) -> dict[str, Any]:
    """Runs the commands of a part, and keeps their figures with the machine that gave them."""
    machine, work, begun = this_machine.describe(), this_machine.Work(), time.monotonic()
    figures, said = {}, []
    for name, command in part.commands(asked).items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            words = [*command.words, *(["--json", str(file)] if command.has_file else [])]
            figures[name] = command.read(printed(words), file)
        said.append(" ".join(without_paths(command.words, asked)))
    return {
        "date": date.today().isoformat(),
        "machine": machine,
        "others": work.of_others(),
        "seconds": round(time.monotonic() - begun, 1),
        "quick": asked.quick,
        "commands": said,
        "figures": figures,
    }


def printed(words: list[str]) -> str:
    """What a script of this folder prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / words[0]), *words[1:]], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def without_paths(words: list[str], asked: argparse.Namespace) -> list[str]:
    """The words of a command with the options' names in place of the paths of this machine."""
    names = {str(value): name.upper() for name, value in vars(asked).items() if name in ("mnist", "photos")}
    names |= {str(asked.pythae_python): "PYTHON"} if asked.pythae_python else {}
    return [names.get(word, word) for word in words]


def wait_until_quiet(seconds: float) -> None:
    """Waits until others leave the machine alone.

    Args:
        seconds: the longest wait.
    """
    until = time.monotonic() + seconds
    while (busy := this_machine.busy_now()) is not None and busy > QUIET:
        if time.monotonic() > until:
            raise SystemExit(
                f"others keep {busy:.1f} cores of this machine busy, so its figures would be noise; "
                "stop what runs there, or measure with --busy, and the page says so. What was measured is kept"
            )


def chosen(asked: argparse.Namespace) -> list[str]:
    """The names of the parts that are asked for, without those that lack an option."""
    if asked.only:
        names = [name for name in PARTS if any(fnmatch(name, pattern) for pattern in asked.only)]
    else:
        names = [name for name, part in PARTS.items() if not part.by_name]
    for pattern in asked.only or ():
        if not any(fnmatch(name, pattern) for name in PARTS):
            raise SystemExit(f"there is no part {pattern!r}; choose of {', '.join(PARTS)}")
    lacking = {name: [need for need in PARTS[name].needs if not getattr(asked, need)] for name in names}
    for name, options in lacking.items():
        if options:
            print(f"{name} is left out: give {', '.join('--' + option for option in options)}", file=sys.stderr)
    return [name for name in names if not lacking[name]]


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"parts, * for any letters; of {', '.join(PARTS)}")
    parser.add_argument("--mnist", metavar="FOLDER", help="the four files of MNIST")
    parser.add_argument("--photos", metavar="FOLDER", help="some hundred photographs")
    parser.add_argument("--pythae-python", metavar="PATH", help="a Python that has pythae")
    parser.add_argument("--json", type=Path, default=FIGURES, metavar="FILE", help="where figures are kept")
    parser.add_argument("--markdown", type=Path, default=PAGE, metavar="FILE", help="the page that is written")
    parser.add_argument("--page", action="store_true", help="measure nothing, and write the page again")
    parser.add_argument("--busy", action="store_true", help="measure even if others keep the machine busy")
    parser.add_argument("--wait", type=float, default=60.0, help="longest wait for a quiet machine, in seconds")
    parser.add_argument("--no-bf16", dest="bf16", action="store_false", help="leave bf16 out, where it is slow")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: nothing is kept in docs/")
    return parser


def main() -> None:
    asked = options().parse_args()
    if asked.quick and FIGURES.resolve() == asked.json.resolve():
        asked.json = Path(tempfile.mkdtemp()) / "speed.json"
    if not {"avx512_bf16", "amx_bf16"} & set(this_machine.flags()):
        asked.bf16 = False
    kept: dict[str, Any] = json.loads(asked.json.read_text()) if asked.json.exists() else {}
    names = [] if asked.page else chosen(asked)
    expected, begun = sum(PARTS[name].seconds for name in names), time.monotonic()
    for number, name in enumerate(names, start=1):
        if not asked.quick and not asked.busy:
            wait_until_quiet(asked.wait)
        print(
            f"{clock(time.monotonic() - begun)} of about {clock(expected)}  part {number} of {len(names)}: "
            f"{PARTS[name].title}, about {PARTS[name].seconds} s",
            file=sys.stderr,
            flush=True,
        )
        kept[name] = measured(PARTS[name], asked)
        with whole(asked.json) as file:  # after each part, so that nothing is lost
            file.write_text(json.dumps({name: kept[name] for name in PARTS if name in kept}, indent=1) + "\n")
    print(table(kept))
    if any(part["quick"] for part in kept.values()):
        print("quick: these numbers mean nothing, and no page is written", file=sys.stderr)
        return
    with whole(asked.markdown) as file:
        file.write_text(page(kept))
    print(f"{clock(time.monotonic() - begun)}  {asked.json}, {asked.markdown}", file=sys.stderr)


if __name__ == "__main__":
    main()
