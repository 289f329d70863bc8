"""Where the feature networks of this machine are: a run names its network by SHA-256, and never by a path to open.

A run may come from a stranger, so a path in its files is not opened. The networks that the user has given are
remembered in the cache, by their SHA-256. $VLAE_FEATURES gives a network at another place.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from vlae.atomic import replacing
from vlae.data.cache import cache_folder
from vlae.nn.network_formats import Opened, is_name
from vlae.nn.pretrained import MOST_SIDE, FeatureNetwork, open_network

GIVEN = "VLAE_FEATURES"
"""The environment variable that gives the place of a network."""

MAX_NAME = 4096  # bytes of a remembered path or name


def remembered(network: FeatureNetwork) -> dict[str, Any]:
    """Remember on this machine where a network is, and describe it for recipe.json.

    Args:
        network: a network that the user has given.

    Returns:
        The entries network (the path or name), sha256 and side.
    """
    file = _file(network.sha256)
    with suppress(OSError):  # without a cache, $VLAE_FEATURES tells the place
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            unfinished.write_bytes(os.fsencode(network.name))
    return {"network": network.name, "sha256": network.sha256, "side": network.side}


def recalled(record: Mapping[str, Any]) -> FeatureNetwork:
    """The network that a run's recipe.json describes. It is looked for and opened when it is first needed.

    Args:
        record: the entries network, sha256 and side.

    Raises:
        ValueError: if the record is not complete.
    """
    name, sha256, side = (record.get(entry) for entry in ("network", "sha256", "side"))
    named = isinstance(name, str) and isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)
    if not named or not (side is None or (type(side) is int and 0 < side <= MOST_SIDE)):
        raise ValueError("it does not describe the network of its features: network, sha256 and side")
    name, sha256 = str(name), str(sha256)
    return FeatureNetwork(name, sha256=sha256, side=side, find=partial(_find, name, sha256))


def _find(name: str, sha256: str) -> Opened:
    """Open the network of this SHA-256, at the place that the user gave."""
    place = os.environ.get(GIVEN) or _place(sha256)
    short = name if is_name(name) else Path(name).name
    missing = f"this run reads features by the network {short} (SHA-256 {sha256[:12]}…)"
    advice = f"say where it is: {GIVEN}=FILE before the command, or vlae.load(RUN, features=FILE)"
    if place is None:
        raise FileNotFoundError(f"{missing}, which was never given on this machine; {advice}")
    try:
        network = open_network(place)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{missing}, which is no longer at {place}; {advice}") from error
    if network.sha256 != sha256:
        raise ValueError(f"{missing}; that at {place} is another (SHA-256 {network.sha256[:12]}…); {advice}")
    remembered(network)
    return network.open()


def _place(sha256: str) -> str | None:
    try:
        with _file(sha256).open("rb") as stream:
            return os.fsdecode(stream.read(MAX_NAME))
    except OSError:
        return None


def _file(sha256: str) -> Path:
    return cache_folder() / "networks" / f"{sha256}.txt"
