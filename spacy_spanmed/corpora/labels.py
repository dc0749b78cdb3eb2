"""Write the labels of a corpus, in the form of `spacy init labels`.

With them `spacy train` need not read the whole corpus before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from ..doc.gold import collect_labels as collect_relation_labels
from ..doc.layers import ENTITIES, get_layers
from ..doc.mentions import get_mentions
from ..util.files import write_json


def collect_labels(docs: Iterable[Doc]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): For each pipe what its `initialize` takes as `labels`."""
    entities = set()

    def watch() -> Iterable[Doc]:
        for doc in docs:
            if ENTITIES in get_layers(doc):
                entities.update(label for _, _, label in get_mentions(doc))
            yield doc

    relations: dict[str, list[Any]] = collect_relation_labels(watch())
    return {"span_ner": sorted(entities), "relation_extractor": relations}


def write_labels(docs: Iterable[Doc], folder: Path) -> None:
    """Write one JSON file a pipe, named after it.

    docs (Iterable[Doc]): The training Docs. folder (Path): Made if it isn't there.
    """
    for pipe, labels in collect_labels(docs).items():
        write_json(folder / f"{pipe}.json", labels)
