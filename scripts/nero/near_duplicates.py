"""Pairs of texts that say nearly the same, found exactly, not by sampling.

A text is the set of its 5-character shingles, after lower-casing and removing everything but
letters and digits (so that "( CA2+ )" and "(Ca2+)" are equal). Two texts are near-duplicates if
the Jaccard similarity of their sets is at least 0.7, or if at least 0.9 of the smaller set, when
it has 20 shingles or more, lies in the larger (a sentence and the abstract it comes from).

Candidates come from prefix filtering (Bayardo, Ma, Srikant 2007, "Scaling up all pairs similarity
search", doi 10.1145/1242572.1242591; Chaudhuri, Ganti, Kaushik 2006): if two sets share enough,
then one of the rarest shingles of the one must be in the other. No pair is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

SHINGLE = 5
JACCARD = 0.7
CONTAINMENT = 0.9
CONTAINMENT_MIN_SHINGLES = 20

_EPSILON = 1e-9  # so that 0.7 * 10 counts as 7
_MORE = 6  # shingles looked up beyond the shortest prefix
_BATCH = 1500  # texts at a time: bounds the memory of the products


def normalize_text(text: str) -> str:
    """RETURNS (str): The text's letters and digits, lower-cased."""
    return "".join(filter(str.isalnum, text.lower()))


def shingle_sets(texts: Sequence[str]) -> sparse.csr_matrix:
    """Turn texts into sets of shingles.

    texts (Sequence[str]): The texts.
    RETURNS (csr_matrix): Shape (texts, distinct shingles), 1 where a text has a shingle. Columns
        are sorted from the rarest shingle to the most frequent.
    """
    # All texts as one array of code points, each padded to the length of a shingle at least.
    normalized = [normalize_text(text).ljust(SHINGLE, "\0") for text in texts]
    codes = np.frombuffer("".join(normalized).encode("utf-32-le"), dtype=np.uint32)
    lengths = np.array([len(text) for text in normalized], dtype=np.int64)
    count = max(len(codes) - SHINGLE + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for i in range(SHINGLE):
        # Code points have 21 bits and the multiplier is odd and large: equal hashes are as
        # improbable as for any 64-bit hash.
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += codes[i : i + count].astype(np.uint64) + np.uint64(1)
        hashes ^= hashes >> np.uint64(29)
    owner = np.repeat(np.arange(len(texts)), lengths)[:count]
    starts = np.cumsum(lengths) - lengths
    inside = np.arange(count) - starts[owner] <= lengths[owner] - SHINGLE
    distinct, ids = np.unique(hashes[inside], return_inverse=True)
    shape = (len(texts), len(distinct))
    matrix = sparse.csr_matrix((np.ones(len(ids), np.int32), (owner[inside], ids)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    frequency = np.bincount(matrix.indices, minlength=len(distinct))
    rank = np.empty(len(distinct), dtype=np.int64)
    rank[np.lexsort((distinct, frequency))] = np.arange(len(distinct))
    ranked = sparse.csr_matrix((matrix.data, rank[matrix.indices], matrix.indptr), shape=shape)
    ranked.sort_indices()
    return ranked


def near_duplicate_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Find all pairs of near-duplicates.

    texts (Sequence[str]): The texts.
    RETURNS (list[tuple[int, int]]): Pairs of positions in `texts`, the lower one first, sorted.
    """
    sets = shingle_sets(texts)
    sizes = np.diff(sets.indptr)
    found: set[tuple[int, int]] = set()
    for small, large, common in _candidates(sets, sizes, JACCARD):
        similar = common + _EPSILON >= JACCARD * (sizes[small] + sizes[large] - common)
        found.update(zip(small[similar].tolist(), large[similar].tolist()))
    long_enough = np.where(sizes >= CONTAINMENT_MIN_SHINGLES, sizes, 0)
    for small, large, common in _candidates(sets, long_enough, CONTAINMENT):
        contained = common + _EPSILON >= CONTAINMENT * sizes[small]
        found.update(zip(small[contained].tolist(), large[contained].tolist()))
    return sorted({(min(pair), max(pair)) for pair in found})


def _candidates(
    sets: sparse.csr_matrix, sizes: np.ndarray, share: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield batches of (smaller, larger, number of common shingles) that include every pair in
    which the larger set has at least `share` of the smaller one's shingles. Both criteria demand
    that. Texts whose size is given as 0 aren't looked for, only in."""
    # A set shares `share` of its n shingles only if one of any n - ceil(share * n) + 1 of them is
    # shared, or k + 1 of any k more. The rarest ones, which come first, give the fewest
    # candidates; k saves most of the work of counting what the candidates have in common.
    shortest = np.where(sizes > 0, sizes - np.ceil(share * sizes - _EPSILON).astype(int) + 1, 0)
    more = np.minimum(_MORE, sizes - shortest)
    prefix = shortest + more
    full_sizes = np.diff(sets.indptr)
    transposed = sets.T.tocsr()
    for start in range(0, sets.shape[0], _BATCH):
        rows = sets[start : start + _BATCH]
        length = np.diff(rows.indptr)
        place = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], length)
        keep = place < np.repeat(prefix[start : start + _BATCH], length)
        owner = np.repeat(np.arange(rows.shape[0]), length)[keep]
        heads = sparse.csr_matrix((rows.data[keep], (owner, rows.indices[keep])), shape=rows.shape)
        pairs = (heads @ transposed).tocoo()
        small, large = pairs.row.astype(np.int64) + start, pairs.col.astype(np.int64)
        ordered = (full_sizes[small] < full_sizes[large]) | (
            (full_sizes[small] == full_sizes[large]) & (small < large)
        )
        ordered &= pairs.data > more[small]
        small, large = small[ordered], large[ordered]
        common = np.asarray(sets[small].multiply(sets[large]).sum(axis=1)).ravel()
        yield small, large, common
