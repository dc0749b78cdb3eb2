"""What a page shows of a Doc: its mentions, and its relations as links between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from spacy.tokens import Doc, Span

from ..doc.concepts import get_related_concepts
from ..doc.layers import LAYERS_KEY, META_KEY, SPANS_KEY, get_layers
from ..doc.mentions import Mention
from ..doc.relations import RelationTuple, get_concept_relation_tuples, get_relation_tuples

LONGEST_NAME = 80  # characters of a mention in a table or a note


class Mark(NamedTuple):
    """A mention to be marked in the text.

    start, end (int), label (str): In characters (Unicode code points), the end exclusive.
    kb_id (str): Its identifiers, as in `span.kb_id_`. Defaults to "".
    score (Optional[float]): Its probability. Defaults to None: not known, or gold.
    """

    start: int
    end: int
    label: str
    kb_id: str = ""
    score: float | None = None


class Link(NamedTuple):
    """A relation, between two mentions or between two concepts.

    head, tail (List[int]): Indexes of marks: the two that an arc joins come first; after them, of
        concepts, the other mentions. Empty for a concept that has none.
    label (str), score (float), negated (bool): As in the relation.
    head_id, tail_id (str): The concepts' ids; empty for a relation between mentions.
    """

    head: list[int]
    tail: list[int]
    label: str
    score: float
    negated: bool
    head_id: str = ""
    tail_id: str = ""

    @property
    def caption(self) -> str:
        """RETURNS (str): What is written on its line."""
        return f"not {self.label}" if self.negated else self.label


class View(NamedTuple):
    """A Doc as it is shown.

    name (str): `doc.user_data["title"]` (displaCy's convention), or the document's id, or "".
    text (str): The text.
    marks (List[Mark]): By start, the longer first.
    links (List[Link]): By the position of what their arcs join.
    layers (FrozenSet[str]): See `spacy_spanmed.doc.get_layers`.
    """

    name: str
    text: str
    marks: list[Mark]
    links: list[Link]
    layers: frozenset[str]

    def get_name(self, marks: list[int], concept: str) -> str:
        """RETURNS (str): An argument of a link: the text of its first mark, or the concept's id."""
        if not marks:
            return concept
        mark = self.marks[marks[0]]
        return shorten(self.text[mark.start : mark.end])

    def describe(self, link: Link) -> str:
        """RETURNS (str): A link in words."""
        head, tail = self.get_name(link.head, link.head_id), self.get_name(link.tail, link.tail_id)
        return f"{head} → {link.caption} → {tail}"


def shorten(text: str) -> str:
    """RETURNS (str): A mention's text for where there is little place: on one line, and cut."""
    name = " ".join(text.split())
    return f"{name[: LONGEST_NAME - 1]}…" if len(name) > LONGEST_NAME else name


def make_view(doc: Doc, nested: bool | None = None) -> View:
    """Collect what there is to show.

    doc (Doc): Gold or predicted.
    nested (Optional[bool]): Whether to show all of `doc.spans["spanmed"]`, or `doc.ents` alone.
        Defaults to None: all of gold annotation (known by its stored layers), and of predictions,
        whose spans are mere candidates, the entities. Arguments of relations are always shown.
    RETURNS (View): The view.
    RAISES (ValueError): If a stored relation is malformed or lies outside the text.
    """
    if nested is None:
        nested = LAYERS_KEY in doc.user_data or not doc.ents
    kb_ids = _collect_mentions(doc, nested)
    tuples = get_relation_tuples(doc)
    concept_tuples = get_concept_relation_tuples(doc)
    concepts = {name: item.mentions for name, item in get_related_concepts(doc).items()}

    arguments = {m for item in tuples for m in (item[:3], item[3:6])}
    for item in concept_tuples:
        arguments.update(m for name in item[:2] for m in concepts.get(name, ()))
    for mention in arguments:
        kb_ids.setdefault(mention, "")
    order = sorted(kb_ids, key=lambda m: (m[0], -m[1], m[2]))
    index = {mention: i for i, mention in enumerate(order)}

    links, shown = [], set()
    for item in concept_tuples:
        heads, tails = (concepts.get(name, []) for name in item[:2])
        pairs = [r for r in tuples if _stands_for(r, item.label, heads, tails)]
        shown.update(pairs)
        head, tail = _order(pairs[0], heads) if pairs else find_nearest(heads, tails)
        head_marks, tail_marks = (
            [index[m] for m in _put_first(first, rest)]
            for first, rest in ((head, heads), (tail, tails))
        )
        links.append(Link(head_marks, tail_marks, *item[2:], item.head_id, item.tail_id))
    for relation in tuples:
        if relation not in shown:
            links.append(Link([index[relation[:3]]], [index[relation[3:6]]], *relation[6:]))
    links.sort(key=lambda link: sorted([*link.head[:1], *link.tail[:1]]) or [len(order)])

    scores = _collect_scores(doc)
    marks = [Mark(*mention, kb_ids[mention], scores.get(mention)) for mention in order]
    meta = doc.user_data.get(META_KEY) or {}
    name = str(doc.user_data.get("title") or meta.get("id") or "")
    return View(name, doc.text, marks, links, get_layers(doc))


def _collect_mentions(doc: Doc, nested: bool) -> dict[Mention, str]:
    """RETURNS (Dict[Mention, str]): The mentions to show, with their `kb_id_`."""
    found: dict[Mention, str] = {}
    spans = doc.spans[SPANS_KEY] if nested and SPANS_KEY in doc.spans else ()
    for span in (*doc.ents, *spans):
        mention = (span.start_char, span.end_char, span.label_)
        found[mention] = found.get(mention) or span.kb_id_
    return found


def _collect_scores(doc: Doc) -> dict[Mention, float]:
    group = doc.spans[SPANS_KEY] if SPANS_KEY in doc.spans else None
    scores = list(group.attrs.get("scores") or ()) if group is not None else []
    if group is None or len(scores) != len(group):  # it was changed: which is whose is not known
        return {}
    spans: Iterable[Span] = group
    return {(s.start_char, s.end_char, s.label_): float(x) for s, x in zip(spans, scores)}


def _stands_for(
    relation: RelationTuple, label: str, heads: list[Mention], tails: list[Mention]
) -> bool:
    """RETURNS (bool): Whether a relation between mentions is what the pipeline shows of a relation
    between concepts: predicted Docs hold each also between its best pair of mentions."""
    ends = (relation[:3], relation[3:6])
    return relation.label == label and any(a in heads and b in tails for a, b in (ends, ends[::-1]))


def _order(relation: RelationTuple, heads: list[Mention]) -> tuple[Mention, Mention]:
    head, tail = relation[:3], relation[3:6]
    return (head, tail) if head in heads else (tail, head)


def _put_first(mention: Mention | None, mentions: list[Mention]) -> list[Mention]:
    return [] if mention is None else [mention, *(m for m in mentions if m != mention)]


def find_nearest(
    heads: list[Mention], tails: list[Mention]
) -> tuple[Mention | None, Mention | None]:
    """Find the pair of mentions with the fewest characters between them.

    heads, tails (List[Mention]): By position. Each head is compared with the tails that begin
        just before and after it, not with all: there may be thousands.
    RETURNS (Tuple[Optional[Mention], Optional[Mention]]): The pair; the first of several. One
        mention of both concepts is a pair with itself only where there is no other. If one list
        is empty, the first mention of the other, and None.
    """
    best = None
    for head in heads:
        place = bisect_left(tails, head)
        for tail in tails[max(place - 1, 0) : place + 2]:
            gap = max(head[0] - tail[1], tail[0] - head[1], 0)
            key = (head == tail, gap, min(head, tail))
            if best is None or key < best[0]:
                best = (key, head, tail)
    if best is None:
        return next(iter(heads), None), next(iter(tails), None)
    return best[1], best[2]
