"""A table from the first command to the last: columns are matched by name, and nothing speaks of pixels or pictures."""

import re

import numpy as np
import pytest
from command_line import cli_exit, refusal
from PIL import Image

import vlae
from vlae.evaluation.text import LIKELIHOOD_CAUTION

HEADER = "alcohol,ash,hue,label"


def table(path, *, header=HEADER, order=(0, 1, 2, 3), num=90):
    rng = np.random.default_rng(0)
    kinds = np.arange(num) % 3
    columns = np.column_stack([rng.normal(size=num) + kinds, 100 * rng.normal(size=num), rng.normal(size=num), kinds])
    names = header.split(",")
    rows = [",".join(names[i] for i in order)]
    rows += [",".join(f"{row[i]:.4f}" if i != 3 else f"kind{int(row[3])}" for i in order) for row in columns]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    return table(tmp_path_factory.mktemp("tables") / "wine.csv")


@pytest.fixture(scope="module")
def run(wine):
    return vlae.train(wine, out=wine.parent / "run", code_sizes=(1, 2), steps=30, progress=False)


def test_a_run_knows_the_columns_it_was_trained_on(run):
    assert run.columns == vlae.load(run.path).columns == ("alcohol", "ash", "hue")


def test_columns_in_another_order_are_matched_by_name(run, wine, tmp_path, capsys):
    other = table(tmp_path / "other.csv", order=(2, 3, 1, 0))
    read = run.read(other)
    assert read.columns == run.columns and np.array_equal(read.values, run.read(wine).values)
    assert cli_exit("evaluate", str(run.path), str(other), "--split", "all") == 0
    shuffled = capsys.readouterr().out
    assert cli_exit("evaluate", str(run.path), str(wine), "--split", "all") == 0
    assert capsys.readouterr().out == shuffled and "alcohol" in shuffled


def test_a_column_that_the_run_does_not_know_is_left_out_and_said(run, tmp_path, capsys):
    more = table(tmp_path / "more.csv", header="alcohol,ash,hue,label")
    text = more.read_text().splitlines()
    more.write_text("\n".join([f"{text[0]},price", *(f"{line},7.5" for line in text[1:])]))
    assert cli_exit("encode", str(run.path), str(more), "--out", str(tmp_path / "codes.npz")) == 0
    assert "column price: the run was not trained on it" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "odd", "encode"])
def test_data_of_another_kind_are_refused_in_one_line(run, wine, tmp_path, capsys, command):
    out = ["--out", str(tmp_path / "codes.npz")] if command == "encode" else []
    renamed = table(tmp_path / "renamed.csv", header="alcohol,ash,colour,label")
    said = refusal(capsys, command, run.path, renamed, *out)
    assert "has no column 'hue'" in said and "'colour', which the run does not know" in said
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).normal(size=(90, 5)))
    said = refusal(capsys, command, run.path, tmp_path / "wide.npy", *out)
    assert "has vectors of 5 columns" in said and "takes vectors of 3 columns" in said
    (tmp_path / "photos").mkdir()
    for i in range(40):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    said = refusal(capsys, command, run.path, tmp_path / "photos", *out)
    assert "has images of shape (3, 16, 16)" in said and "takes vectors of 3 columns" in said
    said = refusal(capsys, command, "streets", wine, *out)
    assert "vectors" in said and "images" in said


def test_every_text_speaks_of_columns_not_of_pixels(run, tmp_path, capsys):
    assert cli_exit("evaluate", str(run.path)) == 0
    assert cli_exit("report", str(run.path)) == 0  # which reads what was measured
    printed = capsys.readouterr().out
    page = re.sub(
        r"data:image[^\"]*|<style>.*?</style>|<details>.*?</details>",
        "",
        (run.path / "report.html").read_text(),
        flags=re.DOTALL,
    )
    card = (run.save_pretrained(tmp_path / "shared") / "README.md").read_text()
    for text in (
        printed.replace(LIKELIHOOD_CAUTION, ""),
        page.replace(LIKELIHOOD_CAUTION, ""),
        card.replace(LIKELIHOOD_CAUTION, ""),
    ):
        assert not re.search(r"pixel|picture|squared error|PSNR", text), text
        assert "R²" in text
    assert "<h2>Columns</h2>" in page and "alcohol" in page
