"""Texts with the arguments of a pair marked, as word pieces: a row for each pair of arguments.

"@ * chemical * Aspirin @ inhibits # ^ gene ^ COX-1 #" tells an encoder which words are asked about, and
what they are: the typed entity markers with punctuation of Zhou and Chen 2022 ("An Improved Baseline
for Sentence-level Relation Extraction", AACL). Of concepts every mention is marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc
from tokenizers import Tokenizer

from .arguments import find_nearest
from .candidates import Candidate, CandidatePairs
from .evidence import order_ends

HEAD, TAIL = ("@", "*"), ("#", "^")  # what stands around a mention, and around its type

Pieces = list[int]


class MarkedRows(NamedTuple):
    """pieces (List[List[int]]): Ids of each row, special ones included. places (Ints2d): (rows, 2),
    where the markers begin of the nearest mentions of head and tail."""

    pieces: list[Pieces]
    places: np.ndarray


class _Mark(NamedTuple):
    start: int  # tokens
    end: int
    opening: Pieces
    closing: Pieces


class Marker:
    """Writes the rows of one encoder.

    tokenizer (str): A fast tokenizer, as `Tokenizer.to_str` gives it. limit (int): Pieces in a row,
        at most, special ones included.
    """

    def __init__(self, tokenizer: str, limit: int):
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        special = self.tokenizer.encode("").ids
        self.first, self.last = special[:1], special[1:]
        self.limit = limit - len(special)

    def write(self, docs: Sequence[Doc], candidates: Sequence[CandidatePairs]) -> MarkedRows:
        """RETURNS (MarkedRows): For the pairs of arguments of all Docs, in order."""
        pieces: list[Pieces] = []
        places: list[tuple[int, int]] = []
        for doc, candidate in zip(docs, candidates):
            if not candidate.arguments:
                continue
            tokens = self._encode([token.text for token in doc])
            for pair, marks in self._find_marks(candidate):
                row, begins = write_row(tokens, marks, pair, self.limit)
                pieces.append([*self.first, *row, *self.last])
                places.append((begins[0] + len(self.first), begins[1] + len(self.first)))
        return MarkedRows(pieces, np.array(places, dtype="int64").reshape(-1, 2))

    def _encode(self, words: Sequence[str]) -> list[Pieces]:
        # Where white space is part of a piece, words have it before them
        texts = [" " + word for word in words]
        return [one.ids for one in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def _find_marks(
        self, candidate: CandidatePairs
    ) -> list[tuple[tuple[_Mark, _Mark], list[_Mark]]]:
        """RETURNS (List): For each pair of arguments the marks of its nearest mentions, and all."""
        labels = sorted({mention.label for mention in candidate.mentions})
        mentions_of = defaultdict(list)
        for mention in candidate.mentions:
            for name in mention.concepts or ((mention.start_char, mention.end_char),):
                mentions_of[name].append(mention)
        opening, closing = {}, {}
        for sign, kind in (HEAD, TAIL):
            named = [f"{sign} {kind} {label.replace('_', ' ').lower()} {kind}" for label in labels]
            opening[sign] = dict(zip(labels, self._encode(named)))
            closing[sign] = self._encode([sign])[0]

        def mark(mention: Candidate, sign: str) -> _Mark:
            return _Mark(mention.start, mention.end, opening[sign][mention.label], closing[sign])

        found = []
        signs = (HEAD[0], TAIL[0])
        for number, row in enumerate(find_nearest(candidate).tolist()):
            pair = candidate.pairs[row]
            names = order_ends(candidate.mentions, pair, candidate.arguments[number])
            head, tail = (mark(candidate.mentions[i], sign) for i, sign in zip(pair, signs))
            marks = [mark(m, sign) for name, sign in zip(names, signs) for m in mentions_of[name]]
            found.append(((head, tail), marks))
        return found


def write_row(
    tokens: Sequence[Pieces], marks: Sequence[_Mark], pair: tuple[_Mark, _Mark], limit: int
) -> tuple[Pieces, tuple[int, int]]:
    """Write the pieces of one row, with what is farthest from the pair left out if it is too long.

    tokens (Sequence[List[int]]): The pieces of each token. marks (Sequence[_Mark]): All to write.
    pair (Tuple[_Mark, _Mark]): The nearest ones of head and tail, which are among them.
    limit (int): Pieces, at most.
    RETURNS (Tuple[List[int], Tuple[int, int]]): Pieces, and where the pair's markers begin.
    """
    before: dict[int, list[_Mark]] = defaultdict(list)
    after: dict[int, list[_Mark]] = defaultdict(list)
    for mark in sorted(marks, key=lambda mark: mark.end - mark.start):  # nested ones inside
        before[mark.start].insert(0, mark)
        after[mark.end - 1].append(mark)
    costs = np.array([len(token) for token in tokens])
    for place, some in before.items():
        costs[place] += sum(len(mark.opening) for mark in some)
    for place, some in after.items():
        costs[place] += sum(len(mark.closing) for mark in some)
    kept = np.arange(len(tokens))
    if costs.sum() > limit:
        distances = np.minimum(*(np.maximum(m.start - kept, kept - m.end + 1) for m in pair))
        distances = distances.clip(min=0)
        distances[[mark.start for mark in pair]] = -1
        order = np.lexsort((kept, distances))
        kept = np.sort(order[costs[order].cumsum() <= limit])
    row: Pieces = []
    begins = [0, 0]
    for place in kept.tolist():
        for mark in before.get(place, ()):
            if mark in pair:
                begins[pair.index(mark)] = len(row)
            row.extend(mark.opening)
        row.extend(tokens[place])
        for mark in after.get(place, ()):
            row.extend(mark.closing)
    return row, (begins[0], begins[1])
