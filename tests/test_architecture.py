"""docs/architecture.md and its drawing are what the code is now."""

import re

import draw_architecture as drawing

MEND = f"the code has changed; draw it again: {drawing.COMMAND}"


def without_sizes(svg: str) -> str:
    """Lines may be added without a new drawing."""
    return re.sub(r"[\d,]+ lines", "lines", svg)


def test_the_drawing_shows_the_imports():
    assert without_sizes(drawing.DRAWING.read_text()) == without_sizes(drawing.draw()), MEND


def test_the_page_lists_the_folders():
    assert drawing.PAGE.read_text() == drawing.page(drawing.PAGE.read_text()), MEND


def test_arrows_that_follow_from_others_are_left_out():
    chain = {("a", "b"), ("b", "c"), ("c", "d")}
    assert drawing.without_implied(chain | {("a", "c"), ("a", "d"), ("b", "d")}) == chain


def test_neighbours_do_not_overlap():
    row = [drawing.Item(name, 0, 100) for name in "abc"]
    drawing._spread(row, [50.0, 0.0, 500.0])
    step = 100 + drawing.GAP
    assert [item.x for item in row] == [25 - step / 2, 25 + step / 2, 500]


def test_every_folder_is_a_package():
    folders = {path.parent for path in drawing.SOURCE.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)
