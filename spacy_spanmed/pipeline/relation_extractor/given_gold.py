"""Relations given gold entities: how well the pipe relates, whatever the entity pipe misses."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from spacy.tokens import Doc
from spacy.training import Example

from ...doc.gold import get_gold_concepts, get_gold_mentions
from ...doc.layers import RELATIONS, get_layers
from ...doc.mentions import Mention
from ...scoring.relations import score_relations

BATCH_SIZE = 128  # Docs whose gold mentions are looked at together


class PairPipe(Protocol):
    """What is asked of `RelationExtractor` here."""

    name: str
    concepts: bool
    directed: bool

    def has_input(self, doc: Doc) -> bool: ...

    def predict_pairs(self, docs: list[Doc], mentions: list[Any]) -> list[Any]: ...

    def set_annotations(self, docs: Sequence[Doc], found: list[Any]) -> None: ...


def score_given_gold(pipe: PairPipe, examples: list[Example]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The figures `rel_gold_*` (see `spacy_spanmed.scoring.relations`);
    None, with a warning, if another pipe removed what the transformer made of the Docs."""
    predicted: list[Example] = []
    if all(pipe.has_input(eg.predicted) for eg in examples):
        predicted = predict_given_gold(pipe, examples)
    else:  # only now: pipes are scored after all of them ran
        warnings.warn(
            f"{pipe.name}: no scores of relations given gold entities (rel_gold_...), because "
            "a pipe such as 'doc_cleaner' removed what the transformer made of the Docs. "
            "Evaluate without that pipe to see them."
        )
    return score_relations(predicted, prefix="rel_gold", directed=pipe.directed, by_id=True)


def predict_given_gold(pipe: PairPipe, examples: list[Example]) -> list[Example]:
    """RETURNS (List[Example]): Those with the layer "relations", with copies of the predicted Docs
    that carry the relations found given gold entities."""
    scored = [eg for eg in examples if RELATIONS in get_layers(eg.reference)]
    with_gold = []
    for start in range(0, len(scored), BATCH_SIZE):
        batch = scored[start : start + BATCH_SIZE]
        mentions = [get_gold(pipe, eg.reference) for eg in batch]
        for eg, found in zip(batch, pipe.predict_pairs([eg.predicted for eg in batch], mentions)):
            # Not on the Doc itself, whose own relations others may still look at
            words = [token.text for token in eg.predicted]
            spaces = [bool(token.whitespace_) for token in eg.predicted]
            copy = Doc(eg.predicted.vocab, words=words, spaces=spaces)
            pipe.set_annotations([copy], [found])
            with_gold.append(Example(copy, eg.reference))
    return with_gold


def get_gold(pipe: PairPipe, reference: Doc) -> Mapping[Mention, Sequence[str]]:
    """RETURNS (Mapping[Mention, Sequence[str]]): The mentions of a gold Doc, (start, end, label) in
    characters, with the ids of their concepts."""
    if pipe.concepts:
        return get_gold_concepts(reference)
    return dict.fromkeys(get_gold_mentions(reference), ())
