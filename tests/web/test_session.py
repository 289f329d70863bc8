import io
import json
import shutil
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import vlae
from vlae.models.priors import standard_prior
from vlae.web import session as sessions
from vlae.web.answers import Answers
from vlae.web.session import Session
from vlae.workflows import train


def pictures(num=120, size=12, channels=3):
    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exploring")
    np.save(folder / "pictures.npy", pictures())
    return train(
        folder / "pictures.npy", out=folder / "run", code_sizes=(2, 0, 1, 4), steps=4, batch_size=8, progress=False
    )


@pytest.fixture(scope="module")
def session(run):
    return Session(run)


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def test_noise_becomes_pictures_and_codes(run, session):
    noise = session.draw(3)
    assert [tuple(level.shape) for level in noise] == [(1, 2), (1, 0), (1, 1), (1, 4)]
    assert all(torch.equal(a, b) for a, b in zip(noise, session.draw(3), strict=True))
    codes = session.codes(noise)
    expected = np.rint(run.decode([code.numpy() for code in codes])[0].transpose(1, 2, 0) * 255)
    assert np.abs(session.pictures(noise)[0].astype(int) - expected).max() <= 1


def test_draws_are_of_the_fitted_prior_or_of_n01(run, session):
    factors = torch.eye(7).double().expand(1, 7, 7) * 0.01
    factors[0, 3:, 0] = 1.0  # level 4 follows the first number of level 1
    planted = replace(standard_prior((2, 0, 1, 4)), factors=factors.clone())
    alike = Session(replace(run))
    alike.run.__dict__["prior"] = planted
    noise = alike.draw(1)
    assert float(noise[0].abs().max()) < 0.1
    assert all(torch.equal(a, b) for a, b in zip(session.draw(1, "standard"), alike.draw(1, "standard"), strict=True))
    start = (torch.tensor([[0.05, 0.0]]), torch.zeros(1, 0), torch.zeros(1, 1), torch.zeros(1, 4))
    redrawn = alike.redraw(start, 4, 0)
    assert all(torch.equal(redrawn[i], start[i]) for i in range(3))
    np.testing.assert_allclose(alike.redraw(start, 4, 0)[3], 5.0, atol=0.1)
    np.testing.assert_allclose(alike.varied(start, 4, 0), 5.0, atol=0.1)
    assert np.abs(alike.varied(start, 4, 0, prior="standard")).max() < 5
    with pytest.raises(ValueError, match="there is no level 2 with a code"):
        alike.redraw(start, 2, 0)
    with pytest.raises(ValueError, match="prior is 'best'"):
        alike.draw(0, "best")


def test_many_pictures_are_those_of_each(session):
    rows = session.with_level(session.draw(0), 4, session.varied(session.draw(0), 4, 1, num=70))
    together = session.pictures(rows)
    assert len(together) == 70
    alone = session.pictures(tuple(level[69:70] for level in rows))[0]
    assert np.abs(together[69].astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([[0, 0], [], [0]], "codes of sizes"),
        ([[0, 0], [], [0], [0, 0, 0]], r"the run run takes \(2, 0, 1, 4\)"),
        ([[0, "a"], [], [0], [0] * 4], "not numbers"),
        ([[0, float("nan")], [], [0], [0] * 4], "from -100 to 100"),
        ([[0, 1e9], [], [0], [0] * 4], "from -100 to 100"),
        (7, "not numbers"),
    ],
)
def test_codes_that_do_not_fit_are_refused(session, row, words):
    with pytest.raises(ValueError, match=words):
        session.parse_noise(row)


def test_very_many_codes_are_refused_before_any_is_computed_with(session, monkeypatch):
    monkeypatch.setattr(torch, "tensor", lambda *_, **__: pytest.fail("they were computed with"))
    with pytest.raises(ValueError, match=r"codes of sizes \(0, 0, 0, 0, 0, 0, \.\.\.\) are given"):
        session.parse_noise([[]] * 100_000)


def test_data_are_the_examples_then_others_held_out(run, session):
    images = session.images
    assert np.array_equal(images.values[: len(run.examples)], run.examples)
    assert len(session.data_pictures()) == len(images)
    assert {"brightness", "mean red"} <= set(session.properties())
    with pytest.raises(ValueError, match="there is no image 9999"):
        session.datum(9999)


def test_what_is_missing_is_unknown_or_has_no_number(tmp_path):
    known = {"y": np.arange(120) % 3 - 1, "height": np.where(np.arange(120) % 4, np.arange(120), np.nan)}
    np.savez(tmp_path / "a.npz", images=pictures(), **known)
    made = train(
        tmp_path / "a.npz", out=tmp_path / "run", code_sizes=(2, 0, 1, 4), steps=4, batch_size=8, progress=False
    )
    properties = Session(made).properties()
    assert properties["label"]["classes"] == ["unknown", "0", "1"]
    heights = properties["height"]["values"]
    assert 0 < np.isnan(heights).sum() < len(heights)
    sent = json.loads(json.dumps(Answers(Session(made)).data()["known"]["height"]["values"], allow_nan=False))
    assert [value is None for value in sent] == np.isnan(heights).tolist()


def test_data_that_are_gone_leave_the_examples(run, tmp_path):
    moved = shutil.copytree(run.path, tmp_path / "run")
    record = json.loads((moved / "recipe.json").read_text())
    record["data"]["source"] = str(tmp_path / "nowhere.npy")
    (moved / "recipe.json").write_text(json.dumps(record))
    alone = Session(vlae.load(moved))
    assert np.array_equal(alone.images.values, run.examples)


def test_a_datum_is_shown_beside_what_comes_back(run, session):
    noise, shown, error = session.original(session.datum(2))
    assert np.array_equal(shown[0], run.examples[2].transpose(1, 2, 0))
    assert np.array_equal(shown[1], session.pictures(noise)[0])
    assert np.array_equal(shown[2], np.abs(shown[0].astype(int) - shown[1]))
    assert error == pytest.approx(np.square(shown[0] / 255.0 - shown[1] / 255.0).mean(), rel=1e-4)


def test_a_picture_is_read_as_in_training(session):
    assert session.read(png(pictures(1, 12)[0])).shape == (1, 3, 12, 12)
    assert session.read(png(pictures(1, 40)[0][:, :20])).shape == (1, 3, 12, 12)
    assert session.read(png(pictures(1, 12)[0, :, :, 0])).shape == (1, 3, 12, 12)


def test_a_level_is_swept_or_drawn(session):
    start = session.draw(0)
    plane = session.varied(start, 1, 0, num=3)
    assert plane.shape == (9, 2)
    assert plane[0].tolist() == [-sessions.SPAN, sessions.SPAN]
    assert session.varied(start, 3, 0, num=5)[:, 0].tolist() == pytest.approx([-2.5, -1.25, 0, 1.25, 2.5])
    drawn = session.varied(start, 4, 0, num=5)
    assert drawn.shape == (5, 4)
    assert not np.array_equal(drawn, session.varied(start, 4, 1, num=5))
    for level in (0, 2, 5):
        with pytest.raises(ValueError, match=f"there is no level {level} with a code; there are 1, 3, 4"):
            session.varied(start, level, 0)


def test_swaps_take_whole_levels(session):
    a, b = session.draw(0), session.draw(1)
    subsets = session.subsets()
    assert subsets[0] == () and subsets[-1] == (1, 3, 4) and len(subsets) == 8
    swapped = session.swaps(a, b)
    for row, chosen in enumerate(subsets):
        for level in (1, 3, 4):
            expected = (b if level in chosen else a)[level - 1][0]
            assert torch.equal(swapped[level - 1][row], expected)


def test_of_many_levels_only_neighbours_are_swapped(session, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_SUBSETS", 2)
    assert session.subsets() == [(), (1,), (3,), (4,), (1, 3), (3, 4), (1, 3, 4)]


def test_a_path_moves_some_levels_evenly(session):
    a, b = session.draw(0), session.draw(1)
    path = session.path(a, b, [4], steps=5)
    assert torch.allclose(path[3][2], (a[3][0] + b[3][0]) / 2)
    assert torch.equal(path[3][4], b[3][0])
    assert torch.equal(path[0], a[0].expand(5, -1))


def test_maps(session):
    codes = [level.numpy() for level in session.noise_of_images]
    plane = session.map(1, "code")
    assert np.array_equal(plane.points, codes[0])
    line = session.map(3)
    assert np.array_equal(line.points[:, :1], codes[2])
    pca = session.map(4, "pca")
    back = pca.centre + pca.points @ pca.directions
    kept = np.square(back - codes[3]).sum() / np.square(codes[3] - codes[3].mean(0)).sum()
    assert 0 <= kept < 1 and pca.points.var(0)[0] >= pca.points.var(0)[1]
    assert np.allclose(pca.directions @ pca.directions.T, np.eye(2), atol=1e-4)
    for level, method, words in ((4, "code", "4 dimensions"), (1, "tsne", "no map 'tsne'"), (2, "pca", "no level 2")):
        with pytest.raises(ValueError, match=words):
            session.map(level, method)


def test_umap_is_used_where_it_is_installed(session, monkeypatch):
    monkeypatch.setattr("vlae.web.map.has_umap", lambda: False)
    with pytest.raises(ValueError, match="pip install umap-learn"):
        session.map(4, "umap")

    class Reducer:
        def __init__(self, random_state):
            assert random_state == 0

        def fit_transform(self, codes):
            return codes[:, :2]

    monkeypatch.setattr("vlae.web.map.has_umap", lambda: True)
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Reducer))
    plane = session.map(4, "umap")
    assert plane.centre is None and np.array_equal(plane.points, session.noise_of_images[3][:, :2].numpy())


def test_neighbours_are_nearest_by_each_level(session):
    noise = tuple(level[3:4] for level in session.noise_of_images)
    assert all(images[0] == 3 for images in session.neighbours(noise).values())
    nearest = session.neighbours(noise, num=4, without=3)
    assert set(nearest) == {1, 3, 4}
    for level, images in nearest.items():
        codes = session.noise_of_images[level - 1].numpy()
        far = np.linalg.norm(codes - codes[3], axis=1)
        assert 3 not in images and len(images) == 4
        assert far[images[-1]] <= np.sort(far)[4] + 1e-6


def test_levels_are_described_most_telling_first(run, session):
    described = session.describe_levels()
    assert [level["level"] for level in described] == [1, 3, 4]
    assert described[0]["title"] == "colour and light"
    for level in described:
        nats = [dimension["nats"] for dimension in level["dimensions"]]
        assert nats == sorted(nats, reverse=True)
        numbers = sorted(dimension["number"] for dimension in level["dimensions"])
        assert numbers == list(range(run.recipe.code_sizes[level["level"] - 1]))
        assert all(d["dead"] == (d["nats"] < sessions.DEAD_DIMENSION) for d in level["dimensions"])


def test_levels_are_named_by_the_card(run, tmp_path):
    statistics = {1: {"mean red": 0.9}, 3: {"size": 0.8}, 4: {}}
    levels = [
        {"level": k, "code_size": size, "active_units": size, "kl_nats": 3.0, "statistics": statistics.get(k, {})}
        for k, size in enumerate(run.recipe.code_sizes, start=1)
    ]
    moved = shutil.copytree(run.path, tmp_path / "run")
    (moved / "evaluation.json").write_text(
        json.dumps({"levels": levels, "complexity": {}, "not_defined": {}, "protocol": {}})
    )
    described = Session(vlae.load(moved)).describe_levels()
    assert [level["title"] for level in described] == ["colour", "size", "not named"]
    assert described[0]["sentence"].startswith("Explains 90% of mean red")


def test_vectors_can_be_explored_too(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    run = train(rows, out=tmp_path / "run", code_sizes=(2, 2), steps=4, batch_size=8, progress=False)
    session = Session(run)
    assert session.pictures(session.draw(0)).ndim == 4
    assert session.properties() == {} and session.describe_levels()[0]["title"] == "not measured yet"
    with pytest.raises(ValueError, match="trained on vectors"):
        session.read(b"")


def test_a_class_is_drawn_and_shown_by_its_values(tmp_path):
    labels = np.arange(120) % 3
    np.savez(tmp_path / "p.npz", images=pictures(), labels=labels)
    classed = train(
        tmp_path / "p.npz",
        out=tmp_path / "run",
        labels="all",
        code_sizes=(2, 4),
        steps=4,
        batch_size=40,
        progress=False,
    )
    session = Session(classed)
    noise = session.draw(0)
    found = {int(session.codes(session.redraw(noise, 3, seed))[2].argmax()) for seed in range(20)}
    assert found == {0, 1, 2}
    shown = session.with_level(noise, 3, session.varied(noise, 3, 0))
    assert session.codes(shown)[2].argmax(1).tolist() == [0, 1, 2]
    kept = session.redraw(noise, 3, 1)
    assert all(torch.equal(a, b) for a, b in zip(kept[:2], noise[:2], strict=True))
