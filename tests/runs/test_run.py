import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import vlae
from vlae import atomic, runs
from vlae.atomic import WriteError
from vlae.data import DataError
from vlae.errors import NotDefinedError
from vlae.evaluation import dimension_names
from vlae.figures.kinds import KINDS
from vlae.runs.layout import RunError
from vlae.workflows import train


def quick(out, source, **settings):
    return train(source, out=out, steps=4, batch_size=8, code_sizes=(1, 2), progress=False, **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    return quick(tmp_path_factory.mktemp("runs") / "run", pictures)


@pytest.fixture(scope="module")
def of_vectors(tmp_path_factory):
    return quick(tmp_path_factory.mktemp("runs") / "run", np.random.default_rng(0).normal(size=(60, 5)))


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained.path, tmp_path / "copy")


def test_what_is_loaded_is_what_was_saved_to_the_bit(trained):
    loaded = vlae.load(str(trained.path))
    assert isinstance(loaded, vlae.Run)
    for part in ("path", "recipe", "data", "summary"):
        assert getattr(loaded, part) == getattr(trained, part)
    assert np.array_equal(loaded.examples, trained.examples)
    assert not loaded.model.training
    state = trained.model.state_dict()
    assert state.keys() == loaded.model.state_dict().keys()
    assert all(torch.equal(weights, state[name]) for name, weights in loaded.model.state_dict().items())
    x = trained.examples
    assert all(np.array_equal(a, b) for a, b in zip(loaded.encode(x), trained.encode(x), strict=True))


def test_the_model_infers_and_generates(trained):
    x = vlae.as_input(trained.examples)
    posteriors = trained.model.infer(x)
    assert [tuple(q.mean.shape) for q in posteriors] == [(len(x), 1), (len(x), 2)]
    assert trained.model.generate(tuple(q.mean for q in posteriors)).mean.shape == x.shape


def test_encode_and_decode(trained):
    x = trained.examples
    codes = trained.encode(x, batch_size=5)
    assert [code.shape for code in codes] == [(len(x), 1), (len(x), 2)]
    assert all(code.dtype == np.float32 for code in codes)
    for same in (x / 255, torch.tensor(x), (x / 255).astype(np.float32)):
        for code, again in zip(codes, trained.encode(same), strict=True):
            np.testing.assert_allclose(code, again, atol=1e-5)
    np.testing.assert_allclose(trained.encode(x[0])[1], codes[1][:1], atol=1e-5)

    pictures = trained.decode(codes, batch_size=5)
    assert pictures.shape == x.shape
    assert pictures.dtype == np.float32
    assert 0 <= pictures.min() <= pictures.max() <= 1
    mse = ((pictures - x / 255) ** 2).mean()
    assert mse == pytest.approx(trained.summary["reconstruction"]["mse"], rel=1e-4)
    np.testing.assert_allclose(pictures, trained.decode([code.tolist() for code in codes]), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 1, 8, 8), np.uint8), r"shape \(2, 1, 8, 8\) is given; this model takes \(N, 3, 8, 8\)"),
        (np.zeros((0, 3, 8, 8), np.uint8), "this model takes"),
        (np.full((2, 3, 8, 8), 2.0), "values from 2 to 2 are given; images are uint8, or floats in"),
        (np.full((2, 3, 8, 8), -0.1), "values from -0.1"),
        (np.full((2, 3, 8, 8), np.nan), "nothing may be NaN"),
    ],
)
def test_what_cannot_be_encoded_is_named(trained, x, words):
    with pytest.raises(ValueError, match=words):
        trained.encode(x)


@pytest.mark.parametrize(
    "codes",
    [(), (np.zeros((2, 1)),), (np.zeros((2, 2)), np.zeros((2, 1))), (np.zeros((2, 1)), np.zeros((3, 2))), (1, 2)],
)
def test_codes_of_another_ladder_are_refused(trained, codes):
    with pytest.raises(ValueError, match=r"this ladder's are \(N, 1\), \(N, 2\), level 1 first"):
        trained.decode(codes)


def test_vectors_are_encoded_as_they_are(of_vectors):
    codes = of_vectors.encode(of_vectors.examples)
    assert of_vectors.decode(codes).shape == of_vectors.examples.shape
    with pytest.raises(ValueError, match="nothing may be NaN or infinite"):
        of_vectors.encode(np.full((2, 5), np.inf))


# Figures


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "classes"])
def test_every_figure_is_drawn_and_kept(copy, kind):
    (copy / "figures" / f"{kind}.png").unlink()
    run = runs.load(copy)
    picture = run.figure(kind)
    assert isinstance(picture, Image.Image)
    assert np.array_equal(np.asarray(picture), np.asarray(Image.open(copy / "figures" / f"{kind}.png")))


def test_a_figure_takes_options_and_another_place(trained, tmp_path):
    before = (trained.path / "figures" / "levels.png").stat().st_mtime_ns
    small = trained.figure("levels", num=2, seed=1, out=tmp_path / "new" / "a.png")
    assert Image.open(tmp_path / "new" / "a.png").size == small.size
    assert trained.figure("levels", num=3, out=tmp_path / "b.png").width > small.width
    assert (trained.path / "figures" / "levels.png").stat().st_mtime_ns == before


def test_names_of_dimensions_are_computed_once_for_these_weights_and_examples(copy, cache, monkeypatch):
    calls, compute = [], dimension_names.dimension_names
    first = runs.load(copy)
    expected = compute(first.model, first.examples, prior=first.prior)
    monkeypatch.setattr(
        dimension_names, "dimension_names", lambda *args, **settings: calls.append(None) or compute(*args, **settings)
    )
    assert first.dimension_names == runs.load(copy).dimension_names == expected
    assert len(calls) == 1
    np.save(copy / "examples.npy", 255 - first.examples)
    assert runs.load(copy).dimension_names
    assert len(calls) == 2


def test_figures_with_options_have_names_of_their_own(copy):
    run = runs.load(copy)
    before = (copy / "figures" / "levels.png").read_bytes()
    files = [run.figure("levels", num=2, seed=seed).filename for seed in (3, 4, 3)]
    assert files == [str(copy / "figures" / f"levels-num-2-seed-{seed}.png") for seed in (3, 4, 3)]
    assert (copy / "figures" / "levels.png").read_bytes() == before
    starts = [run.figure("levels", num=2, from_image=run.examples[i]).filename for i in (0, 1, 0)]
    own = str(copy / "figures" / "levels-num-2-from-image.png")
    assert starts == [own, own.replace(".png", "-2.png"), own]


def test_a_figure_starts_from_a_picture_of_any_size(trained, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.jpg")
    for kind in ("levels", "traversal"):
        held = [
            trained.figure(kind, from_image=image, out=tmp_path / "a.png")
            for image in (tmp_path / "photo.png", str(tmp_path / "grey.jpg"), trained.examples[1], None)
        ]
        assert len({picture.size for picture in held}) == 1
        assert len({picture.tobytes() for picture in held}) == 4
        own = trained.figure(kind, from_image=trained.examples[0], out=tmp_path / "a.png")
        assert own == held[-1], "by default it starts from the first example"
        drawn = [trained.figure(kind, start="random", seed=seed, out=tmp_path / "a.png") for seed in (0, 1)]
        assert drawn[0] != drawn[1] and own not in drawn


def test_a_figure_of_vectors_starts_from_one(of_vectors, tmp_path):
    np.save(tmp_path / "one.npy", of_vectors.examples[:1])
    for kind in KINDS:
        assert (of_vectors.path / "figures" / f"{kind}.png").exists() == (kind != "classes")
    assert of_vectors.figure("levels", from_image=tmp_path / "one.npy") == of_vectors.figure(
        "levels", from_image=of_vectors.examples[0]
    )


def test_figures_that_cannot_be_had_are_refused(trained, tmp_path):
    with pytest.raises(NotDefinedError, match="the model has no classes; train one with labels"):
        trained.figure("classes")
    with pytest.raises(ValueError, match="no figure 'lvls'; choose one of levels, samples"):
        trained.figure("lvls")
    with pytest.raises(ValueError, match="a 'samples' figure has no option span; it has prior, num, seed"):
        trained.figure("samples", span=3)
    for span in (float("nan"), 0.0, -1.0, float("inf"), 1e9):
        with pytest.raises(ValueError, match="span is"):
            trained.figure("levels", span=span)
        with pytest.raises(ValueError, match="span is"):
            trained.figure("traversal", span=span)
    with pytest.raises(ValueError, match="a 'progress' figure has no option seed; it has none"):
        trained.figure("progress", seed=3)
    with pytest.raises(ValueError, match="does not start from one image"):
        trained.figure("samples", from_image=trained.examples[0])
    with pytest.raises(ValueError, match="give one of the two"):
        trained.figure("levels", from_image=trained.examples[0], start="random")
    with pytest.raises(ValueError, match="prior is 'best'; choose one of fitted, standard"):
        trained.figure("levels", prior="best")
    with pytest.raises(ValueError, match="a 'mix' figure has no option prior"):
        trained.figure("mix", prior="standard")
    with pytest.raises(
        ValueError, match="what is given has 2 data; give one: a picture, or a table or an array of one row"
    ):
        trained.figure("levels", from_image=trained.examples[:2])
    with pytest.raises(ValueError, match=r"ends in \.png"):
        trained.figure("levels", out=tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError):
        trained.figure("levels", from_image=tmp_path / "none.png")
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(ValueError, match=r"words.png"):
        trained.figure("levels", from_image=tmp_path / "words.png")
    with pytest.raises(WriteError, match="cannot be written"):
        trained.figure("levels", out="/dev/null/a.png")


# Folders that are not whole


def test_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run folder .*none; train one with: vlae train DATA --out"):
        runs.load(tmp_path / "none")


def test_the_folder_holds_no_run(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: there is no recipe\.json in it"):
        runs.load(tmp_path)


def test_the_run_is_not_finished(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"not finished, and has no checkpoint yet; go on with: vlae train --resume .*copy"
    ):
        runs.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "summary.json", "examples.npy"])
@pytest.mark.parametrize("length", [0, 7, 100])
def test_a_file_is_cut_short(copy, name, length):
    (copy / name).write_bytes((copy / name).read_bytes()[:length])
    with pytest.raises(RunError, match=r"the run in .* is damaged \(.*\); train it again into another folder") as error:
        runs.load(copy)
    assert "\n" not in str(error.value)


def test_a_weight_is_no_number(copy):
    tensors = load_file(copy / "model.safetensors")
    max(tensors.values(), key=torch.numel).view(-1)[0] = float("nan")
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(
        RunError, match=r"damaged \(numbers of .* are NaN or infinite\); train it again into another folder"
    ):
        runs.load(copy)


@pytest.mark.parametrize("name", ["summary.json", "examples.npy"])
def test_a_file_is_missing(copy, name):
    (copy / name).unlink()
    with pytest.raises(RunError, match="is damaged"):
        runs.load(copy)


def test_weights_of_another_model(copy, of_vectors):
    shutil.copy(of_vectors.path / "model.safetensors", copy)
    with pytest.raises(RunError, match="is damaged") as error:
        runs.load(copy)
    assert "\n" not in str(error.value)


def spoil(change):
    def write(copy):
        record = json.loads((copy / "recipe.json").read_text())
        change(record)
        (copy / "recipe.json").write_text(json.dumps(record))

    return write


@pytest.mark.parametrize(
    "change",
    [
        lambda copy: (copy / "recipe.json").write_text("{"),
        lambda copy: (copy / "recipe.json").write_text("[1]"),
        spoil(lambda record: record.pop("recipe")),
        spoil(lambda record: record.pop("data")),
        spoil(lambda record: record["recipe"].pop("levels")),
        spoil(lambda record: record["recipe"].update(colour="red")),
        spoil(lambda record: record["recipe"]["training"].update(steps=0)),
        spoil(lambda record: record["recipe"]["training"].update(from_a_newer_vlae=1)),
    ],
)
def test_the_recipe_is_damaged(copy, change):
    change(copy)
    with pytest.raises(RunError, match=r"recipe.json cannot be read: "):
        runs.load(copy)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic.whole(file) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
    with atomic.whole(file) as partial:
        partial.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]


def test_pictures_are_cropped_as_in_training(tmp_path, rng):
    """The middle 8 × 8 is dark, the rim is white: who forgets the crop sees white."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(24):
        pixels = np.full((16, 16), 255, np.uint8)
        pixels[4:12, 4:12] = rng.integers(0, 60, (8, 8))
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    run = quick(tmp_path / "run", str(folder), crop=8)
    assert run.read(folder / "00.png").values.max() < 60
    assert run.read(folder).values.max() < 60


def test_pictures_of_more_bits_are_left_out_whatever_the_others_are(tmp_path, rng):
    """A run of bytes takes the same pictures of a mixed folder as a whole and shard by shard."""
    folder = tmp_path / "photos"
    folder.mkdir()
    run = quick(tmp_path / "run", rng.integers(0, 256, (24, 8, 8), np.uint8))
    for i in range(12):
        pixels = rng.integers(0, 256, (8, 8))
        image = Image.fromarray((pixels * 257).astype(np.uint16) if i >= 4 else pixels.astype(np.uint8))
        image.save(folder / f"{i:02d}.png")
    whole = run.read(folder)
    assert whole.names == ("00.png", "01.png", "02.png", "03.png")
    assert dict(whole.skipped)["04.png"].startswith("more than 8 bits a channel, the training data have 8 bits")
    assert run.read(folder, shard="1/2").names == whole.names
    with pytest.raises(DataError, match="none of its 6 pictures can be read"):  # which a command takes for an empty one
        run.read(folder, shard="2/2")
    for i in range(4):
        (folder / f"{i:02d}.png").unlink()
    for shard in (None, "1/1"):
        with pytest.raises(ValueError, match=r"has numbers of .*; the run in .* takes 8 bits"):
            run.read(folder, shard=shard)
    with pytest.raises(DataError, match=r"none of its 4 pictures .* have 8 bits a channel\); convert them$"):
        run.read(folder, shard="1/2")


@pytest.mark.parametrize("celeba", [True, False])
def test_the_usual_crop_of_the_training_data_is_that_of_all_others(tmp_path, rng, celeba):
    """Trained on CelebA, a run crops a folder of any name, and one picture; else it crops nothing, not even CelebA."""
    named, other = tmp_path / "img_align_celeba", tmp_path / "faces"
    named.mkdir()
    for i in range(24):
        pixels = rng.integers(0, 256, (218, 178, 3), np.uint8)
        pixels[55:163, 35:143] //= 8  # what the crop leaves is dark
        Image.fromarray(pixels).save(named / f"{i:02d}.png")
    shutil.copytree(named, other)
    run = quick(tmp_path / "run", str(named if celeba else other), **({} if celeba else {"size": 64}))
    assert run.data["crop"] == (108 if celeba else 0)
    assert run.part("all").crop == (108 if celeba else None)
    whole = run.read(named)
    assert (whole.values.max() < 60) == celeba
    assert (run.read(other).values == whole.values).all()
    assert (run.read(named / "03.png").values == whole.values[3]).all()
    assert (run.read(whole).values == whole.values).all()  # which is cut already
    Image.fromarray(whole.values[0].transpose(1, 2, 0)).save(tmp_path / "cut.png")
    assert (run.read(tmp_path / "cut.png").values == whole.values[0]).all()
    run.data["crop"] = None  # a run of an earlier version, of which nobody knows
    assert run.read(named).crop == 108
    assert run.read(other).crop is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.sample(2.5), "num is 2.5; give a whole number from 1 up"),
        (lambda run: run.sample(2, seed=None), "seed is None; give a whole number from 0 to 4294967295"),
        (lambda run: run.sample(2, seed=-1), "seed is -1"),
        (lambda run: run.sample(2, batch_size=0), "batch_size is 0; give a whole number from 1 up"),
        (lambda run: run.encode(run.examples, batch_size=-1), "batch_size is -1"),
        (lambda run: run.stddevs(run.examples, batch_size=0), "batch_size is 0"),
        (lambda run: run.decode(run.encode(run.examples), batch_size=0), "batch_size is 0"),
        (lambda run: run.fit_prior(seed=1.5), "seed is 1.5"),
        (lambda run: run.read(np.zeros((9, 8, 8, 3), np.uint8), limit=2.5), "limit is 2.5"),
        (lambda run: run.read(np.zeros((9, 8, 8, 3), np.uint8), limit=2, seed="a"), "seed is 'a'"),
        (lambda run: run.figure(seed=-1), "seed is -1"),
        (lambda run: run.figure("samples", seed=2**32), "seed is 4294967296"),
        (lambda run: run.figure("traversal", seed=-1), "seed is -1"),
        (lambda run: vlae.mix(run, {1: run.examples[0]}, fill=True, seed=0.5), "seed is 0.5"),
        (lambda run: vlae.evaluate(run, run.examples, seed="a"), "seed is 'a'"),
        (lambda run: vlae.evaluate(run, run.examples, importance_samples=0.5), "importance_samples is 0.5"),
        (lambda run: vlae.compare(["lean"], data=["digits"], out="x", seeds=1.5), "seeds is 1.5"),
    ],
)
def test_what_is_no_whole_number_is_refused_in_a_line(trained, call, message):
    with pytest.raises(ValueError, match=message):
        call(trained)


def test_a_whole_number_may_be_a_float(trained):
    assert np.array_equal(trained.sample(2.0, seed=1.0), trained.sample(2, seed=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_codes_that_are_not_finite_are_refused(trained, bad):
    codes = [code.astype(float) for code in trained.encode(trained.examples)]
    codes[1][2, 0] = bad
    with pytest.raises(ValueError, match="the code of level 2 in row 2 is NaN or infinite; leave such rows out"):
        trained.decode(codes)


@pytest.mark.parametrize(("kind", "options"), [("samples", {"num": 70_000}), ("levels", {"num": 200}),
                                               ("traversal", {"steps": 20_000})])  # fmt: skip
def test_a_figure_that_could_not_be_opened_is_not_drawn(trained, kind, options, monkeypatch, tmp_path):
    monkeypatch.setattr(type(trained.model), "decode", None)
    with pytest.raises(ValueError, match="million pixels, and 89 million are the most: draw fewer"):
        trained.figure(kind, out=tmp_path / "a.png", **options)
    assert not list(tmp_path.iterdir())
