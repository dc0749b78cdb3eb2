"""Train, dev and test, so that nothing in one split was seen in another.

Texts that come from one paper or are near-duplicates form a cluster, and a cluster goes into one
split as a whole. Clusters are dealt out within strata (annotation layers and annotator), so that
each split has each annotator's habits in the corpus's proportion. Which cluster goes where is
decided by a hash of the seed and the cluster's texts: it depends neither on order nor on chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spacy_spanmed.corpora.convert import DEV, TEST, TRAIN, stable_hash

# A cluster with more Docs than this always goes to train: in dev or test it would stand for a
# whole stratum, and a few papers would decide the figures.
MAX_HELD_OUT_CLUSTER = 30


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
    wanted = {DEV: proportional(dev, sizes), TEST: proportional(test, sizes)}
    order: list[tuple[int, str, int]] = []
    for name, items in members.items():
        digest = "".join(sorted(keys[item] for item in items))
        order.append((stable_hash(seed, digest), digest, name))
    splits = [TRAIN] * len(clusters)
    for _, _, name in sorted(order):
        counts = Counter(strata[item] for item in members[name] if strata[item])
        if not counts or sum(counts.values()) > MAX_HELD_OUT_CLUSTER:
            continue
        for split in (TEST, DEV):
            if all(wanted[split][stratum] >= n for stratum, n in counts.items()):
                for stratum, n in counts.items():
                    wanted[split][stratum] -= n
                for item in members[name]:
                    splits[item] = split
                break
    return splits
