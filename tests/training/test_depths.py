"""Runs of pictures of more than 8 bits: the range of the training is kept, and new pictures are read by it."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from vlae.cli import main as cli
from vlae.codes.decode import decode
from vlae.codes.encode import encode
from vlae.codes.outliers import find_outliers
from vlae.runs.contents import contents_of
from vlae.runs.layout import RunError
from vlae.runs.opening import load
from vlae.training.train import train

LOW, HIGH = -1024, 3071
QUICK = {"steps": 4, "batch_size": 8, "code_sizes": (1, 2), "progress": False}


def slices(num=40, height=8, width=12):
    """Discs of some density in air, as a scanner stores them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - height / 2, x - rng.uniform(4, 8, (num, 1, 1))) < 3
    numbers = np.where(inside, rng.integers(0, HIGH, (num, 1, 1)), LOW).astype(np.int16)
    numbers[0, 0, 0] = HIGH
    return numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct")
    for i, numbers in enumerate(slices()):
        tifffile.imwrite(folder / f"{i:02}.tif", numbers)
    return folder


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return load(train(str(folder), out=tmp_path_factory.mktemp("runs") / "ct", **QUICK).path)


def test_the_range_is_kept_with_the_run(trained):
    record = json.loads((trained.path / "recipe.json").read_text())["data"]
    assert record["value_range"] == [[LOW, HIGH]]
    assert trained.value_range == ((LOW, HIGH),)
    assert trained.recipe.shape == (1, 8, 12)
    assert trained.examples.dtype == np.float32 and trained.examples.max() <= 1


def test_new_pictures_are_read_by_the_range_of_the_training(trained, tmp_path, capsys):
    numbers = np.full((1, 8, 12), 0, np.int16)
    numbers[0, 0, :2] = 5000, 1000  # its own range is another
    tifffile.imwrite(tmp_path / "new.tif", numbers[0])
    for source in (str(tmp_path / "new.tif"), numbers, numbers.astype(np.float32)):
        images = trained.read(source, progress=True)
        expected = (np.array([5000, 1000, 0]) - LOW) / (HIGH - LOW)
        assert np.allclose(images.values[0, 0, 0, :3], expected.clip(0, 1), atol=1e-6)
        said = capsys.readouterr().err
        assert "numbers from -1024 to 3071 become 0 to 1, like the training data" in said
        assert "1 numbers are outside of that range, and clipped" in said
    assert [code.shape for code in trained.encode(images)] == [(1, 1), (1, 2)]


def test_numbers_outside_of_the_range_are_counted_in_streams_too(trained, tmp_path, capsys):
    numbers = slices(3000)
    numbers[[5, 2900], 0, :2] = 5000, -3000
    shutil.copytree(trained.path, tmp_path / "run")
    run, said = load(tmp_path / "run"), "4 of the numbers that were read are outside of -1024 to 3071, and clipped"
    encode(run, numbers, tmp_path / "codes.npz", stream=True, progress=True)
    assert said in capsys.readouterr().err
    find_outliers(run, contents_of(run, numbers, stream=True), progress=True)
    assert said in capsys.readouterr().err
    how = {"value_range": f"{LOW},{HIGH}", **QUICK, "progress": True, "stream": True, "buffer": 6000}
    train(numbers, out=tmp_path / "streamed", **how)
    assert said in capsys.readouterr().err


def test_pictures_of_eight_bits_are_refused_and_named(trained, tmp_path):
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: 8 bits a channel, numbers from -1024 to 3071 are expected"):
        trained.read(str(tmp_path / "a.png"))
    with pytest.raises(ValueError, match="bytes, from 0 to 255, but value_range is -1024 to 3071"):
        trained.read(np.zeros((4, 8, 12), np.uint8))


def test_a_run_of_bytes_refuses_wider_pictures(tmp_path):
    run = train(np.random.default_rng(0).integers(0, 256, (40, 8, 12), np.uint8), out=tmp_path / "run", **QUICK)
    with pytest.raises(ValueError, match=r"has numbers of -1024 to 3071; the run in .* takes 8 bits, or 0 to 1"):
        run.read(slices())
    assert run.read(np.random.default_rng(0).random((4, 8, 12))).values.dtype == np.float32


def test_decoded_pictures_are_in_their_own_numbers(trained, folder, tmp_path):
    encode(trained, str(folder), tmp_path / "codes.parquet")
    decode(trained, tmp_path / "codes.parquet", tmp_path / "out.npz")
    images = np.load(tmp_path / "out.npz")["images"]
    window = trained.decode(trained.encode(trained.read(str(folder))))
    assert images.dtype == np.float32
    assert np.allclose(images, LOW + (HIGH - LOW) * window, atol=0.1)
    decode(trained, tmp_path / "codes.parquet", tmp_path / "png")
    assert np.abs(np.asarray(Image.open(tmp_path / "png" / "00.png")) - 255 * window[0, 0]).max() <= 0.51


def test_decoded_pictures_of_sixteen_bits_go_back_into_the_run(tmp_path):
    run = train((slices() + 1024).astype(np.uint16), out=tmp_path / "run", **QUICK)
    assert run.value_range == ((0, 4095),)
    encode(run, (slices() + 1024).astype(np.uint16), tmp_path / "codes.parquet")
    decode(run, tmp_path / "codes.parquet", tmp_path / "png")
    again = run.read(str(tmp_path / "png"))
    assert np.abs(again.values - run.decode(run.encode(run.read((slices() + 1024).astype(np.uint16))))).max() < 1e-3


def test_resume_keeps_the_range(trained, folder, tmp_path):
    path = tmp_path / "run"
    train(str(folder), out=path, value_range="-1000,2000", **QUICK)
    (path / "model.safetensors").unlink()
    with pytest.raises(RunError, match="value_range"):
        train(str(folder), out=path, value_range="0,2000", resume=True, progress=False)
    run = train(str(folder), out=path, value_range="-1000,2000", resume=True, progress=False)
    assert run.value_range == ((-1000, 2000),)


def test_the_command_line_takes_and_says_the_range_and_the_fit(folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["data", str(folder), "--value-range", "-1000,3000", "--size", "16x8", "--fit", "pad"])
    printed = capsys.readouterr().out
    assert "-1000 to 3000" in printed and "repeated edges, to 8×16" in printed and "num_clipped" in printed


def test_five_channels(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 9999, (40, 5, 8, 8), np.uint16)
    run = train(numbers, out=tmp_path / "run", **QUICK)
    assert run.recipe.shape == (5, 8, 8) and len(run.value_range) == 5
    encode(run, numbers, tmp_path / "codes.parquet")
    with pytest.raises(ValueError, match=r"5 channels are no pictures; give an \.npz file"):
        decode(run, tmp_path / "codes.parquet", tmp_path / "png")


def test_bands_are_no_opacity(tmp_path, capsys):
    numbers = np.random.default_rng(0).integers(0, 9999, (40, 4, 8, 8), np.uint16)
    run = train(numbers, out=tmp_path / "run", **QUICK | {"progress": True})
    assert "4 channels; figures show 1, 2, 3 as red, green, blue" in capsys.readouterr().err
    original = np.asarray(run.figure("reconstructions", out=tmp_path / "a.png", num=1))
    assert (original == (255 * run.examples[0, :3, 0, 0]).round()).all(-1).any()


def test_runs_of_a_shape_that_is_not_square_fit_new_pictures(tmp_path):
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "a.png")
    run = train(np.random.default_rng(0).integers(0, 256, (40, 8, 12), np.uint8), out=tmp_path / "run", **QUICK)
    assert run.read(str(tmp_path / "a.png")).shape == (1, 8, 12)
