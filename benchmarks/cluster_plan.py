"""What a large collection takes on a cluster, from what `cluster_speed.py` has measured; see README.md."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlae.memory import size


def plan(
    measured: Mapping[str, Any],
    *,
    num: float,
    kilobytes: float | None = None,
    hours: float,
    cores: int,
    per_core_hour: float,
    per_terabyte: float = 0.0,
    reserve: float = 0.25,
) -> dict[str, str]:
    """Bytes, machines, hours and cost, in words.

    Args:
        measured: what `cluster_speed.py --json` has written.
        num: pictures.
        kilobytes: of one picture as it is stored. None: those of the pictures that were measured.
        hours: in which to be ready.
        cores: of one machine.
        per_core_hour: price of a core for an hour.
        per_terabyte: price of reading a TB.
        reserve: share of cores beyond what is computed.

    Raises:
        ValueError: if kilobytes are far from those that were measured: decoding a picture grows with it.
    """
    if "kilobytes" not in measured:
        raise ValueError("the file is of an earlier cluster_speed.py; measure again")
    each = measured["kilobytes"]
    kilobytes = each if kilobytes is None else kilobytes
    if not each / 1.5 <= kilobytes <= each * 1.5:
        raise ValueError(
            f"{kilobytes:g} kB are asked for, and pictures of {each:g} kB ({measured['side']} pixels a side) were "
            "measured, which are read at another speed; measure with another --side"
        )
    of_cluster = max((each for each in measured["results"] if not each["killed"]), key=lambda each: each["workers"])
    per_core = of_cluster["images a second"] / min(measured["cores"], of_cluster["workers"])
    core_hours = num / per_core / 3600 * (1 + reserve)
    machines = -(-core_hours // (hours * cores))
    read, written = num * kilobytes * 1000, num * measured["bytes a row"]
    rate = read / hours / 3600
    cost = core_hours * per_core_hour + read / 1e12 * per_terabyte
    return {
        "measured": f"{per_core:,.0f} images/s a core ({measured['recipe']}, {measured['processor']})",
        "a picture": f"JPEG, {measured['side']} pixels a side, {measured['kilobytes']:g} kB; read as {kilobytes:g} kB",
        "pictures": f"{num:,.0f}",
        "read": f"{size(round(read))}, {size(round(rate))} a second",
        "written": f"{size(round(written))} of codes ({measured['bytes a row']:.0f} bytes a row, measured)",
        "core hours": f"{core_hours:,.0f}, with {reserve:.0%} in reserve",
        "machines": f"{machines:,.0f} of {cores} cores, for {hours:g} hours",
        "a machine reads": f"{size(round(rate / machines))} a second",
        "cost": f"{cost:,.0f}, in the currency of the prices that you gave",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("speed", type=Path, help="what cluster_speed.py --json has written")
    parser.add_argument("--num", type=float, default=1e9, help="pictures (default a billion)")
    parser.add_argument("--kilobytes", type=float, help="of one picture as it is stored (default: as measured)")
    parser.add_argument("--hours", type=float, default=24, help="in which to be ready (default 24)")
    parser.add_argument("--cores", type=int, default=64, help="of one machine (default 64)")
    parser.add_argument("--per-core-hour", type=float, required=True, help="price of a core for an hour; yours")
    parser.add_argument("--per-terabyte", type=float, default=0.0, help="price of reading a TB; yours (default 0)")
    parser.add_argument("--reserve", type=float, default=0.25, help="of cores beyond what is computed (default .25)")
    args = parser.parse_args()
    given = vars(args)
    try:
        rows = plan(json.loads(given.pop("speed").read_text()), **given)
    except ValueError as error:
        parser.error(str(error))
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")


if __name__ == "__main__":
    main()
