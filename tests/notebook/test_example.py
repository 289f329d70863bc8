"""The example notebook runs, and shows pictures: executed in a kernel of its own on few data."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def shortened(notebook):
    for cell in notebook.cells:
        cell.source = re.sub(r"steps=\d+", "steps=12", cell.source.replace("streets:2000", "streets:200"))
    return notebook


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The cells of code after they ran, by how they begin."""
    notebook = shortened(nbformat.read(EXAMPLE, as_version=4))
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    if keep := __import__("os").environ.get("VLAE_SCREENSHOTS"):
        nbformat.write(notebook, Path(keep) / "notebook.ipynb")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cells, source):
    """What a cell shows, by kind."""
    (cell,) = (cell for cell in cells if cell.source.startswith(source))
    return {kind: data for output in cell.outputs for kind, data in output.get("data", {}).items()}


@pytest.mark.slow
def test_the_example_runs_and_shows(cells):
    assert "image/png" in shown(cells, 'run.figure("levels")') and "image/png" in shown(
        cells, 'run.figure("reconstructions"'
    )
    assert "image/png" in shown(cells, "vlae.mix") and "image/png" in shown(cells, "run.history.plot")
    assert "application/vnd.jupyter.widget-view+json" in shown(cells, "sliders = ")
    for source, words in {
        "load(SOURCE)": "200 images of 3×32×32",
        "run = ": "has not been measured yet",
        "images = ": "Nearest neighbours",
        "find_outliers": "Outliers",
        "evaluation = ": "Level 1",
        "run.history.tail": "<table",
    }.items():
        assert words in shown(cells, source)["text/html"], source
    assert "has not been measured" not in shown(cells, "evaluation = ")["text/html"]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert all(
        cell.outputs == [] and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code"
    )
