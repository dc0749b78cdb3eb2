"""An order of blocks in which those of a batch are about equally long, so that little is padding.

A random order is taken in windows; in a window the blocks are sorted by length and cut into
batches, and the batches are shuffled. Batches thus stay random in what they hold but for length.
"""

from __future__ import annotations

import numpy as np

BATCHES_A_WINDOW = 64


def bucket_order(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: np.random.Generator, first: int
) -> np.ndarray:
    """Rearrange an epoch.

    order (np.ndarray): Shape (blocks,), block numbers in random order.
    lengths (np.ndarray): Shape (blocks,), tokens of each block, by block number.
    batch_size (int): Blocks a batch.
    rng (np.random.Generator): Shuffles the batches of a window.
    first (int): How many blocks of the epoch complete the batch that the epoch before began.
    RETURNS (np.ndarray): Shape (blocks,). The first ones and what fills no batch at the end
        stay where they are.
    """
    result = order.copy()
    end = first + (len(order) - first) // batch_size * batch_size
    window = BATCHES_A_WINDOW * batch_size
    for start in range(first, end, window):
        chosen = order[start : min(start + window, end)]
        batches = chosen[np.argsort(lengths[chosen], kind="stable")].reshape(-1, batch_size)
        result[start : start + len(chosen)] = rng.permutation(batches).ravel()
    return result
