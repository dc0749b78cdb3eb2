"""The texts of one role on their way to blocks: read, selected, tokenized, packed, counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..config import DataSettings
from ..packing import CUT, DROPPED, PIECES, TOO_SHORT, Block, make_packer, pack
from .overlap import EvaluationTexts, text_hash
from .reading import Meter, TextOptions, TextProblems
from .selection import Selection, read_evaluation_texts, read_selected
from .sources import Sources


class TextCorpus:
    """Texts that are read as blocks.

    entries (Sequence[str]): Files, folders and datasets.
    tokenizer (PreTrainedTokenizerBase): The encoder's.
    settings (DataSettings): How to read, select and pack them.
    block_length (int): Tokens of a block at most.
    exclude (Sequence[Path]): Corpora whose texts must not be in it, default none.
    streaming (bool): Read datasets from the Hub over the network, default False.
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
        streaming: bool = False,
        held_out: bool = False,
        dev: Sequence[str] = (),
    ):
        self._dev = dev
        self._dev_hashes: set[int] | None = None  # read when they are needed
        self._held_out = held_out
        self.name = ", ".join(entries)
        self.tokenizer = tokenizer
        self.settings = settings
        self.block_length = block_length
        self._exclude = exclude
        self._evaluation: EvaluationTexts | None = None  # read when it is needed
        self._evaluation_problems: dict[str, int] = {}
        options = TextOptions(settings.text_field, settings.txt_documents)
        self._problems = TextProblems(settings.on_error)
        self._sources = Sources(entries, options, self._problems, streaming)
        self._start()

    def _start(self) -> None:
        self._problems.counts.clear()
        self._problems.examples.clear()
        self._selection = Selection(
            self.settings, self._evaluation, self._held_out, self._dev_hashes or ()
        )
        self._packer = make_packer(
            self.tokenizer,
            self.block_length,
            self.settings.join_documents,
            self.settings.min_block,
        )

    def size(self) -> int:
        """Bytes to read, 0 if that is not known."""
        return self._sources.size()

    def read_blocks(self, meter: Meter | None = None) -> Iterator[Block]:
        """Read all texts once.

        meter (Meter): Told what has been read from the disk. Default: nobody is told.
        YIELDS (Block): In the order of the texts. Counting starts anew.
        RAISES (ValueError): A text can't be read; the message names the place.
        """
        if self._exclude and self._evaluation is None:
            words = self.settings.exclude_words
            found = read_evaluation_texts(self._exclude, words)
            self._evaluation, self._evaluation_problems = found
        if self._dev and self._dev_hashes is None:
            self._dev_hashes = {text_hash(text) for text in read_selected(self._dev, self.settings)}
        self._start()
        texts = self._selection.select(self._sources.read(meter or Meter()))
        yield from pack(texts, self.tokenizer, self._packer)

    @property
    def word_pieces(self) -> int:
        """Word pieces packed so far."""
        return self._packer.counts[PIECES]

    def report(self) -> dict[str, Any]:
        """What the last reading has found: documents read, left out for each reason and kept,
        files ignored for their names, texts that couldn't be read, word pieces kept and dropped."""
        selected = self._selection.report()
        examples = {**selected.pop("examples"), **self._problems.examples}
        counts = self._packer.counts
        excluded = self._evaluation
        return {
            **selected,
            "evaluation_texts": excluded.count if excluded is not None else 0,
            "evaluation_problems": self._evaluation_problems,
            "unreadable": dict(self._problems.counts),
            "files_ignored": self._sources.ignored,
            **{name: counts[name] for name in (PIECES, DROPPED, TOO_SHORT, CUT)},
            "examples": examples,
        }
