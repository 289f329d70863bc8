import pytest

from vlae.text_table import columns, padded

ROWS = [["by", "rank"], ["level 1", "10"]]


def test_columns_are_aligned():
    assert padded(ROWS) == [["by     ", "rank"], ["level 1", "10  "]]
    assert columns(ROWS) == "by       rank\nlevel 1  10"
    assert columns(ROWS, align="right") == "     by  rank\nlevel 1    10"


def test_rows_of_different_length_are_refused():
    with pytest.raises(ValueError):
        columns([["one", "two"], ["one"]])
