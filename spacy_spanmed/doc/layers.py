"""Annotations on a Doc: which layers it carries, and its relations.

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

from collections.abc import Iterable

from spacy.tokens import Doc

ENTITIES = "entities"
RELATIONS = "relations"
LAYERS = (ENTITIES, RELATIONS)

SPANS_KEY = "spanmed"  # key in doc.spans: all mentions, nested included (see `mentions.py`)
LAYERS_KEY = "spanmed_layers"  # keys in doc.user_data
RELATIONS_KEY = "spanmed_relations"
CONCEPT_RELATIONS_KEY = "spanmed_concept_relations"
CONCEPT_MENTIONS_KEY = "spanmed_concept_mentions"
META_KEY = "spanmed_meta"


# ---------------------------------------------------------------------------- layers


def get_layers(doc: Doc) -> frozenset[str]:
    """The annotation layers a Doc carries. A missing layer is unknown, never "none there".

    doc (Doc): Any Doc. Without a stored list the layers are derived: "entities" if the entity
        annotation is set (an empty one counts) or `doc.spans["spanmed"]` exists, "relations" if
        a list of relations (which may be empty) exists.
    RETURNS (FrozenSet[str]): A subset of {"entities", "relations"}.
    RAISES (ValueError): If the stored list names an unknown layer.
    """
    if LAYERS_KEY in doc.user_data:
        return frozenset(_check_layers(doc.user_data[LAYERS_KEY]))
    layers = set()
    if doc.has_annotation("ENT_IOB") or SPANS_KEY in doc.spans:
        layers.add(ENTITIES)
    if RELATIONS_KEY in doc.user_data or CONCEPT_RELATIONS_KEY in doc.user_data:
        layers.add(RELATIONS)
    return frozenset(layers)


def set_layers(doc: Doc, layers: Iterable[str]) -> None:
    """State which annotation layers a Doc carries.

    doc (Doc): The Doc to change.
    layers (Iterable[str]): Names out of {"entities", "relations"}; may be empty.
    RAISES (ValueError): On an unknown name.
    """
    doc.user_data[LAYERS_KEY] = _check_layers(layers)


def _check_layers(layers: Iterable[str]) -> list[str]:
    if isinstance(layers, str):
        raise ValueError(f"Layers must be a list of names, not the string {layers!r}.")
    names = sorted(set(layers))
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        raise ValueError(f"Unknown annotation layers {unknown}: known are {list(LAYERS)}.")
    return names
