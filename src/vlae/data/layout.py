"""Which part and which class the folders say that a picture belongs to."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from unicodedata import normalize

import numpy as np

from vlae.data.source import OTHER, PICTURE_WORDS, TEST, TRAIN, Array, counted, parts_by_name, split_of

Folders = tuple[str, ...]
"""The names of the folders that a picture lies in, the outermost first."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the folders of pictures say."""

    parts: Array | None
    """int8 (N,): TRAIN, TEST or OTHER. None if there are no folders of both train and test."""
    labels: Array | None
    """int64 (N,): the class of each picture, -1 where its folder is none. None if there are no folders of classes."""
    label_names: tuple[str, ...]
    """The names of the classes, class 0 first."""
    fates: Mapping[str, str]
    """What became of the folders."""


def read_layout(names: Sequence[str]) -> Layout:
    """Tell from their folders which part and which class pictures belong to.

    Folders around everything say nothing, and neither does a folder that is alone in another and is called "images" or
    like the other. Folders called train and test are the parts, at whatever depth. Of what is left, the folders that
    hold pictures are the classes if they lie side by side.

    Args:
        names: of the picture files, relative to the source, with "/" between folders.

    Examples:
        >>> layout = read_layout(["zip/train/cat/1.png", "zip/train/dog/1.png", "zip/test/1.png", "zip/about.png"])
        >>> layout.parts.tolist(), layout.labels.tolist(), layout.label_names
        ([0, 0, 1, 2], [0, 1, -1, -1], ('cat', 'dog'))
    """
    folders = _unwrapped([tuple(name.split("/")[:-1]) for name in names])
    folders, parts, fates = _take_parts(folders)
    folders = _without_first_alone(folders)
    named = _one_spelling([inner[:1] for inner in folders], parts)
    holding = {name for name, inner in zip(named, folders, strict=True) if len(inner) == 1}
    if len(holding) < 2:
        if any(folders) or len({bool(name.count("/")) for name in names}) > 1:
            fates["folders in folders"] = "ignored: no classes, since pictures do not lie in folders side by side"
        return Layout(parts=parts, labels=None, label_names=(), fates=fates)
    label_names = tuple(sorted(set(named) - {""}))
    number = {name: i for i, name in enumerate(label_names)}
    labels = np.array([number.get(name, -1) for name in named], np.int64)
    fates[f"{len(label_names)} folders"] = "classes"
    if unknown := int((labels < 0).sum()):
        fates[f"{counted(unknown, 'picture')} outside the classes"] = "class unknown"
    return Layout(parts=parts, labels=labels, label_names=label_names, fates=fates)


def _one_spelling(folders: Sequence[Folders], parts: Array | None) -> list[str]:
    """Name the class of each picture; two parts may spell it in different case, or with other codes for an accent.

    Args:
        folders: the folder of each picture, if it is in one.
        parts: the part of each picture.
    """
    names = [normalize("NFC", "".join(inner)) for inner in folders]
    if parts is None:
        return names
    spellings: dict[str, set[str]] = defaultdict(set)
    in_part: dict[tuple[str, int], set[str]] = defaultdict(set)
    for name, part in zip(names, parts.tolist(), strict=True):
        spellings[name.lower()].add(name)
        in_part[name.lower(), part].add(name)
    if any(len(alike) > 1 for alike in in_part.values()):  # case makes a difference within a part
        return names
    return [min(spellings[name.lower()]) for name in names]


def _without_first_alone(folders: Sequence[Folders]) -> list[Folders]:
    """Leave out the outermost folders for as long as all pictures that are in a folder are in the same one."""
    while inside := [inner for inner in folders if inner]:
        pairs = zip(min(inside), max(inside), strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if not shared:
            break
        folders = [inner[shared:] for inner in folders]
    return list(folders)


def _unwrapped(folders: Sequence[Folders]) -> list[Folders]:
    """Leave out folders that say nothing: around everything, or alone in a folder and called "images", or like it."""
    folders = _without_first_alone(folders)
    distinct = set(folders)
    inside: dict[Folders, set[str]] = defaultdict(set)
    for inner in distinct:
        for depth, name in enumerate(inner):
            inside[inner[:depth]].add(name)

    def says_something(inner: Folders, depth: int) -> bool:
        if depth == 0 or inner[:depth] in distinct or len(inside[inner[:depth]]) > 1:
            return True
        name = inner[depth].lower()
        return name not in PICTURE_WORDS and name != inner[depth - 1].lower()

    kept = {inner: tuple(name for i, name in enumerate(inner) if says_something(inner, i)) for inner in distinct}
    return [kept[inner] for inner in folders]


def _take_parts(folders: Sequence[Folders]) -> tuple[list[Folders], Array | None, dict[str, str]]:
    """Find the outermost depth at which folders are called train and test, and leave it out.

    What else the folders there are called stays, if it differs: trainA and trainB leave A and B. Folders without
    another part are left out, too (`_take_lone_part`).

    Returns:
        The other folders of each picture, its part, and what became of the folders of parts.
    """
    for depth in range(max(map(len, folders), default=0)):
        names = ["".join(inner[depth : depth + 1]) for inner in folders]
        parts = parts_by_name(names)
        if parts is not None:
            break
        if all(split_of(name)[0] for name in set(names) - {""}):
            return _take_lone_part(folders, depth)
    else:
        return list(folders), None, {}
    rests = [split_of(name)[1] if part != OTHER else "" for name, part in zip(names, parts, strict=True)]
    differ = len({rest for rest, part in zip(rests, parts, strict=True) if part != OTHER}) > 1
    left = [
        inner[:depth] + ((rest,) if differ and rest else ()) + inner[depth + 1 :]
        for inner, rest in zip(folders, rests, strict=True)
    ]
    says = {
        TRAIN: "train part",
        TEST: "test part",
        OTHER: "ignored: neither to train nor to test with, only in split='all'",
    }
    counts = Counter(zip(names, parts.tolist(), strict=True))
    fates = {
        f"folder {name}, {counted(count, 'picture')}" if name else f"{counted(count, 'picture')} outside the parts": (
            says[part]
        )
        for (name, part), count in counts.items()
    }
    return left, parts, fates


def _take_lone_part(folders: Sequence[Folders], depth: int) -> tuple[list[Folders], None, dict[str, str]]:
    """Leave out the folders at a depth, which are called like parts that have no other part.

    If no folders of classes are left then, what else each of them is called stays as its class: freight_train and
    steam_train leave freight and steam.

    Returns:
        As `_take_parts`.
    """
    names = sorted({inner[depth] for inner in folders if len(inner) > depth})
    rests = {name: split_of(name)[1] for name in names}
    left = [inner[:depth] + inner[depth + 1 :] for inner in folders]
    differ = all(rests.values()) and len(set(rests.values())) > 1
    if not differ or len({inner[0] for inner in _without_first_alone(left) if len(inner) == 1}) > 1:
        return left, None, {f"folder {name}": "pictures; there is no other part" for name in names}
    classes = [
        inner[:depth] + tuple(rests[name] for name in inner[depth : depth + 1]) + inner[depth + 1 :]
        for inner in folders
    ]
    return classes, None, {f"folder {name}": f"class {rest}; there is no other part" for name, rest in rests.items()}
