"""The texts of one role on their way to sequences: read, selected, tokenized, packed, counted; once
for a cache, or again and again as a stream."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ...util.text_files import Meter
from ..config import DataSettings
from .packing import (
    CUT,
    DROPPED,
    PIECES,
    TOO_SHORT,
    PackedSequences,
    TokenSequence,
    make_packer,
    stack_sequences,
)
from .selection import KEPT, REASONS, EvaluationTexts, Selection, read_selected, text_hash
from .sources import Sources


class TextCorpus:
    """Texts that are read as sequences.

    entries (Sequence[str]): Files, folders and datasets.
    tokenizer (PreTrainedTokenizerBase): The encoder's.
    settings (DataSettings): How to read, select and pack them.
    block_length (int): Tokens of a sequence at most.
    exclude (Sequence[Path]): Corpora whose texts must not be in it, default none.
    held_out (bool): Where ``settings.held_out`` splits the texts, take the held-out ones. Default
        False.
    dev (Sequence[str]): Entries whose texts must not be in it, default none.
    RAISES (ValueError): An entry can't be used, or a length is out of its bounds.
    """

    def __init__(
        self,
        entries: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        settings: DataSettings,
        block_length: int,
        exclude: Sequence[Path] = (),
        held_out: bool = False,
        dev: Sequence[str] = (),
    ):
        self._dev, self._exclude, self._held_out = dev, exclude, held_out
        self.name = ", ".join(entries)
        self.tokenizer = tokenizer
        self.settings = settings
        self.block_length = block_length
        self._sources = Sources.from_settings(entries, settings)
        self._start()

    def _start(self, evaluation: EvaluationTexts | None = None, dev: Container[int] = ()) -> None:
        """Count from nothing. evaluation, dev: See :class:`Selection`."""
        settings = self.settings
        self._sources.problems.clear()
        self._selection = Selection(settings, evaluation, self._held_out, dev)
        self._packer = make_packer(
            self.tokenizer, self.block_length, settings.join_documents, settings.min_block
        )

    @cached_property
    def _evaluation(self) -> EvaluationTexts | None:
        words = self.settings.exclude_words
        return EvaluationTexts.read(self._exclude, words) if self._exclude else None

    @cached_property
    def _dev_hashes(self) -> set[int]:
        texts = read_selected(self._dev, self.settings) if self._dev else ()
        return {text_hash(text) for text in texts}

    def size(self) -> int:
        """Bytes to read, 0 if that is not known."""
        return self._sources.size()

    def read_sequences(self, meter: Meter | None = None) -> Iterator[TokenSequence]:
        """Read all texts once.

        meter (Meter): Told what has been read from the disk. Default: nobody is told.
        YIELDS (TokenSequence): In the order of the texts. Counting starts anew.
        RAISES (ValueError): A text can't be read; the message names the place.
        """
        self._start(self._evaluation, self._dev_hashes)
        texts = self._selection.select(self._sources.read(meter or Meter()))
        yield from self._packer.pack(texts)

    @property
    def word_pieces(self) -> int:
        """Word pieces packed so far."""
        return self._packer.counts[PIECES]

    def report(self) -> dict[str, Any]:
        """What the last reading has found: documents read, left out for each reason and kept,
        files ignored for their names, texts that couldn't be read, word pieces kept and dropped."""
        selected = self._selection.report()
        examples = {**selected.pop("examples"), **self._sources.problems.examples}
        counts = self._packer.counts
        excluded = self._evaluation
        return {
            **selected,
            "evaluation_texts": excluded.count if excluded else 0,
            "evaluation_problems": excluded.problems if excluded else {},
            "unreadable": dict(self._sources.problems.counts),
            "files_ignored": self._sources.ignored,
            **{name: counts[name] for name in (PIECES, DROPPED, TOO_SHORT, CUT)},
            "examples": examples,
        }


class SequenceStream:
    """Sequences of texts that are tokenized while training, with nothing kept on the disk.

    The passes over the corpus, one after the other, are cut into windows of equal size. The tokens
    of a pass are not known before it is over.

    corpus (TextCorpus): The texts.
    window (int): Sequences of a window.
    """

    def __init__(self, corpus: TextCorpus, window: int):
        self.corpus = corpus
        self.window = window
        self.restart()

    def restart(self) -> None:
        """Go back to the beginning."""
        self.passes = 0
        self._sequences = self._read()

    def _read(self) -> Iterator[TokenSequence]:
        while True:
            self.passes += 1
            count = 0
            for count, sequence in enumerate(self.corpus.read_sequences(), start=1):
                yield sequence
            require_sequences(self.corpus, count)

    def next_window(self) -> list[TokenSequence]:
        """RETURNS (list): The next ``window`` sequences.
        RAISES (ValueError): A text can't be read, or there is less than one sequence of text."""
        return list(islice(self._sequences, self.window))

    def head(self) -> PackedSequences:
        """The first window, which stands for the whole text where a look at it is needed.

        RETURNS (PackedSequences): In memory. Reading starts anew.
        RAISES (ValueError): See :meth:`next_window`.
        """
        self.restart()
        sequences = self.next_window()
        report = self.corpus.report()
        self.restart()
        arrays = stack_sequences(sequences, self.corpus.block_length, self.corpus.tokenizer)
        return PackedSequences.make(arrays, report[KEPT], report[PIECES])

    def report(self) -> dict[str, Any]:
        """What the pass under way has found so far, and which pass it is, from 1."""
        return {"passes_begun": self.passes, **self.corpus.report()}


def require_sequences(corpus: TextCorpus, count: int) -> None:
    """RAISES (ValueError): There is not a single sequence."""
    if not count:
        report = corpus.report()
        raise ValueError(
            f"'{corpus.name}' holds {corpus.word_pieces:,} word pieces in "
            f"{report['documents_kept']:,} documents ({left_out(report) or 'none left out'}), less "
            f"than one sequence: give more text, or a smaller training.block_length"
            f"{'' if corpus.settings.join_documents else ' or data.min_block'}."
        )


def describe(corpus: TextCorpus, sequences: PackedSequences) -> str:
    """One line about what a corpus has given.

    corpus (TextCorpus): The texts.
    sequences (PackedSequences): What became of them, with the report of ``TextCorpus``.
    RETURNS (str): Documents, word pieces and sequences, and what was left out.
    """
    report, count = sequences.report, len(sequences.input_ids)
    without = left_out(report)
    return (
        f"{corpus.name}: {report[KEPT]:,} texts, {report[PIECES]:,} word pieces, {count:,} sequences "
        f"of {'' if corpus.settings.join_documents else 'up to '}{corpus.block_length}"
        f"{without and f' ({without})'}"
    )


def left_out(report: dict[str, Any]) -> str:
    """What a report says was left out, in words; empty if nothing was."""
    counts = {
        **{words: report[f"documents_{reason}"] for reason, words in REASONS.items()},
        "shorter than a sequence": report[TOO_SHORT],
        **report["unreadable"],
        "files ignored": report["files_ignored"],
    }
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"left out: {', '.join(parts)}" if parts else ""
