"""A table of the real world, from training to search: names of rows, categories and missing values."""

import csv
import re

import numpy as np
import pytest
from command_line import cli_exit, refusal
from pyarrow import parquet

import vlae

NUM = 90


def write(path, rows, header="order,age,height,label"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return path


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(40, 9, NUM), rng.normal(170, 9, NUM)]).round(2).tolist()
    return [(f"00{i}", *row, "ab"[i % 2]) for i, row in enumerate(columns)]


@pytest.fixture(scope="module")
def run(people, tmp_path_factory):
    table = write(tmp_path_factory.mktemp("tables") / "people.csv", people)
    return vlae.train(table, id="order", out=table.parent / "run", code_sizes=(1, 2), steps=20, progress=False)


def test_the_names_of_rows_go_into_codes_outliers_and_index(run, people, tmp_path, capsys):
    assert run.columns == ("age", "height")
    other = write(tmp_path / "other.csv", people[:40])
    names = [row[0] for row in people[:40]]
    assert cli_exit("encode", run.path, other, "--out", tmp_path / "codes.parquet") == 0
    assert parquet.read_table(tmp_path / "codes.parquet")["name"].to_pylist() == names
    assert cli_exit("odd", run.path, other, "--table", tmp_path / "odd.csv", "--out", tmp_path / "odd.png") == 0
    with (tmp_path / "odd.csv").open() as file:
        assert all(row["name"] == names[int(row["row"])] for row in csv.DictReader(file))
    assert cli_exit("index", run.path, other, "--out", tmp_path / "index") == 0
    capsys.readouterr()
    assert cli_exit("similar", run.path, "007", "--index", tmp_path / "index", "--out", tmp_path / "s.png") == 0
    found = re.findall(r"\b00\d+\b", capsys.readouterr().out)
    assert len(found) == 30 and set(found) <= {*names} - {"007"}


def test_another_table_may_name_its_rows_otherwise_or_not_at_all(run, people, tmp_path, capsys):
    other = write(tmp_path / "other.csv", people[:40], header="number,age,height,label")
    assert run.read(other, id="number").names[:2] == ("000", "001")
    assert cli_exit("encode", run.path, other, "--out", tmp_path / "codes.parquet") == 0
    assert "no column 'order' to name the rows; it has age, height, number, label" in capsys.readouterr().err
    assert "name" not in parquet.read_table(tmp_path / "codes.parquet").column_names
    assert "no column 'nr' to name" in refusal(capsys, "odd", run.path, other, "--id", "nr")


def test_the_commands_that_read_a_table_take_the_name_of_its_ids(people, tmp_path, capsys):
    table = write(tmp_path / "t.csv", people)
    assert cli_exit("data", table, "--id", "order") == 0
    assert "of  column order: id" in capsys.readouterr().out
    train = ("train", table, "--steps", "5", "--code-sizes", "1,1", "--out", tmp_path / "run")
    assert cli_exit(*train, "--id", "order") == 0
    assert vlae.load(tmp_path / "run").part("all").names[:2] == ("000", "001")
    assert cli_exit("evaluate", tmp_path / "run", table, "--id", "order") == 0
    assert "no column 'nr' to name the rows" in refusal(capsys, "data", table, "--id", "nr")


HEADER = "age,height,colour,label"


@pytest.fixture(scope="module")
def survey(people):
    """Ages of which some are missing, and a category."""
    return [
        ("" if i % 9 == 0 else age, height, ("red", "blue", "green", "")[i % 4], label)
        for i, (_, age, height, label) in enumerate(people)
    ]


@pytest.fixture(scope="module")
def surveyed(survey, tmp_path_factory):
    table = write(tmp_path_factory.mktemp("tables") / "survey.csv", survey, HEADER)
    return vlae.train(table, out=table.parent / "run", code_sizes=(1, 2), steps=20, progress=False)


def test_a_run_keeps_the_medians_and_the_values_of_its_columns(surveyed, survey):
    median = float(np.median([row[0] for row in survey if row[0] != ""]))
    assert surveyed.columns == ("age", "height", "colour=blue", "colour=green", "colour=red")
    opened = vlae.load(surveyed.path)
    assert opened.known_columns == surveyed.known_columns
    assert opened.known_columns.medians["age"] == pytest.approx(median)
    assert opened.part("all").values[0, 0] == pytest.approx(median)


def test_a_run_keeps_the_decimal_mark_for_a_row_that_does_not_tell_it(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{i % 7},5;{1 + i % 3}.{100 + i};{height:.2f}" for i, height in enumerate(rng.normal(170, 9, NUM))]
    table = tmp_path / "german.csv"
    table.write_text("a;b;c\n" + "\n".join(row.rpartition(".")[0] + "," + row[-2:] for row in rows))
    run = vlae.train(table, out=tmp_path / "run", code_sizes=(1,), steps=5, progress=False)
    other = tmp_path / "one.csv"
    other.write_text("a;b;c\n2;1.250;170\n")
    assert vlae.load(run.path).read(other).values.tolist() == [[2, 1250, 170]]


def test_rows_of_another_table_are_read_as_the_run_reads_them(surveyed, survey, tmp_path, capsys):
    """The same codes for the same people, in whatever table they stand; what is not known is said with a count."""
    whole = surveyed.read(write(tmp_path / "whole.csv", survey, HEADER)).values
    three = write(tmp_path / "three.csv", survey[36:39], HEADER)
    assert np.array_equal(surveyed.read(three).values, whole[36:39])
    one = write(tmp_path / "one.csv", [("", 170, "violet")], "age,height,colour")
    assert surveyed.read(one).values.tolist() == [[np.float32(surveyed.known_columns.medians["age"]), 170, 0, 0, 0]]
    assert cli_exit("encode", surveyed.path, one, "--out", tmp_path / "codes.npz") == 0
    said = capsys.readouterr().err
    assert "column age: used; 1 missing value filled with the run's median" in said
    assert "column colour: one-hot: 3 values; 1 that the run does not know (violet), 0 in all of them" in said
    for command in ("evaluate", "odd"):
        assert cli_exit(command, surveyed.path, tmp_path / "whole.csv", "--split", "all") == 0


def test_a_table_without_a_column_of_the_run_is_refused(surveyed, survey, tmp_path, capsys):
    without = write(tmp_path / "t.csv", [row[:2] for row in survey], "age,height")
    assert "has no column 'colour=blue', 'colour=green', 'colour=red'; give the columns that" in refusal(
        capsys, "encode", surveyed.path, without, "--out", tmp_path / "codes.npz"
    )


def test_training_says_what_it_makes_of_columns(survey, tmp_path, capsys):
    table = write(tmp_path / "t.csv", [(*row, i) for i, row in enumerate(survey)], f"{HEADER},case")
    assert cli_exit("train", table, "--steps", "5", "--code-sizes", "1,1", "--out", tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert "column age: used; 10 missing values filled with the median" in said
    assert "column colour: one-hot: 3 values; 22 missing, 0 in all of them" in said
    assert "column case: used, though it is another in every row; if it names them, say --id case" in said


def test_of_a_wide_table_some_columns_are_listed_and_the_rest_are_counted(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(80, 300)).round(3)
    rows = [(*row, "" if i == 3 else 1.5 * i) for i, row in enumerate(values.tolist())]
    table = write(tmp_path / "wide.csv", rows, ",".join([*(f"gene{i}" for i in range(300)), "age"]))
    assert cli_exit("data", table) == 0
    said = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("of ")]
    assert said[0] == "of  column age: used; 1 missing value filled with the median 60"
    assert len(said) == 21 and said[-1] == "of  281 more, 281 of them used; --json lists all"
    run = vlae.train(table, out=tmp_path / "run", code_sizes=(1, 1), steps=5, progress=False)
    assert cli_exit("evaluate", run.path) == cli_exit("report", run.path) == 0
    page = (run.path / "report.html").read_text()
    assert "… and 261 more columns (evaluation.json has all)" in page and page.count('<th scope="row">gene') == 40
    assert "… and 281 more columns" in capsys.readouterr().out
    assert len(run.evaluation["columns"]) == len(run.known_columns.medians) == 301
