"""Scores of relations: between mentions, or between the concepts of a document.

If either annotation relates concepts, both are taken so. Between mentions a relation matches if the
offsets of both arguments and the label do. Between concepts there are two ways to compare:

- *by id*, for predictions made on gold entities: both ids and the label must be equal. This is how
  the BC5CDR evaluation (Wei et al. 2016, doi 10.1093/database/baw032) compares chemical-induced
  diseases, and how BioRED (Luo et al. 2022, doi 10.1093/bib/bbac282) compares pairs of entities,
  which are unordered there (`directed=False`).
- *by mention*, end to end, where nothing links mentions to identifiers. This definition is our
  own: a predicted concept matches a gold one if any of its mentions has the offsets and the label
  of one of the other's. A gold relation found several times counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ..doc.concepts import Concept, get_concepts, get_related_concepts
from ..doc.gold import get_gold_concepts, get_gold_relations
from ..doc.layers import ENTITIES, RELATIONS, get_layers
from ..doc.mentions import get_mentions
from ..doc.relations import (
    ConceptRelationTuple,
    RelationTuple,
    get_concept_relation_tuples,
    get_relation_tuples,
    has_concept_relations,
)
from .calibration import Judged, expected_calibration_error
from .entities import PerLabel, Scores, check_texts, to_figures

Key = tuple[Any, Any, str]  # head, tail (offsets or id), label


class Item(NamedTuple):
    """What is looked at beside the key: negated (bool), head_label, tail_label (str), and the
    score (float)."""

    negated: bool
    head_label: str
    tail_label: str
    score: float


def score_relations(
    examples: Iterable[Example],
    *,
    prefix: str = "rel",
    directed: bool = True,
    by_id: bool = False,
    judged: list[Judged] | None = None,
    **kwargs: Any,
) -> Scores:
    """Score the predicted relations against every gold relation.

    Only examples whose reference carries the relations layer count. A relation predicted twice
    counts once (the one with the highest score).

    examples (Iterable[Example]): Reference and predicted Docs over the same text.
    prefix (str): Start of each key: "rel" for end to end, "rel_gold" when the predictions were
        made on gold entities. Defaults to "rel".
    directed (bool): Whether head and tail must not be exchanged. Defaults to True.
    by_id (bool): How concepts are compared (see above); set for predictions on gold entities.
        Defaults to False.
    judged (Optional[List[Judged]]): If given, takes up score and rightness of each prediction.
    **kwargs: Ignored; spaCy passes a pipe's settings to its scorer.
    RETURNS (Dict[str, Any]): With "rel" standing for the prefix:
        rel_micro_p, rel_micro_r, rel_micro_f: over all relations; in [0, 1], as all below.
        rel_macro_f: mean F1 over the labels in gold.
        rel_per_type: {label: {p, r, f, tp, fp, fn, support}}.
        rel_pair_p, rel_pair_r, rel_pair_f: related pairs, whatever the label.
        rel_minority_micro_p, rel_minority_micro_r, rel_minority_micro_f: over all labels but the
            most frequent one in gold.
        rel_majority_label: that label (str), or None without gold relations.
        rel_negation_accuracy: share of the true positives whose `negated` is right.
        rel_negated_micro_f: `negated` must match as well.
        rel_typed_micro_f: the entity labels of both arguments must match as well.
        rel_ece: expected calibration error of the scores; None without predictions.
        rel_docs: number of Docs scored.
    RAISES (ValueError): If the two texts of an example differ, or a tuple is malformed.
    """
    per_label = PerLabel()
    pairs, negated, typed = PRFScore(), PRFScore(), PRFScore()
    docs = same_negation = 0
    judged = [] if judged is None else judged
    for example in examples:
        reference, predicted_doc = example.reference, example.predicted
        check_texts(reference, predicted_doc)
        if RELATIONS not in get_layers(reference):
            continue
        docs += 1
        if has_concept_relations(reference) or has_concept_relations(predicted_doc):
            gold, predicted, predicted_pairs = _compare_concepts(
                reference, predicted_doc, directed, by_id
            )
        else:
            gold = _by_key(get_relation_tuples(reference), directed)
            predicted = _by_key(get_relation_tuples(predicted_doc), directed)
            predicted_pairs = {key[:2] for key in predicted}
        per_label.add(set(gold), set(predicted), lambda key: key[-1])
        judged += [Judged(item.score, key in gold, key[-1]) for key, item in predicted.items()]
        pairs.score_set(predicted_pairs, {key[:2] for key in gold})
        negated.score_set(
            {(key, item.negated) for key, item in predicted.items()},
            {(key, item.negated) for key, item in gold.items()},
        )
        typed.score_set(
            {(key, item[1:3]) for key, item in predicted.items()},
            {(key, item[1:3]) for key, item in gold.items()},
        )
        both = gold.keys() & predicted.keys()
        same_negation += sum(gold[key].negated == predicted[key].negated for key in both)
    micro, majority = per_label.micro(), per_label.majority()
    figures = {
        "micro": to_figures(micro),
        "pair": to_figures(pairs),
        "minority_micro": to_figures(per_label.micro(without=majority)),
    }
    scores = {
        **{f"{name}_{key}": value for name, all_ in figures.items() for key, value in all_.items()},
        "macro_f": per_label.macro_f(),
        "per_type": per_label.to_dict(),
        "majority_label": majority,
        "negation_accuracy": same_negation / micro.tp if micro.tp else None,
        "negated_micro_f": to_figures(negated)["f"],
        "typed_micro_f": to_figures(typed)["f"],
        "ece": expected_calibration_error(judged),
        "docs": docs,
    }
    return {f"{prefix}_{key}": value for key, value in scores.items()}


def _by_key(tuples: Iterable[RelationTuple], directed: bool) -> dict[Key, Item]:
    """One item for each pair and label: of several, the one with the highest score."""
    best: dict[Key, Item] = {}
    # The rest of the sort key makes the choice independent of the order of annotation.
    for item in sorted(tuples, key=lambda t: (-t.score, t.negated, t.head_label, t.tail_label)):
        head, tail = item[:3], item[3:6]
        if not directed:
            head, tail = sorted((head, tail))
        found = Item(item.negated, head[2], tail[2], item.score)
        best.setdefault((head[:2], tail[:2], item.label), found)
    return best


def _compare_concepts(
    reference: Doc, predicted: Doc, directed: bool, by_id: bool
) -> tuple[dict[Key, Item], dict[Key, Item], set[Any]]:
    """RETURNS (Tuple): Gold and predicted relations, and the predicted pairs whatever the label;
    what matches gold has the key of gold."""
    owners = get_gold_concepts(reference)
    labels = {name: mention[2] for mention, names in owners.items() for name in names}
    labels.update((name, concept.label) for name, concept in get_concepts(reference).items())
    # Relations between mentions are compared as relations between their concepts
    relations = get_gold_relations(reference, concepts=True, directed=True)
    gold = _concept_items(
        (ConceptRelationTuple(*pair, label, 1.0, negated) for pair, label, negated in relations),
        labels,
        directed,
    )
    if by_id and has_concept_relations(predicted):
        tuples = get_concept_relation_tuples(predicted)
        found = _concept_items(tuples, labels, directed)
        return gold, found, {key[:2] for key in found}
    gold_pairs = {key[:2] for key in gold}
    tuples, concepts = _predicted_relations(predicted)
    own_labels = {name: concept.label for name, concept in concepts.items()}
    result: dict[Key, Item] = {}
    pairs: set[Any] = set()
    for key, item in _concept_items(tuples, own_labels, directed).items():
        heads, tails = (
            {owner for mention in concepts[name].mentions for owner in owners.get(mention, ())}
            for name in key[:2]
        )
        possible: set[Any] = {
            pair for head in heads for tail in tails for pair in _orders(head, tail, directed)
        }
        # Not a gold id, or an unmatched prediction could look like another relation
        own = (("predicted", key[0]), ("predicted", key[1]))
        pairs |= (possible & gold_pairs) or {own}
        matches = [(*pair, key[-1]) for pair in possible if (*pair, key[-1]) in gold]
        for known in matches:
            result.setdefault(known, gold[known]._replace(negated=item.negated, score=item.score))
        if not matches:
            result[own[0], own[1], key[-1]] = item
    return gold, result, pairs


def _orders(head: str, tail: str, directed: bool) -> Iterable[tuple[str, str]]:
    return [(head, tail)] if directed else [(head, tail), (tail, head)]


def _concept_items(
    tuples: Iterable[ConceptRelationTuple], labels: dict[str, str], directed: bool
) -> dict[Key, Item]:
    best: dict[Key, Item] = {}
    for item in sorted(tuples, key=lambda t: (-t.score, t)):
        names = (item.head_id, item.tail_id)
        head, tail = names if directed else sorted(names)
        found = Item(item.negated, labels.get(head, ""), labels.get(tail, ""), item.score)
        best.setdefault((head, tail, item.label), found)
    return best


def _predicted_relations(doc: Doc) -> tuple[list[ConceptRelationTuple], dict[str, Concept]]:
    """A pipe that relates single mentions is judged as if each were a concept."""
    if has_concept_relations(doc):
        concepts = get_related_concepts(doc)
        tuples = get_concept_relation_tuples(doc)
        return [t for t in tuples if t.head_id in concepts and t.tail_id in concepts], concepts
    concepts, tuples = {}, []
    for item in get_relation_tuples(doc):
        head, tail = item[:3], item[3:6]
        concepts.update((repr(m), Concept(repr(m), m[2], [m])) for m in (head, tail))
        tuples.append(ConceptRelationTuple(repr(head), repr(tail), *item[6:]))
    return tuples, concepts


def gold_label_counts(examples: Iterable[Example]) -> tuple[Counter, Counter]:
    """Count the gold labels that `score_entities` and `score_relations` look for.

    examples (Iterable[Example]): Only their references are read.
    RETURNS (Tuple[Counter, Counter]): Number of mentions by entity label over the Docs with the
        entities layer; number of relations by label over the Docs with the relations layer.
    """
    entities: Counter = Counter()
    relations: Counter = Counter()
    for example in examples:
        layers = get_layers(example.reference)
        if ENTITIES in layers:
            entities.update(label for _, _, label in get_mentions(example.reference))
        if RELATIONS in layers:
            reference = example.reference
            keys: Iterable[Key] = _by_key(get_relation_tuples(reference), directed=True)
            if has_concept_relations(reference):
                keys = _concept_items(get_concept_relation_tuples(reference), {}, directed=True)
            relations.update(key[-1] for key in keys)
    return entities, relations


@registry.scorers("spanmed.relation_scorer.v1")
def make_relation_scorer(prefix: str = "rel") -> Callable[..., Scores]:
    """Scorer for any component that sets `doc._.relations`.

    prefix (str): Start of each key in the scores. Defaults to "rel".
    RETURNS (Callable[[Iterable[Example]], Dict[str, Any]]): `score_relations` with that prefix.
    """
    return partial(score_relations, prefix=prefix)
