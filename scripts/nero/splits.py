"""Train, dev and test, so that nothing in one split was seen in another.

Texts that come from one paper or are near-duplicates form a cluster, and a cluster goes into one
split as a whole. Clusters are dealt out within strata (annotation layers and annotator), so that
each split has each annotator's habits in the corpus's proportion. Which cluster goes where is
decided by a hash of the seed and the cluster's texts: it depends neither on order nor on chance.

Near-duplicates are found exactly, not by sampling. A text is the set of its 5-character shingles,
after lower-casing and removing everything but letters and digits (so that "( CA2+ )" and "(Ca2+)"
are equal). Two texts are near-duplicates if the Jaccard similarity of their sets is at least 0.7,
or if at least 0.9 of the smaller set, when it has 20 shingles or more, lies in the larger (a
sentence and the abstract it comes from).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from spacy_spanmed.corpora.convert import DEV, TEST, TRAIN, stable_hash

SHINGLE = 5
JACCARD = 0.7
CONTAINMENT = 0.9
CONTAINMENT_MIN_SHINGLES = 20
# A cluster with more Docs than this always goes to train: in dev or test it would stand for a
# whole stratum, and a few papers would decide the figures.
MAX_HELD_OUT_CLUSTER = 30

_EPSILON = 1e-9  # so that 0.7 * 10 counts as 7
_MORE = 6  # shingles looked up beyond the shortest prefix
_BATCH = 1500  # texts at a time: bounds the memory of the products


def normalize_text(text: str) -> str:
    """RETURNS (str): The text's letters and digits, lower-cased."""
    return "".join(filter(str.isalnum, text.lower()))


def near_duplicate_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Find all near-duplicates.

    Candidates come from prefix filtering (Bayardo, Ma, Srikant 2007, "Scaling up all pairs
    similarity search", doi 10.1145/1242572.1242591; Chaudhuri, Ganti, Kaushik 2006): a set shares
    a part p of its n shingles only if one of any n - ceil(p n) + 1 of them is shared, or k + 1 of
    any k more. Both criteria demand that of the smaller set with p = 0.7. The rarest shingles give
    the fewest candidates; k saves most of the work of counting what those have in common.

    texts (Sequence[str]): The texts.
    RETURNS (list[tuple[int, int]]): Pairs of positions in `texts`, the lower one first, sorted.
    """
    if not texts:
        return []
    shingles = CountVectorizer(
        analyzer="char",
        ngram_range=(SHINGLE, SHINGLE),
        preprocessor=lambda text: normalize_text(text).ljust(SHINGLE, "\0"),
        binary=True,
        dtype=np.int32,
    )
    sets = shingles.fit_transform(texts)  # (texts, distinct shingles), 1 where a text has one
    sets = sets[:, np.argsort(sets.getnnz(axis=0))].sorted_indices()  # the rarest first
    sizes = np.diff(sets.indptr)
    shortest = sizes - np.ceil(JACCARD * sizes - _EPSILON).astype(int) + 1
    more = np.minimum(_MORE, sizes - shortest)
    heads = sets.copy()
    place = np.arange(sets.nnz) - np.repeat(sets.indptr[:-1], sizes)
    heads.data *= place < np.repeat(shortest + more, sizes)
    heads.eliminate_zeros()
    transposed = sets.T.tocsr()
    by_size = np.argsort(np.argsort(sizes, kind="stable"))
    found: list[tuple[int, int]] = []
    for start in range(0, len(texts), _BATCH):
        pairs = (heads[start : start + _BATCH] @ transposed).tocoo()
        small, large = pairs.row + start, pairs.col
        candidates = (by_size[small] < by_size[large]) & (pairs.data > more[small])
        small, large = small[candidates], large[candidates]
        common = sets[small].multiply(sets[large]).sum(axis=1).A1 + _EPSILON
        near = common >= JACCARD * (sizes[small] + sizes[large] - common)
        near |= (sizes[small] >= CONTAINMENT_MIN_SHINGLES) & (common >= CONTAINMENT * sizes[small])
        found.extend(zip(small[near].tolist(), large[near].tolist()))
    return sorted((min(pair), max(pair)) for pair in found)


def cluster(size: int, groups: Iterable[Sequence[int]]) -> list[int]:
    """Join items that share a group, directly or over others.

    size (int): Number of items.
    groups (Iterable[Sequence[int]]): Items that belong together: papers, pairs of duplicates.
    RETURNS (list[int]): For each item its cluster, named by the cluster's lowest item.
    """
    joined = [(group[0], item) for group in groups for item in group[1:]]
    edges = np.array(joined, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    _, lowest = np.unique(components, return_index=True)
    return lowest[components].tolist()


def proportional(total: int, sizes: dict[str, int]) -> dict[str, int]:
    """Share out a number in proportion, by largest remainders.

    total (int): What to share out; at most the sum of the sizes is given.
    sizes (dict[str, int]): Name to size.
    RETURNS (dict[str, int]): Name to share; the shares add up.
    """
    everything = sum(sizes.values())
    total = min(total, everything)
    if not everything:
        return dict.fromkeys(sizes, 0)
    shares = {name: total * size // everything for name, size in sizes.items()}
    rest = sorted(sizes, key=lambda name: (-(total * sizes[name] % everything), name))
    for name in rest[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def assign_splits(
    clusters: Sequence[int],
    strata: Sequence[str],
    keys: Sequence[str],
    *,
    dev: int,
    test: int,
    seed: int = 0,
) -> list[str]:
    """Assign items to splits.

    clusters (Sequence[int]): The cluster of each item.
    strata (Sequence[str]): The stratum of each item; empty for an item that isn't part of the
        corpus (a text without annotation), which follows its cluster and counts for nothing.
    keys (Sequence[str]): A name of each item, to hash: its text.
    dev, test (int): The number of items wanted in dev and test; the rest is train. A stratum may
        miss its share by less than one cluster.
    seed (int): Another seed, other splits. Defaults to 0.
    RETURNS (list[str]): "train", "dev" or "test" for each item.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for item, name in enumerate(clusters):
        members[name].append(item)
    sizes = Counter(stratum for stratum in strata if stratum)
    wanted = {DEV: Counter(proportional(dev, sizes)), TEST: Counter(proportional(test, sizes))}
    order = []
    for items in members.values():
        digest = "".join(sorted(keys[item] for item in items))
        order.append((stable_hash(seed, digest), digest, items))
    splits = [TRAIN] * len(clusters)
    for _, _, items in sorted(order):
        counts = Counter(strata[item] for item in items if strata[item])
        if not 0 < counts.total() <= MAX_HELD_OUT_CLUSTER:
            continue
        for split in (TEST, DEV):
            if counts <= wanted[split]:
                wanted[split] -= counts
                for item in items:
                    splits[item] = split
                break
    return splits
