"""What the outputs of a relation model mean, and their loss: one class for each kind of model.

`MentionPairs`: a row for each pair of mentions, an independent probability for each label; rows of the
same arguments are pooled. `ArgumentPairs`: a row for each pair of arguments, the probability that they
are related, and those of the labels if they are: what is rare among related pairs isn't drowned by
the unrelated ones. `READINGS` names them by the name of the thinc model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...scoring.calibration import sigmoid
from .arguments import find_nearest
from .candidates import CandidatePairs
from .pooling import join_groups, pool, unpool

GoldRelation = tuple[Any, str, bool]  # arguments, label, negated
MOST_UNRELATED = 10.0  # unrelated pairs that count for each related one
NEAR_ONE = -1e-6  # log of the greatest probability that has a logit


class PairScores(NamedTuple):
    """Of one Doc.

    logits (np.ndarray): (pairs of arguments, labels + 1), the last column "negated".
    rows (np.ndarray): (pairs of arguments, labels), the pair of mentions that speaks for each.
    """

    logits: np.ndarray
    rows: np.ndarray


class Targets(NamedTuple):
    """labels (np.ndarray): (pairs of arguments, labels), 1.0 where there is a relation.
    negated (np.ndarray): (pairs of arguments,), 1.0 where one is negated.
    related (np.ndarray): (pairs of arguments,), booleans."""

    labels: np.ndarray
    negated: np.ndarray
    related: np.ndarray


def make_targets(
    candidates: Sequence[CandidatePairs],
    gold: Sequence[Iterable[GoldRelation]],
    labels: Sequence[str],
) -> Targets:
    """candidates (Sequence[CandidatePairs]), gold (Sequence[Iterable[GoldRelation]]): Of each Doc.
    Relations between arguments that are no candidates are too far apart to be learned.
    labels (Sequence[str]): Those of the columns; gold has no others."""
    total = sum(len(candidate.arguments) for candidate in candidates)
    targets = Targets(
        np.zeros((total, len(labels)), dtype="float32"),
        np.zeros(total, dtype="float32"),
        np.zeros(total, dtype=bool),
    )
    column_of = {label: i for i, label in enumerate(labels)}
    start = 0
    for candidate, relations in zip(candidates, gold):
        row_of = {pair: start + i for i, pair in enumerate(candidate.arguments)}
        start += len(candidate.arguments)
        for arguments, label, negated in relations:
            row = row_of.get(arguments)
            if row is not None:
                targets.labels[row, column_of[label]] = 1.0
                targets.negated[row] = float(negated)
                targets.related[row] = True
    return targets


class MentionPairs:
    """Of `spanmed.PairScorer.v1`."""

    @staticmethod
    def count(candidate: CandidatePairs) -> int:
        """RETURNS (int): Rows of the model's output."""
        return len(candidate.pairs)

    @staticmethod
    def read(candidate: CandidatePairs, output: np.ndarray) -> PairScores:
        """output (np.ndarray): (pairs of mentions, labels + 1) of one Doc."""
        groups = np.array(candidate.groups, dtype="int64")
        count = len(candidate.arguments)
        order = np.lexsort((np.arange(len(groups)), groups))
        starts = np.searchsorted(groups[order], np.arange(count))
        rows = np.zeros((count, output.shape[1] - 1), dtype="int64")
        if count:
            for column in range(rows.shape[1]):
                # Of each group the first of its highest rows
                by_score = np.lexsort((np.arange(len(groups)), -output[:, column], groups))
                rows[:, column] = by_score[starts]
        return PairScores(pool(output, groups, count), rows)

    @staticmethod
    def get_loss(
        output: np.ndarray,
        candidates: Sequence[CandidatePairs],
        gold: Sequence[Iterable[GoldRelation]],
        labels: Sequence[str],
    ) -> tuple[float, np.ndarray]:
        """Binary cross-entropy per label, and of "negated" where there is a relation; summed, per pair
        of arguments that has a relation, so that many unrelated pairs don't dilute it.

        output (np.ndarray): (pairs of mentions, labels + 1), of the candidates of all Docs in order,
            the last column "negated". The rest: see `make_targets`.
        RETURNS (Tuple[float, np.ndarray]): The loss, and its gradient by the output.
        """
        groups, n_groups = join_groups(candidates)
        logits = pool(output, groups, n_groups)
        found = make_targets(candidates, gold, labels)
        targets = np.column_stack([found.labels, found.negated])
        weights = np.ones_like(logits)
        weights[:, -1] = found.related
        weights /= max(float(found.related.sum()), 1.0)
        loss, d_logits = _binary(logits, targets, weights)
        return loss, unpool(d_logits, output, logits, groups)


class ArgumentPairs:
    """Of `spanmed.PairScorer.v2` and `spanmed.MarkerScorer.v1`. Behind the labels: "related", "negated"."""

    @staticmethod
    def count(candidate: CandidatePairs) -> int:
        """RETURNS (int): Rows of the model's output."""
        return len(candidate.arguments)

    @staticmethod
    def read(candidate: CandidatePairs, output: np.ndarray) -> PairScores:
        """output (np.ndarray): (pairs of arguments, labels + 2) of one Doc."""
        types, related, negated = output[:, :-2], output[:, -2:-1], output[:, -1:]
        logs = _log_softmax(types) - np.logaddexp(0, -related)
        logs = np.minimum(logs, NEAR_ONE)
        logits = logs - np.log1p(-np.exp(logs))
        rows = np.repeat(find_nearest(candidate)[:, None], types.shape[1], axis=1)
        return PairScores(np.concatenate([logits, negated], axis=1), rows)

    @staticmethod
    def get_loss(
        output: np.ndarray,
        candidates: Sequence[CandidatePairs],
        gold: Sequence[Iterable[GoldRelation]],
        labels: Sequence[str],
    ) -> tuple[float, np.ndarray]:
        """Binary cross-entropy of "related" over all pairs, per related one (see `share_weights`), where a Doc
        counts by its arguments, not by the square of their number; plus, as means over the related
        pairs, the cross-entropy of the labels (of several, each alike) and that of "negated".

        output (np.ndarray): (pairs of arguments, labels + 2). The rest: see `make_targets`.
        RETURNS (Tuple[float, np.ndarray]): The loss, and its gradient by the output.
        """
        found = make_targets(candidates, gold, labels)
        some = found.related.astype("float32")
        count = max(float(some.sum()), 1.0)
        d_output = np.zeros_like(output)
        loss, d_output[:, -2] = _binary(
            output[:, -2], some, share_weights(candidates, int(some.sum()))
        )
        logs = _log_softmax(output[:, :-2])
        shares = found.labels / np.maximum(found.labels.sum(axis=1, keepdims=True), 1.0)
        weights = some[:, None] / count
        loss -= float((shares * logs * weights).sum())
        d_output[:, :-2] = (np.exp(logs) - shares) * weights
        negation, d_output[:, -1] = _binary(output[:, -1], found.negated, some / count)
        return loss + negation, d_output


READINGS: dict[str, type[MentionPairs] | type[ArgumentPairs]] = {
    "pair_scorer": MentionPairs,
    "argument_scorer": ArgumentPairs,
    "marker_scorer": ArgumentPairs,
}


def share_weights(candidates: Sequence[CandidatePairs], related: int) -> np.ndarray:
    """RETURNS (Floats1d): A weight for each pair of arguments; their sum is the number of pairs for each
    that is related, at most MOST_UNRELATED."""
    counts = [len(candidate.arguments) for candidate in candidates]
    # n arguments have n (n - 1) pairs, or half as many
    weights = [np.full(n, n**-0.5, dtype="float32") for n in counts if n]
    joined = np.concatenate(weights) if weights else np.zeros(0, dtype="float32")
    total = min(len(joined) / max(related, 1), MOST_UNRELATED)
    return joined * (total / max(float(joined.sum()), 1e-12))


def _binary(logits: np.ndarray, targets: np.ndarray, weights: Any) -> tuple[float, np.ndarray]:
    """RETURNS (Tuple[float, np.ndarray]): Binary cross-entropy, weighted and summed; its gradient."""
    loss = float(((np.logaddexp(0, logits) - targets * logits) * weights).sum())
    return loss, (sigmoid(logits) - targets) * weights


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    if not logits.size:
        return logits
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
