"""Which pairs of mentions the relation pipe looks at."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Set, Tuple

from spacy.tokens import Doc

from ..doc import Mention, get_mentions, get_relation_tuples

Pair = Tuple[int, int]


class Candidate(NamedTuple):
    """A mention on the tokens of the Doc that is processed, with the offsets it came with.

    start, end (int): Tokens, end exclusive. start_char, end_char (int): As given, which may cut
    through a token. label (str): Entity label.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    label: str


class CandidatePairs(NamedTuple):
    """mentions (List[Candidate]), pairs (List[Tuple[int, int]]): ordered (head, tail) indices into
    the mentions. cut (int): pairs left out because there were too many."""

    mentions: List[Candidate]
    pairs: List[Pair]
    cut: int


def align_mentions(doc: Doc, mentions: Iterable[Mention]) -> List[Candidate]:
    """Put mentions on a Doc's tokens, widened to whole tokens.

    doc (Doc): Any tokenization of the text. mentions (Iterable[Mention]): (start, end, label) in
        characters.
    RETURNS (List[Candidate]): By position. Two mentions with the same offsets become one; one of
        white space alone is left out.
    """
    found = {}
    for start, end, label in sorted(mentions):
        span = doc.char_span(start, end, alignment_mode="expand")
        if span is not None and doc.text[start:end].strip():
            found.setdefault((start, end), Candidate(span.start, span.end, start, end, label))
    return list(found.values())


def find_pairs(mentions: List[Candidate], max_distance: int, max_pairs: int) -> CandidatePairs:
    """All ordered pairs of different mentions that are close enough, the closest first.

    mentions (List[Candidate]): By position.
    max_distance (int): Tokens between the starts of two mentions, at most.
    max_pairs (int): Pairs to keep, at most; the closest are kept, and the rest counted.
    RETURNS (CandidatePairs): The time grows with the pairs in reach, not with all pairs.
    """
    close: List[Tuple[int, int, int]] = []
    for i, left in enumerate(mentions):
        for j in range(i + 1, len(mentions)):
            distance = mentions[j].start - left.start
            if distance > max_distance:
                break
            close.append((distance, i, j))
    close.sort()
    kept = close[: max_pairs // 2]
    pairs = [pair for _, i, j in kept for pair in ((i, j), (j, i))]
    return CandidatePairs(mentions, pairs, 2 * (len(close) - len(kept)))


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
