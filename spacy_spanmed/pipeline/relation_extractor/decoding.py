"""From scores of pairs of arguments to relations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...doc.mentions import Mention
from ...doc.relations import ConceptRelationTuple, RelationTuple
from ...scoring.calibration import Calibration, sigmoid
from .candidates import CandidatePairs
from .losses import PairScores


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
    scores: PairScores,
    labels: Sequence[str],
    *,
    threshold: float | np.ndarray,
    calibration: Calibration = Calibration(),
    multi_label: bool = True,
    concepts: bool = False,
    rescore: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Found:
    """Choose the relations of one Doc.

    candidate (CandidatePairs): Its candidates. scores (PairScores): Theirs.
    labels (Sequence[str]): Relation labels.
    threshold (float | Floats1d): Lowest score, or that of each label. calibration (Calibration): From probabilities to scores.
        Defaults to none. multi_label (bool): Whether a pair may have several
        relations; else the most probable one. concepts (bool): Whether arguments are concepts.
    rescore (Optional[Callable]): From the logits of the pairs of arguments, (groups, labels), to
        those that count. Defaults to None: they count as they are.
    RETURNS (Found): Relations by position of head, then tail.
    """
    if not candidate.pairs:
        return Found([], [])
    logits = scores.logits
    if rescore is not None:
        logits = np.concatenate([rescore(logits[:, :-1]), logits[:, -1:]], axis=1)
    probs = sigmoid(logits)
    chosen = probs[:, :-1] > calibration.invert_all(threshold, probs.shape[1] - 1)
    if not multi_label:
        best = probs[:, :-1].argmax(axis=1)
        chosen &= np.arange(chosen.shape[1]) == best[:, None]
    calibrated = calibration.apply(probs[:, :-1])
    found = Found([], [], candidate.cut)
    for group, column in zip(*np.nonzero(chosen)):
        row = scores.rows[group, column]
        head, tail = (candidate.mentions[i] for i in candidate.pairs[row])
        label, score = labels[column], float(calibrated[group, column])
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
