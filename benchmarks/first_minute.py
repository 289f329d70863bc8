"""Takes the time of the first minute of `vlae train FOLDER`, as a user sees it on a terminal.

    python benchmarks/first_minute.py photos/
    python benchmarks/first_minute.py photos/ --done --quality draft

The real command runs on a terminal of its own, with an empty cache. It is stopped once its preview is there; with
--done it runs to its end. Run this on a quiet machine. A system with pseudo-terminals is needed.
"""

import argparse
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

CALLED = "import sys; from vlae.cli.main import main; main(sys.argv[1:])"
MOVED = re.compile(rb"(?:^|\D)([1-9]\d*)/\d+")
MARKS = {"account": b"found ", "plan": b"train on ", "time said": b"time  "}
PROMISED = {"first line": 1.0, "bar moves": 6.0, "preview": 60.0}
"""Seconds, on two quiet cores: a bar moves at most five seconds after the first line."""


def timed(words: list[str], preview: Path, log: Path, *, columns: int, done: bool) -> dict[str, float]:
    """Runs a command on a terminal and takes the time of what it shows.

    Args:
        words: the words after `vlae`.
        preview: the file that the training draws.
        log: where all that is printed is kept.
        columns: of the terminal.
        done: whether to wait for the end.

    Returns:
        Seconds after the start, by what was seen.
    """
    begun = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", CALLED, *words])
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    seen: dict[str, float] = {}
    printed = b""
    with log.open("wb") as file:
        while True:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    part = os.read(terminal, 65536)
                except OSError:  # the end
                    break
                file.write(part)
                file.flush()
                printed += part
            now = time.monotonic() - begun
            found = {"first line": bool(printed), "bar moves": bool(MOVED.search(printed)), "preview": preview.exists()}
            found |= {name: mark in printed for name, mark in MARKS.items()}
            for name, is_there in found.items():
                if is_there:
                    seen.setdefault(name, now)
            if not done and len(seen) == len(found):
                os.kill(child, signal.SIGKILL)
                break
    os.waitpid(child, 0)
    return seen | ({"end": time.monotonic() - begun} if done else {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="folder of pictures")
    parser.add_argument("--columns", type=int, default=80, help="of the terminal")
    parser.add_argument("--done", action="store_true", help="wait for the end of the training")
    parser.add_argument("--keep", type=Path, help="keep what was printed, and the preview, in this folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked, further = parser.parse_known_args()  # further options are those of the command
    if os.getloadavg()[0] > 0.5:
        print(f"! the machine is busy (load {os.getloadavg()[0]:.1f}): these times mean little", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"VLAE_CACHE": str(folder / "cache"), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        words = ["train", asked.source, "--out", str(folder / "run"), *further]
        preview = folder / "run" / "preview.png"
        seen = timed(words, preview, folder / "terminal.txt", columns=asked.columns, done=asked.done)
        if asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            for file in (folder / "terminal.txt", preview):
                if file.exists():
                    shutil.copy(file, asked.keep)
    if asked.json:
        print(json.dumps(seen))
        return
    for name, seconds in sorted(seen.items(), key=lambda item: item[1]):
        print(f"{name:>10}  {seconds:6.1f} s" + (f"  (promised: {PROMISED[name]:g})" if name in PROMISED else ""))


if __name__ == "__main__":
    main()
