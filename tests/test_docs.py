"""The code and the commands in the README and the documentation do what they say."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from vlae.cli.main import app
from vlae.recipes import RECIPES, adjust
from vlae.recipes.footprint import footprint, model_without_memory
from vlae.training.train import fit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTENDING = ROOT / "docs" / "extending.md"


def shortened(code: str) -> str:
    """The code with trainings of 20 steps at most, on 200 streets at most: that it runs is tested, not what it learns.

    Code that shows what it prints is left as it is.
    """
    if "#>" in code:
        return code
    code = re.sub(r"\bsteps=(\d+)", lambda found: f"steps={min(20, int(found[1]))}", code)
    return re.sub(r"\bstreets:(\d+)", lambda found: f"streets:{min(200, int(found[1]))}", code)


@pytest.mark.slow
@pytest.mark.parametrize("example", list(find_examples(*PAGES)), ids=str)
def test_python_runs(example: CodeExample, eval_example: EvalExample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, failure = set(RECIPES), ""
    example.source = shortened(example.source)
    try:
        eval_example.run_print_check(example)
    except Exception as error:  # pytest cannot show lines of code that is in no file, not even as a cause
        failure = f"{type(error).__name__}: {error}"
    finally:
        for added in RECIPES.keys() - before:  # as docs/extending.md does
            del RECIPES[added]
    if failure:
        pytest.fail(failure, pytrace=False)


def test_the_likelihood_of_the_docs_trains(rng):
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), re.S) if "kind=" in code
                and "vlae.Likelihood," in code]  # fmt: skip
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(block.replace('kind="student"', 'kind="student-tested"').replace('family="student"',
         'family="student-tested"'), "extending.md", "exec", dont_inherit=True), names)  # fmt: skip
    recipe = adjust(names["recipe"], steps=2, batch_size=4)
    assert footprint(model_without_memory(recipe), 2).maps > 0  # nothing asks for a value
    model = fit(rng.integers(0, 256, (12, 1, 28, 28), dtype=np.uint8), recipe)
    assert model.sample(2).sample().shape == (2, 1, 28, 28)


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S)]
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    said = {command.strip() for line in lines for command in line.split("&&")}
    return sorted(command for command in said if command.startswith("vlae "))


@pytest.mark.parametrize("command", commands())
def test_command_parses(command: str):
    app.parse_args(shlex.split(command)[1:], exit_on_error=False)


def test_readme_python_is_short():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(block.splitlines()) < 15


TRAINS = [path for path in sorted((ROOT / "examples").glob("*.py")) if "vlae.train(" in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("example", TRAINS, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("PIL.Image.Image.show", lambda picture: None)
    monkeypatch.setattr("sys.argv", [example.name])
    shortened = re.sub(r"steps=\d+", "steps=5", re.sub(r"streets:\d+", "streets:200", example.read_text()))
    exec(compile(shortened, example.name, "exec"), {"__name__": "__main__"})
    assert "vlae.train(" not in shortened or list(tmp_path.glob("runs/*/report.html"))
