"""The command line: its commands, and how it reports errors."""

import codecs
import io
import os
import select
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError

import vlae
from vlae.cli import codes, results, search, sharing, training
from vlae.cli.output import print

app = App(
    name="vlae",
    help="Structured features from unlabelled images, in levels from simple to complex.",
    version=vlae.__version__,
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # main says how to go on
)
for command in (
    *(training.demo, training.train, training.data),
    *(results.figure, results.fit_prior, results.evaluate, results.report, results.compare),
    *(codes.encode, codes.merge, codes.decode, codes.odd, codes.classify, search.index, search.similar, search.mix),
    *(sharing.share, sharing.export, sharing.explore, sharing.select),
):
    app.command(command)

app.register_install_completion_command(
    help="Install completion of commands and options for your shell: bash, zsh, fish or PowerShell."
)

study = App(name="study", help="Measure what the literature claims.")
study.command(results.gibbs)
study.command(results.proposition_2)
app.command(study)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. An error that the user can fix becomes one line on the error output, and exit code 2.

    Args:
        arguments: the words of the command line. None: those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bytes-or-escapes")
    warnings.formatwarning = lambda message, *_, **__: f"vlae: {' '.join(str(message).split())}\n"
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(f"{error}; see vlae --help", 2)
    except KeyboardInterrupt as stop:
        _fail(str(stop) or "interrupted", 130)
    except BrokenPipeError as error:
        if not _closed():
            _fail(str(error), 2)
        sys.exit(128 + 13)  # as the shell says of a command that is stopped by SIGPIPE
    except (ValueError, TypeError, ArithmeticError, OSError) as error:
        _fail(str(error), 2)
    except (MemoryError, RuntimeError) as error:  # PyTorch raises the latter
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        reason = (str(error).splitlines() or ["no more memory"])[0]
        _fail(f"out of memory ({reason}); lower --batch-size, --limit, --num or --size, whichever applies", 2)


def _closed() -> bool:
    """Tell whether nobody reads what is printed, as after `| head -1`; then nothing more is printed, also at exit."""
    if not hasattr(select, "poll"):  # Windows
        return False
    closed = False
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream, 0)  # that nobody reads is told without being asked for
        if poll.poll(0):
            closed = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return closed


def _bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Print a name of a file that is no UTF-8 as the bytes that it has; and escapes for what the stream cannot show."""
    if isinstance(error, UnicodeEncodeError):
        text = error.object[error.start : error.end]
        if all("\udc80" <= character <= "\udcff" for character in text):
            return os.fsencode(text), error.end
    return codecs.backslashreplace_errors(error)


codecs.register_error("bytes-or-escapes", _bytes_or_escapes)


def _fail(message: str, code: int) -> NoReturn:
    print(f"vlae: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
