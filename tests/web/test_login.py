import pytest

from vlae.web.login import Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_wrong_passwords_are_slowed_down_for_each_client():
    clock = Clock()
    pace = Pace(clock)
    waits = []
    for _ in range(12):
        clock.now += pace.wait("one")
        pace.wrong("one")
        waits.append(pace.wait("one"))
    assert waits[:3] == pytest.approx([Pace.APART] * 3)  # of all together
    assert waits[3:] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    clock.now += Pace.APART
    assert pace.wait("another") == 0 < pace.wait("one")
    clock.now += 60
    assert pace.wait("one") == 0
    pace.right("one")
    pace.wrong("one")
    assert pace.wait("one") == pytest.approx(Pace.APART)


def test_wrong_passwords_are_slowed_down_for_all_together():
    clock = Clock()
    pace = Pace(clock)
    tried = 0
    for i in range(10_000):  # a new client every millisecond
        clock.now = i / 1000
        if pace.wait(f"client {i}") <= 0:
            pace.wrong(f"client {i}")
            tried += 1
    assert tried <= 101


def test_what_is_remembered_of_clients_is_bounded(monkeypatch):
    monkeypatch.setattr(Pace, "REMEMBERED", 10)
    pace = Pace(Clock())
    for _ in range(5):
        pace.wrong("old")
    for i in range(9):
        pace.wrong(f"{i}")
    assert pace.wait("old") > 1
    pace.wrong("new")
    assert pace.wait("old") == Pace.APART
