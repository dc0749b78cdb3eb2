"""Which mentions and pairs of mentions the relation pipe looks at, and which concepts they stand for;
with warnings of entities that it can make little of."""

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
from .pair_blocks import Candidate, LabelPair, PairBlocks

Pair = tuple[int, int]


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


def get_entity_mentions(doc: Doc) -> list[Mention]:
    """RETURNS (List[Mention]): `doc.ents` as character offsets: what relations are between."""
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def get_training_mentions(reference: Doc, predicted: Doc) -> list[Mention]:
    """Gold mentions, so that learning does not depend on the entity pipe being right, and the
    entities it predicted elsewhere in the text, so that its mistakes are seen as "no relation".

    A prediction that overlaps a gold mention without being equal to it is left out: whether
    its relations are right is a matter of boundaries, which isn't for this pipe to learn.
    """
    gold = get_gold_mentions(reference)
    starts = [start for start, _, _ in gold]
    # The furthest end of all gold mentions up to each: gold ones may be nested
    ends = list(accumulate((end for _, end, _ in gold), max))
    extra = []
    for mention in get_entity_mentions(predicted):
        before = bisect_left(starts, mention[1])  # gold mentions that start before its end
        if not before or ends[before - 1] <= mention[0]:
            extra.append(mention)
    return sorted(gold + extra)


def get_entity_concepts(doc: Doc) -> dict[Mention, list[str]]:
    """RETURNS (Dict[Mention, List[str]]): For each entity of a Doc the ids of its concepts."""
    ids = {(ent.start_char, ent.end_char, ent.label_): ent.kb_id_ for ent in doc.ents}
    return invert_concepts(group_mentions(doc, ids))


def get_training_concepts(reference: Doc, predicted: Doc) -> dict[Mention, list[str]]:
    """RETURNS (Dict[Mention, List[str]]): The concepts of the annotated mentions, and of the
    entities predicted elsewhere (see `get_training_mentions`), each with those of its string."""
    gold = get_gold_concepts(reference)
    known = set(get_gold_mentions(reference))
    extra = [m for m in get_training_mentions(reference, predicted) if m not in known]
    return {**gold, **{m: [name] for m, name in make_text_ids(predicted, extra).items()}}


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
