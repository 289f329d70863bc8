"""Pieces of HTML for the output of a notebook's cell: everything is escaped, and nothing is loaded from elsewhere.

Text takes the colours of the notebook, light or dark; only what is worth a look has one of its own.
"""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from vlae.figures.canvas import Picture
from vlae.figures.thumbnails import webp
from vlae.names import printable

STYLE = """
.vlae-output { font: 14px/1.5 system-ui, sans-serif; max-width: 60rem; }
.vlae-output p { margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
.vlae-output .vlae-title { font-size: 1.15em; font-weight: 600; margin: 0; }
.vlae-output .vlae-quiet { opacity: .75; margin: 0 0 .6rem; }
.vlae-output .vlae-warning { border-left: 4px solid #d80; padding-left: .6rem; }
.vlae-output .vlae-cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); }
.vlae-output .vlae-cards.vlae-wide { grid-template-columns: 1fr; }
.vlae-output .vlae-card { max-width: 18rem; border-top: 1px solid #8884; padding-top: .5rem; }
.vlae-output .vlae-card img { width: 100%; }
.vlae-output .vlae-wide .vlae-card { max-width: none; } .vlae-output .vlae-wide img { width: auto; }
.vlae-output .vlae-strip { display: flex; flex-wrap: wrap; gap: .5rem; margin: .2rem 0 .8rem; }
.vlae-output figure { margin: 0; width: 6rem; }
.vlae-output figcaption { font-size: .8em; line-height: 1.25; opacity: .75; overflow-wrap: anywhere; }
.vlae-output img { background: white; border-radius: 3px; image-rendering: pixelated; max-width: 100%; margin: 0; }
.vlae-output figure img { width: 6rem; height: 6rem; object-fit: contain; }
.vlae-output figure img.vlae-smooth { image-rendering: auto; }
.vlae-output table { border-collapse: collapse; display: block; overflow-x: auto; margin: .2rem 0 .8rem; }
.vlae-output th, .vlae-output td { padding: .1rem .8rem .1rem 0; border-bottom: 1px solid #8884; text-align: left; }
"""
"""CSS of every output. Its classes have a prefix, for a notebook has styles of its own."""

LARGE = 96
"""Pixels of a side from which a picture is reduced smoothly; the pixels of a smaller one stay visible."""


def output(title: str, quiet: str, *parts: str) -> str:
    """The whole output of a cell.

    Args:
        title: its title, as text.
        quiet: a line below the title, as text.
        parts: HTML, from the other functions here.
    """
    head = f'<p class="vlae-title">{text(title)}</p><p class="vlae-quiet">{text(quiet)}</p>'
    return f'<div class="vlae-output"><style>{STYLE}</style>{head}{"".join(parts)}</div>'


def text(words: object) -> str:
    """Text as HTML; control characters become their escapes.

    Args:
        words: what is said; a name in it may hold any characters.
    """
    return escape(printable(str(words)))


def paragraph(words: object, kind: str = "") -> str:
    """A paragraph.

    Args:
        words: as text.
        kind: "", "quiet" or "warning".
    """
    return f"<p{f' class=vlae-{kind}' if kind else ''}>{text(words)}</p>"


def image(picture: Picture, alt: str) -> str:
    """A picture inside the HTML.

    Args:
        picture: uint8 (H, W, 3).
        alt: what it shows, as text.
    """
    smooth = " class=vlae-smooth" if max(picture.shape[:2]) > LARGE else ""
    return f'<img{smooth} alt="{text(alt)}" src="{webp(picture)}">'


def strip(pictures: Iterable[tuple[Picture, *tuple[str, ...]]]) -> str:
    """Small pictures side by side, each above its words.

    Args:
        pictures: of each, uint8 (H, W, 3), and the lines of its words.
    """
    figures = []
    for picture, *lines in pictures:
        words = "<br>".join(map(text, lines))
        figures.append(f"<figure>{image(_small(picture), ', '.join(lines))}<figcaption>{words}</figcaption></figure>")
    return f'<div class="vlae-strip">{"".join(figures)}</div>'


def _small(picture: Picture) -> Picture:
    """A picture no larger than a strip shows it on a fine screen."""
    small = Image.fromarray(picture)
    small.thumbnail((1.5 * LARGE, 1.5 * LARGE))
    return np.asarray(small)


def card(title: str, sentence: str, picture: Picture, alt: str) -> str:
    """A picture above a title and a sentence.

    Args:
        title: as text.
        sentence: as text.
        picture: uint8 (H, W, 3).
        alt: what the picture shows, as text.
    """
    words = f"<b>{text(title)}</b><br>{text(sentence)}"
    return f'<div class="vlae-card">{image(picture, alt)}<p>{words}</p></div>'


def cards(each: Iterable[str], *, wide: bool = False) -> str:
    """Cards side by side, as many in a row as there is room for.

    Args:
        each: from `card`.
        wide: whether every card has a row of its own.
    """
    return f'<div class="vlae-cards{" vlae-wide" * wide}">{"".join(each)}</div>'


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    Args:
        header: the names of the columns.
        rows: the cells of each row.
    """
    head = "".join(f"<th>{text(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
