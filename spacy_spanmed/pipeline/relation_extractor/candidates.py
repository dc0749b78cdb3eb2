"""Which mentions and pairs of mentions the relation pipe looks at, and which concepts they stand for;
with warnings of entities that it can make little of.

Thousands of mentions have millions of pairs: these are looked at a part at a time (`PairBlocks`).
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from spacy.tokens import Doc

from ...doc.concepts import group_mentions, make_text_ids
from ...doc.gold import get_gold_concepts, get_gold_mentions, invert_concepts, order_arguments
from ...doc.mentions import Mention

Pair = tuple[int, int]
LabelPair = tuple[str, str]
# (start, end, label) in characters, with the ids of their concepts, if these are to be related
Mentions = Mapping[Mention, Sequence[str]]


class Candidate(NamedTuple):
    """A mention on the tokens of the Doc that is processed, with the offsets it came with.

    start, end (int): Tokens, end exclusive. start_char, end_char (int): As given, which may cut
    through a token. label (str): Entity label. concepts (Tuple[str, ...]): Ids of its concepts;
    not used for relations between mentions.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    label: str
    concepts: tuple[str, ...] = ()


class CandidatePairs(NamedTuple):
    """mentions (List[Candidate]). pairs (List[Tuple[int, int]]): ordered (head, tail) indices into
    the mentions, one for each row of scores. cut (int): pairs of mentions left out because there
    were too many. total (int): those and the ones that are there. groups (List[int]): for each row
    the arguments it speaks for. arguments (List[Tuple]): (head, tail), as offsets of mentions, or
    as ids of concepts, for which several rows may speak."""

    mentions: list[Candidate]
    pairs: list[Pair]
    cut: int
    total: int
    groups: list[int]
    arguments: list[tuple[Any, Any]]


NO_PAIRS = CandidatePairs([], [], 0, 0, [], [])


def align_mentions(
    doc: Doc,
    mentions: Iterable[Mention],
    concepts: Mapping[Mention, Sequence[str]] | None = None,
) -> list[Candidate]:
    """Put mentions on a Doc's tokens, widened to whole tokens.

    doc (Doc): Any tokenization of the text. mentions (Iterable[Mention]): (start, end, label) in
        characters. concepts (Optional[Mapping[Mention, Sequence[str]]]): Ids of their concepts.
    RETURNS (List[Candidate]): By position. One of white space alone is left out. Of two mentions
        with the same offsets one is left, unless they have concepts.
    """
    found: dict[Any, Candidate] = {}
    text = doc.text  # made anew on each access
    for mention in sorted(mentions):
        start, end, label = mention
        span = doc.char_span(start, end, alignment_mode="expand")
        if span is not None and text[start:end].strip():
            ids = tuple(concepts.get(mention, ())) if concepts is not None else ()
            key = (start, end) if concepts is None else mention
            found.setdefault(key, Candidate(span.start, span.end, start, end, label, ids))
    return list(found.values())


def find_pairs(
    mentions: list[Candidate],
    max_distance: int,
    max_pairs: int,
    *,
    concepts: bool = False,
    directed: bool = True,
    pair_types: Collection[LabelPair] | None = None,
) -> CandidatePairs:
    """Pairs of different mentions that are close enough, the closest first.

    If there are too many, the closest are kept; between concepts, before all others the closest of
    each pair of concepts, so that no two concepts lose their only pair to the repeats of others.

    mentions (List[Candidate]): By position.
    max_distance (int): Tokens between the starts of two mentions, at most.
    max_pairs (int): Pairs to keep, at most; the rest are counted. Between concepts a pair of
        mentions counts as often as it has pairs of ids: each is a row of scores.
    concepts (bool): Whether the arguments are the mentions' concepts. Defaults to False.
    directed (bool): Look at both orders of a pair; else at one: by label, then by position.
        Defaults to True.
    pair_types (Optional[Collection[LabelPair]]): Labels that (head, tail) must have; None: any.
    RETURNS (CandidatePairs): The memory grows with the mentions and with max_pairs, not with all
        pairs.
    """
    blocks = PairBlocks(mentions, max_distance, concepts, directed, pair_types)
    total, furthest = blocks.measure(max_pairs)
    found = blocks.collect(furthest)
    sizes = np.array(
        [len(mention.concepts) if concepts else 1 for mention in mentions], dtype="int64"
    )
    later = np.zeros(found.shape[1], dtype=bool)
    if concepts and (total > max_pairs or sizes[found[1]] @ sizes[found[2]] > max_pairs):
        first = blocks.collect_first(max_pairs)
        found = np.concatenate([first, found], axis=1)
        found, places = np.unique(found, axis=1, return_index=True)
        later = places >= first.shape[1]
    distances, heads, tails = found
    # Both orders of a pair side by side, so that a cut doesn't part them
    one, other = np.minimum(heads, tails), np.maximum(heads, tails)
    order = np.lexsort((heads, other, one, distances, later))
    rows = np.cumsum(sizes[heads[order]] * sizes[tails[order]])
    fit = int(np.searchsorted(rows, max_pairs, side="right"))
    kept = order[: fit - fit % 2 if directed and fit < total else fit]
    kept = kept[np.lexsort((heads[kept], other[kept], one[kept], distances[kept]))]
    names: list[Sequence[Any]] = [
        mention.concepts if concepts else ((mention.start_char, mention.end_char),)
        for mention in mentions
    ]
    ordered = concepts and not directed
    pairs: list[Pair] = []
    groups: list[int] = []
    index: dict[tuple[Any, Any], int] = {}
    for head, tail in zip(heads[kept].tolist(), tails[kept].tolist()):
        for one_name in names[head]:
            for other_name in names[tail]:
                if concepts and one_name == other_name:
                    continue
                arguments = (one_name, other_name)
                if ordered:
                    arguments = order_arguments(*arguments)
                pairs.append((head, tail))
                groups.append(index.setdefault(arguments, len(index)))
    return CandidatePairs(mentions, pairs, total - len(kept), total, groups, list(index))


class PairBlocks:
    """All pairs of mentions, some rows of the matrix at a time. For the arguments see `find_pairs`."""

    ROWS = 256
    WAITING = 1 << 20  # pairs that `collect_first` gathers before it keeps the closest

    def __init__(
        self,
        mentions: list[Candidate],
        max_distance: int,
        concepts: bool,
        directed: bool,
        pair_types: Collection[LabelPair] | None,
    ):
        labels = sorted({mention.label for mention in mentions})
        code = {label: i for i, label in enumerate(labels)}
        self.starts = np.array([mention.start for mention in mentions], dtype="int64")
        self.labels = np.array([code[mention.label] for mention in mentions], dtype="int64")
        self.allowed = np.array(
            [[pair_types is None or (h, t) in pair_types for t in labels] for h in labels],
            dtype=bool,
        ).reshape(len(labels), len(labels))
        # Mentions of no concept (-1) have no relations, nor have two of the same one.
        self.concepts: np.ndarray | None = None
        if concepts:
            ids: dict[tuple[str, ...], int] = {(): -1}
            self.concepts = np.array(
                [ids.setdefault(mention.concepts, len(ids)) for mention in mentions], dtype="int64"
            )
        self.max_distance = max_distance
        self.directed = directed

    def _block(self, start: int, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RETURNS (Tuple): Distances, at most reach, and which pairs (row first, and column first)
        to look at. Row and column 0 are the mention at start."""
        rows = self.starts[start : start + self.ROWS]
        last = int(np.searchsorted(self.starts, rows[-1] + reach, side="right"))
        one, other = slice(start, start + len(rows)), slice(start, last)
        distances = self.starts[None, other] - rows[:, None]
        near = np.tri(len(rows), distances.shape[1], dtype=bool)
        np.logical_not(near, out=near)  # columns behind the row
        near &= distances <= reach
        if self.concepts is not None:
            heads, tails = self.concepts[one, None], self.concepts[None, other]
            near &= (heads != tails) & (heads >= 0) & (tails >= 0)
        forward, backward = self._allow(self.labels[one, None], self.labels[None, other])
        return distances, near & forward, near & backward

    def _allow(self, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple): Whether mentions with such labels, in this order in the text, are to be
        looked at as head and tail, and as tail and head."""
        forward, backward = self.allowed[one, other], self.allowed[other, one]
        if not self.directed:
            forward, backward = forward & (one <= other), backward & (one > other)
        return forward, backward

    def measure(self, max_pairs: int) -> tuple[int, int]:
        """RETURNS (Tuple[int, int]): The number of pairs, and the distance within which there are
        at least max_pairs (if there are)."""
        counts = np.zeros(1, dtype="int64")
        for start in range(0, len(self.starts), self.ROWS):
            distances, forward, backward = self._block(start, self.max_distance)
            for chosen in (forward, backward):
                more = np.bincount(distances[chosen], minlength=len(counts))
                more[: len(counts)] += counts
                counts = more
        within = counts.cumsum()
        return int(within[-1]), int(np.searchsorted(within, max_pairs))

    def collect(self, furthest: int) -> np.ndarray:
        """RETURNS (np.ndarray): (3, pairs), int64: distances, heads and tails of all pairs within
        a distance."""
        parts = [np.zeros((3, 0), dtype="int64")]
        for start in range(0, len(self.starts), self.ROWS):
            distances, forward, backward = self._block(start, min(furthest, self.max_distance))
            for chosen, swap in ((forward, False), (backward, True)):
                rows, columns = np.nonzero(chosen)
                pair = (columns, rows) if swap else (rows, columns)
                parts.append(np.stack([distances[rows, columns], *(end + start for end in pair)]))
        return np.concatenate(parts, axis=1)

    def collect_first(self, max_pairs: int) -> np.ndarray:
        """RETURNS (np.ndarray): As `collect`, of each pair of concepts only the closest pair of
        mentions; of those about max_pairs, the closest."""
        assert self.concepts is not None  # asked for only where the arguments are concepts
        both = np.stack([self.concepts, self.labels])
        codes = np.unique(both, axis=1, return_inverse=True)[1].ravel()
        count = int(codes.max()) + 1
        nearest = np.full(count, -1)  # of each code the next mention to the right
        label_of = np.zeros(count, dtype="int64")
        label_of[codes] = self.labels
        found = np.zeros((4, 0), dtype="int64")
        parts: list[np.ndarray] = []
        waiting, limit = 0, self.max_distance
        for row in reversed(range(len(codes))):
            if self.concepts[row] < 0:
                continue
            others = np.flatnonzero(nearest >= 0)
            columns = nearest[others]
            distances = self.starts[columns] - self.starts[row]
            forward, backward = self._allow(self.labels[row], label_of[others])
            wanted = (forward | backward) & (distances <= limit)
            wanted &= self.concepts[columns] != self.concepts[row]
            others, columns, distances = others[wanted], columns[wanted], distances[wanted]
            mine = codes[row]
            keys = np.minimum(others, mine) * count + np.maximum(others, mine)
            rows = np.full(len(keys), row)
            parts.append(np.stack([keys, distances, rows, columns]))
            waiting += len(keys)
            nearest[mine] = row
            if waiting > self.WAITING:
                found = _choose_first(np.concatenate([found, *parts], axis=1), max_pairs)
                parts, waiting = [], 0
                if found.shape[1] == max_pairs:  # what is farther away has no chance any more
                    limit = int(found[1].max())
        distances, rows, columns = _choose_first(
            np.concatenate([found, *parts], axis=1), max_pairs
        )[1:]
        forward, backward = self._allow(self.labels[rows], self.labels[columns])
        pairs = np.stack([distances, rows, columns])
        return np.concatenate([pairs[:, forward], pairs[[0, 2, 1]][:, backward]], axis=1)


def _choose_first(found: np.ndarray, count: int) -> np.ndarray:
    """RETURNS (np.ndarray): The columns (key, distance, ...) that are the closest of their key,
    and of these the count closest."""
    found = found[:, np.lexsort(found[::-1])]
    found = found[:, np.append(True, found[0, 1:] != found[0, :-1])[: found.shape[1]]]
    return found[:, np.lexsort(found[[3, 2, 1]])[:count]]


def get_entities(doc: Doc, concepts: bool) -> Mentions:
    """RETURNS (Mentions): `doc.ents`: what relations are between."""
    ids = {(ent.start_char, ent.end_char, ent.label_): ent.kb_id_ for ent in doc.ents}
    return invert_concepts(group_mentions(doc, ids)) if concepts else dict.fromkeys(ids, ())


def get_gold(reference: Doc, concepts: bool) -> Mentions:
    """RETURNS (Mentions): The annotated mentions, arguments of relations included."""
    if concepts:
        return get_gold_concepts(reference)
    return dict.fromkeys(get_gold_mentions(reference), ())


def get_training(reference: Doc, predicted: Doc, concepts: bool) -> Mentions:
    """Gold mentions, so that learning does not depend on the entity pipe being right, and the
    entities it predicted elsewhere in the text, so that its mistakes are seen as "no relation".

    A prediction that overlaps a gold mention without being equal to it is left out: whether
    its relations are right is a matter of boundaries, which isn't for this pipe to learn. The
    concept of one elsewhere is that of its string.
    """
    gold = get_gold_mentions(reference)
    starts = [start for start, _, _ in gold]
    # The furthest end of all gold mentions up to each: gold ones may be nested
    ends = list(accumulate((end for _, end, _ in gold), max))
    extra = []
    for mention in get_entities(predicted, concepts=False):
        before = bisect_left(starts, mention[1])  # gold mentions that start before its end
        if not before or ends[before - 1] <= mention[0]:
            extra.append(mention)
    found = dict(get_gold(reference, concepts))
    if concepts:
        return {**found, **{m: [name] for m, name in make_text_ids(predicted, extra).items()}}
    return {**found, **dict.fromkeys(extra, ())}


def warn_without_entities(name: str, docs: Sequence[Doc]) -> None:
    """Warn, once, if no entity pipe ran on a Doc.

    name (str): The relation pipe's. docs (Sequence[Doc]): What it is to read.
    """
    if any(len(doc) and not doc.has_annotation("ENT_IOB") for doc in docs):
        warnings.warn(
            f"{name}: a Doc has no entity annotation, so no relations are found. "
            "Put an entity pipe such as 'span_ner' before this one."
        )


def warn_of_unknown_labels(
    name: str, mentions: Sequence[Iterable[Mention]], known: Sequence[str], typed_pairs: bool
) -> None:
    """Warn of entities, such as another pipe's, with labels that the training data had not.

    name (str): The relation pipe's. mentions (Sequence[Iterable[Mention]]): Each Doc's entities.
    known (Sequence[str]): Labels of the training data. typed_pairs (bool): As set for the pipe.
    """
    unknown = sorted({label for found in mentions for _, _, label in found}.difference(known))
    if unknown:
        outcome = "is looked for" if typed_pairs else "can be trusted"
        warnings.warn(
            f"{name}: trained on relations between {', '.join(known)}, but the Docs have entities "
            f"of other labels: {', '.join(unknown)}. No relation of theirs {outcome}. Rename the "
            "labels in the entity pipe, or train this pipe on them."
        )
