"""Write the labels of a corpus, in the form of `spacy init labels`.

With them `spacy train` need not read the whole corpus before it starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable

from spacy.tokens import Doc

from ..doc import ENTITIES, RELATIONS, get_layers, get_mentions, get_relation_tuples
from ..files import write_json


def collect_labels(docs: Iterable[Doc]) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): For each pipe what its `initialize` takes as `labels`."""
    entities, arguments, relations = set(), set(), set()
    for doc in docs:
        layers = get_layers(doc)
        labels = {label for _, _, label in get_mentions(doc)}
        arguments |= labels
        if ENTITIES in layers:
            entities |= labels
        if RELATIONS in layers:
            for item in get_relation_tuples(doc):
                relations.add(item.label)
                arguments |= {item.head_label, item.tail_label}
    return {
        "span_ner": sorted(entities),
        "relation_extractor": {
            "labels": sorted(relations),
            "entity_labels": sorted(arguments - {""}),
        },
    }


def write_labels(docs: Iterable[Doc], folder: Path) -> None:
    """Write one JSON file a pipe, named after it.

    docs (Iterable[Doc]): The training Docs. folder (Path): Made if it isn't there.
    """
    for pipe, labels in collect_labels(docs).items():
        write_json(folder / f"{pipe}.json", labels)
