"""Streams: every kind of shard gives the same pictures as a source that is read whole, in pieces of bounded size."""

import gzip
import io
import json
import re
import sys
import tarfile

import numpy as np
import pyarrow
import pytest
import torch
from command_line import cli_exit
from pyarrow import parquet
from shard_files import CLASSES, picture, png, table, write_parquet, write_tar, write_tars

from vlae.data import DataError, load, open_stream, sampling, shards, streams
from vlae.data.content import content_hashes
from vlae.data.images import say_skipped
from vlae.data.sampling import part_of_sample, sample_of
from vlae.data.streams import is_streamed
from vlae.errors import MissingExtraError

NUM = 60


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))


class Torch(torch.utils.data.Dataset):
    classes = CLASSES

    def __len__(self):
        return NUM

    def __getitem__(self, i):
        return torch.from_numpy(picture(i)).permute(2, 0, 1), i % 3


class Iterable(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([Torch()[i] for i in range(NUM)])


def tars(folder):
    return write_tars(folder / "tars")


def one_parquet(folder):
    return write_parquet(folder / "one.parquet", range(NUM), row_group_size=20)


def parquets(folder):
    for part in range(3):
        write_parquet(folder / "parts" / f"{part}.parquet", range(20 * part, 20 * part + 20))
    return folder / "parts"


def lance(folder):
    import lance

    for part in range(3):
        lance.write_dataset(
            table(range(20 * part, 20 * part + 20)), folder / "set.lance", mode="append" if part else "create"
        )
    return folder / "set.lance"


def memory(folder):
    import fsspec

    write_tars(folder / "tars")
    files = fsspec.filesystem("memory")
    for file in (folder / "tars").iterdir():
        files.pipe(f"/bucket-{folder.name}/{file.name}", file.read_bytes())
    return f"memory://bucket-{folder.name}"


def huggingface(folder):
    return f"hf:{parquets(folder)}"


def iterable_of_datasets(folder):
    from datasets import Dataset

    return Dataset(table(range(NUM))).to_iterable_dataset(num_shards=3)


KINDS = [tars, one_parquet, parquets, lance, memory, huggingface, iterable_of_datasets]


def everything(stream):
    return [piece for shard in range(len(stream.shards)) for piece in stream.read(shard)]


def values_of(pieces):
    return np.concatenate([piece.images.values for piece in pieces])


ALL = np.stack([picture(number) for number in range(NUM)]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_shard_gives_the_same_pictures_names_and_labels(tmp_path, kind):
    stream = open_stream(kind(tmp_path))
    assert len(stream.shards) == 3 and stream.shape == (3, 8, 8)
    pieces = everything(stream.like(sample_of(stream)))
    assert np.array_equal(values_of(pieces), ALL)
    assert [name for piece in pieces for name in piece.images.names] == [f"{number:05d}" for number in range(NUM)]
    for piece in pieces:
        assert piece.images.label_names == CLASSES
    assert [label for piece in pieces for label in piece.images.labels] == [number % 3 for number in range(NUM)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_is_read_from_any_row_on(tmp_path, kind):
    stream = open_stream(kind(tmp_path))
    for start in (0, 1, 13, 20):
        pieces = list(stream.read(1, start))
        values = [image for piece in pieces for image in piece.images.values]
        assert np.array_equal(values, ALL[20 + start : 40] if start < 20 else [])
        assert [row for piece in pieces for row in piece.rows] == list(range(start, 20))
        assert all(piece.stop == piece.rows[-1] + 1 for piece in pieces)


@pytest.mark.parametrize("source", [Torch(), Iterable()])
def test_data_sets_of_torch_are_streams(source):
    stream = open_stream(source)
    assert np.array_equal(values_of(everything(stream)), ALL)
    assert stream.source == f"a {type(source).__name__}"
    assert [label for piece in everything(stream) for label in piece.images.labels] == [i % 3 for i in range(NUM)]
    assert not stream.is_stored


def test_classes_of_a_data_set_have_its_names():
    assert sample_of(open_stream(Torch())).label_counts() == {"cat": 20, "dog": 20, "owl": 20}


def test_an_array_is_a_stream_of_ranges(monkeypatch):
    from vlae.data import item_shards

    monkeypatch.setattr(item_shards, "RANGE", 25)
    stream = open_stream(ALL)
    assert [shard.num_rows for shard in stream.shards] == [25, 25, 10]
    assert np.array_equal(values_of(everything(stream)), ALL)


def test_wide_numbers_that_bytes_could_hold_keep_their_range_in_every_shard(tmp_path, rng):
    numbers = rng.integers(-1000, 3000, (40, 8, 8)).astype(np.int16)
    numbers[20:] = rng.integers(0, 200, (20, 8, 8))
    column = pyarrow.array(numbers.tolist(), pyarrow.list_(pyarrow.list_(pyarrow.int16())))
    parquet.write_table(pyarrow.table({"image": column}), tmp_path / "n.parquet", row_group_size=20)
    whole = load(tmp_path / "n.parquet", split="all")
    stream = open_stream(tmp_path / "n.parquet", value_range=whole.value_range)
    assert values_of(everything(stream)) == pytest.approx(whole.values)


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_a_nearly_black_piece_does_not_become_black_and_white(rng, kind):
    array = rng.integers(0, 256, (4_097, 8, 8)).astype(kind)
    array[-1] = 0
    array[-1, 3, 3] = 1
    stream = open_stream(array)
    for each in (stream, stream.like(stream.looked_at)):
        (piece,) = each.read(1)
        assert piece.images.values[0, 0].tolist() == array[-1].tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_0_and_1_are_black_and_white_in_every_piece_and_what_is_above_is_left_out(kind):
    array = np.zeros((260, 8, 8), kind)
    array[:, 0, 0] = 1
    array[256], array[257, 1, 1] = 0, 7  # behind the rows that tell the form
    stream = open_stream(array)
    for each in (stream, stream.like(stream.looked_at)):
        _, piece = each.read(0)
        assert piece.images.values.sum((1, 2, 3)).tolist() == [0, 255, 255]
        assert [why for _, why in piece.images.skipped] == [
            "numbers from 0 to 7; the training pictures have 8 bits, or 0 to 1"
        ]


def test_a_broken_picture_at_the_beginning_of_a_shard_is_left_out_alone(tmp_path):
    cells = [png(picture(i)) for i in range(40)]
    cells[20:31] = [b"broken"] * 11
    parquet.write_table(pyarrow.table({"image": cells, "width": range(40)}), tmp_path / "a.parquet", row_group_size=20)
    stream = open_stream(tmp_path / "a.parquet")
    for each in (stream, stream.like(stream.looked_at), open_stream(tmp_path / "a.parquet").like(stream.looked_at)):
        assert [(len(piece.images), len(piece.images.skipped)) for piece in everything(each)] == [(20, 0), (9, 11)]


def test_vectors_keep_their_columns_in_every_shard(tmp_path):
    rng = np.random.default_rng(0)
    numbers = {name: rng.normal(size=40) for name in ("a", "b", "c")}
    whole = pyarrow.table({**numbers, "id": [str(i) for i in range(40)]})
    for part in range(2):
        parquet.write_table(whole.slice(20 * part, 20), tmp_path / f"{part}.parquet")
    stream = open_stream(tmp_path)
    assert stream.shape == (3,)
    read = values_of(everything(stream))
    assert np.allclose(read, np.stack(list(numbers.values()), 1))
    assert next(stream.read(0)).images.columns == ("a", "b", "c")


def test_pictures_are_fitted_as_load_does(tmp_path, save_picture):
    sizes = [(20, 30), (31, 17), (24, 24)]
    pictures = [picture(number, size) for number, size in enumerate(sizes)]
    write_tar(tmp_path / "a.tar", [(f"{i}.png", png(pixels)) for i, pixels in enumerate(pictures)])
    for i, pixels in enumerate(pictures):
        save_picture(tmp_path / "folder" / f"{i}.png", pixels)
    for how in ({"size": 16}, {"size": "12x16", "fit": "pad"}, {"crop": 12}, {"size": 8, "channels": 1}, {}):
        whole = load(tmp_path / "folder", split="all", **how)
        stream = open_stream(tmp_path / "a.tar", **how)
        assert stream.shape == whole.shape
        assert np.array_equal(values_of(everything(stream)), whole.values)


def test_pieces_are_bounded(tmp_path, monkeypatch):
    from vlae.data import tar_shards

    monkeypatch.setattr(tar_shards, "ROWS", 7)
    write_tars(tmp_path, shards=1)
    stream = open_stream(tmp_path)
    assert [len(piece.images) for piece in stream.read(0)] == [7, 7, 6]
    monkeypatch.setattr(tar_shards, "BYTES", 700)
    assert max(len(piece.images) for piece in stream.read(0)) <= 4
    assert shards.rows_at_a_time(1_000, 10**9) == 67
    assert shards.rows_at_a_time(10**6, 10**8) == 1_024
    assert shards.rows_at_a_time(3, 10**12) == 1


def test_files_of_one_stem_are_one_row(tmp_path):
    facts = b'{"age": 3, "label": "cat", "who": "me", "box": [1, 2]}'
    members = [("a/1.json", facts), ("a/1.png", png(picture(0))), ("a/1.seg.png", png(picture(1))), ("a/1.txt", b"?")]
    write_tar(tmp_path / "a.tar", [*members, ("b/1.png", png(picture(2))), ("b/1.seg.png", png(picture(3)))])
    piece = next(open_stream(tmp_path / "a.tar", size=8, channels=3).read(0))
    assert piece.images.names == ("a/1", "b/1")
    assert np.array_equal(piece.images.values, ALL[[0, 2]])
    assert [piece.images.class_name(label) for label in piece.images.labels] == ["cat", ""]
    piece = next(open_stream(tmp_path / "a.tar", key="seg.png", size=8, channels=3).read(0))
    assert np.array_equal(piece.images.values, ALL[[1, 3]])


def test_names_with_times_are_pictures_of_their_own(tmp_path):
    names = [f"p/2023-01-0{day} 12.{minute:02}.45" for day in (1, 2) for minute in range(15)]
    members = [(f"{name}.png", png(picture(i))) for i, name in enumerate(names)]
    members.insert(1, (f"{names[0]}.cls", b"cat"))
    stream = open_stream(write_tar(tmp_path / "a.tar", members))
    (piece,) = everything(stream.like(stream.looked_at))
    assert piece.images.names == tuple(names) and np.array_equal(piece.images.values, ALL[:30])
    assert piece.images.class_name(piece.images.labels[0]) == "cat"


@pytest.mark.parametrize("endings", [("rgb.png", "seg.png"), ("0.png", "1.png", "cls")])
def test_further_pictures_of_a_stem_are_told_of(tmp_path, endings, capsys):
    members = [(f"{i}.{ending}", png(picture(i + 10 * j))) for i in range(9) for j, ending in enumerate(endings)]
    sample = sample_of(open_stream(write_tar(tmp_path / "a.tar", members)))
    assert np.array_equal(sample.values, ALL[:9])
    say_skipped(sample)
    assert "further pictures of a stem: pictures, too; key chooses others" in capsys.readouterr().err


def test_links_in_a_shard_are_listed(tmp_path):
    with tarfile.open(write_tar(tmp_path / "a.tar", [("a.png", png(picture(0)))]), "a") as tar:
        for name, kind in (("b.png", tarfile.LNKTYPE), ("c.png", tarfile.SYMTYPE), ("d", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a.png"
            tar.addfile(link)
        other = tarfile.TarInfo("e.png")
        other.size = len(png(picture(1)))
        tar.addfile(other, io.BytesIO(png(picture(1))))
    (piece,) = everything(open_stream(tmp_path / "a.tar"))
    assert piece.images.names == ("a", "e")
    assert piece.images.skipped == (("b", "it has no picture"), ("c", "it has no picture"))


# Which shards


def test_patterns_and_ranges_of_numbers(tmp_path):
    write_tars(tmp_path / "x", shards=4)
    names = [shard.name for shard in open_stream(str(tmp_path / "x" / "train-{001..002}.tar")).shards]
    assert names == [str(tmp_path / "x" / f"train-{number:03d}.tar") for number in (1, 2)]
    assert len(open_stream(str(tmp_path / "x" / "*-00[0-2].tar")).shards) == 3


def test_what_is_streamed_by_itself(tmp_path):
    write_tars(tmp_path / "tars", shards=1)
    for source in (tmp_path / "tars", str(tmp_path / "x-{0..9}.tar"), "s3://bucket/a", "memory://a", Iterable()):
        assert is_streamed(source)
    (tmp_path / "beside").mkdir()
    write_tars(tmp_path / "beside", shards=1)
    (tmp_path / "beside" / "a.png").write_bytes(png(picture(0)))
    for source in (
        tmp_path,
        tmp_path / "beside",
        "streets",
        "hf:a/b",
        "a/b.parquet",
        ALL,
        Torch(),
        tmp_path / "nothing",
    ):
        assert not is_streamed(source)


@pytest.mark.parametrize("first", [0, 1])
def test_labels_may_be_numbers_in_one_shard_and_text_in_another(tmp_path, first):
    for shard, classes in enumerate((("0", "2"), ("cat", "dog", "2"))[:: 1 if first else -1]):
        members = []
        for row in range(12):
            members += [(f"{shard}{row:02d}.png", png(picture(row))), (f"{shard}{row:02d}.cls", b"")]
            members[-1] = (members[-1][0], classes[row % len(classes)].encode())
            members.append((f"{shard}{row:02d}.json", b'{"n": 1}' if shard else b'{"n": "x"}'))
        write_tar(tmp_path / f"{shard}.tar", members)
    stream = open_stream(tmp_path)
    sample = sample_of(stream)
    assert sample.label_counts() == {"0": 6, "2": 10, "cat": 4, "dog": 4}
    pieces = [piece.images for piece in everything(stream.like(sample))]
    assert [piece.class_name(label) for piece in pieces for label in piece.labels] == [
        sample.class_name(label) for label in sample.labels
    ]


def test_a_folder_of_shards_in_folders_is_streamed(tmp_path):
    write_tars(tmp_path / "a" / "train", shards=2)
    write_tars(tmp_path / "a" / "val", shards=1)
    assert is_streamed(tmp_path / "a") and len(open_stream(tmp_path / "a").shards) == 3
    write_tars(tmp_path / "b" / "archive", shards=1)
    for part, num in ("train", 20), ("t10k", 4):
        header = b"\0\0\x08\3" + np.array([num, 8, 8], ">i4").tobytes()
        (tmp_path / "b" / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(num * 64))
    assert not is_streamed(tmp_path / "b") and load(tmp_path / "b", split="all").shape == (1, 8, 8)


def test_the_fingerprint_tells_changes_and_not_places(tmp_path):
    write_tars(tmp_path / "a")
    before = open_stream(tmp_path / "a").fingerprint
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_stream(tmp_path / "b").fingerprint == before
    (tmp_path / "b" / "train-002.tar").unlink()
    assert open_stream(tmp_path / "b").fingerprint != before
    parquets(tmp_path)
    before = open_stream(tmp_path / "parts").fingerprint
    write_parquet(tmp_path / "parts" / "2.parquet", range(40, 61))
    assert open_stream(tmp_path / "parts").fingerprint != before


# Samples


def test_a_sample_is_cached_and_spread_over_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "NUM", 30)
    source = write_tars(tmp_path / "tars")
    sample = sample_of(open_stream(source))
    assert [sum(name.startswith(first) for name in sample.names) for first in ("0000", "0001", "0002", "0004")] == [
        10,
        0,
        10,
        10,
    ]
    assert sample.label_counts() == {"cat": 10, "dog": 10, "owl": 10}
    assert sample.cache is not None
    monkeypatch.setattr(sampling, "_sampled", lambda *_: pytest.fail("read again"))
    assert np.array_equal(sample_of(open_stream(source)).values, sample.values)


def test_a_sample_of_one_long_shard_is_of_several_places():
    assert sampling._places(1_000, 100) == [(0, 25), (250, 25), (500, 25), (750, 25)]
    assert sampling._places(None, 100) == sampling._places(150, 100) == [(0, 100)]


def test_what_is_held_out_of_a_sample_stays_so(tmp_path):
    stream = open_stream(write_tars(tmp_path / "tars"))
    held_out = part_of_sample(stream, "test")
    hashes = content_hashes(held_out.values)
    assert np.array_equal(part_of_sample(stream, "test", held_out=hashes).values, held_out.values)
    assert not np.isin(content_hashes(part_of_sample(stream, "train").values), hashes).any()


def test_classes_are_those_of_all_shards_in_the_sample(tmp_path):
    for shard, name in enumerate("cab"):
        write_tar(
            tmp_path / f"{shard}.tar",
            [(f"{i}.png", png(picture(10 * shard + i))) for i in range(4)] + [("3.cls", name.encode())],
        )
    stream = open_stream(tmp_path)
    sample = sample_of(stream)
    assert sample.label_names == ("a", "b", "c") and sample.label_counts() == {"unknown": 9, "a": 1, "b": 1, "c": 1}
    labels = [piece.images.labels.tolist() for piece in everything(stream.like(sample))]
    assert labels == [[-1, -1, -1, 2], [-1, -1, -1, 0], [-1, -1, -1, 1]]


def test_the_number_of_rows_is_known_or_estimated(tmp_path, monkeypatch):
    assert open_stream(parquets(tmp_path)).num_rows == (60, True)
    folder = write_tars(tmp_path / "tars", rows=100)
    num, exact = open_stream(folder).num_rows
    assert exact and num == 100 * len([*folder.glob("*.tar")])
    monkeypatch.setattr(streams, "COUNTED", 0)
    estimate, exact = open_stream(folder).num_rows
    assert not exact and num / 2 < estimate < 2 * num
    for file in folder.glob("*.tar"):
        file.with_suffix(".tar.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    estimate, exact = open_stream(folder).num_rows
    assert not exact and num / 2 < estimate < 2 * num
    assert open_stream(Iterable()).num_rows == (0, False)


# What is wrong with a source


def refused(source, match, **reading):
    with pytest.raises((DataError, FileNotFoundError, MissingExtraError), match=match) as caught:
        sample_of(open_stream(source, **reading))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_shard_that_is_no_tar(tmp_path):
    write_tars(tmp_path)
    (tmp_path / "train-001.tar").write_bytes(b"<html>404</html>" * 64)
    refused(tmp_path, r"train-001\.tar: no \.tar file")


@pytest.mark.parametrize("num", [512 * 5, 512 * 5 + 100, 512 * 6])
def test_a_tar_that_is_cut_off(tmp_path, num):
    content = write_tar(tmp_path / "a.tar", [(f"{i}.png", png(picture(i, (40, 40)))) for i in range(3)]).read_bytes()
    (tmp_path / "a.tar").write_bytes(content[: len(content) // 2 // 512 * 512 + num % 512])
    refused(tmp_path / "a.tar", r"a\.tar: the \.tar file is cut off; get it again")


def test_members_that_are_no_pictures_are_left_out_and_listed(tmp_path):
    members = [
        ("README.md", b"hello"),
        ("1.png", png(picture(1))),
        ("2.png", b"no picture"),
        ("3.png", png(picture(3))),
    ]
    write_tar(tmp_path / "a.tar", members)
    sample = sample_of(open_stream(tmp_path / "a.tar"))
    assert sample.names == ("1", "3")
    assert sample.skipped == (("README", "it has no picture"), ("2", "not a picture that Pillow can read"))
    piece = next(open_stream(tmp_path / "a.tar").read(0))
    assert piece.rows.tolist() == [1, 3] and piece.stop == 4


def test_shards_with_other_columns(tmp_path):
    parquets(tmp_path)
    parquet.write_table(pyarrow.table({"image": [png(picture(0))], "name": ["a"]}), tmp_path / "parts" / "9.parquet")
    refused(tmp_path / "parts", r"9\.parquet: column label.* not as in .*0\.parquet")


def test_shards_of_two_kinds(tmp_path):
    write_tars(parquets(tmp_path))
    refused(tmp_path / "parts", r"\.tar shards beside others .*parquet")


def test_vectors_among_pictures(tmp_path):
    stream = open_stream([*(picture(i) for i in range(3)), *([np.zeros(5)] * 300)])
    with pytest.raises(DataError, match=r"pictures among vectors|vectors of 5 columns|of shape"):
        everything(stream)


def test_a_pattern_that_fits_nothing(tmp_path):
    refused(str(tmp_path / "*.tar"), r"\*\.tar: no file is called so; check the pattern")
    refused(tmp_path / "none", "none: no such file, folder or bucket")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: no shards; a stream is read from .tar or .parquet files")
    write_tar(tmp_path / "empty.tar", [])
    refused(tmp_path / "empty.tar", "its shards have no rows")


def test_object_storage_that_is_not_installed(monkeypatch):
    import fsspec  # noqa: F401 - its registry has what an earlier test has used

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    refused("s3://bucket/a", r"s3://bucket/a: .*; get it: pip install \"vlae\[streams\]\"")


@pytest.mark.parametrize("error", [PermissionError("Forbidden"), RuntimeError("no answer\nfor long")])
def test_object_storage_that_refuses(monkeypatch, error):
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_, **__: (_ for _ in ()).throw(error))
    refused("memory://b/a", "memory://b/a: (no right to read it .Forbidden|cannot be read .no answer)")


def test_a_source_that_changes_while_it_is_read(tmp_path):
    stream = open_stream(write_tars(tmp_path / "tars"))
    sample = sample_of(stream)
    shard = tmp_path / "tars" / "train-001.tar"
    shard.write_bytes(shard.read_bytes() + bytes(10_240))
    with pytest.raises(DataError, match=r"train-001\.tar: changed while the source was being read"):
        list(stream.like(sample).read(1))
    shard.unlink()
    with pytest.raises(DataError, match=r"train-001\.tar: changed"):
        list(stream.like(sample).read(1))


def test_a_table_opens_no_file_of_this_machine(tmp_path, save_picture):
    save_picture(tmp_path / "secret.png", picture(0))
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    cells = [{"bytes": None, "path": str(tmp_path / "secret.png")}, {"bytes": png(picture(1)), "path": "b"}]
    parquet.write_table(pyarrow.table({"image": pyarrow.array(cells * 2, kind)}), tmp_path / "a.parquet")
    piece = next(open_stream(tmp_path / "a.parquet").read(0))
    assert np.array_equal(piece.images.values, ALL[[1, 1]])
    assert [reason for _, reason in piece.images.skipped] == ["it has no picture"] * 2


def test_other_sources_are_refused():
    with pytest.raises(TypeError, match="int is no source that can be streamed"):
        open_stream(3)
    with pytest.raises(TypeError, match="pixels"):
        open_stream(ALL, pixels=3)
    with pytest.raises(DataError, match="size is 3"):
        open_stream(ALL, size=3)
    assert open_stream(stream := open_stream(ALL)) is stream
    assert re.fullmatch("[0-9a-f]{32}", stream.fingerprint)
    assert streams.LOOKED_AT < sampling.NUM


@pytest.mark.slow
def test_buckets(tmp_path, monkeypatch):
    from object_store import object_store

    with object_store(monkeypatch, "shards") as client:
        for file in write_tars(tmp_path / "tars").iterdir():
            client.upload_file(str(file), "shards", f"train/{file.name}")
        parquets(tmp_path)
        client.upload_file(str(tmp_path / "parts" / "0.parquet"), "shards", "table/0.parquet")
        for address in ("s3://shards/train", "s3://shards/train/train-{000..002}.tar"):
            stream = open_stream(address)
            assert np.array_equal(values_of(everything(stream)), ALL) and len(stream.fingerprint) == 32
        assert np.array_equal(values_of(everything(open_stream("s3://shards/table"))), ALL[:20])
        assert open_stream("s3://shards/train/").num_rows[0] > 0
        refused("s3://nothing-here/a", "s3://nothing-here/a: no such file, folder or bucket")
        stream = open_stream("s3://shards/train")
        sample_of(stream)
        client.upload_file(str(tmp_path / "tars" / "train-000.tar"), "shards", "train/train-001.tar")
        with pytest.raises(DataError, match=r"train-001\.tar: changed while the source was being read"):
            list(stream.read(1))


def test_a_stream_is_not_read_as_a_whole(tmp_path, capsys):
    write_tars(tmp_path / "tars")
    for source in (tmp_path / "tars" / "train-000.tar", "s3://bucket/a"):
        with pytest.raises(DataError, match=r"read shard by shard, never as a whole: vlae train and vlae encode"):
            load(source)
    cli_exit("data", tmp_path / "tars")
    told = capsys.readouterr().out
    assert "count  60" in told and "cat: 20" in told and "shards  3" in told


def test_names_and_texts_that_are_not_unicode_do_not_hide_the_others(tmp_path):
    told = json.dumps({"label": "cat", "caption": "lone \ud800", "b\ud800": 1}).encode()
    members = [("caf\udce9.png", png(picture(0))), ("caf\udce9.json", told), ("b.png", png(picture(1)))]
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    (images,) = [piece.images for piece in everything(open_stream(str(tmp_path / "a.tar")))]
    assert images.names == (r"caf\xe9", "b")


def test_tars_that_are_joined_are_refused(tmp_path):
    write_tars(tmp_path / "two", shards=2)
    joined = tmp_path / "all.tar"
    joined.write_bytes(b"".join(file.read_bytes() for file in sorted((tmp_path / "two").iterdir())))
    with pytest.raises(DataError, match=r"all\.tar: more follows the end of the \.tar file, as if `cat` had joined"):
        everything(open_stream(str(joined)))


def test_hidden_folders_are_no_shards(tmp_path):
    write_tars(tmp_path / ".hidden" / "shards", shards=1)
    write_tars(tmp_path / ".hidden" / "shards" / ".cache" / "old", shards=1)
    assert len(open_stream(str(tmp_path / ".hidden" / "shards")).shards) == 1


def test_patterns_take_no_hidden_folders_but_those_that_they_name(tmp_path, monkeypatch):
    write_tars(tmp_path / ".here" / "shards" / "a", shards=1)
    write_tars(tmp_path / ".here" / "shards" / ".secret", shards=2)
    place = tmp_path / ".here" / "shards"
    assert len(open_stream(str(place / "**" / "*.tar")).shards) == 1
    assert len(open_stream(str(place / "*" / "*.tar")).shards) == 1
    assert len(open_stream(str(place / ".s*" / "*.tar")).shards) == 2
    assert len(open_stream(str(place / ".secret" / "*.tar")).shards) == 2
    monkeypatch.chdir(place / "a")
    assert len(open_stream("../**/*.tar").shards) == 1
    assert len(open_stream("../.secret").shards) == 2
