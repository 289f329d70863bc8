"""Names that can be printed."""

import json
import os

import pytest

from vlae.names import printable, safe_cell, safe_row


@pytest.mark.parametrize("name", ["cat.png", "straße 1.png", "猫.png", "👩‍🔬.png", r"a\b.png"])
def test_usual_names_stay(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", r"caf\xe9.png"),
        (b"a\nb.png", r"a\nb.png"),
        (b"\x1b[31mred.png", r"\x1b[31mred.png"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
        ("a\u2028b".encode(), r"a\u2028b"),
    ],
)
def test_what_cannot_be_printed_is_replaced(name, shown):
    text = printable(os.fsdecode(name))
    assert text == shown
    assert json.loads(json.dumps(text)).encode() == text.encode()


def test_a_lone_surrogate_is_replaced():
    assert printable("\ud800") == r"\ud800"


def test_different_names_stay_different():
    assert len({printable(os.fsdecode(bytes([byte]))) for byte in range(256)}) == 256


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+2", "'+1+2"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        ("-", "'-"),
        ("'=1", "''=1"),
        ("-1.5e3", "-1.5e3"),
        ("a=1", "a=1"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        (-3, -3),
        (None, None),
    ],
)
def test_no_cell_of_a_table_is_run_by_a_spreadsheet(text, cell):
    assert safe_cell(text) == cell
    assert safe_row({"=a": text}) == {"'=a": cell}
