"""Cut Docs into windows that fit a BERT-like encoder."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Callable, Iterable, List

from spacy.tokens import Doc, Span, Token

LONGEST_WORD = 20  # letters; what is longer is no ordinary word


def configure_sentence_windows(max_pieces: int = 480) -> Callable[[List[Doc]], List[List[Span]]]:
    """Span getter `spanmed.sentence_windows.v1`: whole sentences, as many as fit, no overlap.

    A sentence that does not fit is cut between tokens. Without sentence boundaries the Doc counts
    as one sentence.

    max_pieces (int): Upper limit of a window in word pieces, special tokens not included. The
        number of pieces is estimated without the encoder's tokenizer, on the high side (see
        `estimate_pieces`), so that the encoder's own limit (512 for BERT) is not reached.
    RETURNS (Callable): From Docs to their windows.
    RAISES (ValueError): If max_pieces is below 8.
    """
    if max_pieces < 8:
        raise ValueError(f"max_pieces must be at least 8, not {max_pieces}.")
    return partial(get_sentence_windows, max_pieces=max_pieces)


def get_sentence_windows(docs: Iterable[Doc], max_pieces: int) -> List[List[Span]]:
    """RETURNS (List[List[Span]]): The windows of each Doc, which cover all its tokens once."""
    return [_get_windows(doc, max_pieces) for doc in docs]


def estimate_pieces(token: Token) -> int:
    """A cautious estimate of a token's word pieces.

    English biomedical words average four characters a piece, so two is on the safe side. Of all
    else (capitals such as protein sequences, numbers, symbols) each character may be a piece of
    its own, and of other scripts and emoji each byte.
    """
    text = token.text
    if not text.isascii():
        return len(text.encode("utf8"))
    ordinary = len(text) <= LONGEST_WORD and text.isalpha() and text[1:].islower()
    return math.ceil(len(text) / 2) if ordinary else len(text)


def _get_windows(doc: Doc, max_pieces: int) -> List[Span]:
    windows: List[Span] = []
    start = 0  # of the current window
    sentence_start = 0
    window_pieces = sentence_pieces = 0
    for token in doc:
        if token.i > 0 and token.is_sent_start:
            sentence_start, sentence_pieces = token.i, 0
        pieces = estimate_pieces(token)
        if pieces > max_pieces:
            warnings.warn(
                f"A token of {len(token):,} characters may be too long for the encoder, which "
                "then sees only its beginning."
            )
            pieces = max_pieces
        while window_pieces + pieces > max_pieces:
            # Move the unfinished sentence to the next window, unless it fills this one alone.
            if sentence_start > start:
                cut, window_pieces = sentence_start, sentence_pieces
            else:
                cut, window_pieces = token.i, 0
            windows.append(doc[start:cut])
            start = cut
        window_pieces += pieces
        sentence_pieces += pieces
    if start < len(doc):
        windows.append(doc[start : len(doc)])
    return windows
