"""What the machine is good at: whether it is faster in bfloat16 than in float32, and how its memory is
kept from one step to the next instead of being asked for again."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")
AMD = "AuthenticAMD"
PRECISIONS = ("auto", "float32", "bfloat16")

# Of malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


@cache
def bf16_pays(device_type: str) -> bool:
    """Whether to compute in bfloat16 where the user leaves the choice to us.

    Decided by what the hardware is, not by timing it: the same machine must always choose the same,
    whatever else it does, or a run that goes on after a stop would change its precision. A CPU with
    AMX multiplies bfloat16 several times as fast as float32, one without any instructions for it
    several times as slow. Those of AVX-512 are between: AMD's (Zen 4) do twice the work of
    float32's, Intel's no more than those, and a step of `spacy train` on such a Xeon took longer.

    device_type (str): "cpu" or "cuda".
    RETURNS (bool): True for bfloat16.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and _read_vendor() == AMD


def check_precision(precision: str) -> None:
    """RAISES (ValueError): If it is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision must be {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, not {precision!r}."
        )


def resolve_precision(precision: str, device_type: str) -> str:
    """RETURNS (str): "float32" or "bfloat16", in place of "auto" what `bf16_pays` says."""
    if precision != "auto":
        return precision
    return "bfloat16" if bf16_pays(device_type) else "float32"


def _read_vendor() -> str:
    """RETURNS (str): The processor's maker, such as "GenuineIntel"; empty if it isn't known."""
    try:
        with CPU_INFO.open(encoding="utf8", errors="replace") as lines:
            for line in lines:
                if line.startswith("vendor_id"):
                    return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return ""


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep freed memory, for all of the process and until it ends.

    A training step takes and frees hundreds of blocks of many megabytes. GNU's library gives each
    back to the system at once, which then clears every page of the next one.

    RETURNS (bool): Whether that was done; not where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl; macOS; Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> bool:
    """Give freed memory back to the system now, also from between what is in use. Batches of ever
    different sizes leave gaps of all sizes, which add up to gigabytes over some thousand steps.

    RETURNS (bool): Whether there was any; not where the C library is another than GNU's.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False
