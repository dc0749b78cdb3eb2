"""Memory that a step frees is kept for the next one, instead of being asked for again."""

from __future__ import annotations

import ctypes
from functools import cache

# Of malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


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
