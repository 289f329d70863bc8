"""What a training says before it begins, and how long it will take."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlae import recipes
from vlae.data import load
from vlae.data.labels import Known
from vlae.recipes.recipe import UNBOUNDED
from vlae.training import announce
from vlae.training.announce import TimeEstimate, say_plan
from vlae.workflows import train


def plan(capsys, values, **settings):
    images, held_out = (load(values, split=split) for split in ("train", "test"))
    recipe = recipes.adjust(recipes.make("lean", images.shape), **settings)
    say_plan(recipe, images, held_out, len(images))
    return capsys.readouterr().err.splitlines()


def test_the_plan_of_pictures(capsys):
    values = np.random.default_rng(0).integers(0, 256, (1_400, 16, 16, 3), dtype=np.uint8)
    assert plan(capsys, values, minutes=5.0) == [
        "train on  1,330 pictures of 16×16 in colour; 70 are held out",
        "model     lean: 3 levels of 4, 4 and 8 numbers, level 1 nearest the pixels",
        "steps     10,000, each of 64, for at most 5 min",
    ]


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ("mirror", "mirrored or not"),
        ("mirror,shift", "mirrored or not and moved"),
        ("mirror,nudge", "mirrored or not and nudged"),
    ],
)
def test_the_plan_says_how_pictures_are_varied(capsys, augment, words):
    values = np.random.default_rng(0).integers(0, 256, (1_400, 16, 16, 3), dtype=np.uint8)
    *_, last = plan(capsys, values, augment=augment)
    assert last == f"varied    {words}, each time seen (--augment none: never)" and len(last) <= 80
    assert len(plan(capsys, values, augment="none")) == 3


def test_the_plan_of_few_pictures_says_what_can_be_expected(capsys):
    lines = plan(capsys, np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
    assert lines[0] == "train on  30 pictures of 8×8 in grey; 10 are held out"
    assert lines[3].startswith("few       30 pictures teach colours") and len(lines) == 5
    assert all(len(line) <= 80 for line in lines)


def test_the_plan_says_how_many_labels_are_learned(capsys):
    images = load(np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8), split="train")
    known = Known(np.array([-1, *[0, 1] * 20]), (3, 5), ("3", "5"))
    say_plan(recipes.make("lean", images.shape), images, images, len(images), known)
    line = capsys.readouterr().err.splitlines()[3]
    assert (
        line == f"labels    40 of {len(images)} are learned, of 2 classes (fewer: --labels NUMBER)" and len(line) <= 80
    )


def test_the_plan_of_rows(capsys):
    lines = plan(capsys, np.random.default_rng(0).normal(size=(40, 5)))
    assert lines[0] == "train on  30 rows; 10 are held out" and len(lines) == 3


def said_of(recipe, *, per_step, first_step=0, seconds=0.0, warm_up=3, num=40):
    """What an estimate says while steps of some length are done, after slow ones."""
    said = []
    estimate = TimeEstimate(recipe, "runs/photos")
    recorder = SimpleNamespace(engine=SimpleNamespace(global_step=0, seconds=seconds), say=said.append)
    for number in range(num):
        recorder.engine.global_step = first_step + number + 1
        recorder.engine.seconds += 10 * per_step if number < warm_up else per_step
        estimate(recorder)
    return said


def test_the_time_is_that_of_steps_after_the_first(capsys):
    lean = recipes.adjust(recipes.make("lean", (3, 64, 64)), steps=1_000)
    assert said_of(lean, per_step=0.3) == ["time      about 5 min for 1,000 steps on this machine"]
    assert said_of(lean, per_step=0.3, first_step=600) == ["time      about 2 min for 400 steps on this machine"]


def test_a_first_look_is_offered_where_standard_takes_long():
    standard = recipes.make("lean", (3, 64, 64))
    assert said_of(standard, per_step=0.31) == [
        "time      about 13 min for 2,500 steps on this machine",
        "          about 3 min for a first look: the same command with --quality draft --out runs/photos-draft",
    ]
    assert len(said_of(standard, per_step=0.2)) == 1
    for name, settings in (("lean", {"quality": "high"}), ("joint", {})):
        other = recipes.make(name, (3, 64, 64), **settings)
        assert len(said_of(other, per_step=2.0)) == 1
    draft = recipes.make("lean", (3, 64, 64), quality="draft")
    assert len(said_of(draft, per_step=2.0)) == 1


def test_a_time_that_was_asked_for():
    timed = recipes.adjust(recipes.make("lean", (3, 64, 64)), minutes=2.0)
    (line,) = said_of(timed, per_step=0.5, warm_up=0)
    assert line == "time      2 min, as asked: about 240 of 2,500 steps"
    unbounded = recipes.adjust(timed, steps=UNBOUNDED)
    assert said_of(unbounded, per_step=0.5, warm_up=0) == ["time      2 min, as asked: about 240 steps"]
    assert said_of(recipes.adjust(timed, steps=20), per_step=0.5, warm_up=0)[0].startswith(
        "time      about 10 s for 20"
    )


def test_nothing_is_said_before_enough_is_timed():
    lean = recipes.make("lean", (3, 64, 64))
    assert said_of(lean, per_step=0.3, num=6) == []


@pytest.mark.parametrize("progress", [True, False])
def test_training_says_its_plan_and_its_time_if_asked(tmp_path, capsys, monkeypatch, progress):
    monkeypatch.setattr(announce, "LEAST_SECONDS", 0.0)
    values = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    train(values, out=tmp_path / "run", steps=12, batch_size=8, code_sizes=(1, 2), progress=progress)
    said = capsys.readouterr().err
    words = ("found     40 pictures", "train on  30 pictures", "steps     12, each of 8", "time      about ")
    assert [word in said for word in words] == [progress] * 4
