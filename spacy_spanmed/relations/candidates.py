"""Which pairs of mentions the relation pipe looks at, and which concepts they stand for."""

from __future__ import annotations

from typing import (
    Any,
    Collection,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from spacy.tokens import Doc

from ..concepts import get_concepts, get_long_forms, group_mentions, text_id
from ..doc import Mention, get_mentions, get_relation_tuples

Pair = Tuple[int, int]
LabelPair = Tuple[str, str]
Offsets = Tuple[int, int]


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
    concepts: Tuple[str, ...] = ()


class CandidatePairs(NamedTuple):
    """mentions (List[Candidate]). pairs (List[Tuple[int, int]]): ordered (head, tail) indices into
    the mentions, one for each row of scores. cut (int): pairs left out because there were too many.
    groups (List[int]): for each row the arguments it speaks for. arguments (List[Tuple]): (head,
    tail), as offsets of mentions, or as ids of concepts, for which several rows may speak."""

    mentions: List[Candidate]
    pairs: List[Pair]
    cut: int
    groups: List[int]
    arguments: List[Tuple[Any, Any]]


NO_PAIRS = CandidatePairs([], [], 0, [], [])


def align_mentions(
    doc: Doc, mentions: Iterable[Mention], concepts: Mapping[Mention, Sequence[str]] = {}
) -> List[Candidate]:
    """Put mentions on a Doc's tokens, widened to whole tokens.

    doc (Doc): Any tokenization of the text. mentions (Iterable[Mention]): (start, end, label) in
        characters. concepts (Mapping[Mention, Sequence[str]]): Ids of their concepts.
    RETURNS (List[Candidate]): By position. Two mentions with the same offsets become one; one of
        white space alone is left out.
    """
    found: Dict[Offsets, Candidate] = {}
    for mention in sorted(mentions):
        start, end, label = mention
        span = doc.char_span(start, end, alignment_mode="expand")
        if span is not None and doc.text[start:end].strip():
            ids = tuple(concepts.get(mention, ()))
            candidate = Candidate(span.start, span.end, start, end, label, ids)
            found.setdefault((start, end), candidate)
    return list(found.values())


def find_pairs(
    mentions: List[Candidate],
    max_distance: int,
    max_pairs: int,
    *,
    concepts: bool = False,
    directed: bool = True,
    pair_types: Optional[Collection[LabelPair]] = None,
) -> CandidatePairs:
    """Pairs of different mentions that are close enough, the closest first.

    mentions (List[Candidate]): By position.
    max_distance (int): Tokens between the starts of two mentions, at most.
    max_pairs (int): Pairs to keep, at most; the closest are kept, and the rest counted.
    concepts (bool): Whether the arguments are the mentions' concepts. Defaults to False.
    directed (bool): Look at both orders of a pair; else at one: by label, then by position.
        Defaults to True.
    pair_types (Optional[Collection[LabelPair]]): Labels that (head, tail) must have; None: any.
    RETURNS (CandidatePairs): The time grows with the pairs in reach, not with all pairs.
    """
    close: List[Tuple[int, int, int]] = []
    for i, left in enumerate(mentions):
        for j in range(i + 1, len(mentions)):
            distance = mentions[j].start - left.start
            if distance > max_distance:
                break
            for head, tail in _orders(mentions, i, j, directed):
                labels = (mentions[head].label, mentions[tail].label)
                if pair_types is None or labels in pair_types:
                    close.append((distance, head, tail))
    # Both orders of a pair side by side, so that a cut doesn't part them
    close.sort(key=lambda item: (item[0], min(item[1:]), max(item[1:]), item[1]))
    kept = close[: max_pairs - max_pairs % 2 if directed else max_pairs]
    pairs: List[Pair] = []
    groups: List[int] = []
    index: Dict[Tuple[Any, Any], int] = {}
    for _, head, tail in kept:
        for arguments in _arguments(mentions[head], mentions[tail], concepts, directed):
            pairs.append((head, tail))
            groups.append(index.setdefault(arguments, len(index)))
    return CandidatePairs(mentions, pairs, len(close) - len(kept), groups, list(index))


def _orders(mentions: List[Candidate], i: int, j: int, directed: bool) -> List[Pair]:
    if directed:
        return [(i, j), (j, i)]
    return [(i, j)] if mentions[i].label <= mentions[j].label else [(j, i)]


def _arguments(
    head: Candidate, tail: Candidate, concepts: bool, directed: bool
) -> List[Tuple[Any, Any]]:
    if not concepts:
        return [((head.start_char, head.end_char), (tail.start_char, tail.end_char))]
    pairs = [(one, other) for one in head.concepts for other in tail.concepts if one != other]
    return pairs if directed else [order_arguments(*pair) for pair in pairs]


def order_arguments(head: Any, tail: Any) -> Tuple[Any, Any]:
    """RETURNS (Tuple): Both in the one order that undirected relations between concepts have."""
    return (head, tail) if head <= tail else (tail, head)


# -------------------------------------------------------------------------- mentions


def get_entity_mentions(doc: Doc) -> List[Mention]:
    """RETURNS (List[Mention]): `doc.ents` as character offsets: what relations are between."""
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def get_gold_mentions(reference: Doc) -> List[Mention]:
    """RETURNS (List[Mention]): All annotated mentions, arguments of relations included."""
    mentions: Set[Mention] = set(get_mentions(reference))
    offsets = {mention[:2] for mention in mentions}
    for item in get_relation_tuples(reference):
        for mention in (item[:3], item[3:6]):
            if mention[:2] not in offsets:
                offsets.add(mention[:2])
                mentions.add(mention)
    return sorted(mentions)


def get_training_mentions(reference: Doc, predicted: Doc) -> List[Mention]:
    """Gold mentions, so that learning does not depend on the entity pipe being right, and the
    entities it predicted elsewhere in the text, so that its mistakes are seen as "no relation".

    A prediction that overlaps a gold mention without being equal to it is left out: whether
    its relations are right is a matter of boundaries, which isn't for this pipe to learn.
    """
    gold = get_gold_mentions(reference)
    extra = [
        mention
        for mention in get_entity_mentions(predicted)
        if not any(mention[0] < end and start < mention[1] for start, end, _ in gold)
    ]
    return sorted(gold + extra)


# -------------------------------------------------------------------------- concepts


def get_entity_concepts(doc: Doc) -> Dict[Mention, List[str]]:
    """RETURNS (Dict[Mention, List[str]]): For each entity of a Doc the ids of its concepts."""
    ids = {(ent.start_char, ent.end_char, ent.label_): ent.kb_id_ for ent in doc.ents}
    return _invert(group_mentions(doc, ids))


def get_gold_concepts(reference: Doc) -> Dict[Mention, List[str]]:
    """RETURNS (Dict[Mention, List[str]]): For each annotated mention the ids of its concepts."""
    return _invert(get_concepts(reference))


def get_training_concepts(reference: Doc, predicted: Doc) -> Dict[Mention, List[str]]:
    """RETURNS (Dict[Mention, List[str]]): The concepts of the annotated mentions, and of the
    entities predicted elsewhere (see `get_training_mentions`), each with those of its string."""
    gold = get_gold_concepts(reference)
    annotated = set(get_gold_mentions(reference))
    long_forms = get_long_forms(predicted)
    for mention in get_training_mentions(reference, predicted):
        if mention not in annotated:
            gold[mention] = [text_id(predicted, mention, long_forms)]
    return gold


def _invert(concepts: Mapping[str, Any]) -> Dict[Mention, List[str]]:
    ids: Dict[Mention, List[str]] = {}
    for name, concept in concepts.items():
        for mention in concept.mentions:
            ids.setdefault(mention, []).append(name)
    return ids
