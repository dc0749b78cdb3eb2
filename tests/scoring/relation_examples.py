"""Relations between the two-letter tokens of one text, for the tests of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import spacy
from spacy.training import Example

from spacy_spanmed.doc.relations import set_relation_tuples

NLP = spacy.blank("en")
#       0123456789012345678901234567
TEXT = "aa bb cc dd ee ff gg hh ii jj"
Mention = tuple[int, int, str]  # token offsets in these tests


def rel(head: int, tail: int, label: str, **fields: Any) -> tuple[Any, ...]:
    """A relation between the two-letter tokens number `head` and `tail`."""
    return (
        head * 3, head * 3 + 2, fields.get("head_label", "G"),
        tail * 3, tail * 3 + 2, fields.get("tail_label", "G"),
        label, fields.get("score", 1.0), fields.get("negated", False),
    )  # fmt: skip


def rel_pair(gold: Sequence[Any], predicted: Sequence[Any]) -> Example:
    reference, guess = NLP.make_doc(TEXT), NLP.make_doc(TEXT)
    set_relation_tuples(reference, gold)
    set_relation_tuples(guess, predicted)
    return Example(guess, reference)
