"""Pictures and arrays of more than 8 bits: 16 bits, signed numbers, floats, many channels."""

from io import BytesIO

import imagecodecs
import numpy as np
import pyarrow
import pytest
import tifffile
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from vlae.data import DataError, load
from vlae.data.depths import out_of_range
from vlae.data.files import open_picture
from vlae.data.images import say_form
from vlae.data.wide import is_wide, num_channels, numbers_of


def own(images):
    """The images in the own numbers of their source."""
    return images.values if images.value_range is None else out_of_range(images.values, images.value_range)


def save_png(file, numbers):
    file.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(numbers)))


def everything(folder, **settings):
    return load(folder, split="all", **settings)


# Pictures


def test_a_camera_of_twelve_bits_keeps_all_of_them(tmp_path, rng):
    numbers = rng.integers(0, 4096, (3, 16, 20), np.uint16)
    numbers[0, 0, :2] = 0, 4095
    for i in range(3):
        save_png(tmp_path / f"{i}.png", numbers[i])
    images = everything(tmp_path)
    assert images.value_range == ((0, 4095),)
    assert images.values.dtype == np.float32 and images.values.min() == 0 and images.values.max() == 1
    assert np.allclose(own(images)[:, 0], numbers, atol=1e-3)
    assert len(np.unique(images.values)) == len(np.unique(numbers))


@pytest.mark.parametrize("kind", ["P5", "P6", "P2", "P3"])
@pytest.mark.parametrize("largest", [4095, 65535])
def test_a_portable_map_keeps_the_numbers_that_are_written(tmp_path, rng, kind, largest):
    numbers = rng.integers(0, largest + 1, (3, 8, 10, 3 if kind in ("P6", "P3") else 1), np.uint16)
    for i in range(3):
        written = numbers[i].astype(">u2").tobytes()
        plain = " ".join(map(str, numbers[i].ravel().tolist())).encode()
        header = f"{kind}\n10 8\n{largest}\n".encode()
        (tmp_path / f"{i}.ppm").write_bytes(header + (written if kind in ("P5", "P6") else plain))
    assert np.allclose(own(everything(tmp_path)), numbers.transpose(0, 3, 1, 2), atol=largest * 1e-6)


def test_a_portable_map_that_is_cut_off_or_of_eight_bits(tmp_path, rng):
    numbers = rng.integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(numbers).save(tmp_path / "a.pgm")
    assert np.array_equal(everything(tmp_path).values[0, 0], numbers)
    (tmp_path / "a.pgm").write_bytes(b"P5\n8 8\n4095\n" + bytes(100))
    with pytest.raises(DataError, match=r"a\.pgm: "):
        everything(tmp_path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("colour", [False, True])
def test_a_portable_float_map(tmp_path, rng, order, colour):
    numbers = rng.normal(size=(3, 8, 10)).astype(np.float32)
    for i in range(3):
        header = f"Pf\n10 8\n{'-' if order == '<' else ''}1.0\n".encode()  # the sign is the order of bytes
        (tmp_path / f"{i}.pfm").write_bytes(header + numbers[i, ::-1].astype(f"{order}f4").tobytes())  # from below
    if colour:  # Pillow reads none
        (tmp_path / "0.pfm").write_bytes(b"PF\n10 8\n-1.0\n" + bytes(8 * 10 * 3 * 4))
    images = everything(tmp_path)
    assert [file for file, _ in images.skipped] == ["0.pfm"] * colour
    assert np.allclose(own(images)[:, 0], numbers[int(colour) :], atol=1e-6)


def test_floats_beside_whole_numbers_of_sixteen_bits_are_left_out(tmp_path, rng):
    for i in range(4):
        save_png(tmp_path / f"{i}.png", rng.integers(0, 65536, (8, 8), np.uint16))
    tifffile.imwrite(tmp_path / "a.tif", rng.random((8, 8)).astype(np.float32))
    images = everything(tmp_path)
    assert len(images) == 4 and images.value_range[0][1] > 60_000
    [(file, why)] = images.skipped
    assert (file, why) == (
        "a.tif",
        "floats, others have whole numbers of more than 8 bits; read it apart, or say the value_range of all",
    )
    assert len(everything(tmp_path, value_range=(0, 65535))) == 5
    for i in range(5):
        tifffile.imwrite(tmp_path / f"b{i}.tif", rng.random((8, 8)).astype(np.float32))
    images = everything(tmp_path)
    assert len(images) == 6 and len(images.skipped) == 4
    assert images.skipped[0][1].startswith("whole numbers of more than 8 bits, others have floats")


def test_complex_numbers_are_refused_not_halved(tmp_path, rng):
    tifffile.imwrite(tmp_path / "0.tif", rng.random((8, 8)).astype(np.complex64))
    with pytest.raises(DataError, match=r"0\.tif: numbers of type complex64; save real ones"):
        everything(tmp_path)


def test_a_picture_of_many_channels_is_read_without_noise(tmp_path, rng, caplog, capfd):
    for i in range(3):
        numbers = rng.integers(0, 256, (8, 8, 7), np.uint8)
        tifffile.imwrite(tmp_path / f"{i}.tif", numbers, photometric="minisblack", planarconfig="contig")
    assert everything(tmp_path).shape == (7, 8, 8)
    assert capfd.readouterr().err == ""


def test_computed_tomography_keeps_its_signed_numbers(tmp_path, rng):
    numbers = rng.integers(-1024, 3072, (3, 16, 16), np.int16)
    numbers[0, 0, :2] = -1024, 3071
    for i in range(3):
        tifffile.imwrite(tmp_path / f"{i}.tif", numbers[i])
    images = everything(tmp_path)
    assert images.value_range == ((-1024, 3071),)
    assert np.allclose(own(images)[:, 0], numbers, atol=1e-3)


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tiff_of_every_type_and_channels(tmp_path, rng, kind, channels):
    numbers = (rng.random((channels, 16, 12)) * 200 - 90).astype(kind)
    settings = {"photometric": "rgb" if channels == 3 else "minisblack"}
    for name, planes in (("contig", numbers.transpose(1, 2, 0)), ("separate", numbers)):
        layout = {"planarconfig": name} if channels > 1 else {}
        tifffile.imwrite(tmp_path / f"{name}.tif", planes.squeeze(), **settings, **layout)
    images = everything(tmp_path)
    assert images.shape == (channels, 16, 12)
    assert np.allclose(own(images), numbers[None], rtol=1e-6, atol=max(1e-5, 1e-7 * np.ptp(numbers.astype(float))))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits"])
def test_packed_tiff(tmp_path, rng, compression):
    numbers = rng.integers(0, 60_000, (16, 16, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="rgb", compression=compression)
    assert np.allclose(own(everything(tmp_path))[0], numbers.transpose(2, 0, 1), atol=0.02)


def test_sixteen_bit_colour_png_keeps_both_bytes(tmp_path, rng):
    numbers = rng.integers(0, 65_536, (16, 16, 3), np.uint16)
    save_png(tmp_path / "a.png", numbers)
    assert np.allclose(own(everything(tmp_path))[0], numbers.transpose(2, 0, 1), atol=0.02)


def test_opacity_of_sixteen_bits_is_laid_on_white(tmp_path):
    numbers = np.zeros((16, 16, 4), np.uint16)
    numbers[:8, :, 3] = 65_535
    save_png(tmp_path / "a.png", numbers)
    tifffile.imwrite(tmp_path / "b.tif", numbers, photometric="rgb", extrasamples=["unassalpha"])
    save_png(tmp_path / "c.png", numbers[:, :, 2:])
    images = everything(tmp_path)
    assert images.shape == (3, 16, 16)
    assert (images.values[:, :, :8] == 0).all() and (images.values[:, :, 8:] == 1).all()


def test_wide_pictures_are_turned_as_exif_says(tmp_path, rng):
    numbers = rng.integers(0, 4096, (16, 12), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", numbers, extratags=[(274, "H", 1, 6, True)])
    tifffile.imwrite(tmp_path / "b.tif", numbers.astype(np.float64), extratags=[(274, "H", 1, 6, True)])
    images = everything(tmp_path, value_range=(0, 4095))
    assert not images.skipped
    assert np.allclose(own(images)[:, 0], np.rot90(numbers, -1), atol=1e-3)


def test_floats_between_0_and_1_keep_their_precision(tmp_path, rng):
    numbers = rng.random((2, 16, 16), np.float32)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", numbers[i])
    images = everything(tmp_path)
    assert images.value_range is None
    assert (images.values[:, 0] == numbers).all()
    assert (load(numbers, split="all").values[:, 0] == numbers).all()


def test_a_picture_with_nan_is_left_out_and_named(tmp_path):
    numbers = np.ones((16, 16), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", 5 * numbers)
    numbers[3, :2] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "b.tif", numbers)
    assert everything(tmp_path).skipped == (("b.tif", "2 values are NaN or infinite; fill them"),)
    (tmp_path / "a.tif").unlink()
    with pytest.raises(DataError, match=r"b\.tif.*NaN"):
        everything(tmp_path)


def test_pictures_of_another_depth_are_left_out_and_named(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((16, 16), i, np.uint8)).save(tmp_path / f"{i}.png")
    save_png(tmp_path / "deep.png", np.full((16, 16), 4000, np.uint16))
    images = everything(tmp_path)
    assert images.values.dtype == np.uint8 and len(images) == 3
    [(name, reason)] = images.skipped
    assert name == "deep.png" and "more than 8 bits a channel" in reason and "convert it" in reason
    with_range = everything(tmp_path, value_range=(0, 4095))
    assert [name for name, _ in with_range.skipped] == ["0.png", "1.png", "2.png"]


def test_pictures_of_other_channels_are_left_out_and_named(tmp_path, rng):
    for i, channels in enumerate((5, 5, 4)):
        numbers = rng.integers(0, 999, (16, 16, channels), np.uint16)
        tifffile.imwrite(tmp_path / f"{i}.tif", numbers, photometric="minisblack", planarconfig="contig")
    assert everything(tmp_path).skipped == (("2.tif", "4 channels, expected 5"),)
    with pytest.raises(
        DataError, match=r"5 channels, expected 2; pictures of .* no opacity\); ask for as many channels"
    ):
        everything(tmp_path, channels=2)


@pytest.mark.parametrize(("usual", "odd", "left"), [(3, 5, 3), (1, 5, 1), (2, 5, 2), (5, 3, 5)])
def test_one_picture_of_other_channels_leaves_out_itself_alone(tmp_path, rng, usual, odd, left):
    for name, channels in (*((f"{i}.tif", usual) for i in range(5)), ("z.tif", odd)):
        numbers = rng.integers(0, 60_000, (16, 16, channels)).astype(np.uint16)
        planes = None if channels == 1 else "contig"
        tifffile.imwrite(tmp_path / name, numbers.squeeze(), photometric="minisblack", planarconfig=planes)
    images = everything(tmp_path)
    assert images.shape == (left, 16, 16) and [name for name, _ in images.skipped] == ["z.tif"]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
@pytest.mark.parametrize("planes", [None, "contig", "separate"])
def test_a_tiff_whose_0_is_white_is_turned(tmp_path, rng, kind, planes):
    numbers = rng.integers(0, np.iinfo(kind).max, (16, 16), endpoint=True, dtype=kind)
    whole = numbers
    if planes:  # with another channel, which has a meaning of its own
        whole = np.stack([numbers, numbers], -1 if planes == "contig" else 0)
    extra = {"planarconfig": planes, "extrasamples": [0]} if planes else {}
    tifffile.imwrite(tmp_path / "a.tif", whole, photometric="miniswhite", **extra)
    with open_picture(tmp_path / "a.tif") as image:
        read = numbers_of(image)
    assert np.array_equal(read[0], np.iinfo(kind).max - numbers)
    assert planes is None or np.array_equal(read[1], numbers)


def test_a_tiff_whose_0_is_white_looks_alike_in_eight_and_sixteen_bits(tmp_path):
    numbers = np.arange(256).reshape(16, 16)
    for name, kind, factor in (("8", np.uint8, 1), ("16", np.uint16, 257)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", (numbers * factor).astype(kind), photometric="miniswhite")
    assert everything(tmp_path / "16").values == pytest.approx(everything(tmp_path / "8").values / 255)


def test_numbers_with_a_sign_and_of_twelve_bits_whose_0_is_white(tmp_path):
    for kind in (np.int16, np.float32):
        numbers = np.arange(-128, 128).reshape(16, 16).astype(kind)
        tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="miniswhite")
        with open_picture(tmp_path / "a.tif") as image:
            assert np.array_equal(numbers_of(image)[0], numbers)
    numbers = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="miniswhite", bitspersample=12)
    with open_picture(tmp_path / "a.tif") as image:
        assert np.array_equal(numbers_of(image)[0], 4095 - numbers)


def test_grey_and_colour_of_sixteen_bits_become_colour(tmp_path):
    save_png(tmp_path / "a.png", np.full((16, 16), 1000, np.uint16))
    save_png(tmp_path / "b.png", np.full((16, 16, 3), [0, 1000, 2000], np.uint16))
    assert np.allclose(own(everything(tmp_path))[:, :, 0, 0], [[1000, 1000, 1000], [0, 1000, 2000]], atol=1e-3)
    grey = own(everything(tmp_path, channels=1))[:, 0, 0, 0]
    assert np.allclose(grey, [1000, 0.587 * 1000 + 0.114 * 2000], atol=1e-3)


def test_resizing_does_not_leave_the_numbers_of_the_picture(tmp_path):
    numbers = np.zeros((100, 100), np.int16)
    numbers[:, 50:] = 3000
    tifffile.imwrite(tmp_path / "a.tif", numbers)
    images = everything(tmp_path)
    assert images.shape == (1, 64, 64)
    assert images.value_range == ((0, 3000),)


def test_damaged_wide_pictures_are_left_out(tmp_path, rng):
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", rng.integers(0, 999, (64, 64, 5), np.uint16), planarconfig="contig")
    content = (tmp_path / "1.tif").read_bytes()
    (tmp_path / "1.tif").write_bytes(content[: len(content) // 2])
    assert [name for name, _ in everything(tmp_path).skipped] == ["1.tif"]


def test_too_many_channels_are_refused_before_they_are_decoded(tmp_path, rng):
    tifffile.imwrite(tmp_path / "a.tif", rng.integers(0, 9, (16, 16, 17), np.uint16), planarconfig="contig")
    with pytest.raises(DataError, match="17 channels"):
        everything(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(np.uint16, "a.png"), *((kind, name) for kind in (np.uint16, np.int32, np.float32) for name in ("a.tif", None))],
)
def test_pictures_that_pillow_has_decoded_keep_their_numbers(tmp_path, kind, name):
    numbers = (np.arange(256).reshape(16, 16) * 200).astype(kind)
    image = Image.fromarray(numbers)
    if name is not None:
        image.save(tmp_path / name)
        image = Image.open(tmp_path / name)
        image.load()
    assert is_wide(image) and num_channels(image) == 1
    assert (numbers_of(image) == numbers).all()


def test_a_table_of_sixteen_bit_pictures(tmp_path, rng):
    numbers = rng.integers(0, 65_536, (4, 16, 16, 3), np.uint16)
    cells = [{"bytes": imagecodecs.png_encode(one), "path": None} for one in numbers]
    parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "a.parquet")
    assert np.allclose(own(everything(tmp_path / "a.parquet")), numbers.transpose(0, 3, 1, 2), atol=0.02)


@pytest.mark.parametrize("largest", [0.02, 1])
def test_floats_of_sixteen_bits_are_not_rounded_to_bytes(rng, largest):
    every_byte = np.arange(256).reshape(1, 16, 16)
    halves = (rng.random((20, 16, 16)) * largest).astype(np.float16)
    images = load(halves, split="all")
    assert images.values.dtype == np.float32 and np.array_equal(images.values[:, 0], halves)
    for made in (np.float16(1 / 255) * every_byte.astype(np.float16), (every_byte / 255).astype(np.float16)):
        assert np.array_equal(load(made, split="all").values[0, 0], every_byte[0])


def test_big_endian_numbers(rng):
    numbers = rng.integers(-999, 999, (4, 8, 8)).astype(">i2")
    assert np.allclose(own(load(numbers, split="all"))[:, 0], numbers, atol=1e-3)


# Arrays


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.float32, np.float64])
def test_arrays_keep_their_numbers(tmp_path, rng, kind, suffix):
    numbers = (rng.random((5, 3, 16, 16)) * 5000).astype(kind)
    file = tmp_path / f"a.{suffix}"
    np.save(file, numbers) if suffix == "npy" else np.savez(file, images=numbers)
    for images in (load(numbers, split="all"), everything(file), everything(file)):
        assert np.allclose(own(images), numbers, atol=1e-3)
        assert images.value_range == tuple((n.min(), n.max()) for n in numbers.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("channels", [5, 16])
def test_arrays_of_many_channels(rng, channels):
    array = rng.integers(0, 256, (4, 20, 24, channels), np.uint8)
    assert (load(array, split="all").values == array.transpose(0, 3, 1, 2)).all()
    smaller = load(array, split="all", size=8).values
    assert smaller.dtype == np.uint8 and smaller.shape == (4, channels, 8, 8)
    assert abs(smaller.mean() - array.mean()) < 3


def test_a_constant_channel_is_0():
    images = load(np.full((4, 8, 8), 300), split="all")
    assert (images.values == 0).all()
    assert images.value_range == ((300, 301),)


# The range


def test_a_range_that_is_asked_for_clips_and_says_so(rng):
    numbers = np.zeros((4, 8, 8), np.int16)
    numbers[0, 0, :3] = -50, 200, 100
    for asked in ("0,100", (0, 100), ((0, 100),)):
        images = load(numbers, split="all", value_range=asked)
        assert images.value_range == ((0, 100),)
        assert images.values[0, 0, 0, :3].tolist() == [0, 1, 1]
        assert images.num_clipped == 2
    assert images.describe()["own_numbers"] == "0 to 100"


def test_numbers_that_bytes_could_hold_are_not_stretched_where_a_range_is_asked_for():
    for numbers in (np.ones((4, 8, 8)), np.ones((4, 8, 8), np.int16), np.ones((4, 8, 8), np.uint8)):
        images = load(numbers, split="all", value_range=(0, 4))
        assert (images.values == 0.25).all() and images.values.dtype == np.float32


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".parquet"])
def test_every_kind_of_file_takes_the_range_that_is_asked_for(tmp_path, rng, suffix):
    numbers = rng.integers(0, 2, (20, 16, 16)).astype(np.int16)
    numbers[0, 0, 0] = 1
    file = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(file, numbers)
    elif suffix == ".npz":
        np.savez(file, images=numbers)
    elif suffix == ".mat":
        savemat(file, {"X": numbers.transpose(1, 2, 0)})
    else:
        column = pyarrow.array(numbers.tolist(), pyarrow.list_(pyarrow.list_(pyarrow.int16())))
        parquet.write_table(pyarrow.table({"image": column}), file)
    for low, high in ((0, 200), (-1024, 3071)):
        images = load(file, split="all", value_range=(low, high))
        assert images.values[:, 0] == pytest.approx((numbers - low) / (high - low))


def test_bytes_do_not_reach_a_wider_range():
    with pytest.raises(DataError, match="bytes, from 0 to 255, but value_range is -1024 to 3071"):
        load(np.zeros((4, 8, 8), np.uint8), value_range=(-1024, 3071))


def test_a_range_that_a_few_numbers_stretch_is_said(rng, capsys):
    numbers = rng.integers(100, 300, (40, 16, 16))
    say_form(load(numbers, split="all"))
    assert capsys.readouterr().err == "an array: numbers from 100 to 299 become 0 to 1\n"
    numbers[3, 0, 0] = -9999
    say_form(load(numbers, split="all"))
    assert "nearly all of them are from 100 to 299, a small part of that" in capsys.readouterr().err


def test_a_range_of_each_channel(rng):
    numbers = rng.random((4, 2, 8, 8))
    images = load(numbers, split="all", value_range=((0, 1), (0, 2)), layout="NCHW")
    assert np.allclose(images.values, numbers / np.array([1, 2])[:, None, None])
    with pytest.raises(DataError, match="2 pairs for 1 channels"):
        load(numbers[:, :1], value_range=((0, 1), (0, 2)))


@pytest.mark.parametrize("asked", ["5", "a,b", "5,5", "7,3", (1, 2, 3), "nan,1"])
def test_what_is_no_range(asked):
    with pytest.raises(DataError, match="value_range is"):
        load(np.zeros((4, 8, 8)), value_range=asked)


def test_images_keep_their_range_and_take_another(rng):
    numbers = rng.integers(0, 5000, (8, 16, 16), np.uint16)
    images = load(numbers, split="all")
    assert load(images, size=8, split="all").value_range == images.value_range
    again = load(images, split="all", value_range=(0, 10_000))
    assert np.allclose(again.values[:, 0], numbers / 10_000, atol=1e-6)
    assert again.value_range == ((0, 10_000),)
    bytes_again = load(load(np.full((8, 8, 8), 20), split="all"), split="all", value_range=(0, 40))
    assert (bytes_again.values == 0.5).all() and bytes_again.value_range == ((0, 40),)
    assert load(images, split="all", value_range=images.value_range).values.tolist() == images.values.tolist()


def test_the_range_is_kept_with_the_cache(tmp_path, rng):
    np.save(tmp_path / "a.npy", rng.integers(0, 5000, (8, 16, 16), np.uint16))
    first, second = (load(tmp_path / "a.npy", value_range=(10, 90)) for _ in range(2))
    assert second.value_range == first.value_range == ((10, 90),)
    assert second.num_clipped == first.num_clipped > 0
    assert (first.values == second.values).all()


def test_bytes_have_no_range(tmp_path, rng):
    pixels = rng.integers(0, 256, (8, 16, 16), np.uint8)
    content = BytesIO()
    Image.fromarray(pixels[0]).save(content, "PNG")
    (tmp_path / "a.png").write_bytes(content.getvalue())
    for images in (everything(tmp_path), load(pixels), load(pixels.astype(np.int16)), load(pixels / 255)):
        assert images.value_range is None and images.values.dtype == np.uint8
