"""From scores of pairs of mentions to scores of pairs of arguments, and to relations.

A pair of concepts has as many rows of scores as it has pairs of mentions; they are pooled by
logsumexp, a smooth maximum (Verga et al. 2018, BRAN, doi 10.18653/v1/N18-1080). A pair of single
mentions has one row, which pooling doesn't change.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy

from ..calibration import Calibration, sigmoid
from ..doc import ConceptRelationTuple, RelationTuple
from ..mentions import Mention
from .candidates import CandidatePairs


def pool(logits: numpy.ndarray, groups: numpy.ndarray, n_groups: int) -> numpy.ndarray:
    """Pool rows by logsumexp.

    logits (numpy.ndarray): (rows, labels). groups (numpy.ndarray): (rows,), the group of each.
    n_groups (int): Number of groups, each of which has a row.
    RETURNS (numpy.ndarray): (groups, labels).
    """
    highest = numpy.full((n_groups, logits.shape[1]), -numpy.inf, dtype=logits.dtype)
    numpy.maximum.at(highest, groups, logits)
    total = numpy.zeros_like(highest)
    numpy.add.at(total, groups, numpy.exp(logits - highest[groups]))
    return highest + numpy.log(total)


def unpool(
    d_pooled: numpy.ndarray, logits: numpy.ndarray, pooled: numpy.ndarray, groups: numpy.ndarray
) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): (rows, labels), the gradient by the rows that were pooled: each
    gets its share by softmax within the group."""
    return d_pooled[groups] * numpy.exp(logits - pooled[groups])


def join_groups(candidates: Sequence[CandidatePairs]) -> Tuple[numpy.ndarray, int]:
    """RETURNS (Tuple[numpy.ndarray, int]): The groups of all rows of a batch, numbered through,
    and their number."""
    parts: List[numpy.ndarray] = []
    start = 0
    for candidate in candidates:
        parts.append(numpy.array(candidate.groups, dtype="int64") + start)
        start += len(candidate.arguments)
    return numpy.concatenate(parts) if parts else numpy.zeros(0, dtype="int64"), start


class Found(NamedTuple):
    """The relations of one Doc.

    relations (List[RelationTuple]): Between mentions; for concepts between the pair of mentions
        with the highest score. concept_relations (List[ConceptRelationTuple]): Between concepts.
    cut (int): Pairs of mentions that were not looked at, because there were too many.
    mentions (List[Tuple[str, List[Mention]]]): Of each concept in concept_relations.
    """

    relations: List[RelationTuple]
    concept_relations: List[ConceptRelationTuple]
    cut: int = 0
    mentions: Sequence[Tuple[str, List[Mention]]] = ()


def decode(
    candidate: CandidatePairs,
    logits: numpy.ndarray,
    labels: Sequence[str],
    *,
    threshold: float,
    calibration: Calibration = Calibration(),
    multi_label: bool = True,
    concepts: bool = False,
    rescore: Optional[Callable[[numpy.ndarray], numpy.ndarray]] = None,
) -> Found:
    """Choose the relations of one Doc.

    candidate (CandidatePairs): Its candidates. logits (numpy.ndarray): (rows, labels + 1), the
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
    groups = numpy.array(candidate.groups, dtype="int64")
    pooled = pool(logits, groups, len(candidate.arguments))
    if rescore is not None:
        pooled[:, :-1] = rescore(pooled[:, :-1])
    probs = sigmoid(pooled)
    chosen = probs[:, :-1] > calibration.invert(threshold)
    if not multi_label:
        best = probs[:, :-1].argmax(axis=1)
        chosen &= numpy.arange(chosen.shape[1]) == best[:, None]
    scores = calibration.apply(probs[:, :-1])
    found = Found([], [], candidate.cut)
    by_group = groups.argsort(kind="stable")
    starts = numpy.searchsorted(groups[by_group], numpy.arange(len(pooled) + 1))
    for group, column in zip(*numpy.nonzero(chosen)):
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
            arguments = candidate.arguments[group]
            found.concept_relations.append(ConceptRelationTuple(*arguments, label, score, negated))
    found.relations.sort()
    found.concept_relations.sort()
    return found._replace(mentions=_collect_mentions(candidate, found.concept_relations))


def _collect_mentions(
    candidate: CandidatePairs, relations: Sequence[ConceptRelationTuple]
) -> List[Tuple[str, List[Mention]]]:
    found: Dict[str, List[Mention]] = {name: [] for item in relations for name in item[:2]}
    if found:
        for mention in candidate.mentions:
            for name in found.keys() & set(mention.concepts):
                found[name].append((mention.start_char, mention.end_char, mention.label))
    return sorted(found.items())
