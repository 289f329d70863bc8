"""What a recipe leaves to the data or to the quality is settled once, recorded, and kept on resume."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import vlae
from vlae import recipes
from vlae.cli import main as cli
from vlae.data import Images
from vlae.nn.moments import AffineInvariantConv, NormalisedConv
from vlae.recipes import adjust, joint, lean, with_content
from vlae.runs.layout import RunError
from vlae.training import precision, preparing, settle
from vlae.training.train import fit, train

PICTURES = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
SHAPE = (1, 8, 8)


@pytest.fixture
def answers(monkeypatch):
    """What the data say of polarity, by planting it; and the data that were asked."""

    class Answers:
        polarity = "hidden"
        asked = []  # noqa: RUF012

    def polarity_of(values, groups):
        Answers.asked.append(values)
        return Answers.polarity

    Answers.asked = []
    monkeypatch.setattr(settle, "polarity_of", polarity_of)
    return Answers


def quick(out, source=PICTURES, **settings):
    return train(source, out=out, **{"steps": 4, "batch_size": 8, "progress": False, **settings})


def unfinished(run):
    """The folder of a run that was stopped before its first checkpoint."""
    (run.path / "model.safetensors").unlink()
    return run.path


def polarities(recipe):
    return [getattr(level, "polarity", None) for level in recipe.levels]


# Polarity


def test_train_asks_the_training_data_and_records_what_they_say(tmp_path, answers):
    run = quick(tmp_path / "run")
    (asked,) = answers.asked
    assert len(asked) < 60 and asked.shape[1:] == SHAPE
    assert polarities(run.recipe) == ["hidden", None]
    record = json.loads((run.path / "recipe.json").read_text())
    assert record["recipe"]["levels"][0]["polarity"] == "hidden"
    opened = vlae.load(run.path)
    assert opened.recipe == run.recipe and len(answers.asked) == 1
    assert isinstance(opened.model.levels[0].g[0], AffineInvariantConv)
    codes = zip(opened.encode(run.examples), run.encode(run.examples), strict=True)
    assert all(np.array_equal(a, b) for a, b in codes)
    answers.polarity = "visible"
    other = quick(tmp_path / "other")
    assert polarities(other.recipe) == ["visible", None]
    assert isinstance(other.model.levels[0].g[0], NormalisedConv)


def test_fit_asks_its_data(answers):
    model = fit(PICTURES[:, None], adjust(lean(SHAPE, width=4), steps=2, batch_size=8))
    assert len(answers.asked) == 1 and isinstance(model.levels[0].g[0], AffineInvariantConv)


@pytest.mark.parametrize("polarity", ["visible", "hidden"])
def test_a_polarity_that_was_chosen_is_kept(tmp_path, answers, polarity):
    answers.polarity = {"visible": "hidden", "hidden": "visible"}[polarity]
    recipe = adjust(lean(SHAPE, width=4, polarity=polarity), steps=2, batch_size=8, augment="none", precision="fp32")
    assert train(PICTURES, out=tmp_path / "run", recipe=recipe, progress=False).recipe == recipe
    assert fit(PICTURES[:, None], recipe) is not None and answers.asked == []


def test_only_levels_that_leave_it_open_ask(tmp_path, answers):
    quick(tmp_path / "joint", recipe="joint")
    quick(tmp_path / "vectors", PICTURES.reshape(60, 64)[:, :5] / np.float32(255))
    assert answers.asked == []
    with pytest.raises(ValueError, match="choose one of hidden, visible, auto"):
        lean(SHAPE, polarity="both")


def test_a_resumed_run_keeps_what_its_data_said(tmp_path, answers):
    recipe = adjust(lean(SHAPE, width=4), steps=4, batch_size=8)
    path = unfinished(train(PICTURES, out=tmp_path / "run", recipe=recipe, progress=False))
    answers.asked.clear()
    answers.polarity = "visible"
    with pytest.raises(RunError, match=r"other settings \(recipe\)"):
        again = adjust(lean(SHAPE, width=4, polarity="visible"), steps=4, batch_size=8)
        train(PICTURES, out=path, recipe=again, resume=True, progress=False)
    with pytest.raises(RunError, match=r"other settings \(recipe\)"):
        train(PICTURES, out=path, recipe=adjust(recipe, learning_rate=1e-3), resume=True, progress=False)
    run = train(PICTURES, out=path, recipe=recipe, resume=True, progress=False)  # the same command
    assert polarities(run.recipe) == ["hidden", None] and answers.asked == []


# Quality


@pytest.mark.parametrize(("num", "steps"), [(100, 2_500), (2_000, 3_125), (100_000, 10_000), (None, 10_000)])
def test_high_quality_does_not_learn_few_pictures_by_heart(num, steps):
    """At 64 pixels: batches of 64, 2,500 steps of standard, four times as many if there are pictures for them."""
    images = Images(values=np.zeros((4, 3, 64, 64), np.uint8), source="pictures")
    sizes = (2, 2, 2, 4)
    assert preparing.make_recipe("lean", images, sizes, False, "high", num=num).training.steps == steps
    assert preparing.make_recipe("lean", images, sizes, False, None, num=num).training.steps == 2_500


def test_the_steps_of_high_quality_follow_the_batch_size_that_is_asked_for():
    images = Images(values=np.zeros((4, 3, 64, 64), np.uint8), source="pictures")
    made = preparing.make_recipe("lean", images, (2, 2, 2, 4), False, "high", num=2_000, batch_size=40)
    assert made.training.steps == 5_000


def test_a_quality_is_a_size_and_a_number_of_steps():
    draft, standard, high = (lean((3, 64, 64), quality=quality) for quality in ("draft", "standard", "high"))
    assert standard == lean((3, 64, 64))
    assert (draft.levels, draft.blocks) == (standard.levels, standard.blocks)
    assert [recipe.training.steps for recipe in (draft, standard, high)] == [500, 2_500, 10_000]
    assert replace(draft, training=standard.training) == standard
    assert (standard.blocks.residual, high.blocks.residual) == (0, 2)
    for wide, narrow in zip(high.levels, standard.levels, strict=True):
        assert [c for c, _ in wide.convolutions] == [2 * c for c, _ in narrow.convolutions]
        assert wide.code_size == narrow.code_size
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in recipes.build(recipe).parameters()) for recipe in (standard, high)]
    assert 4 < sizes[1] / sizes[0] < 16
    vectors = [lean((5,), quality=quality) for quality in ("draft", "standard", "high")]
    assert [recipe.levels[0].dense for recipe in vectors] == [(256,), (256,), (512,)]
    assert [recipe.training.steps for recipe in vectors] == [1_000, 5_000, 20_000]
    assert lean(SHAPE, quality="high", width=4).levels[0].convolutions[0][0] == 4


def test_a_quality_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no quality 'best'; choose one of draft, standard, high"):
        recipes.make("lean", SHAPE, quality="best")
    for name in ("joint", "vae", "hvae", "mnist"):
        with pytest.raises(ValueError, match=f"quality is a setting of lean; the recipe '{name}' has one size"):
            quick(tmp_path / "run", recipe=name, quality="draft")
    with pytest.raises(ValueError, match="'lean' has none"):
        recipes.make("lean", SHAPE, quality="draft", deep_heads=True)
    with pytest.raises(ValueError, match="here the recipe has them already"):
        train(PICTURES, out=tmp_path / "run", recipe=lean(SHAPE), quality="standard", progress=False)
    assert not (tmp_path / "run").exists()


def test_settings_come_before_those_of_a_quality(tmp_path):
    run = quick(tmp_path / "run", quality="draft")
    assert run.recipe.training.steps == 4


def test_a_run_goes_on_with_its_quality_whatever_steps_were_asked_for(tmp_path, monkeypatch):
    """Those of the draft, here 4, with the quality "standard", which has the same networks."""
    training = lean(SHAPE).training
    steps = {"draft": 4, "standard": 6, "high": 8}
    made = {name: replace(lean(SHAPE), training=replace(training, steps=num)) for name, num in steps.items()}
    path = unfinished(quick(tmp_path / "run", quality="standard"))
    monkeypatch.setattr(recipes, "lean", lambda shape, quality="standard", **_: made[quality])
    with pytest.raises(RunError, match="begun with other settings \\(quality\\)"):
        quick(path, quality="standard", steps=None, resume=True)
    assert quick(path, quality="standard", resume=True).recipe.training.steps == 4


@pytest.mark.parametrize(("told", "top"), [(False, 10), (None, 10), (True, 32)])
def test_the_top_of_pictures_like_photographs_is_larger(monkeypatch, told, top):
    monkeypatch.setattr(preparing, "edges_tell_polarity", lambda values, groups: told)
    images = Images(values=np.zeros((4, 3, 32, 32), np.uint8))

    def sizes(recipe, images=images, code_sizes=None):
        return preparing.make_recipe(recipe, images, code_sizes, False, None).code_sizes

    assert sizes("lean") == sizes("joint") == (6, 4, 4, top)
    assert sum(sizes("vae")) == 14 + top  # systems to compare with have as many dimensions in all
    assert sizes("infogan") == (62, 2, 10) and sizes("lean", code_sizes=(2, 3)) == (2, 3)
    assert sizes("lean", Images(values=PICTURES[:, None])) == (2, 8)
    assert sizes("lean", Images(values=np.zeros((4, 5), np.float32))) == (4, 8)


def test_level_1_of_grey_pictures_has_the_two_numbers_that_it_reads():
    sizes = {shape: lean(shape).code_sizes for shape in ((1, 8, 8), (1, 28, 28), (1, 64, 56), (2, 28, 28), (3, 64, 64))}
    assert list(sizes.values()) == [(2, 8), (2, 4, 8), (2, 8, 8, 16), (4, 4, 8), (8, 8, 8, 16)]
    assert joint((1, 28, 28)).code_sizes == (2, 4, 8)


def test_an_open_precision_is_the_fastest_that_the_objective_bears(monkeypatch):
    images, vectors = (
        Images(values=PICTURES[:, None]),
        Images(values=np.random.default_rng(0).random((40, 3), np.float32)),
    )

    def chosen(images=images, alone=True, **settings):
        made = preparing.make_recipe("lean", images, None, False, None)
        return preparing.choose(made, images, None, settings, accelerator="auto", alone=alone).training.precision

    monkeypatch.setattr(precision, "lacks_bf16", lambda: False)
    for gain, fastest in ((0.5, "fp32"), (1.1, "fp32"), (2.0, "bf16")):
        monkeypatch.setattr(precision, "gain_of_bf16", lambda gain=gain: gain)
        assert chosen() == fastest and chosen(alone=False) == "fp32"  # several processes would time it differently
        assert chosen(precision="fp32") == chosen(sharp=True) == chosen(vectors) == "fp32"
    monkeypatch.setattr(precision, "lacks_bf16", lambda: True)
    assert chosen() == "fp32"
    with pytest.warns(UserWarning, match="no faster than fp32 on this machine"):
        assert chosen(precision="bf16") == "bf16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert chosen() == ("bf16" if supported else "fp32")


def test_a_run_goes_on_in_the_precision_it_was_begun_in(tmp_path, monkeypatch):
    path = unfinished(quick(tmp_path / "run"))
    assert quick(path, resume=True).recipe.training.precision == "fp32"
    path = unfinished(quick(tmp_path / "other"))
    monkeypatch.setattr(precision, "lacks_bf16", lambda: False)
    monkeypatch.setattr(precision, "gain_of_bf16", lambda: 2.0)
    assert quick(path, resume=True).recipe.training.precision == "fp32"


def test_a_processor_is_asked_how_fast_it_is_in_bf16():
    precision.gain_of_bf16.cache_clear()
    try:
        threads = torch.get_num_threads()
        assert 0 < precision.gain_of_bf16() < 100 and torch.get_num_threads() == threads
    finally:
        precision.gain_of_bf16.cache_clear()


def test_a_run_is_not_resumed_in_another_quality(tmp_path):
    path = unfinished(quick(tmp_path / "run", quality="draft", steps=None, minutes=1e-4))
    for other in ("standard", "high"):  # "standard" has the same networks
        with pytest.raises(RunError, match=r"other settings \(quality\)"):
            quick(path, quality=other, steps=None, resume=True)
    assert quick(path, quality="draft", steps=None, resume=True).recipe.training.steps == 2_000
    path = unfinished(quick(tmp_path / "high", quality="high", steps=None, minutes=1e-4))
    assert quick(path, quality="high", steps=None, resume=True).recipe.training.steps == 10_000  # few pictures
    path = unfinished(quick(tmp_path / "joint", recipe="joint"))
    with pytest.raises(RunError, match=r"other settings \(quality\)"):
        quick(path, quality="standard", resume=True)


def test_the_qualities_with_which_a_run_may_have_been_begun():
    def settled(recipe):
        return settle.settled(recipe, np.zeros((8, *recipe.shape), np.uint8))

    for quality in ("draft", "standard", "high"):
        begun = settled(lean((3, 32, 32), code_sizes=(2, 3), quality=quality))
        assert polarities(begun)[0] == "visible"
        assert settle.qualities_of(begun) == [quality]
        featured = with_content(begun, num_features=9, num_data=100)
        assert settle.qualities_of(featured) == [quality]
    assert settle.qualities_of(adjust(begun, steps=7)) == ["high"]
    begun = settled(adjust(lean((3, 32, 32)), steps=7))
    assert settle.qualities_of(begun) == ["draft", "standard"]  # with 7 steps they are the same
    assert settle.qualities_of(lean((3, 32, 32), width=5)) == []
    assert settle.qualities_of(joint((3, 32, 32))) == []
    assert settle.qualities_of(lean((5,), quality="draft")) == ["draft"]
    large = lean((3, 128, 128), quality="high")
    assert settle.qualities_of(replace(large, blocks=replace(large.blocks, smooth=False))) == ["high"]


@pytest.mark.parametrize("num_data", [3, 20, 1000])
@pytest.mark.parametrize("num_features", [1, 9, 300])
def test_a_recipe_is_known_again_after_the_data_have_settled_it(num_features, num_data):
    asked = lean((3, 32, 32))
    begun = with_content(lean((3, 32, 32), polarity="hidden"), num_features=num_features, num_data=num_data)
    assert settle.as_begun(asked, begun) == begun != asked
    assert settle.as_begun(lean((3, 32, 32), polarity="visible"), begun) != begun
    assert settle.as_begun(lean((3, 32, 32), code_sizes=(2, 3, 4, 5)), begun) != begun
    assert settle.as_begun(lean((3, 32, 32), code_sizes=(2, 3)), begun) != begun
    assert settle.own_code_sizes(begun) == asked.code_sizes


def test_the_command_line_passes_the_quality(tmp_path, capsys):
    np.save(tmp_path / "pictures.npy", PICTURES)
    words = ["train", str(tmp_path / "pictures.npy"), "--out", str(tmp_path / "run"), "--minutes", "0.0001"]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--quality", "draft"])
    assert stop.value.code == 0
    assert vlae.load(tmp_path / "run").recipe.training.steps == lean(SHAPE, quality="draft").training.steps
    for wrong in (["--quality", "best"], ["--quality", "draft", "--recipe", "joint"]):
        words[3] = str(tmp_path / "wrong")
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, *wrong])
        assert stop.value.code != 0 and "quality" in capsys.readouterr().err.lower()
    assert not (tmp_path / "wrong").exists()


# Variations


def test_a_training_says_which_labels_and_copies_there_are(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(settle, "variations_of", lambda values, **of: asked.append(of) or ("shift",))
    file, labels = tmp_path / "pictures.npz", np.arange(60) % 2
    twice = PICTURES.copy()
    twice[1] = twice[0]
    np.savez(file, images=twice, labels=labels)
    run = quick(tmp_path / "run", file, labels="all", augment="auto", batch_size=400)
    assert asked[0]["labels"].shape == asked[0]["groups"].shape and set(asked[0]["labels"]) == {0, 1}
    assert run.recipe.training.augment == "shift"
    quick(tmp_path / "other", file, batch_size=400)
    assert asked[1]["labels"] is None
    for estimator, of_labels in ((vlae.LadderClassifier(), labels), (vlae.LadderEncoder(), None)):
        asked.clear()
        estimator.set_params(steps=4, settings={"batch_size": 400}).fit(PICTURES, labels)
        assert len(asked) == 1 and np.array_equal(asked[0]["labels"], of_labels)


@pytest.mark.parametrize("augment", ["mirror", "shift,mirror"])
def test_vectors_are_not_varied(tmp_path, augment):
    table = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    recipe = adjust(lean((5,)), steps=2, augment=augment)
    with pytest.raises(ValueError, match="only pictures can be varied; leave it out"):
        fit(table, recipe)
    with pytest.raises(ValueError, match="only pictures can be varied"):
        quick(tmp_path / "run", table, augment=augment)
    with pytest.raises(ValueError, match="only pictures can be varied"):
        vlae.LadderEncoder(steps=2, settings={"augment": augment}).fit(table)
    assert quick(tmp_path / "auto", table, augment="auto").recipe.training.augment == "none"


@pytest.mark.parametrize(("shape", "mean", "stddev"), [((1, 8, 8), None, None), ((5,), None, 1.0), ((5,), 0.0, None)])
def test_half_a_standardisation_is_refused(shape, mean, stddev):
    values = np.zeros((40, *shape), np.float32)
    with pytest.raises(ValueError, match=f"mean is {mean} and stddev {stddev}; give a number for each"):
        settle.settled(replace(lean(shape), mean=mean, stddev=stddev), values)
    for numbers in ((0.0, 1.0), *([] if len(shape) > 1 else [(None, None)])):
        kept = settle.settled(adjust(replace(lean(shape), mean=numbers[0], stddev=numbers[1]), augment="none"), values)
        assert (kept.mean, kept.stddev) == numbers
