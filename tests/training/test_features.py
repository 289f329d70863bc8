"""A run that reads the features of a frozen network: trained, resumed, opened, shared, searched, exported."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import SIDE, Detail, Scaled, save

import vlae
from vlae.cli import main as cli
from vlae.codes import outliers
from vlae.codes.encode import encode
from vlae.codes.mix import mix
from vlae.data import DataError, load
from vlae.figures.contents import noise_at
from vlae.models.inference import as_input
from vlae.nn.pretrained import open_network
from vlae.recipes import adjust, lean
from vlae.runs.layout import RunError
from vlae.training.train import Stopped
from vlae.workflows import measured_on, train, untrained

pytestmark = pytest.mark.usefixtures("no_pages")

SETTINGS = {"size": 8, "steps": 40, "batch_size": 16, "learning_rate": 5e-3, "code_sizes": (2, 2), "progress": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a network, and pictures that differ in fine detail, which 8 pixels do not show."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("features")
    save(Detail(), folder / "net.pt2")
    rng = np.random.default_rng(0)
    chequered = (np.indices((SIDE, SIDE)).sum(0) % 2)[:, :, None]
    for i in range(120):
        fine = 100 * (i % 2)
        pixels = 128 + (chequered - 0.5) * fine + rng.normal(size=(1, 1, 3)) * 20
        (folder / "photos" / ("fine" if fine else "flat")).mkdir(parents=True, exist_ok=True)
        name = folder / "photos" / ("fine" if fine else "flat") / f"{i:03d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(name)
    return folder


@pytest.fixture(scope="module")
def network(place):
    return open_network(place / "net.pt2", side=SIDE)


@pytest.fixture(scope="module")
def run(place, network):
    return train(place / "photos", out=place / "run", features=network, **SETTINGS)


@pytest.fixture(scope="module")
def photos(run, place):
    return run.read(place / "photos")


def same(a, b):
    """Whether two lists of codes are the same, but for the order of sums in batches of other sizes."""
    return all(np.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def nearest_share_label(code, labels):
    distances = np.square(code[:, None] - code[None]).sum(2)
    np.fill_diagonal(distances, np.inf)
    return (labels[np.argsort(distances, axis=1)[:, :5]] == labels[:, None]).mean()


def test_the_top_holds_what_only_the_full_size_shows(run, photos):
    one, two, top = run.encode(photos)
    assert top.shape == (120, 16)
    assert nearest_share_label(top, photos.labels) > 0.95
    assert max(nearest_share_label(code, photos.labels) for code in (one, two)) < 0.8
    assert run.encode(photos.values)[0] == pytest.approx(one) and run.encode(photos.values)[1] == pytest.approx(two)
    from_small = run.encode(photos.values)[2]  # the 8-pixel copies, enlarged, show no detail
    assert nearest_share_label(from_small, photos.labels) < 0.8


def test_the_top_explains_the_features(run, photos, network):
    level = run.model.levels[-1]
    with torch.no_grad():
        target = level.components(torch.from_numpy(np.array(photos.features)).float())
        explained = level.explainer.predict(torch.from_numpy(run.encode(photos)[2]))
    assert 1 - (explained - target).square().sum() / target.square().sum() > 0.5
    first, last = run.history["features_distortion"].iloc[[0, -1]]
    assert last <= first and np.isfinite(run.summary["features_distortion_nats"])
    assert run.summary["levels"][2]["kl_nats"] > 1


def test_the_record_names_the_network_and_its_hash(run, network, place):
    data = json.loads((place / "run" / "recipe.json").read_text())["data"]
    assert data["features"] == {"network": network.name, "sha256": network.sha256, "side": SIDE}
    assert not any("net" in name or "features" in name for name in (p.name for p in (place / "run").iterdir()))


def test_a_run_opens_again_and_gives_the_same_codes(run, photos, place):
    again = vlae.load(place / "run")
    assert same(again.encode(again.read(place / "photos")), run.encode(photos))
    assert same(again.encode(photos.values[:5]), run.encode(photos.values[:5]))
    assert again.part("test").features.shape == (16, 15)


@pytest.mark.slow
def test_a_seed_gives_the_same_run_and_a_stopped_one_goes_on_to_it(run, place, network, tmp_path, monkeypatch):
    from vlae.training.loop import Engine

    again = train(place / "photos", out=tmp_path / "again", features=place / "net.pt2", features_side=SIDE, **SETTINGS)
    monkeypatch.setattr(Engine, "training_step", _stopping(Engine.training_step, 20))
    with pytest.raises(Stopped):
        train(place / "photos", out=tmp_path / "stopped", features=network, **SETTINGS)
    monkeypatch.undo()
    save(Scaled(2.0), tmp_path / "other.pt2")
    with pytest.raises(RunError, match=r"begun with the features of net\.pt2 and keeps them"):
        train(
            place / "photos", out=tmp_path / "stopped", resume=True, features=tmp_path / "other.pt2", features_side=SIDE
        )
    resumed = train(place / "photos", out=tmp_path / "stopped", resume=True, progress=False)
    for other in (again, resumed):
        for name, value in run.model.state_dict().items():
            assert torch.equal(other.model.state_dict()[name], value), name


def _stopping(step, at):
    import os
    import signal

    def stopped(self, batch, index):
        if self.global_step == at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    return stopped


def test_a_run_without_features_cannot_be_resumed_with_some(place, network, tmp_path, monkeypatch):
    from vlae.training.loop import Engine

    monkeypatch.setattr(Engine, "training_step", _stopping(Engine.training_step, 5))
    with pytest.raises(Stopped):
        train(place / "photos", out=tmp_path / "run", **SETTINGS)
    monkeypatch.undo()
    with pytest.raises(RunError, match="begun without features"):
        train(place / "photos", out=tmp_path / "run", resume=True, features=network)


def test_the_same_command_resumes_a_run_with_features(place, network, tmp_path):
    settings = {**SETTINGS, "steps": 2, "quality": "draft", "features": network}
    run = train(place / "photos", out=tmp_path / "run", **settings)
    (run.path / "model.safetensors").unlink()  # as if it had been stopped before its first checkpoint
    for other in ({"quality": "high"}, {"code_sizes": (2, 3)}, {"recipe": "joint"}):
        with pytest.raises(RunError, match=rf"other settings \({next(iter(other))}\)"):
            train(place / "photos", out=run.path, resume=True, **{**settings, **other})
    again = train(place / "photos", out=run.path, resume=True, **settings)
    assert again.recipe == run.recipe and again.recipe.code_sizes == (2, 2, 16)
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in run.model.state_dict().items())


def test_a_network_that_is_gone_is_named_and_another_place_can_be_given(run, photos, place, tmp_path, cache):
    copied = tmp_path / "moved.pt2"
    shutil.copyfile(place / "net.pt2", copied)
    opened = vlae.load(place / "run")
    assert same(opened.encode(photos), run.encode(photos))  # their features are known
    with pytest.raises(FileNotFoundError, match=r"network net\.pt2 .*vlae\.load\(RUN, features=FILE\)"):
        opened.encode(photos.values)
    wrong = save(Scaled(2.0), tmp_path / "other.pt2")
    with pytest.raises(RunError, match=r"other\.pt2 has the SHA-256 .*reads those of"):
        vlae.load(place / "run", features=wrong)
    assert same(vlae.load(place / "run", features=copied).encode(photos.values), run.encode(photos.values))
    with pytest.raises(RunError, match="reads no features"):
        vlae.load("mnist", features=copied)


def test_a_shared_run_names_the_network_without_its_folder(run, photos, tmp_path):
    run.save_pretrained(tmp_path / "shared")
    assert json.loads((tmp_path / "shared" / "recipe.json").read_text())["data"]["features"]["network"] == "net.pt2"
    assert 'features="net.pt2"' in (tmp_path / "shared" / "README.md").read_text()
    assert same(vlae.load(tmp_path / "shared").encode(photos), run.encode(photos))


def test_files_of_codes_outliers_and_mixes_see_the_full_size(run, photos, place, tmp_path):
    encode(run, place / "photos", tmp_path / "codes.npz", reconstruction=False)
    with np.load(tmp_path / "codes.npz") as file:
        assert np.allclose(file["level3"], run.encode(photos)[2], atol=1e-5)
    # Among flat pictures, one of fine detail is odd by the top.
    flat, fine = np.flatnonzero(photos.labels == 1), np.flatnonzero(photos.labels == 0)[:1]
    scores = outliers.find_outliers(run, photos.take(np.concatenate([flat, fine]))).scores
    assert scores["level3"].argmax() == len(flat)
    blind = outliers.find_outliers(run, replace(photos, features=None).take(np.concatenate([flat, fine]))).scores
    assert blind["level3"].argmax() != len(flat) or blind["level3"].max() < scores["level3"].max()
    names = [place / "photos" / photos.names[i] for i in (0, 1)]
    mixed = mix(run, {3: names[0]}, base=names[1])
    assert mixed.codes[2] == pytest.approx(run.encode(photos.take([0]))[2], abs=1e-4)
    noise = noise_at(run.model, as_input(photos.values[:1]), torch.from_numpy(photos.features[:1].astype(np.float32)))
    for a, b in zip(run.noise_of(names[0]), noise, strict=True):
        torch.testing.assert_close(a, b)


def test_an_index_holds_the_codes_of_the_full_size(run, photos, place, tmp_path):
    pytest.importorskip("lancedb")
    from vlae.search.index import Index

    index = Index.build(run, place / "photos", tmp_path / "index")
    found = index.similar(place / "photos" / photos.names[0], levels=3, num=5).by[(3,)]
    assert set(found["label"].to_pylist()) == {"fine"}


@pytest.mark.slow
def test_the_measurements_read_the_features(run, photos):
    evaluation = vlae.evaluate(run)
    levels = evaluation["levels"]
    assert levels[2]["factors"]["label"] > 0.9 > levels[0]["factors"]["label"]
    assert np.isfinite(evaluation["features_distortion_nats"])
    random = untrained(run)
    assert torch.equal(random.levels[-1].components.basis, run.model.levels[-1].components.basis)
    assert measured_on(run, replace(photos, features_from="0" * 64))[0].features is None
    from vlae.report import page

    text = page.write(run).read_text()
    assert "distortion of the features" in text


@pytest.mark.slow
def test_an_exported_encoder_takes_the_features(run, photos, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    from vlae.codes.onnx import export

    result = export(run, tmp_path, quantize="int8")
    session = ort.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    assert [(x.name, x.shape) for x in session.get_inputs()] == [
        ("images", ["batch", 3, 8, 8]),
        ("features", ["batch", 15]),
    ]
    inputs = {"images": photos.values[:7] / np.float32(255), "features": photos.features[:7].astype(np.float32)}
    outputs = session.run(None, inputs)[0::2]
    assert all(np.allclose(a, b[:7], atol=1e-4) for a, b in zip(outputs, run.encode(photos), strict=True))
    described = json.loads(session.get_modelmeta().custom_metadata_map["features"])
    assert described["network"] == "net.pt2" and described["side"] == SIDE
    assert {"level3_mean", "images"} <= set(result["differences"])


def test_what_does_not_fit_is_refused_before_a_step_is_made(place, network, tmp_path):
    with pytest.raises(ValueError, match="features_side is the side of a feature network"):
        train(place / "photos", out=tmp_path / "run", features_side=32, **SETTINGS)
    with pytest.raises(DataError, match="these are vectors"):
        train(np.random.default_rng(0).normal(size=(60, 4)), out=tmp_path / "run", features=network, steps=2)
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.onnx"):
        train(place / "photos", out=tmp_path / "run", features="none.onnx", **SETTINGS)
    recipe = vlae.load(place / "run").recipe if (place / "run").exists() else None
    if recipe is not None:
        with pytest.raises(ValueError, match="give the network that it was made for"):
            train(place / "photos", out=tmp_path / "run", recipe=recipe, size=8, progress=False)
    assert not (tmp_path / "run").exists()


def test_features_that_come_with_images_are_not_taken_without_being_asked_for(photos, tmp_path):
    run = train(photos, out=tmp_path / "run", **{**SETTINGS, "size": None, "steps": 2})
    assert run.recipe.code_sizes == (2, 2) and run.network is None
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["data"].keys() == {
        "source", "size", "fit", "crop", "channels", "value_range", "layout", "key", "id", "limit", "content"
    }  # fmt: skip
    asked = adjust(lean((3, 8, 8), code_sizes=(2, 2), polarity=run.recipe.levels[0].polarity), steps=2)
    assert asked.levels == run.recipe.levels


def test_the_command_line_trains_with_features(place, tmp_path, capsys):
    words = ["train", str(place / "photos"), "--out", str(tmp_path / "run"), "--size", "8", "--steps", "2"]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--features", str(place / "net.pt2"), "--features-side", "32", "--code-sizes", "2,2"])
    assert stop.value.code == 0
    assert vlae.load(tmp_path / "run").recipe.code_sizes == (2, 2, 16)
    with pytest.raises(SystemExit) as stop:
        cli.main([*words[:3], str(tmp_path / "other"), "--features", str(tmp_path / "none.onnx")])
    assert stop.value.code == 2 and "there is no file" in capsys.readouterr().err


def test_an_uploaded_picture_is_read_at_its_full_size(run, photos, place):
    from vlae.web.session import Session

    session = Session(run)
    content = (place / "photos" / photos.names[0]).read_bytes()
    assert session.studio.features_of_file(content) == pytest.approx(photos.features[:1], abs=2e-3)
    whole, names = run.part("all"), session.collection.names
    number = names.index(whole.names[3])
    assert session.collection.features([number]) == pytest.approx(whole.features[3:4])
    noise, rows = session.encoding.noise, [names.index(name) for name in whole.names[:16]]
    assert np.allclose(noise[2][rows], run.encode(whole)[2][:16], atol=1e-4)
    assert Session(vlae.load("mnist")).studio.features_of_file(b"") is None


def test_an_array_is_trained_on_with_features(network, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), dtype=np.uint8)
    run = train(pictures, out=tmp_path / "run", features=network, **{**SETTINGS, "steps": 2})
    assert run.recipe.levels[-1].num_features == 15
    assert run.encode(load(pictures, split="all", size=8, features=network))[2].shape == (60, 16)


def test_transparent_pictures_lie_on_white_in_both_ways(network, tmp_path, rng):
    from PIL import Image

    for i in range(20):
        pixels = np.zeros((SIDE, SIDE, 4), np.uint8)  # black hides where nothing is to be seen
        pixels[8:24, 8:24] = [*rng.integers(60, 120, 3), 255]
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
    run = train(tmp_path, out=tmp_path / "run", features=network, channels=4, **{**SETTINGS, "size": 16, "steps": 2})
    images = run.read(tmp_path)
    assert images.shape == (4, 16, 16)
    own = run.model.features_of(as_input(images.values)).numpy()
    assert images.features[:, :12] == pytest.approx(own[:, :12], abs=0.02)


def test_features_of_another_side_are_not_those_of_a_run(run, photos):
    assert run.features_of(photos) is photos.features
    assert run.features_of(replace(photos, features_side=8)) is None
