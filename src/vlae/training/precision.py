"""Which precision trains fastest on a device: bf16 where it is faster, else fp32."""

import platform
import time
from functools import cache
from typing import Literal

import torch
from torch.nn import functional

FASTER = 1.3
"""How many times as fast bf16 has to be. Below it, what is cast and what stays in fp32 takes the gain away."""


def fastest(accelerator: str = "auto", *, alone: bool = True) -> Literal["fp32", "bf16"]:
    """The precision in which convolutions are fastest on a kind of device.

    A processor is timed, because its flags do not tell: some with AVX512-BF16 are twice as fast in bf16, some half.

    Args:
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
        alone: whether one process trains. Several have to agree, so their processors are not timed: fp32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if accelerator == "mps" or (accelerator == "auto" and torch.backends.mps.is_available()):
        return "fp32"
    return "fp32" if not alone or lacks_bf16() or gain_of_bf16() < FASTER else "bf16"


def is_processor(accelerator: str) -> bool:
    """Whether this kind of device is the processor.

    Args:
        accelerator: the kind of device: "auto", "cpu", "gpu" or "mps".
    """
    others = torch.cuda.is_available() or torch.backends.mps.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and not others)


def lacks_bf16() -> bool:
    """Whether the processor has no bf16 arithmetic of its own, so that bf16 is far slower than fp32."""
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return platform.machine() in ("x86_64", "AMD64") and not has


@cache
def gain_of_bf16() -> float:
    """How many times as fast as in fp32 a convolution of this processor is in bf16; some 10 ms are spent on it.

    Both are timed in turn, on one thread: threads that wait for each other on a busy machine take any time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            x, weight = torch.zeros(8, 64, 16, 16), torch.zeros(64, 64, 3, 3)
            runs = {
                dtype: [each.to(dtype, memory_format=torch.channels_last) for each in (x, weight)]
                for dtype in (torch.float32, torch.bfloat16)
            }
            seconds = {dtype: float("inf") for dtype in runs}
            for _ in range(6):
                for dtype, (pictures, filters) in runs.items():
                    start = time.perf_counter()
                    functional.conv2d(pictures, filters, padding=1)
                    seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return seconds[torch.float32] / seconds[torch.bfloat16]
