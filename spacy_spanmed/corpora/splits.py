"""Train, dev and test: which split a document goes into, by a hash of a seed and its text alone.

So it depends neither on chance nor on the order and choice of the sources.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from ..util.problems import CorpusError
from .documents import SourceDocument

TRAIN, DEV, TEST = "train", "dev", "test"
SPLITS = (TRAIN, DEV, TEST)


def stable_hash(seed: int, key: str) -> int:
    """RETURNS (int): A number from 0 to 2^64 - 1 that depends on seed and key alone."""
    digest = hashlib.blake2b(f"{seed}\t{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def hash_text(seed: int, text: str) -> int:
    """RETURNS (int): As `stable_hash`, of a text without regard to white space."""
    return stable_hash(seed, " ".join(text.split()))


def parse_split(text: str) -> dict[str, float]:
    """Read what --split says.

    text (str): Names and shares: "train=0.8,dev=0.1,test=0.1".
    RETURNS (Dict[str, float]): Name to share.
    RAISES (CorpusError): If it has another form, or the shares don't add up to 1.
    """
    form = 'Expected names and shares that add up to 1: "train=0.8,dev=0.1,test=0.1".'
    shares: dict[str, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z][\w-]*)\s*=\s*(\d*\.?\d+)\s*", part)
        if not match or match[1] in shares:
            raise CorpusError(f"{part.strip()!r} in --split {text}: {form}")
        shares[match[1]] = float(match[2])
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise CorpusError(f"--split {text} adds up to {sum(shares.values()):g}. {form}")
    return shares


def choose_split(document: SourceDocument, split: Mapping[str, float], seed: int) -> str:
    """RETURNS (str): The split of a document: by a hash of the seed and its text without regard to
    white space, hence the same in every order and for every choice of sources. Equal texts come
    into the same split, whatever their ids."""
    place = hash_text(seed, document.text) / 2**64
    for name, share in split.items():
        place -= share
        if place < 0:
            return name
    return name  # the shares add up to a little less than 1
