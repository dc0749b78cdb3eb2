"""Replace the chosen tokens (80 % [MASK], 10 % random, 10 % kept) and find the span boundaries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Vocabulary(NamedTuple):
    """What corruption needs to know of a tokenizer.

    mask_id (int): Id of the mask token.
    random_ids (np.ndarray): Ids a random replacement is drawn from: all but the special tokens.
    """

    mask_id: int
    random_ids: np.ndarray


class MaskedBlock(NamedTuple):
    """One corrupted block and its targets, in the order of the text.

    input_ids (np.ndarray): Shape (length,), the corrupted ids.
    positions (np.ndarray): Shape (targets,), which tokens are predicted.
    labels (np.ndarray): Shape (targets,), their true ids.
    left, right (np.ndarray): Shape (targets,), the last visible token before the unbroken run of
        targets a target lies in, and the first one after it.
    offsets (np.ndarray): Shape (targets,), place of a target in its run, from 0.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    left: np.ndarray
    right: np.ndarray
    offsets: np.ndarray


def corrupt(
    input_ids: np.ndarray, units: np.ndarray, rng: np.random.Generator, vocabulary: Vocabulary
) -> MaskedBlock:
    """Corrupt the units of a block, deciding 80/10/10 once for each unit.

    input_ids (np.ndarray): Shape (length,), ids of a block that starts and ends with a special
        token, so that every run of targets has a neighbour on both sides.
    units (np.ndarray): Shape (units, 2), from a masker.
    rng (np.random.Generator): Source of randomness.
    vocabulary (Vocabulary): Mask id and ids for random replacements.
    RETURNS (MaskedBlock): The input is not changed.
    """
    starts, ends = units[:, 0], units[:, 1]
    sizes = ends - starts
    fate = np.repeat(rng.random(len(units)), sizes)
    # place in the text less place among the targets, which is the same for all of a unit
    shift = starts - (np.cumsum(sizes) - sizes)
    positions = np.repeat(shift, sizes) + np.arange(len(fate))
    labels = input_ids[positions].astype(np.int64)

    corrupted = input_ids.astype(np.int64)
    corrupted[positions[fate < 0.8]] = vocabulary.mask_id
    random = positions[(fate >= 0.8) & (fate < 0.9)]
    corrupted[random] = vocabulary.random_ids[
        rng.integers(len(vocabulary.random_ids), size=len(random))
    ]

    opens = np.ones(len(units) + 1, dtype=bool)
    opens[1:-1] = starts[1:] != ends[:-1]  # units that touch are one run
    run_starts, run_ends = starts[opens[:-1]], ends[opens[1:]]
    run_sizes = run_ends - run_starts
    left = np.repeat(run_starts - 1, run_sizes)
    return MaskedBlock(
        input_ids=corrupted,
        positions=positions,
        labels=labels,
        left=left,
        right=np.repeat(run_ends, run_sizes),
        offsets=positions - left - 1,
    )
