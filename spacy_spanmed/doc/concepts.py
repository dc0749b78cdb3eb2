"""Concepts: the mentions of a document that mean the same thing.

Document-level corpora relate concepts, not single mentions. Mentions that share an identifier
(`span.kb_id_`: MeSH, NCBI Gene ...) form one concept. Without identifiers mentions of one label with
the same normalised string do, and an abbreviation counts as its long form, if the
abbreviation detector found it (Schwartz and Hearst 2003, by scispaCy).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from spacy.tokens import Doc, Span

from .layers import CONCEPT_MENTIONS_KEY, LAYERS_KEY, SPANS_KEY
from .mentions import Mention, expand_span
from .relations import get_concept_relation_tuples

ID_SEPARATOR = ","
# What keeps an id readable in `kb_id_`: all but the separator and the escape itself
_KEEP = "".join(chr(i) for i in range(33, 127) if chr(i) not in ",%")
TEXT_PREFIX = "text:"
NO_ID = "NIL"  # what spaCy's entity linker writes where it finds nothing
_NO_ID_QUOTED = "".join(f"%{ord(letter):02X}" for letter in NO_ID)


class Concept(NamedTuple):
    """What several mentions of a Doc mean.

    id (str): An identifier of the source, or "text:LABEL:normalised string".
    label (str): The entity label that most of its mentions have.
    mentions (List[Mention]): (start, end, label) in characters, by position.
    """

    id: str
    label: str
    mentions: list[Mention]

    def spans(self, doc: Doc) -> list[Span]:
        """RETURNS (List[Span]): The mentions as spans of a Doc, widened to whole tokens."""
        return [expand_span(doc, start, end, label) for start, end, label in self.mentions]


class ConceptRelation(NamedTuple):
    """A relation between two concepts, as found in `doc._.concept_relations`.

    head, tail (Concept): The two concepts.
    label (str): Relation label.
    score (float): Confidence. Defaults to 1.0.
    negated (bool): Whether the text denies the relation. Defaults to False.
    """

    head: Concept
    tail: Concept
    label: str
    score: float = 1.0
    negated: bool = False


def join_ids(ids: Iterable[str]) -> str:
    """RETURNS (str): Identifiers as one `kb_id_`: joined by ",", with "," and "%" inside them,
    spaces and what isn't ASCII percent-encoded; an identifier "NIL" is too, since spaCy's linker
    means none by it."""
    encoded = (quote(item, safe=_KEEP) for item in ids)
    return ID_SEPARATOR.join(_NO_ID_QUOTED if item == NO_ID else item for item in encoded)


def split_ids(kb_id: str) -> list[str]:
    """RETURNS (List[str]): The identifiers that `join_ids` joined; empty for an empty string and
    for "NIL"."""
    return [unquote(item) for item in kb_id.split(ID_SEPARATOR) if item and item != NO_ID]


def normalize(text: str) -> str:
    """RETURNS (str): A string without what different mentions of a thing differ in: case, hyphens,
    punctuation at its ends, width of spaces, and a plural s of its last word."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[\s\-\u2010-\u2015/]+", " ", folded).strip(" .,;:'\"()[]")
    return re.sub(r"(?<=[a-z]{3})(?<![siu])s$", "", words) or folded


def get_abbreviations(doc: Doc) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """YIELDS (Tuple[Tuple[int, int], Tuple[int, int]]): First token and end (exclusive) of each
    use of a short form and of its long form; nothing if no abbreviation detector ran."""
    user_data: dict[Any, Any] = doc.user_data
    # Not through `doc._`: that knows the extension only where scispaCy was imported
    for item in user_data.get(("._.", "abbreviations", None, None)) or ():
        if isinstance(item, dict):
            short = item["short_start"], item["short_end"]
            yield short, (item["long_start"], item["long_end"])
        else:  # scispaCy's own form: the short form as a Span
            long = item._.long_form
            yield (item.start, item.end), (long.start, long.end)


def get_long_forms(doc: Doc) -> dict[str, str]:
    """RETURNS (Dict[str, str]): For each abbreviation in the Doc its long form; empty if no
    abbreviation detector ran."""
    forms: dict[str, str] = {}
    for short, long in get_abbreviations(doc):
        forms.setdefault(doc[slice(*short)].text, doc[slice(*long)].text)
    return forms


def get_concepts(doc: Doc) -> dict[str, Concept]:
    """The concepts of a Doc, of its entities and of nested mentions with an identifier.

    doc (Doc): Gold or predicted. A mention with several identifiers belongs to several concepts,
        one without to that of its string; but to none in an annotated Doc (one with a list of
        layers) if others have some: its corpus then means that it has none.
    RETURNS (Dict[str, Concept]): By id, in the order of their first mentions.
    """
    ids: dict[Mention, str] = {}
    nested = doc.spans[SPANS_KEY] if SPANS_KEY in doc.spans else ()
    for span in (*doc.ents, *(span for span in nested if span.kb_id)):
        mention = (span.start_char, span.end_char, span.label_)
        ids[mention] = ids.get(mention) or span.kb_id_
    return group_mentions(doc, ids)


def group_mentions(doc: Doc, ids: dict[Mention, str]) -> dict[str, Concept]:
    """Group mentions into concepts.

    doc (Doc): Its text and abbreviations are used.
    ids (Dict[Mention, str]): For each mention its `kb_id_`, which may be empty.
    RETURNS (Dict[str, Concept]): See `get_concepts`.
    """
    groups: dict[str, list[Mention]] = {}
    names = {mention: split_ids(kb_id) for mention, kb_id in ids.items()}
    missing = [mention for mention, found in names.items() if not found]
    text_ids = make_text_ids(doc, missing) if missing else {}
    if any(names.values()) and LAYERS_KEY in doc.user_data:  # only those that were related, if any
        related = {name for item in get_concept_relation_tuples(doc) for name in item[:2]}
        text_ids = {m: name for m, name in text_ids.items() if name in related}
    names.update((m, [name]) for m, name in text_ids.items())
    for mention in sorted(names):
        for name in dict.fromkeys(names[mention]):
            groups.setdefault(name, []).append(mention)
    return {
        name: Concept(name, Counter(m[2] for m in mentions).most_common(1)[0][0], mentions)
        for name, mentions in groups.items()
    }


def make_text_ids(doc: Doc, mentions: Iterable[Mention]) -> dict[Mention, str]:
    """RETURNS (Dict[Mention, str]): The ids of mentions' concepts where there are no identifiers.
    What separates identifiers in one format or another is percent-encoded in them."""
    text, long_forms = doc.text, get_long_forms(doc)
    found = {}
    for start, end, label in mentions:
        string = text[start:end]
        name = f"{label}:{normalize(long_forms.get(string, string))}"
        safe = re.sub(r"[,;|%\s]", lambda m: m[0] if m[0] == " " else quote(m[0]), name)
        found[(start, end, label)] = f"{TEXT_PREFIX}{safe}"
    return found


def get_related_concepts(doc: Doc) -> dict[str, Concept]:
    """The concepts that a Doc's relations are between.

    RETURNS (Dict[str, Concept]): By the ids that the relations have for them. If the mentions have
        got other ids since (of an entity linker behind the relation pipe), or lost theirs
        (`Doc.to_json` leaves them out), it is the concept of the first mention that is still one.
        Concepts without any are missing: the Doc's entities were changed.
    """
    names = {name for item in get_concept_relation_tuples(doc) for name in item[:2]}
    concepts = get_concepts(doc) if names else {}
    related = {name: concepts[name] for name in names & concepts.keys()}
    if len(related) < len(names):
        owners = {mention: item for item in concepts.values() for mention in item.mentions}
        stored = dict(doc.user_data.get(CONCEPT_MENTIONS_KEY, ()))
        for name in names - related.keys():
            left = (owners[tuple(m)] for m in stored.get(name, ()) if tuple(m) in owners)
            related.update((name, concept) for concept in islice(left, 1))
    return related


def _get_concept_mentions(doc: Doc) -> list[Any]:
    """Getter of `doc._.concept_mentions`: for JSON, [id, [[start, end, label], ...]]."""
    related = get_related_concepts(doc)
    return [[name, [list(m) for m in related[name].mentions]] for name in sorted(related)]


def set_concept_mentions(doc: Doc, concepts: Iterable[Any]) -> None:
    """Keep which mentions are those of the concepts that are related, whatever becomes of their ids.

    concepts (Iterable[Tuple[str, List[Mention]]]): Ids and mentions.
    """
    plain = [(name, [tuple(mention) for mention in mentions]) for name, mentions in concepts]
    doc.user_data.pop(CONCEPT_MENTIONS_KEY, None)
    if plain:
        doc.user_data[CONCEPT_MENTIONS_KEY] = plain


def _get_concept_relations(doc: Doc) -> list[ConceptRelation]:
    """Getter of `doc._.concept_relations`. Relations of concepts that the Doc no longer has (its
    entities were changed) are left out."""
    concepts = get_related_concepts(doc)
    return [
        ConceptRelation(concepts[item.head_id], concepts[item.tail_id], *item[2:])
        for item in get_concept_relation_tuples(doc)
        if item.head_id in concepts and item.tail_id in concepts
    ]


def install_concept_extensions() -> None:
    """Register `doc._.concepts`, `doc._.concept_relations` and `doc._.concept_mentions`. Called on
    import."""
    Doc.set_extension("concepts", getter=get_concepts, force=True)
    Doc.set_extension("concept_relations", getter=_get_concept_relations, force=True)
    Doc.set_extension(
        "concept_mentions", getter=_get_concept_mentions, setter=set_concept_mentions, force=True
    )


install_concept_extensions()
