"""Which layers of annotation a Doc carries, and under which keys they are stored.

A Doc without a layer isn't annotated with it: whether there is something to find is unknown. So
pipes don't learn from what is absent, and scorers don't count it.
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
