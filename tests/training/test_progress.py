"""The line of a training on a narrow and on a wide terminal."""

import re

import pytest

from vlae.training.progress import ProgressLine, fitted

TERMS = {"distortion": -3489.0, "features_distortion": 251.9, "rate_1": 28.3, "rate_2": 20.1, "rate_3": 49.0}
PLAIN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_a_live_line_is_one_line(columns, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if on a terminal
    monkeypatch.setenv("COLUMNS", str(columns))
    line = ProgressLine()
    line.move(0.01, 3.0)
    line.show(50, 0.02, 15.0, 12_345.0, TERMS)
    line.print("above [it]")
    line.stop()
    printed = [PLAIN.sub("", part) for part in re.split("[\r\n]", capsys.readouterr().err)]
    assert all(len(part) <= columns for part in printed)
    last = [part for part in printed if "left" in part][-1]
    assert last.strip().startswith("━") and "2% 12:15 left · " in last
    assert ("features distortion" in last) == (columns == 140)
    assert ("distortion -3489" in last) == (columns >= 80) and "KL 28.3 20.1 49.0" in last
    assert "above [it]" in printed


def test_one_term_and_no_room_at_all():
    assert fitted(["0:01 left"], 5) == "0:01 left"
    assert fitted(["0:01 left", "5 data/s"], 12) == "0:01 left"
    assert fitted(["0:01 left", "5 data/s", "KL 1.0 nats"], 24) == "0:01 left · KL 1.0 nats"
