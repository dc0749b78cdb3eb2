"""Train, dev and test, so that nothing in one split was seen in another.

Texts that come from one paper or are near-duplicates form a cluster, and a cluster goes into one
split as a whole. Clusters are dealt out within strata (annotation layers and annotator), so that
each split has each annotator's habits in the corpus's proportion. Which cluster goes where is
decided by a hash of the seed and the cluster's texts: it depends neither on order nor on chance.
"""

from __future__ import annotations

import hashlib

TRAIN, DEV, TEST = "train", "dev", "test"
SPLITS = (TRAIN, DEV, TEST)


def stable_hash(seed: int, key: str) -> int:
    """RETURNS (int): A number from 0 to 2^64 - 1 that depends on seed and key alone."""
    digest = hashlib.blake2b(f"{seed}\t{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
