"""Features of full-size pictures by a frozen network: computed once, and kept in the cache beside the pictures."""

import sys
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from vlae.data.cache import cache_folder, new_array, new_file
from vlae.data.decoding import row_name
from vlae.data.frames import Frame
from vlae.data.images import Images
from vlae.data.originals import Originals, find_originals
from vlae.data.pixels import picture_values
from vlae.data.readers import check_unchanged, hash_bytes, identify
from vlae.data.source import Array, DataError, Fit, ReadSettings, Source
from vlae.data.threads import for_each

if TYPE_CHECKING:  # torch is not needed to say that a source is missing
    from vlae.nn.pretrained import FeatureNetwork

BATCH = 32
"""Pictures that go through the network together."""


def add_features(
    whole: Images, rows: Array, source: Source, settings: ReadSettings, network: "FeatureNetwork", progress: bool
) -> Images:
    """Add to images what a network says of their full-size pictures.

    Each picture is taken from the source again, cut to the same part, and resized to the network's side. So what is
    lost in the smaller images is not lost here. The features of all rows of a path or name are kept in the cache, for
    images of any size and number of channels. Of other sources only the rows that are needed are computed.

    Args:
        whole: all images of the source.
        rows: the numbers of the rows that are needed.
        source: what was read: a path, a name, or what is in memory.
        settings: how it was read.
        network: the network.
        progress: whether to show a progress bar, and to say on the error output what is computed.

    Returns:
        The images, with float16 features (N, F); those of other rows may be missing (0).

    Raises:
        DataError: if the images are vectors, or the network's outputs do not fit, or a picture cannot be read again.
        FileNotFoundError: if the network is no longer there.
    """
    if whole.features is not None and network.gave(whole):
        return whole
    if whole.is_vectors:
        raise DataError(f"{whole.source}: these are vectors; features of a network are for pictures")
    if not isinstance(source, str | Path):
        computed = _compute(whole, rows, find_originals(whole, source, settings), settings, network, progress)
        features = np.zeros((len(whole), computed.shape[1]), np.float16)
        features[rows] = computed
        return replace(whole, features=features, features_from=network.sha256, features_side=network.side)
    fingerprint = identify(source, settings, here=True)[0]
    side = network.side or whole.shape[1:]
    asked = (whole.crop, settings.fit, whole.value_range, settings.layout, settings.key)
    shard = () if settings.shard is None else (str(settings.shard),)
    channels, height, width = whole.shape
    divisor = gcd(height, width)
    # words that say how else others were computed before, so that their files stay those of square pictures in bytes
    seen = () if not network.side or height == width else ("proportions", height // divisor, width // divisor)
    numbers = () if whole.values.dtype == np.uint8 else ("channels", channels)  # which stay those of the images
    words = repr((fingerprint, *asked, network.sha256, *shard, *seen, *numbers, side))
    file = cache_folder() / "features" / f"{hash_bytes(words.encode(errors='surrogateescape'))}.npy"
    cached = _cached(file, len(whole))
    if cached is None:
        every = np.arange(len(whole))
        computed = _compute(whole, every, find_originals(whole, source, settings), settings, network, progress)
        check_unchanged(source, settings, fingerprint, here=True)
        with new_file(file) as unfinished:
            new_array(unfinished, computed.shape, computed.dtype)[:] = computed
        cached = _cached(file, len(whole))
        cached = computed if cached is None else cached  # somebody may have deleted the cache
    return replace(whole, features=cached, features_from=network.sha256, features_side=network.side)


def _cached(file: Path, num: int) -> Array | None:
    """Open features that were computed before; None if they are absent or damaged."""
    try:
        features: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = features.ndim == 2 and len(features) == num and features.dtype == np.float16
    return features if fits else None


def _compute(
    whole: Images, rows: Array, originals: Originals, settings: ReadSettings, network: "FeatureNetwork", progress: bool
) -> Array:
    """Compute the features of some rows: float16 (n, F)."""
    channels, height, width = whole.shape
    try:
        taken = network.channels_of(channels)
    except ValueError as error:
        raise DataError(f"{whole.source}: {error}") from error
    read_in = taken if whole.values.dtype == np.uint8 else channels  # numbers are made grey or colour by the network
    frame = frame_of(network, (read_in, height, width), settings.crop_of(originals.crop), settings.fit)
    opacity = read_in in (2, 4) and whole.value_range is None

    def fit(i: int) -> Array:
        with originals.open(i) as image:
            return picture_values(image, frame, originals.value_range, f"{whole.source}, {row_name(whole, i)}")[0]

    console = Console(stderr=True)
    shown = progress and console.is_terminal
    if progress and not shown:
        print(f"{network.short_name} looks at {len(rows)} full-size pictures", file=sys.stderr, flush=True)
    starts = range(0, len(rows), BATCH)
    batches = []
    for start in track(starts, "Features", console=console, disable=not shown):
        chosen = [int(i) for i in rows[start : start + BATCH]]
        fitted, broken = for_each(fit, chosen, "", False)
        if broken:
            first = min(broken)
            raise DataError(f"{whole.source}, {row_name(whole, first)}: cannot be read again ({broken[first]})")
        batches.append(_features(np.stack([fitted[i] for i in chosen]), network, opacity))
    computed = np.concatenate(batches)
    largest, least = np.abs(computed).max(initial=0.0), np.finfo(np.float16).smallest_normal
    if len(rows) > 1 and 0 < largest < least:
        raise DataError(
            f"{network.short_name} gives numbers up to {largest:.3g}; features are kept in 16 bits, from {least:.2g} "
            "up: let the network multiply them"
        )
    return computed.astype(np.float16)


def frame_of(network: "FeatureNetwork", shape: tuple[int, int, int], crop: int | None, fit: Fit | None) -> Frame:
    """How a full-size picture is brought to a network: it sees as much as the images show, squashed to its square.

    Args:
        network: the network.
        shape: (channels that are read, height of the images, their width).
        crop: side of the square that is cut from the middle first, in pixels; None: no crop.
        fit: what is done with pictures of other proportions; None: they are cut.
    """
    channels, height, width = shape
    sides = (network.side or height, network.side or width)
    proportions = None if height == width else (height, width)
    return Frame(shape=(channels, *sides), crop=crop, fit=fit or "crop", proportions=proportions)


def _features(pictures: Array, network: "FeatureNetwork", opacity: bool) -> Array:
    """What the network says of pictures: float32 (n, F)."""
    from vlae.models.inference import as_input
    from vlae.nn.pretrained import on_white

    try:
        features = network(on_white(as_input(pictures)) if opacity else as_input(pictures)).numpy()
    except ValueError as error:
        raise DataError(str(error)) from error
    if np.abs(features).max() > np.finfo(np.float16).max:
        raise DataError(
            f"{network.short_name} gives numbers up to {np.abs(features).max():.3g}; features are kept in 16 bits, "
            "up to 65,504: let the network divide them"
        )
    return features
