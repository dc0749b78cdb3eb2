"""The relations that a Doc carries, between mentions and between concepts (`doc._.relations`).

Everything is kept as plain numbers and strings, relations as character offsets in
`doc.user_data`, so that it survives `Doc.to_bytes`, `Doc.copy`, pickling, `n_process`,
`DocBin(store_user_data=True)` and another tokenization of the same text. Span objects are
built when they are asked for and never stored: spaCy can't serialize them.

Two things spaCy does that matter here:

- `Doc.to_json` leaves `user_data` out and writes only the extensions it is asked for. Use
  `doc.to_json(underscore=JSON_EXTENSIONS)`; `Doc.from_json` then restores relations and layers.
  (`underscore=["relations"]` can't work: those are Span objects.)
- `Span.as_doc()` drops `user_data` and `doc.spans`: the slice has neither relations nor nested
  mentions, and its layers are derived anew. `Span.as_doc(copy_user_data=True)` copies the
  offsets **unshifted**, so they are right only for a span that starts at the first character;
  others come out as wrong text or, past the end, as a ValueError. Don't use it on Docs with
  relations. `spacy.Corpus(max_length=...)` cuts with `as_doc()` and so loses relations.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from spacy.tokens import Doc, Span

from .evidence import find_sents, is_speculative
from .layers import CONCEPT_RELATIONS_KEY, RELATIONS_KEY, get_layers, set_layers
from .mentions import expand_span

JSON_EXTENSIONS = [
    "relation_tuples",
    "concept_relation_tuples",
    "concept_mentions",
    "annotation_layers",
]


class RelationTuple(NamedTuple):
    """A relation as it is stored: character offsets into `doc.text`, ends exclusive.

    head_start, head_end (int): First argument, in characters (Unicode code points).
    head_label (str): Entity label of the first argument; may be empty.
    tail_start, tail_end (int), tail_label (str): Second argument, likewise.
    label (str): Relation label. The pair is ordered: head to tail.
    score (float): Confidence; 1.0 for gold annotation.
    negated (bool): Whether the text denies the relation ("does not bind").
    """

    head_start: int
    head_end: int
    head_label: str
    tail_start: int
    tail_end: int
    tail_label: str
    label: str
    score: float = 1.0
    negated: bool = False


class ConceptRelationTuple(NamedTuple):
    """A relation between two concepts of a document, as it is stored.

    head_id, tail_id (str): Ids of concepts, as `spacy_spanmed.doc.get_concepts` gives them.
    label (str): Relation label. The pair is ordered: head to tail.
    score (float): Confidence; 1.0 for gold annotation.
    negated (bool): Whether the text denies the relation.
    """

    head_id: str
    tail_id: str
    label: str
    score: float = 1.0
    negated: bool = False


TupleT = TypeVar("TupleT", RelationTuple, ConceptRelationTuple)


class Relation(NamedTuple):
    """A relation between two spans of one Doc, as found in `doc._.relations`.

    head (Span): First argument, with its entity label.
    tail (Span): Second argument, with its entity label.
    label (str): Relation label.
    score (float): Confidence. Defaults to 1.0.
    negated (bool): Whether the text denies the relation. Defaults to False.
    """

    head: Span
    tail: Span
    label: str
    score: float = 1.0
    negated: bool = False

    @property
    def sents(self) -> list[Span]:
        """RETURNS (List[Span]): The sentences that hold the arguments: its evidence. Of a relation
        between concepts, those of the mentions that speak for it most."""
        return find_sents(self.head, self.tail)

    @property
    def speculative(self) -> bool:
        """RETURNS (bool): Whether the text says so as a possibility, a question or a plan ("may",
        "is being tested"), by its words (see `evidence.py`)."""
        return is_speculative(self.head, self.tail)

    def to_tuple(self) -> RelationTuple:
        """RETURNS (RelationTuple): The same relation as character offsets."""
        head, tail = ((s.start_char, s.end_char, s.label_) for s in (self.head, self.tail))
        return RelationTuple(*head, *tail, self.label, self.score, self.negated)


def get_relation_tuples(doc: Doc) -> list[RelationTuple]:
    """The relations of a Doc as character offsets.

    doc (Doc): Any Doc; without relations the result is empty (see `get_layers` for whether that
        means "none" or "unknown").
    RETURNS (List[RelationTuple]): In the order in which they were set.
    RAISES (ValueError): If a stored tuple is malformed or lies outside the text.
    """
    stored = doc.user_data.get(RELATIONS_KEY)
    if not stored:
        return []
    text = doc.text
    # Deserialized tuples come back as lists, hence the normalisation on each read.
    return [_check_tuple(item, text) for item in stored]


def set_relation_tuples(doc: Doc, tuples: Iterable[Sequence[Any]]) -> None:
    """Replace the relations of a Doc. A stored list of layers stays as it is.

    doc (Doc): The Doc to change.
    tuples (Iterable[Sequence]): RelationTuples or sequences with their 9 fields (or 7: the score
        then defaults to 1.0 and negated to False).
    RAISES (ValueError): Naming the tuple that is malformed or lies outside the text. The Doc is
        then unchanged.
    """
    text = doc.text
    doc.user_data[RELATIONS_KEY] = [tuple(_check_tuple(item, text)) for item in tuples]


def _check_tuple(item: Sequence[Any], text: str) -> RelationTuple:
    values = _read_fields(item, RelationTuple, "a relation")
    try:
        head_start, head_end, tail_start, tail_end = (operator.index(item[i]) for i in (0, 1, 3, 4))
    except TypeError as error:
        raise ValueError(
            f"Relation {tuple(item)!r}: offsets must be whole numbers ({error})."
        ) from None
    length = len(text)
    if not (0 <= head_start < head_end <= length and 0 <= tail_start < tail_end <= length):
        raise ValueError(
            f"Relation {tuple(item)!r}: its offsets must be non-empty and lie within the text, "
            f"which has {length} characters. Do they belong to another text?"
        )
    # A gap between two tokens is no token's, so such an argument could never become a Span.
    if text[head_start:head_end].isspace() or text[tail_start:tail_end].isspace():
        raise ValueError(f"Relation {tuple(item)!r}: an argument is nothing but whitespace.")
    labels = (values.head_label, values.tail_label, values.label)
    if not all(isinstance(label, str) for label in labels):
        raise ValueError(f"Relation {tuple(item)!r}: labels must be strings.")
    return values._replace(
        head_start=head_start, head_end=head_end, tail_start=tail_start, tail_end=tail_end
    )


def _read_fields(item: Sequence[Any], kind: type[TupleT], name: str) -> TupleT:
    """RETURNS: A stored tuple, its score and `negated` checked. RAISES (ValueError): See
    `set_relation_tuples`."""
    fields = kind._fields
    if not isinstance(item, (tuple, list)) or not len(fields) - 2 <= len(item) <= len(fields):
        raise ValueError(
            f"Not {name}: {item!r}. Expected {len(fields)} fields: {', '.join(fields)}."
        )
    values = kind(*item)
    try:
        is_finite = math.isfinite(values.score)
    except TypeError:  # no number
        is_finite = False
    if not is_finite:
        raise ValueError(f"Relation {tuple(item)!r}: the score must be a finite number.")
    return values._replace(score=float(values.score), negated=bool(values.negated))


def has_concept_relations(doc: Doc) -> bool:
    """RETURNS (bool): Whether the Doc's relations are between concepts of the document (the list
    of them, which may be empty, was set) rather than between single mentions."""
    return CONCEPT_RELATIONS_KEY in doc.user_data


def get_concept_relation_tuples(doc: Doc) -> list[ConceptRelationTuple]:
    """The relations between concepts of a Doc.

    doc (Doc): Any Doc; without such relations the result is empty.
    RETURNS (List[ConceptRelationTuple]): In the order in which they were set.
    RAISES (ValueError): If a stored tuple is malformed.
    """
    return [_check_concept_tuple(item) for item in doc.user_data.get(CONCEPT_RELATIONS_KEY, ())]


def set_concept_relation_tuples(doc: Doc, tuples: Iterable[Sequence[Any]]) -> None:
    """Replace the relations between concepts of a Doc. A stored list of layers stays as it is.

    doc (Doc): The Doc to change.
    tuples (Iterable[Sequence]): ConceptRelationTuples or sequences with their 3 to 5 fields.
    RAISES (ValueError): Naming the tuple that is malformed. The Doc is then unchanged.
    """
    doc.user_data[CONCEPT_RELATIONS_KEY] = [tuple(_check_concept_tuple(item)) for item in tuples]


def _check_concept_tuple(item: Sequence[Any]) -> ConceptRelationTuple:
    values = _read_fields(item, ConceptRelationTuple, "a relation between concepts")
    if not all(isinstance(value, str) and value for value in values[:3]):
        raise ValueError(f"Relation {tuple(item)!r}: ids and label must be non-empty strings.")
    return values


def _get_relations(doc: Doc) -> list[Relation]:
    """Getter of `doc._.relations`: spans are widened to the tokens they touch."""
    return [
        Relation(expand_span(doc, *item[:3]), expand_span(doc, *item[3:6]), *item[6:])
        for item in get_relation_tuples(doc)
    ]


def _set_relations(doc: Doc, relations: Iterable[Relation]) -> None:
    """Setter of `doc._.relations`: accepts Relations over this text, in any tokenization."""
    tuples = []
    for item in relations:
        relation = Relation(*item)
        for span in (relation.head, relation.tail):
            if not isinstance(span, Span):
                raise ValueError(f"Relation {item!r}: head and tail must be Span objects.")
            if span.doc is not doc and span.doc.text != doc.text:
                raise ValueError(f"Relation {item!r}: its span {span!r} is over another text.")
        tuples.append(relation.to_tuple())
    set_relation_tuples(doc, tuples)


def _set_plain_concept_tuples(doc: Doc, tuples: Iterable[Sequence[Any]]) -> None:
    """`Doc.from_json` sets every extension it finds: an empty list stays "not annotated"."""
    tuples = list(tuples)
    if tuples or has_concept_relations(doc):
        set_concept_relation_tuples(doc, tuples)


def _get_layer_names(doc: Doc) -> list[str]:
    return sorted(get_layers(doc))


# Module-level functions, because with `n_process` spaCy pickles them into the workers.
_EXTENSIONS: tuple[tuple[str, Callable[[Doc], Any], Callable[[Doc, Any], None]], ...] = (
    ("relations", _get_relations, _set_relations),
    ("relation_tuples", get_relation_tuples, set_relation_tuples),
    ("concept_relation_tuples", get_concept_relation_tuples, _set_plain_concept_tuples),
    ("annotation_layers", _get_layer_names, set_layers),
)


def install_extensions() -> None:
    """Register `doc._.relations`, `doc._.relation_tuples`, `doc._.concept_relation_tuples`,
    `doc._.annotation_layers`, `span._.score` and `doc._.cut_pairs`.

    Called when this module is imported; calling it again changes nothing. An extension of the
    same name by another package is replaced, with a warning.
    """
    for name, getter, setter in _EXTENSIONS:
        if Doc.has_extension(name):
            present = Doc.get_extension(name)[2]
            if present is getter:
                continue
            if getattr(present, "__module__", None) != __name__:  # else: this module, reloaded
                warnings.warn(f"Replacing the extension Doc._.{name} set by another package.")
        Doc.set_extension(name, getter=getter, setter=setter, force=True)
    if not Span.has_extension("score"):  # None where no score was set
        Span.set_extension("score", default=None)
    if not Doc.has_extension("cut_pairs"):
        Doc.set_extension("cut_pairs", default=0)


install_extensions()
