"""Which rows are held out for testing, where a source does not say so itself."""

import warnings
from dataclasses import replace

import numpy as np

from vlae.data.content import content_hashes
from vlae.data.copies import find_copies
from vlae.data.images import Images
from vlae.data.source import OTHER, TEST, TRAIN, Array, DataError, counted

MAX_HELD_OUT = 5_000
"""The most images that are held out for testing: enough to estimate a mean, for a source of any size."""


def hold_out(num: int, holdout: float, rng: np.random.Generator, groups: Array | None = None) -> Array:
    """Choose random rows to test with.

    Args:
        num: how many rows there are.
        holdout: the fraction to hold out, 0 or more and less than 1.
        rng: chooses them.
        groups: int64 (num,), as `Images.groups`: rows that are held out together or not at all.

    Returns:
        int8 (num,), TRAIN or TEST of each row.

    Examples:
        >>> [int(hold_out(num, 0.05, np.random.default_rng(0)).sum()) for num in (2, 20, 100, 1_000, 1_000_000)]
        [1, 5, 16, 50, 5000]
    """
    num_test = min(MAX_HELD_OUT, max(1, min(16, num // 4), round(holdout * num))) if holdout else 0
    parts = np.full(num, TRAIN, np.int8)
    order = rng.permutation(num)
    parts[order[:num_test] if groups is None else _whole_groups(order, groups, num_test)] = TEST
    return parts


def _whole_groups(order: Array, groups: Array, num_test: int) -> Array:
    """Choose rows of whole groups, about as many as asked: the first that fit, or else the smallest group.

    Copies come last. Rows of a single group are chosen one by one.
    """
    order = order[np.argsort(groups[order] < 0, kind="stable")]
    numbers, first, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    if len(numbers) == 1:
        return order[:num_test]
    taken, room = [], num_test
    for i in np.argsort(first):
        if room == 0:
            break
        if sizes[i] <= room:
            taken.append(numbers[i])
            room -= sizes[i]
    if num_test and not taken:
        taken = [numbers[sizes.argmin()]]
    return order[np.isin(groups[order], taken)]


def keep_out(whole: Images, parts: Array, held_out: Array) -> Array:
    """Keep in the test part what was held out before, and nothing else, since all else may have been trained on.

    Args:
        whole: all images of a source.
        parts: int8 (N,), TRAIN, TEST or OTHER of each.
        held_out: hashes of what was held out (`vlae.data.content.content_hashes`), int64 (n,).

    Returns:
        int8 (N,), the part of each row.

    Raises:
        DataError: if nothing of it is left.
    """
    tested = parts == TEST
    if np.array_equal(content_hashes(whole.values[tested]), held_out):
        return parts
    kept = np.isin(content_hashes(whole.values), held_out)
    changed = f"{whole.source} has changed since the run was trained: of the {len(held_out)} data that were held out"
    if not kept.any():
        raise DataError(f"{changed} none is left, and others may have been trained on; give other data to measure on")
    warnings.warn(f"{changed} {kept.sum()} are left, and these alone are its test part", stacklevel=3)
    return np.where(kept, TEST, np.where(tested, OTHER, parts)).astype(np.int8)


def group_copies(whole: Images, parts: Array | None, *, near: bool = True) -> Images:
    """Put copies of a picture into one group, and say how many there are. Pages of one file stay in theirs.

    Args:
        whole: all images of a source.
        parts: int8 (N,), TRAIN, TEST or OTHER of each; None if the source has no parts.
        near: whether pictures that differ as those do that were compressed or sized anew are copies; else equal ones.
            Arrays often hold small pictures that are alike, digits say, and are no copies.
    """
    groups = np.arange(len(whole)) if whole.groups is None else whole.groups
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    single = np.flatnonzero(sizes[place] == 1)
    copies = find_copies(whole.values, single, near=near)
    num_alike = np.bincount(copies)[copies] if len(copies) else copies
    copied = single[num_alike > 1]
    sets = copies[num_alike > 1]
    fates = dict(whole.fates)
    if len(copied):
        groups = groups.copy()
        groups[copied] = -1 - sets
        fates |= _say_copies(sets, None if parts is None else parts[copied])
        whole = replace(whole, groups=groups)
    if parts is None and len(whole) > 1 and len(np.unique(groups)) == 1:
        fates["that all pictures are copies of one, or pages of one file"] = "some are held out all the same"
    return replace(whole, fates=fates)


def _say_copies(sets: Array, parts: Array | None) -> dict[str, str]:
    """Say how many copies there are, and on which side.

    Args:
        sets: (n,) the number of the set of copies of each picture that has copies.
        parts: (n,) its part.
    """
    num = len(sets) - len(np.unique(sets))
    what = "1 copy of another picture" if num == 1 else f"{num} copies of other pictures"
    if parts is None:
        return {what: "not held out, with what they are copies of, unless there are too few others"}
    leaked = int(np.isin(sets[parts == TEST], sets[parts == TRAIN]).sum())
    fates = {what: "left where they are"}
    if leaked:
        fates[f"{counted(leaked, 'picture')} of the test part, also in the train part"] = (
            "not moved: the source has parts of its own"
        )
    return fates
