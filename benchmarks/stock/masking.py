"""SpanBERT's span masking written the straightforward way, to measure ours against."""

from __future__ import annotations

import numpy as np


def reference_span_masking(
    words: np.ndarray, rng: np.random.Generator, rate: float, p: float, max_words: int
) -> np.ndarray:
    """Mask geometric spans of whole words as the code published with SpanBERT does (Joshi et al.
    2020): draw a length and a token; if the token is free, mask from the beginning of its word
    on, token by token, until the span is complete or the budget is used up.

    words (np.ndarray): Shape (length,), integers: the word each token belongs to, -1 for none.
    rng (np.random.Generator): Source of randomness.
    rate (float): Part of the maskable tokens to choose.
    p (float): Parameter of the geometric distribution of lengths.
    max_words (int): Longest span in words.
    RETURNS (np.ndarray): Shape (units, 2), int64: first token and end (exclusive) of each span,
        in the order of the text. Spans may touch, and the budget may cut a word.
    """
    lengths = np.arange(1, max_words + 1)
    weights = p * (1.0 - p) ** np.arange(max_words)
    weights = weights / weights.sum()
    budget = int(rate * sum(1 for word in words if word >= 0))
    masked: set[int] = set()
    spans = []
    while len(masked) < budget:
        span_length = rng.choice(lengths, p=weights)
        anchor = int(rng.integers(len(words)))
        if words[anchor] < 0 or anchor in masked:
            continue
        start = anchor
        while words[start - 1] == words[anchor]:
            start -= 1
        end, number = start, 0
        while number < span_length and words[end] >= 0 and len(masked) < budget:
            word = words[end]
            while words[end] == word and end not in masked and len(masked) < budget:
                masked.add(end)
                end += 1
            number += 1
            if end in masked:
                break
        if end > start:
            spans.append((start, end))
    return np.array(sorted(spans), dtype=np.int64).reshape(-1, 2)
