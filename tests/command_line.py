"""Runs the command line in the tests' own process."""

from vlae.cli import main as cli


def cli_exit(*words):
    """The exit code of a command."""
    try:
        cli.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def refusal(capsys, *words):
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert cli_exit(*words) == 2
    line = capsys.readouterr().err.splitlines()[-1]  # what was skipped is said before
    assert line.startswith("vlae: ")
    return line
