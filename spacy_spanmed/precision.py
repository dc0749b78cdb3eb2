"""Whether a device is faster in bfloat16 than in float32."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

# Rows, inputs and outputs of the matrices that are timed: a layer of a small encoder
SHAPE = (512, 384, 1536)
ROUNDS = 5


@lru_cache(maxsize=None)
def bf16_pays(device_type: str) -> bool:
    """Whether to compute in bfloat16 where the user leaves the choice to us.

    A CPU with AMX multiplies bfloat16 several times as fast as float32, one without any
    instructions for it several times as slow. Those of AVX-512 may be either: AMD's are twice as
    fast as its float32, those of Intel's Xeons half as fast. There it is timed, once per process
    (about 10 ms).

    device_type (str): "cpu" or "cuda".
    RETURNS (bool): True for bfloat16.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    if torch.cpu._is_amx_tile_supported():
        return True
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """RETURNS (float): The quickest of a few matrix products: what the hardware can do, whatever
    else runs on it."""
    rows, inputs, outputs = SHAPE
    left = torch.ones((rows, inputs), dtype=dtype)
    right = torch.ones((outputs, inputs), dtype=dtype)
    quickest = float("inf")
    with torch.inference_mode():
        torch.nn.functional.linear(left, right)  # oneDNN writes its program
        for _ in range(ROUNDS):
            start = time.perf_counter()
            torch.nn.functional.linear(left, right)
            quickest = min(quickest, time.perf_counter() - start)
    return quickest
