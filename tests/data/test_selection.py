"""A selection of the page becomes a folder of links."""

import csv
import json

import pytest
from PIL import Image

from vlae.atomic import WriteError
from vlae.cli import main
from vlae.data import DataError, load
from vlae.data.selection import link_selection, read_selection


@pytest.fixture
def photos(tmp_path):
    for name in ("猫/a.png", "猫/=b.png", "c.png", "d.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 10)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def exported(tmp_path):
    """What the page writes: with the apostrophe that spreadsheets need before a name like a formula."""
    (tmp_path / "s.csv").write_bytes(
        'name,part,label,tags\r\n猫/a.png,training,猫,nice;red\r\n猫/=b.png,,,"a, b"\r\n\'=e.png,,,nice\r\n'.encode()
    )
    rows = [{"name": "猫/a.png", "tags": ["nice"]}, {"name": "c.png", "tags": []}]
    (tmp_path / "s.json").write_text(json.dumps({"pictures": rows, "tags": {}}))
    return tmp_path


def test_names_and_tags_are_read(exported):
    assert read_selection(exported / "s.csv") == ["猫/a.png", "猫/=b.png", "=e.png"]
    assert read_selection(exported / "s.csv", "nice") == ["猫/a.png", "=e.png"]
    assert read_selection(exported / "s.json") == ["猫/a.png", "c.png"]
    with pytest.raises(DataError, match="nothing tagged 'good'; its tags: nice"):
        read_selection(exported / "s.json", "good")


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_names_and_tags_may_have_breaks_of_lines(tmp_path, separator):
    name, tag = f"a{separator}b.png", f"very{separator}nice"
    with (tmp_path / "s.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "part", "label", "tags"], [name, "", "", tag], ["c.png", "", "", "nice"]])
    assert read_selection(tmp_path / "s.csv") == [name, "c.png"]
    assert read_selection(tmp_path / "s.csv", tag) == [name]


@pytest.mark.parametrize("content", ["", "[]", "a,b\n1,2", '{"pictures": 3}', '{"pictures": [{}]}', "\x00"])
@pytest.mark.parametrize("ending", ["csv", "json"])
def test_what_is_no_selection_is_said(tmp_path, content, ending):
    file = tmp_path / f"x.{ending}"
    file.write_text(content)
    with pytest.raises(DataError, match=r"is no selection|nothing in it"):
        read_selection(file)


def test_links_lead_to_the_pictures_and_can_be_trained_on(photos, tmp_path):
    missing = link_selection(["猫/a.png", "c.png", "gone.png", "d.png#2"], photos, tmp_path / "out")
    assert missing == ["gone.png"]
    assert (tmp_path / "out" / "猫" / "a.png").is_symlink() and (tmp_path / "out" / "d.png").is_symlink()
    assert sorted(load(tmp_path / "out", split="all").names) == ["c.png", "d.png", "猫/a.png"]


def test_a_selection_reaches_nothing_outside_of_its_folder(photos, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    names = ["c.png", "../secret.png", str(tmp_path / "secret.png"), "link.png", "猫", "\x00"]
    assert link_selection(names, photos, tmp_path / "out") == names[1:]
    assert [file.name for file in (tmp_path / "out").rglob("*")] == ["c.png"]


def test_what_cannot_be_linked_is_said(photos, tmp_path):
    with pytest.raises(DataError, match="none of the 1 pictures, such as x"):
        link_selection(["x"], photos, tmp_path / "out")
    with pytest.raises(WriteError, match="would become part of it"):
        link_selection(["c.png"], photos, photos / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(WriteError, match="full"):
        link_selection(["c.png"], photos, tmp_path / "full")


def test_the_command(photos, exported, capsys):
    with pytest.raises(SystemExit, match="0"):
        main.main(["select", str(exported / "s.csv"), str(photos), "--out", str(exported / "out"), "--tag", "nice"])
    out, err = capsys.readouterr()
    assert out == f"{exported / 'out'}\n" and err == "no such picture, left out: =e.png\n"
