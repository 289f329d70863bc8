"""What the machine is that a benchmark runs on, and whether anything else works on it."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vlae", "torch", "lightning", "numpy", "pyarrow", "lancedb", "onnxruntime")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_bf16", "amx_int8")
"""Instructions that decide how fast convolutions are."""


def processor() -> str:
    """Its name, as the system gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def flags() -> list[str]:
    """Those of `FLAGS` that the processor has; [] where the system does not say."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    has = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in FLAGS if flag in has]


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system and versions; nothing that names the machine or its folders."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "flags": flags(),
        "memory_gib": memory and round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit of the checkout, with a + if files differ from it; None outside of one."""
    here = Path(__file__).parent
    try:
        name = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=here, text=True, stderr=-3).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno"], cwd=here, text=True, stderr=-3)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + "+" * bool(changed.strip())


class Work:
    """The processor's time that was used on the whole machine, and by this process and its children, since the start.

    The load average will not do: after a measurement it is high by the measurement itself.
    """

    def __init__(self) -> None:
        self.begun, self.all, self.own = time.monotonic(), all_seconds(), own_seconds()

    def of_others(self) -> float | None:
        """Cores that others kept busy meanwhile, on average; None where the system does not say."""
        now = all_seconds()
        if now is None or self.all is None:
            return None
        others = (now - self.all) - (own_seconds() - self.own)
        return max(0.0, others / max(time.monotonic() - self.begun, 1e-9))


def all_seconds() -> float | None:
    """Seconds of processor time that the machine has worked, what a host took from it included; None: unknown."""
    if sys.platform != "linux":
        return None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = (
        int(part) for part in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def busy_now(seconds: float = 1.0) -> float | None:
    """Cores that others keep busy now; None where the system does not say."""
    work = Work()
    time.sleep(seconds)
    return work.of_others()
