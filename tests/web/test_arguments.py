import json
from collections.abc import Sequence
from typing import Annotated, Literal

import pytest

from vlae.web.arguments import parse


def question(
    noise: Sequence[Sequence[float]], level: int, seed: Annotated[int, range(9)], prior: Literal["a", "b"], text: str
) -> dict[str, int]:
    """Takes one argument of each kind."""
    return {}


GOOD = [[[0, 1.5], []], 2, 8, "a", "words"]


def test_good_arguments_arrive_as_they_are():
    assert parse(json.dumps(GOOD).encode(), question) == GOOD
    assert parse(b"[]", dict) == []


def test_a_range_is_taken_to_its_ends():
    def seeded(seed: Annotated[int, range(2**32)]) -> dict[str, int]:
        return {}

    for seed in (0, 2**32 - 1):
        assert parse(json.dumps([seed]).encode(), seeded) == [seed]
    for seed in (-1, 2**32, 10**400, 3.0, True, None, "3", [3]):
        with pytest.raises(ValueError, match="it must be a whole number from 0 to 4294967295"):
            parse(json.dumps([seed]).encode(), seeded)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 7, "noise is 7; it must be a list, each a list, each a finite number"),
        (0, [1, 2], "noise is"),
        (0, [["a"]], "noise is"),
        (0, [[None]], "noise is"),
        (0, [[True]], "noise is"),
        (0, [[float("nan")]], "noise is"),
        (0, [[float("inf")]], "noise is"),
        (0, [[10**400]], "noise is"),
        (0, {"0": [1]}, "noise is"),
        (1, "2", "level is '2'; it must be a whole number"),
        (1, 2.0, "level is 2.0"),
        (1, True, "level is True"),
        (1, None, "level is None"),
        (1, 10**30, "level is"),
        (2, -1, "seed is -1; it must be a whole number from 0 to 8"),
        (2, 9, "seed is 9"),
        (3, "c", "prior is 'c'; it must be 'a' or 'b'"),
        (3, ["a"], "prior is"),
        (4, 3, "text is 3; it must be text"),
    ],
)
def test_a_wrong_argument_is_named(place, value, words):
    values = [*GOOD[:place], value, *GOOD[place + 1 :]]
    with pytest.raises(ValueError, match="^" + words) as wrong:
        parse(json.dumps(values).encode(), question)
    assert len(str(wrong.value)) < 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"[1e400", b'"\\ud800'])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(ValueError, match="a question is a JSON list"):
        parse(body, question)


@pytest.mark.parametrize("values", [[], GOOD[:4], [*GOOD, 1], {}, 3, None, "x" * 5])
def test_too_few_and_too_many_are_refused(values):
    with pytest.raises(ValueError, match="question takes a list of 5 arguments: noise, level, seed, prior, text"):
        parse(json.dumps(values).encode(), question)


def test_long_lists_are_not_repeated_in_the_message():
    with pytest.raises(ValueError) as wrong:
        parse(json.dumps([["x"] * 10_000, *GOOD[1:]]).encode(), question)
    assert len(str(wrong.value)) < 200
