"""What is found in a collection, and the reasons that are given."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from vlae.codes.outliers import find_outliers
from vlae.data import copies
from vlae.evaluation.dimension_names import DimensionName
from vlae.web.collection_answers import CollectionAnswers
from vlae.web.exports import atlas, fiftyone
from vlae.web.finding import Finder
from vlae.web.session import Session
from vlae.workflows import train


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A collection of red and of blue squares, one of them twice."""
    folder = tmp_path_factory.mktemp("finding")
    rng = np.random.default_rng(0)
    for i in range(60):
        kind = folder / "squares" / ("blue" if i % 2 else "red")
        kind.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        top, left = rng.integers(0, 8, 2)
        pixels[top : top + 8, left : left + 8, 2 if i % 2 else 0] = 255
        Image.fromarray(pixels).save(kind / f"{i:02}.png")
    Image.open(folder / "squares" / "red" / "00.png").save(folder / "squares" / "red" / "copy.png")
    run = train(folder / "squares", out=folder / "run", code_sizes=(3, 0, 2), steps=30, batch_size=16, progress=False)
    return Session(run)


def noise_of(session, number):
    import torch

    return tuple(torch.from_numpy(level[number : number + 1]) for level in session.encoding.noise)


def test_the_nearest_by_one_level_and_by_several(session):
    noise, asked = session.encoding.noise, noise_of(session, 3)
    for levels in ([1], [3], [1, 3]):
        far = np.zeros(61)
        for level in levels:
            codes = noise[level - 1]
            far += np.square(codes - codes[3]).sum(1) / (2 * codes.var(0).sum()) / len(levels)
        np.testing.assert_allclose(session.finder.distances(asked, levels), np.sqrt(far), rtol=1e-3, atol=1e-5)
        nearest = session.finder.nearest(asked, levels, 4, without=3)
        assert nearest.tolist() == [i for i in np.argsort(far, kind="stable").tolist() if i != 3][:4]
    assert session.finder.nearest(asked, [1], 100, without=3).tolist().count(3) == 0
    for levels, words in (([], "no level is given"), ([2], "there is no level 2 with a code")):
        with pytest.raises(ValueError, match=words):
            session.finder.nearest(asked, levels, 3)
    with pytest.raises(ValueError, match="there is no picture 99"):
        session.finder.nearest(asked, [1], 3, without=99)


def test_odd_ones_are_those_of_the_command(session):
    images = session.run.part("all")
    by_command = find_outliers(session.run, images)
    rows = [images.names.index(name) for name in session.collection.names]
    for level in (1, 3):
        np.testing.assert_allclose(
            session.finder.oddness(level), by_command.scores[f"level{level}"][rows], rtol=0.02, atol=0.02
        )


def test_near_copies_are_looked_for_in_few_pictures_at_a_time(session, monkeypatch):
    monkeypatch.setattr(copies, "BATCH", 3)
    read, values = [], session.collection.values
    monkeypatch.setattr(session.collection, "values", lambda rows: read.append(len(rows)) or values(rows))
    assert len(Finder(session.studio, session.collection, session.encoding).copies) == 1
    assert max(read) == 3


def test_near_copies_are_found(session):
    names = session.collection.names
    assert [sorted(names[i] for i in group) for group in session.finder.copies] == [["red/00.png", "red/copy.png"]]


def test_groups_have_their_typical_data_and_the_largest_comes_first(session):
    groups = session.finder.clusters(3, 4)
    assert sorted(np.concatenate(groups).tolist()) == list(range(61))
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True) and len(groups[-1]) > 0
    codes = session.encoding.noise[2] / session.encoding.noise[2].std(0)
    means = np.stack([codes[group].mean(0) for group in groups])
    for place, group in enumerate(groups):
        far = np.linalg.norm(codes[group, None] - means, axis=2)
        assert (far.argmin(1) == place).mean() > 0.9
        assert far[0, place] <= far[-1, place]
    with pytest.raises(ValueError, match="fewer different codes"):
        session.finder.clusters(3, 62)


def named(level, dimension, low, high):
    return DimensionName(level=level, dimension=dimension, low=low, high=high, change=1.0)


@pytest.fixture
def told(session):
    """A session whose codes and names are planted: dimension 2 of level 1 says all."""
    planted = Session(session.run)
    num = len(session.collection)
    codes = np.zeros((num, 3), np.float32)
    codes[:, 1] = np.linspace(-1.7, 1.7, num)
    changes = np.zeros((num, 3), np.float32)
    changes[7, 2] = 5.0
    both = np.zeros((num, 0), np.float32), np.linspace(-1, 1, 2 * num, dtype=np.float32).reshape(num, 2)
    planted.encoding.__dict__["noise"] = (codes, *both)
    planted.encoding.__dict__["change"] = (changes, both[0], np.zeros((num, 2), np.float32))
    names = [named(1, 0, "", ""), named(1, 1, "darker", "lighter"), named(1, 2, "small", "large")]
    planted.reasons.__dict__["names"] = {1: names, 3: [named(3, 0, "", ""), named(3, 1, "", "")]}
    return planted


def test_a_hit_says_which_dimension_it_shares_and_at_which_end(told):
    (low,), (middle,), (other,) = told.reasons.near(noise_of(told, 0), [1, 30, 60], [1])
    assert (low.level, low.dimension) == (1, 1) and low.words == "both darker"
    assert low.detail == "-1.7 and -1.6 standard deviations from the mean"
    assert middle.words == other.words == "both ordinary, near the mean in every dimension"
    (both,) = told.reasons.near(noise_of(told, 60), [59], [1, 3])
    assert {reason.level for reason in both} == {1, 3} and both[0].strength >= both[1].strength
    assert any("at its high end" in reason.words for reason in both if reason.level == 3)


def test_an_odd_one_says_what_is_rare_in_it_or_what_the_model_cannot_draw(told):
    rare, lost, usual = told.reasons.odd([0, 7, 31], 1)
    assert rare.dimension == 1 and (rare.words, rare.detail) == ("darker", "1.7 standard deviations from the mean")
    assert lost.dimension == 2 and lost.words == "its reconstruction is large" and lost.strength > 7
    assert usual.words.startswith("nothing unusual; most of all ")


def test_the_ends_of_a_dimension_are_shown_with_their_words(told):
    levels = {level["level"]: level["dimensions"] for level in CollectionAnswers(told).dimensions()["levels"]}
    assert levels[1][1] == {"name": "darker ↔ lighter", "words": ["darker", "lighter"]} | {
        "low": [0, 1, 2],
        "high": [60, 59, 58],
    }


# Exports


def test_a_table_for_embedding_atlas(session):
    content = atlas(session, [3, 0], ["nice;red", ""], 3)
    table = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [row["name"] for row in table] == [session.collection.names[3], session.collection.names[0]]
    assert table[0]["tags"] == "nice;red" and table[0]["label"] in ("red", "blue")
    np.testing.assert_allclose(table[0]["level1"], session.encoding.noise[0][3])
    np.testing.assert_allclose([table[0]["x"], table[0]["y"]], session.encoding.noise[2][3])
    shown = np.asarray(Image.open(io.BytesIO(table[0]["image"]["bytes"])))
    assert np.array_equal(shown, session.collection.values([3])[0].transpose(1, 2, 0))


def test_samples_for_fiftyone_have_paths_tags_and_labels(session, tmp_path):
    samples = json.loads(fiftyone(session, [3], [["nice"]]))["samples"]
    (sample,) = samples
    assert Image.open(sample["filepath"]).size == (16, 16)
    assert sample["tags"][1:] == ["nice"] and sample["tags"][0] in ("training", "held out")
    assert sample["ground_truth"]["label"] == session.collection.names[3].split("/")[0]
