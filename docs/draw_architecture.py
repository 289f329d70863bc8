"""Draws docs/images/architecture.svg from the imports of src/vlae, and lists its folders in docs/architecture.md.

Usage:
    python docs/draw_architecture.py

A row of the drawing is a layer of the contract "layers" in pyproject.toml, the top layer first. An arrow says that the
upper folder imports the lower one. Three kinds of arrows are left out, so that it can be read: those that follow from
others (a path of arrows leads there already), those to the single files of the lowest layer, which every folder may
import, and those of `vlae/__init__.py`, which holds names only. An import that breaks the contract is red and dashed.
"""

import ast
import colorsys
import re
import sys
import textwrap
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "vlae"
DRAWING = ROOT / "docs" / "images" / "architecture.svg"
PAGE = ROOT / "docs" / "architecture.md"
COMMAND = "python docs/draw_architecture.py"

WIDE, NARROW, LANE = 236, 172, 16  # width in pixels: of a folder, of a file in the lowest row, of an arrow passing by
GAP, BETWEEN, MARGIN = 26, 58, 36  # between neighbours in a row, between rows, around all
LINE = 16  # height of a line of text
STYLE = """
  .ground { fill: #fbfbfd; } .box { fill: #ffffff; stroke: #d3d6e0; }
  text { font: 12.5px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #454b5c; }
  .name { font-size: 15px; font-weight: 700; fill: #161a26; } .size, .note { font-size: 11.5px; fill: #7a8194; }
  .arrow { fill: none; stroke-width: 1.8; } .against { stroke: #d6293e; stroke-dasharray: 5 4; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14161d; } .box { fill: #1f222c; stroke: #3a3f4f; }
    text { fill: #b9bfce; } .name { fill: #f2f4fa; } .size, .note { fill: #8b92a6; }
  }
"""


@dataclass
class Item:
    """A box, or the place in a row where an arrow passes on its way to a box further down."""

    name: str
    row: int
    width: int
    box: bool = True
    x: float = 0.0  # of its centre
    above: "list[Item]" = field(default_factory=list)
    below: "list[Item]" = field(default_factory=list)


def layers() -> list[list[str]]:
    """The folders and files of src/vlae that are there, by the layers of pyproject.toml, top layer first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    rows = [re.findall(r"vlae\.(\w+)", layer) for layer in contract["layers"]]
    there = {path.stem for path in SOURCE.iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"}
    if unknown := there - {name for row in rows for name in row} - {"__init__"}:
        raise SystemExit(f"{', '.join(sorted(unknown))}: in no layer; add to [tool.importlinter] in pyproject.toml")
    return [kept for row in rows if (kept := [name for name in row if name in there])]


def imports() -> set[tuple[str, str]]:
    """Pairs (importer, imported) of different folders or files directly in src/vlae."""
    graph = grimp.build_graph("vlae", cache_dir=None)
    pairs = {(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a) if "." in a and "." in b}
    return {(a.split(".")[1], b.split(".")[1]) for a, b in pairs if a.split(".")[1] != b.split(".")[1]}


def summary(name: str) -> str:
    """The first line of a folder's or file's docstring."""
    path = SOURCE / name / "__init__.py" if (SOURCE / name).is_dir() else SOURCE / f"{name}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def size(name: str) -> str:
    """How long a folder or file is, to the nearest hundred lines where it has more."""
    files = (SOURCE / name).rglob("*.py") if (SOURCE / name).is_dir() else [SOURCE / f"{name}.py"]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    return f"{round(lines, -2) if lines > 100 else lines:,} lines"


def without_implied(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that no path over other pairs leads along; the pairs form no cycle."""
    after = defaultdict(set)
    for a, b in pairs:
        after[a].add(b)

    def reached(name: str) -> set[str]:
        return after[name].union(*map(reached, after[name]))

    return {(a, b) for a, b in pairs if not any(b in reached(c) for c in after[a])}


def place(rows: list[list[Item]]) -> None:
    """Orders the items of each row so that few arrows cross, and puts each near the items it is joined to."""
    for row in rows:
        _spread(row, [GAP * i for i in range(len(row))])
    for sweep in range(25):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            wanted = {}
            for item in row:
                joined = (item.above or item.below) if down else (item.below or item.above)
                joined = joined or [other for other in row if other.above or other.below]
                wanted[id(item)] = sum(other.x for other in joined) / len(joined) if joined else item.x
            if sweep < 16:  # the order is settled first
                row.sort(key=lambda item: wanted[id(item)])
            _spread(row, [wanted[id(item)] for item in row])


def _spread(row: list[Item], wanted: list[float]) -> None:
    """Nearest places to the wanted ones, in squared distance, at which neighbours do not overlap."""
    offsets, at = [], 0.0
    for i, item in enumerate(row):
        at += (row[i - 1].width + item.width) / 2 + GAP if i else 0
        offsets.append(at)
    blocks: list[list[float]] = []  # sum and number of items that stand side by side
    for x, offset in zip(wanted, offsets, strict=True):
        blocks.append([x - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, number = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + number]
    starts = [total / number for total, number in blocks for _ in range(int(number))]
    for item, start, offset in zip(row, starts, offsets, strict=True):
        item.x = start + offset


def draw() -> str:
    """The drawing, as the text of an SVG file."""
    names = layers()
    row_of = {name: i for i, row in enumerate(names) for name in row}
    everyones = {name for name in names[-1] if not (SOURCE / name).is_dir()}
    pairs = {(a, b) for a, b in imports() if b not in everyones}
    against = sorted((a, b) for a, b in pairs if row_of[a] >= row_of[b])
    arrows = sorted(without_implied(pairs - set(against)))

    rows = [[Item(name, i, NARROW if name in everyones else WIDE) for name in row] for i, row in enumerate(names)]
    boxes = {item.name: item for row in rows for item in row}
    lanes: dict[tuple[str, int], Item] = {}
    for a, b in arrows:
        at = boxes[a]
        for i in range(row_of[a] + 1, row_of[b] + 1):
            last = i == row_of[b]
            if not last and (b, i) not in lanes:  # all arrows to one box share one lane
                lanes[b, i] = Item(b, i, LANE, box=False)
                rows[i].append(lanes[b, i])
            following = boxes[b] if last else lanes[b, i]
            if following not in at.below:
                at.below.append(following)
                following.above.append(at)
            at = following
    place(rows)

    texts = {name: textwrap.wrap(summary(name).replace("`", ""), int(item.width / 7.7)) for name, item in boxes.items()}
    heights = [max(len(texts[item.name]) for item in row if item.box) * LINE + 46 for row in rows]
    tops = [MARGIN + sum(heights[:i]) + BETWEEN * i for i in range(len(rows))]
    left = min(item.x - item.width / 2 for row in rows for item in row) - MARGIN
    width = max(item.x + item.width / 2 for row in rows for item in row) - left + MARGIN
    height = tops[-1] + heights[-1] + 64
    for row in rows:
        for item in row:
            item.x = round(item.x - left, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">',
        "<title>The folders of vlae, by layer; an arrow leads from a folder to one that it imports</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width:.0f}" height="{height}" rx="14"/>',
    ]
    for item in [item for row in rows for item in row]:
        parts += _arrows_from(item, tops, heights)
    parts += [_against(boxes[a], boxes[b], tops, heights) for a, b in against]
    for item in boxes.values():
        x, y, colour = item.x - item.width / 2, tops[item.row], _colour(item.row)
        parts += [
            f'<rect class="box" x="{x:.1f}" y="{y}" width="{item.width}" height="{heights[item.row]}" rx="8"/>',
            f'<rect x="{x:.1f}" y="{y}" width="{item.width}" height="5" rx="2.5" fill="{colour}"/>',
            f'<text class="name" x="{x + 14:.1f}" y="{y + 27}">{item.name}</text>',
            f'<text class="size" x="{x + item.width - 14:.1f}" y="{y + 27}" text-anchor="end">{size(item.name)}</text>',
        ]
        for i, line in enumerate(texts[item.name]):
            parts.append(f'<text x="{x + 14:.1f}" y="{y + 48 + LINE * i}">{escape(line)}</text>')
    note = (
        "An arrow: imports. Left out: arrows that follow from others, and those to the single files of the lowest row."
    )
    parts += [f'<text class="note" x="{MARGIN}" y="{height - 24}">{escape(note)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _colour(row: int) -> str:
    red, green, blue = colorsys.hls_to_rgb((270 - 17 * row) % 360 / 360, 0.56, 0.5)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _arrows_from(item: Item, tops: list[int], heights: list[int]) -> list[str]:
    parts = []
    bottom = tops[item.row] + heights[item.row]
    if not item.box:
        passing = f"M{item.x} {tops[item.row]}V{bottom}"
        parts.append(f'<path class="arrow" d="{passing}" stroke="{_colour(_end(item).row)}"/>')
    following = sorted(item.below, key=lambda other: other.x)
    for i, other in enumerate(following):
        x = item.x + (i - (len(following) - 1) / 2) * min(24, (item.width - 40) / len(following)) * item.box
        y, colour = tops[other.row] - 7 * other.box, _colour(_end(other).row)
        half = (bottom + y) / 2
        curve = f"M{x:.1f} {bottom}C{x:.1f} {half} {other.x} {half} {other.x} {y}"
        parts.append(f'<path class="arrow" d="{curve}" stroke="{colour}"/>')
        if other.box:
            parts.append(f'<path d="M{other.x} {y + 6}l-5 -9h10z" fill="{colour}"/>')
    return parts


def _end(item: Item) -> Item:
    while not item.box:
        item = item.below[0]
    return item


def _against(a: Item, b: Item, tops: list[int], heights: list[int]) -> str:
    side = 1 if b.x >= a.x else -1
    x, y = a.x + side * a.width / 2, tops[a.row] + heights[a.row] / 2
    to, end = b.x - side * b.width / 2, tops[b.row] + heights[b.row] / 2
    half = (x + to) / 2
    return f'<path class="arrow against" d="M{x:.1f} {y}C{half:.1f} {y} {half:.1f} {end} {to:.1f} {end}"/>'


def page(text: str) -> str:
    """The page with the list of folders, between its two marks, as it is now."""
    there = [name for row in layers() for name in row]
    signs = {name: f"{name}/" if (SOURCE / name).is_dir() else f"{name}.py" for name in there}
    lines = [f"- `{signs[name]}`: {summary(name)}" for name in there]
    listed = "\n".join(textwrap.fill(line, 118, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
    return re.sub(r"(<!-- folders -->\n).*(<!-- end -->)", lambda m: f"{m[1]}\n{listed}\n\n{m[2]}", text, flags=re.S)


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE.parent))
    DRAWING.write_text(draw())
    PAGE.write_text(page(PAGE.read_text()))
