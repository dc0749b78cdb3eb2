"""Cut Docs into windows that fit a BERT-like encoder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from spacy.attrs import LENGTH, SENT_START, SPACY
from spacy.tokens import Doc, Span

LONGEST_WORD = 20  # letters; what is longer is no ordinary word
LONGEST_COUNTED = 100  # characters of a word; longer ones may have to be cut, hence are estimated
MOST_COUNTED = 8  # pieces of a word of several tokens, for the same reason
REMEMBERED = 200_000  # words whose number of pieces is kept

Pieces = list[list[int]]  # of each token of each Doc


class SentenceWindows:
    """Span getter: whole sentences, as many as fit, no overlap. See `configure_sentence_windows`.

    max_pieces (int): Upper limit of a window in word pieces.
    counter (Optional[PieceCounter]): Defaults to None: pieces are estimated.
    """

    def __init__(self, max_pieces: int, counter: PieceCounter | None = None):
        if max_pieces < 8:
            raise ValueError(f"max_pieces must be at least 8, not {max_pieces}.")
        self.max_pieces = max_pieces
        self.counter = counter

    def __call__(self, docs: Iterable[Doc]) -> list[list[Span]]:
        """RETURNS (List[List[Span]]): The windows of each Doc, which cover all its tokens once."""
        docs = list(docs)
        if self.counter is None:
            limit, counts = self.max_pieces, estimate(docs)
        else:
            limit, counts = min(self.max_pieces, self.counter.limit), self.counter.count(docs)
        return [_get_windows(doc, pieces, limit) for doc, pieces in zip(docs, counts)]


def configure_sentence_windows(max_pieces: int = 480) -> SentenceWindows:
    """Span getter `spanmed.sentence_windows.v1`: whole sentences, as many as fit, no overlap.

    A sentence that does not fit is cut between words. Without sentence boundaries the Doc counts
    as one sentence.

    max_pieces (int): Upper limit of a window in word pieces, special tokens not included.
        `spanmed.TransformerModel.v1` has them counted by the encoder's own tokenizer. For other
        models their number is estimated, on the high side, so that the encoder's own limit (512
        for BERT) is not reached.
    RETURNS (SentenceWindows): From Docs to their windows.
    RAISES (ValueError): If max_pieces is below 8.
    """
    return SentenceWindows(max_pieces)


class PieceCounter:
    """Counts the word pieces that a tokenizer makes of the tokens of Docs.

    What stands between spaces is counted as one, for a tokenizer looks at no more (BERT's) or
    takes the space along (RoBERTa's); its pieces are put down to its first token. A long one may
    have to be cut: then each token is estimated.

    get_tokenizer (Callable[[], PreTrainedTokenizerBase]): Called when there is something to count,
        because a pipeline gets its tokenizer only when it is initialized or loaded.
    """

    def __init__(self, get_tokenizer: Callable):
        self.get_tokenizer = get_tokenizer
        self._tokenizer = None
        self._known: dict[str, int] = {}

    @property
    def limit(self) -> int:
        """RETURNS (int): Pieces that may be put in a window: those that the encoder can read at
        once less special tokens, and less what a word gets more at the start of a window, without
        the space before it."""
        tokenizer = self.get_tokenizer()
        room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
        return max(room - MOST_COUNTED, 1)

    def count(self, docs: Sequence[Doc]) -> Pieces:
        """RETURNS (List[List[int]]): For each token, at least 0."""
        words = [_split(doc) for doc in docs]
        self._learn({word for starts in words for word, _, _ in starts})
        return [self._put_down(doc, found) for doc, found in zip(docs, words)]

    def _learn(self, words: Iterable[str]) -> None:
        tokenizer = self.get_tokenizer()
        if tokenizer is not self._tokenizer or len(self._known) > REMEMBERED:
            self._tokenizer, self._known = tokenizer, {}
        new = [word for word in words if word not in self._known and len(word) <= LONGEST_COUNTED]
        if new:
            # Padded as spacy-transformers does: a tokenizer keeps that as its state, which must
            # not change while another thread uses it.
            encoded = tokenizer(
                [f" {word}" for word in new],
                add_special_tokens=False,
                padding="longest",
                return_attention_mask=True,
            )
            self._known.update(zip(new, map(sum, encoded["attention_mask"])))

    def _put_down(self, doc: Doc, words: Sequence[tuple]) -> list[int]:
        pieces = [0] * len(doc)
        for word, start, end in words:
            count = self._known.get(word)
            if count is not None and (count <= MOST_COUNTED or end == start + 1):
                pieces[start] = count
            else:
                pieces[start:end] = [estimate_pieces(token.text) for token in doc[start:end]]
        return pieces


def _split(doc: Doc) -> list[tuple]:
    """RETURNS (List[tuple]): What stands between spaces, and in one sentence, with its first token
    and end."""
    if not len(doc):
        return []
    text = doc.text
    sizes, spaces, sent_starts = doc.to_array([LENGTH, SPACY, SENT_START]).astype("int64").T
    last = np.flatnonzero(spaces | np.append(sent_starts[1:] == 1, False))
    ends = np.append(last[last < len(doc) - 1], len(doc) - 1) + 1  # in tokens
    places = np.cumsum(sizes + spaces)
    starts = [0, *ends[:-1].tolist()]
    from_ = [0, *places[ends[:-1] - 1].tolist()]
    to = (places[ends - 1] - spaces[ends - 1]).tolist()
    return [(text[a:b], start, end) for a, b, start, end in zip(from_, to, starts, ends.tolist())]


def estimate(docs: Sequence[Doc]) -> Pieces:
    """RETURNS (List[List[int]]): See `estimate_pieces`."""
    return [[estimate_pieces(token.text) for token in doc] for doc in docs]


def estimate_pieces(text: str) -> int:
    """A cautious estimate of a token's word pieces.

    English biomedical words average four characters a piece, so two is on the safe side. Of all
    else (capitals such as protein sequences, numbers, symbols) each character may be a piece of
    its own, and of other scripts and emoji each byte.
    """
    if not text.isascii():
        return len(text.encode("utf8"))
    ordinary = len(text) <= LONGEST_WORD and text.isalpha() and text[1:].islower()
    return math.ceil(len(text) / 2) if ordinary else len(text)


def _get_windows(doc: Doc, pieces_of: Sequence[int], max_pieces: int) -> list[Span]:
    windows: list[Span] = []
    start = 0  # of the current window
    sentence_start = 0
    window_pieces = sentence_pieces = 0
    for i, (token, pieces) in enumerate(zip(doc, pieces_of)):
        if i > 0 and token.is_sent_start:
            sentence_start, sentence_pieces = i, 0
        if pieces > max_pieces:
            warnings.warn(
                f"A token of {len(token):,} characters may be too long for the encoder, which "
                "then sees only its beginning, or an unknown word."
            )
            pieces = max_pieces
        while window_pieces + pieces > max_pieces:
            # Move the unfinished sentence to the next window, unless it fills this one alone.
            if sentence_start > start:
                cut, window_pieces = sentence_start, sentence_pieces
            else:
                cut, window_pieces = i, 0
            windows.append(doc[start:cut])
            start = cut
        window_pieces += pieces
        sentence_pieces += pieces
    if start < len(doc):
        windows.append(doc[start : len(doc)])
    return windows
