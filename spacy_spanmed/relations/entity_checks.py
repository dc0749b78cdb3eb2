"""Warnings about entities that the relation pipe can make little of."""

from __future__ import annotations

import warnings
from typing import Iterable, Sequence

from spacy.tokens import Doc

from ..mentions import Mention


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
