"""Names that strangers chose do not steer the terminal, and are not run by a spreadsheet that opens a table."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from command_line import cli_exit, refusal
from PIL import Image
from pyarrow import parquet

from vlae.cli.output import print as print_safely
from vlae.search.neighbours import Neighbours

NAMES = ("=1+2.png", "\x1b[31mred\x07.png", "@a.png", "+a.png", "-a.png", "\ta.png", "a\nb.png", "a=1.png")


@pytest.fixture
def folder(tmp_path, rng):
    folder = tmp_path / "=set"
    folder.mkdir()
    for name in (*NAMES, *(f"{i}.png" for i in range(12))):
        Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8)).save(folder / name)
    (folder / "\x1b[2Jbroken.png").write_bytes(b"\x89PNG\r\n")
    return folder


def test_control_characters_are_printed_as_escapes(capsys):
    print_safely("a\x1b[31mb\nc\rd\udce9 é\u202e")
    print_safely("\x9b31m", file=None)
    assert capsys.readouterr().out == "a\\x1b[31mb\nc\\rd\\xe9 é\\u202e\n\\x9b31m\n"


def test_no_command_prints_a_control_character_of_a_name(folder, tmp_path, capsys):
    assert cli_exit("odd", "mnist", folder, "--num", 20, "--out", tmp_path / "a.png") == 0
    assert cli_exit("data", folder) == 0
    assert cli_exit("data", folder, "--json") == 0
    assert cli_exit("data", tmp_path / "\x1b[31mno such") == 2
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert text and not set(text) & {"\x1b", "\x07", "\t", "\r"}
    assert r"\x1b[31mred\x07.png" in captured.out and r"\x1b[2Jbroken.png" in captured.err


def test_the_error_of_a_command_is_printed_harmlessly(tmp_path, capsys):
    assert r"\x1b[31mno: no such file" in refusal(capsys, "data", tmp_path / "\x1b[31mno")


def test_no_table_that_is_written_has_a_formula(folder, tmp_path):
    assert (
        cli_exit("odd", "mnist", folder, "--num", 30, "--table", tmp_path / "a.csv", "--out", tmp_path / "a.png") == 0
    )
    with (tmp_path / "a.csv").open(newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert {f"'{name}" for name in NAMES[2:5]} | {"'=1+2.png", "a=1.png"} <= set(cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=+@\t\r") or (cell[:1] == "-" and not is_number(cell))]
    parquet_file = tmp_path / "a.parquet"  # Parquet keeps names as they are
    assert cli_exit("odd", "mnist", folder, "--num", 30, "--table", parquet_file, "--out", tmp_path / "b.png") == 0
    assert "=1+2.png" in parquet.read_table(parquet_file)["name"].to_pylist()


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_no_table_of_neighbours_has_a_formula(tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "png")
    found = {"distance": [1.5], "name": ["=1+2"], "source": ["photos"], "@factor": [-1]}
    rows = pa.table({**found, "picture": [stream.getvalue()]})
    Neighbours(query=picture, by={(1,): rows}).save_table(tmp_path / "a.csv")
    assert list(csv.reader((tmp_path / "a.csv").open())) == [
        ["by", "rank", "distance", "name", "source", "'@factor"],
        ["level 1", "1", "1.5", "'=1+2", "photos", "-1"],
    ]
