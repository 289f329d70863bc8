"""The collection behind the page: every datum of the source by number, and each picture as large as it is."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import networks
import numpy as np
import pytest
from PIL import Image

import vlae
from vlae.data.images import Images
from vlae.web.collection import PARTS, Collection, PictureError
from vlae.web.encoding import Encoding
from vlae.web.picture_files import picture_file
from vlae.web.session import Session
from vlae.web.studio import Studio
from vlae.workflows import train

pytestmark = pytest.mark.usefixtures("no_pages")

SIZES = (2, 0, 3)


def trained(source, out, **settings):
    return train(source, out=out, code_sizes=SIZES, steps=2, batch_size=8, progress=False, **settings)


def photographs(folder, num=60):
    """Pictures of several sizes in two classes, with names of several alphabets."""
    rng = np.random.default_rng(0)
    for i in range(num):
        kind = folder / ("Füchse" if i % 2 else "猫")
        kind.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (30 + i % 3, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(kind / f"{i:03} é & <b>.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    return trained(photographs(folder / "photos"), folder / "run", size=12)


@pytest.fixture
def run(made, tmp_path):
    """The run on a copy of its source, which a test may spoil."""
    photos = shutil.copytree(made.data["source"], tmp_path / "photos")
    return with_source(made, tmp_path, photos)


def with_source(made, folder, source):
    moved = shutil.copytree(made.path, folder / "run")
    record = json.loads((moved / "recipe.json").read_text())
    record["data"]["source"] = str(source)
    (moved / "recipe.json").write_text(json.dumps(record))
    return vlae.load(moved)


def file_of(collection, number):
    return Path(collection.run.data["source"]) / collection.names[number]


def test_every_picture_is_there_once_and_those_held_out_are_marked(run):
    collection = Collection(run)
    every, test = run.part("all"), run.part("test")
    assert len(collection) == len(every) == 60 and sorted(collection.names) == sorted(every.names)
    parts = {part: {name for i, name in enumerate(collection.names) if collection.part_of(i) == part} for part in PARTS}
    assert parts["held out"] == set(test.names) and parts["training"] == set(run.part("train").names)
    for number in (0, 59):
        row = every.names.index(collection.names[number])
        assert np.array_equal(collection.values([number])[0], every.values[row])
    assert np.array_equal(collection.values(range(len(run.examples))), run.examples)
    names, classes = collection.labels
    assert names == ["Füchse", "猫"]
    assert all(name.startswith(names[place]) for name, place in zip(collection.names, classes, strict=True))
    assert collection.note == ""
    with pytest.raises(ValueError, match="there is no picture 60; there are 0 to 59"):
        collection.check(60)


def test_examples_need_no_reading(run, monkeypatch):
    monkeypatch.setattr(type(run), "part", lambda *_: pytest.fail("the source was read"))
    collection = Collection(run)
    collection.check(1)
    assert np.array_equal(collection.values([1, 0]), run.examples[[1, 0]])


def test_a_picture_is_as_large_as_it_is_and_turned_as_it_says(run):
    collection = Collection(run)
    file = file_of(collection, 40)
    with Image.open(file) as before:
        original = np.asarray(before)
    assert np.array_equal(collection.original(40, 2048), original)
    assert collection.original(40, 24).shape[1] == 24
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(original).save(file, exif=exif)
    assert np.array_equal(collection.original(40, 2048), np.rot90(original, -1))


def test_a_picture_that_is_gone_says_so_and_shows_what_the_model_saw(run):
    session = Session(run)
    collection = session.collection
    assert picture_file(session, 41, 500).whole and picture_file(session, 41, 500).kind == "image/jpeg"
    file_of(collection, 41).unlink()
    with pytest.raises(PictureError, match=r"is no longer there\. This is what the model has seen of it"):
        collection.original(41, 500)
    file = picture_file(session, 41, 500)
    assert not file.whole and file.kind == "image/png"
    assert picture_file(session, 41, 12).whole  # the model's own copy needs no file


def test_only_regular_files_are_opened(run):
    collection = Collection(run)
    assert collection.original(41, 500) is not None
    file = file_of(collection, 41)
    file.unlink()
    os.mkfifo(file)  # to open it would wait for ever
    with pytest.raises(PictureError, match="no longer there"):
        collection.original(41, 500)


def test_a_name_may_have_a_hash_beside_a_folder_that_has_none(tmp_path):
    photographs(tmp_path / "C", 20)
    photographs(tmp_path / "C#", 20)
    collection = Collection(trained(tmp_path, tmp_path.with_name("hash-run"), size=12))
    assert any(name.startswith("C#") for name in collection.names)
    assert all(collection.original(i, 500) is not None for i in range(len(collection)))


def test_a_broken_file_says_why(run):
    collection = Collection(run)
    assert collection.original(41, 500) is not None
    file_of(collection, 41).write_bytes(b"not a picture")
    with pytest.raises(PictureError, match="can no longer be read: cannot identify"):
        collection.original(41, 500)


def test_a_source_that_is_gone_leaves_the_examples_with_a_line(run):
    shutil.rmtree(run.data["source"])
    collection = Collection(run)
    assert len(collection) == len(run.examples) and (collection.parts == 2).all()
    assert "is not shown: " in collection.note and "held-out examples" in collection.note
    assert collection.names[0] == "example 0" and collection.labels[0] == []
    assert collection.original(0, 500) is None
    assert len(Encoding(Studio(run), collection).noise[0]) == len(run.examples)


def test_numbers_stay_when_pictures_come_and_go(run):
    before = Collection(run)
    first, names = before.names[0], set(before.names)
    file_of(before, 0).unlink()
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(run.data["source"] + "/new.png")
    after = Collection(run)
    assert np.array_equal(after.values(range(len(run.examples))), run.examples)
    assert after.names[0] == "example 0" and set(after.names[1:]) == names - {first} | {"new.png"}
    assert "has changed since the training: 1 of its held-out pictures" in after.note
    with pytest.raises(PictureError, match="no longer there"):
        after.original(0, 500)


def test_the_version_is_another_where_a_number_means_another_picture(run, tmp_path):
    photos = run.data["source"]
    own = Collection(run)
    versions = [own.version, Collection(run, photos).version]  # in the order of the source the numbers differ
    assert Collection(run).version == own.version
    file = file_of(own, 59)
    versions.append(Collection(run, str(shutil.copytree(photos, tmp_path / "moved"))).version)
    file.rename(file.with_name("zzz.png"))
    versions.append(Collection(run, photos).version)
    pairs = tmp_path / "pairs.npy"
    for value in (1, 2):
        np.save(pairs, np.full((2, 12, 12, 3), value, np.uint8))
        versions.append(Collection(run, str(pairs)).version)
    versions.append(Collection(trained(photos, tmp_path / "other", size=12, seed=1), str(pairs)).version)
    assert len(set(versions)) == len(versions) == 7


def test_there_may_be_more_classes_than_16_bits_count(run, monkeypatch):
    collection = Collection(run)
    num = 70_000
    images = Images(values=np.zeros((num, 1), np.float32), labels=np.arange(num))
    rows = SimpleNamespace(images=images, order=np.arange(num))
    monkeypatch.setattr(Collection, "_rows", rows)
    names, classes = collection.labels
    assert classes.tolist() == list(range(num)) and names[-1] == str(num - 1)


def test_of_an_array_the_rows_have_names_and_their_own_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    collection = Collection(trained(tmp_path / "a.npy", tmp_path / "run", size=10))
    number = collection.names.index("row 7")
    assert np.array_equal(collection.original(number, 500), pixels[7])
    assert len(collection) == 40


def test_rows_of_a_table_are_shown_too(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5))
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c,d,e", comments="")
    session = Session(trained(tmp_path / "t.csv", tmp_path / "run"))
    assert len(session.collection) == 60 and session.collection.original(3, 500) is None
    assert picture_file(session, 3, 500).kind == "image/png"
    assert session.collection.properties() == {} and session.finder.copies == []


def test_what_is_missing_is_unknown_or_has_no_number(tmp_path):
    known = {"y": np.arange(120) % 3 - 1, "height": np.where(np.arange(120) % 4, np.arange(120), np.nan)}
    pixels = np.random.default_rng(0).integers(0, 256, (120, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, **known)
    collection = Collection(trained(tmp_path / "a.npz", tmp_path / "run"))
    properties = collection.properties()
    rows = [int(name.removeprefix("row ")) for name in collection.names]
    assert np.array_equal(properties["height"], known["height"][rows], equal_nan=True)
    assert "brightness" in properties


def test_another_source_is_shown_as_a_whole_and_nothing_of_it_is_marked(made, tmp_path):
    photographs(tmp_path / "others", 20)
    session = Session(made, str(tmp_path / "others"))
    collection = session.collection
    assert len(collection) == 20 and not collection.parts.any() and collection.part_of(3) == ""
    assert collection.original(3, 500).shape[1] == 48
    assert len(session.encoding.noise[0]) == 20
    with pytest.raises(FileNotFoundError):
        len(Collection(made, str(tmp_path / "nowhere")))


def test_training_is_said_only_of_what_is_known_to_have_been_trained_on(run, tmp_path):
    photographs(Path(run.data["source"]) / "new", 3)
    grown = Collection(run)
    assert {grown.part_of(i) for i in range(len(grown))} == {"", "held out"}
    assert grown.note.endswith("has changed since the training: which of its data the run was trained on is not known.")
    limited = trained(photographs(tmp_path / "others"), tmp_path / "limited", size=12, limit=20)
    collection = Collection(limited)
    known = {name for i, name in enumerate(collection.names) if collection.part_of(i) == "training"}
    assert known == set(limited.part("train").names) and len(known) == 20 and collection.note == ""


def test_a_picture_in_both_parts_leaves_the_others_known(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    file = tmp_path / "parts.npz"
    np.savez(file, x_train=pictures[:30], x_test=np.concatenate([pictures[30:], pictures[:1]]))
    collection = Collection(trained(file, tmp_path / "run"))
    parts = [collection.part_of(i) for i in range(len(collection))]
    assert not collection.note and (parts.count("training"), parts.count("held out")) == (29, 12)


def test_a_source_that_a_shared_run_names_is_not_opened_unasked(run, tmp_path, monkeypatch):
    shared = vlae.load(run.save_pretrained(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path)  # where there is a folder of the name of its source
    for of_others in (shared, replace(run, borrowed="me/run")):
        with monkeypatch.context() as patched:
            patched.setattr(type(run), "part", lambda *_: pytest.fail("the source was read"))
            collection = Collection(of_others)
            assert len(collection) == len(run.examples) and "not opened unasked" in collection.note
            assert of_others.known().values is of_others.examples
    asked = Collection(shared, "photos")
    assert len(asked) == 60 and (asked.parts == 2).sum() == len(run.part("test"))


def test_other_data_at_the_place_of_the_source_are_not_taken_for_it(run):
    shutil.rmtree(run.data["source"])
    rng = np.random.default_rng(7)
    Path(run.data["source"]).mkdir()
    for i in range(30):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(f"{run.data['source']}/{i}.png")
    collection = Collection(run)
    assert len(collection) == len(run.examples) and "none of the run's held-out examples" in collection.note


# Encoding


def test_codes_are_those_of_the_run_and_are_computed_once(run, cache, monkeypatch):
    collection = Collection(run)
    encoding = Encoding(Studio(run), collection)
    encoding.prepare()
    assert encoding.progress()[0] == "done"
    expected = run.encode(collection.values(np.arange(60)))
    for level, codes in enumerate(expected):
        np.testing.assert_allclose(encoding.noise[level], codes, atol=1e-4)
    again = run.encode(run.decode(expected))
    for level, codes in enumerate(again):
        np.testing.assert_allclose(encoding.change[level], codes - expected[level], atol=1e-3)
    monkeypatch.setattr("vlae.web.encoding.noise_at", lambda *_, **__: pytest.fail("it was encoded again"))
    second = Encoding(Studio(run), Collection(run))
    second.prepare()
    assert all(np.array_equal(a, b) for a, b in zip(second.noise, encoding.noise, strict=True))


def test_codes_of_other_data_are_not_taken_for_these(run, cache):
    before = Encoding(Studio(run), Collection(run)).noise[0]
    file = next(iter((cache / "codes").glob("*.npy")))
    file.write_bytes(b"damaged")
    assert np.array_equal(Encoding(Studio(run), Collection(run)).noise[0], before)
    file_of(Collection(run), 50).unlink()
    assert len(Encoding(Studio(run), Collection(run)).noise[0]) == 59


def test_a_picture_that_is_gone_changes_no_other_s_code(tmp_path, cache):
    photos = photographs(tmp_path / "photos", 40)
    network = networks.save(networks.Detail(), tmp_path / "net.pt2")
    settings = {"features": network, "features_side": networks.SIDE, "learning_rate": 5e-3, "batch_size": 16}
    run = train(photos, out=tmp_path / "run", size=12, steps=40, code_sizes=(2, 2), progress=False, **settings)
    before = Collection(run)
    assert before.with_features.all()
    codes = Encoding(Studio(run), before).noise
    file_of(before, 1).unlink()
    shutil.rmtree(cache / "codes")  # or they would be taken from there
    after = Collection(run)
    changed = Encoding(Studio(run), after).noise
    numbers = [after.names.index(name) for name in before.names if name in after.names]
    kept = [number for number, name in enumerate(before.names) if name in after.names]
    for one, other in zip(codes, changed, strict=True):
        np.testing.assert_allclose(one[kept], other[numbers], atol=1e-5)
    run.__dict__["network"] = None  # gone: the codes of the pictures alone are others
    blind = Encoding(Studio(run), Collection(run)).noise
    assert not np.allclose(blind[-1], changed[-1], atol=1e-3)


def test_a_cache_that_cannot_be_written_costs_time_alone(run, monkeypatch):
    def full(file):
        raise OSError("no space left")

    monkeypatch.setattr("vlae.web.encoding.new_file", full)
    assert len(Encoding(Studio(run), Collection(run)).noise[0]) == 60


def test_a_page_that_closes_stops_encoding(run, cache):
    session = Session(run)
    session.close()
    with pytest.raises(ValueError, match="the page was closed"):
        session.prepare()
