"""From scores of pairs of mentions to scores of pairs of arguments, and to relations.

A pair of concepts has as many rows of scores as it has pairs of mentions; they are pooled by
logsumexp, a smooth maximum (Verga et al. 2018, BRAN, doi 10.18653/v1/N18-1080). A pair of single
mentions has one row, which pooling doesn't change. The loss is that of the pooled scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...doc.mentions import Mention
from ...doc.relations import ConceptRelationTuple, RelationTuple
from ...scoring.calibration import Calibration, sigmoid
from .candidates import CandidatePairs


def pool(logits: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Pool rows by logsumexp.

    logits (np.ndarray): (rows, labels). groups (np.ndarray): (rows,), the group of each.
    n_groups (int): Number of groups, each of which has a row.
    RETURNS (np.ndarray): (groups, labels).
    """
    highest = np.full((n_groups, logits.shape[1]), -np.inf, dtype=logits.dtype)
    np.maximum.at(highest, groups, logits)
    total = np.zeros_like(highest)
    np.add.at(total, groups, np.exp(logits - highest[groups]))
    return highest + np.log(total)


def unpool(
    d_pooled: np.ndarray, logits: np.ndarray, pooled: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): (rows, labels), the gradient by the rows that were pooled: each
    gets its share by softmax within the group."""
    return d_pooled[groups] * np.exp(logits - pooled[groups])


def join_groups(candidates: Sequence[CandidatePairs]) -> tuple[np.ndarray, int]:
    """RETURNS (Tuple[np.ndarray, int]): The groups of all rows of a batch, numbered through,
    and their number."""
    parts: list[np.ndarray] = []
    start = 0
    for candidate in candidates:
        parts.append(np.array(candidate.groups, dtype="int64") + start)
        start += len(candidate.arguments)
    return np.concatenate(parts) if parts else np.zeros(0, dtype="int64"), start


class Found(NamedTuple):
    """The relations of one Doc.

    relations (List[RelationTuple]): Between mentions; for concepts between the pair of mentions
        with the highest score. concept_relations (List[ConceptRelationTuple]): Between concepts.
    cut (int): Pairs of mentions that were not looked at, because there were too many.
    mentions (List[Tuple[str, List[Mention]]]): Of each concept in concept_relations.
    """

    relations: list[RelationTuple]
    concept_relations: list[ConceptRelationTuple]
    cut: int = 0
    mentions: Sequence[tuple[str, list[Mention]]] = ()


def decode(
    candidate: CandidatePairs,
    logits: np.ndarray,
    labels: Sequence[str],
    *,
    threshold: float,
    calibration: Calibration = Calibration(),
    multi_label: bool = True,
    concepts: bool = False,
    rescore: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Found:
    """Choose the relations of one Doc.

    candidate (CandidatePairs): Its candidates. logits (np.ndarray): (rows, labels + 1), the
        last column "negated". labels (Sequence[str]): Relation labels.
    threshold (float): Lowest score. calibration (Calibration): From probabilities to scores.
        Defaults to none. multi_label (bool): Whether a pair may have several
        relations; else the most probable one. concepts (bool): Whether arguments are concepts.
    rescore (Optional[Callable]): From the logits of the pairs of arguments, (groups, labels), to
        those that count. Defaults to None: they count as they are.
    RETURNS (Found): Relations by position of head, then tail.
    """
    if not candidate.pairs:
        return Found([], [])
    groups = np.array(candidate.groups, dtype="int64")
    pooled = pool(logits, groups, len(candidate.arguments))
    if rescore is not None:
        pooled[:, :-1] = rescore(pooled[:, :-1])
    probs = sigmoid(pooled)
    chosen = probs[:, :-1] > calibration.invert(threshold)
    if not multi_label:
        best = probs[:, :-1].argmax(axis=1)
        chosen &= np.arange(chosen.shape[1]) == best[:, None]
    scores = calibration.apply(probs[:, :-1])
    found = Found([], [], candidate.cut)
    by_group = groups.argsort(kind="stable")
    starts = np.searchsorted(groups[by_group], np.arange(len(pooled) + 1))
    for group, column in zip(*np.nonzero(chosen)):
        rows = by_group[starts[group] : starts[group + 1]]
        row = int(rows[logits[rows, column].argmax()])
        head, tail = (candidate.mentions[i] for i in candidate.pairs[row])
        label, score = labels[column], float(scores[group, column])
        negated = bool(probs[group, -1] > 0.5)
        found.relations.append(
            RelationTuple(
                *(head.start_char, head.end_char, head.label),
                *(tail.start_char, tail.end_char, tail.label),
                *(label, score, negated),
            )
        )
        if concepts:
            ids = candidate.arguments[group]
            relation = ConceptRelationTuple(ids[0], ids[1], label, score, negated)
            found.concept_relations.append(relation)
    found.relations.sort()
    found.concept_relations.sort()
    return found._replace(mentions=_collect_mentions(candidate, found.concept_relations))


def _collect_mentions(
    candidate: CandidatePairs, relations: Sequence[ConceptRelationTuple]
) -> list[tuple[str, list[Mention]]]:
    found: dict[str, list[Mention]] = {name: [] for item in relations for name in item[:2]}
    if found:
        for mention in candidate.mentions:
            for name in found.keys() & set(mention.concepts):
                found[name].append((mention.start_char, mention.end_char, mention.label))
    return sorted(found.items())


GoldRelation = tuple[Any, str, bool]  # arguments, label, negated


def get_pair_loss(
    rows: np.ndarray,
    candidates: Sequence[CandidatePairs],
    gold: Sequence[Iterable[GoldRelation]],
    labels: Sequence[str],
) -> tuple[float, np.ndarray]:
    """Binary cross-entropy per label, and of "negated" where there is a relation; summed, per pair
    of arguments that has a relation, so that many unrelated pairs don't dilute it.

    rows (np.ndarray): (pairs of mentions, labels + 1), logits of the candidates of all Docs in
        order, the last column "negated". Those of the same arguments are pooled.
    candidates (Sequence[CandidatePairs]), gold (Sequence[Iterable[GoldRelation]]): Of each Doc.
        Relations between arguments that are no candidates are too far apart to be learned.
    labels (Sequence[str]): Those of the columns; gold has no others.
    RETURNS (Tuple[float, np.ndarray]): The loss, and its gradient by the rows.
    """
    groups, n_groups = join_groups(candidates)
    logits = pool(rows, groups, n_groups)
    targets = np.zeros_like(logits)
    weights = np.ones_like(logits)
    weights[:, -1] = 0.0
    column_of = {label: i for i, label in enumerate(labels)}
    start = 0
    for candidate, relations in zip(candidates, gold):
        row_of = {pair: start + i for i, pair in enumerate(candidate.arguments)}
        start += len(candidate.arguments)
        for arguments, label, negated in relations:
            row = row_of.get(arguments)
            if row is not None:
                targets[row, column_of[label]] = 1.0
                targets[row, -1] = float(negated)
                weights[row, -1] = 1.0
    weights /= max(float((targets[:, :-1].sum(axis=1) > 0).sum()), 1.0)
    log_loss = np.logaddexp(0, logits) - targets * logits
    loss = float((log_loss * weights).sum())
    d_logits = (sigmoid(logits) - targets) * weights
    return loss, unpool(d_logits, rows, logits, groups)
