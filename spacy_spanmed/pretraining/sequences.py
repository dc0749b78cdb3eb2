"""Blocks of texts: taken from the cache, or tokenized once, with progress, and kept there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from .cache import cache_key, open_cache, write_cache
from .config import PretrainSettings
from .distributed import connect_workers
from .encoder_files import LoadedEncoder
from .packing import Block, PackedBlocks, highest_id
from .texts.corpus import TextCorpus
from .texts.reading import Meter

REPORT_EVERY = 0.2  # seconds between two looks at the progress
# Seconds the main worker has at most to take the lock first, for it is the one to show progress.
HEAD_START = 5.0
LOOKED_AT = 1000  # blocks, to see whether a text can be read
# Settings that don't change what blocks a text gives: `exclude` counts with its content.
NOT_IN_KEY = {"exclude", "streaming", "shuffle_buffer"}


def load_blocks(
    role: str, corpus: TextCorpus, settings: PretrainSettings, fingerprint: str, console: Console
) -> PackedBlocks:
    """Open the blocks of a corpus, tokenized before or now.

    Several workers may call this at once: one tokenizes, the others wait for it.

    role (str): "train" or "dev", the beginning of the name of the cache.
    corpus (TextCorpus): The texts.
    settings (PretrainSettings): For the folder of the cache.
    fingerprint (str): Of the content of the texts, and of those excluded.
    console (Console): For progress.
    RETURNS (PackedBlocks): At least one block.
    RAISES (ValueError): A text can't be read, there is less than one block of text, or the cache
        can't be written.
    """
    values = {k: v for k, v in settings.data.dict().items() if k not in NOT_IN_KEY}
    values["replace"] = [(pattern.pattern, text) for pattern, text in settings.data.replace]
    values["block_length"] = corpus.block_length
    key = cache_key(fingerprint, corpus.tokenizer, values)
    folder = settings.paths.cache_folder / f"{role}-{key}"
    blocks = open_cache(folder)
    if blocks is None:
        lock = folder.with_name(f"{folder.name}.lock")
        _let_main_begin(lock)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"The folder '{folder.parent}' for tokenized texts can't be made "
                f"({error.strerror}): set paths.cache to another."
            ) from error
        with FileLock(lock):
            blocks = open_cache(folder)
            if blocks is None:
                _build(corpus, folder, console)
                blocks = open_cache(folder)
    if blocks is None:
        raise ValueError(
            f"The cache '{folder}' can't be read back just after it was written: set paths.cache "
            "to a folder on another disk."
        )
    console.print(describe(corpus, blocks.report, len(blocks.input_ids)), highlight=False)
    return blocks


def check_vocabulary(loaded: LoadedEncoder, name: str) -> None:
    """Refuse a tokenizer that gives ids the model has no embedding for.

    loaded (LoadedEncoder): The encoder.
    name (str): Its name, for the message.
    RAISES (ValueError): The highest id is beyond the model's embeddings.
    """
    highest, rows = highest_id(loaded.tokenizer), loaded.model.get_input_embeddings().num_embeddings
    if highest >= rows:
        raise ValueError(
            f"The tokenizer of the encoder '{name}' gives ids up to {highest:,}, but the model "
            f"embeds only {rows:,}: they do not belong together. Use the tokenizer the model was "
            "trained with."
        )


def check_readable(blocks: PackedBlocks, name: str) -> None:
    """Refuse text of which the tokenizer knows next to nothing: nothing can be masked or learned.

    blocks (PackedBlocks): The texts. name (str): Theirs, for the message.
    RAISES (ValueError): Of blocks spread over the text, under a tenth of the tokens are in words
        that can be masked. Under a half is warned of.
    """
    count = len(blocks.input_ids)
    rows = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))
    words = np.asarray(blocks.words[rows])
    tokens = words.size if blocks.lengths is None else int(blocks.lengths[rows].sum())
    share = int((words >= 0).sum()) / max(tokens, 1)
    fault = (
        f"Of '{name}' the tokenizer makes words in only {share:.0%} of the tokens, the others are "
        "unknown to it or parts of words longer than a block. Are these texts with spaces between "
        "words, in a language and alphabet the encoder was trained on?"
    )
    if share < 0.1:
        raise ValueError(fault)
    if share < 0.5:
        warnings.warn(fault)


def require_blocks(corpus: TextCorpus, count: int) -> None:
    """RAISES (ValueError): There is not a single block."""
    if not count:
        report = corpus.report()
        raise ValueError(
            f"'{corpus.name}' holds {corpus.word_pieces:,} word pieces in "
            f"{report['documents_kept']:,} documents ({left_out(report) or 'none left out'}), less "
            f"than one block: give more text, or a smaller training.block_length"
            f"{'' if corpus.settings.join_documents else ' or data.min_block'}."
        )


def describe(corpus: TextCorpus, report: dict[str, Any], count: int) -> str:
    """One line about what a corpus has given.

    corpus (TextCorpus): The texts.
    report (dict): From ``TextCorpus.report``.
    count (int): Number of blocks.
    RETURNS (str): Documents, word pieces and blocks, and what was left out.
    """
    line = (
        f"{corpus.name}: {report['documents_kept']:,} texts, {report['word_pieces']:,} word "
        f"pieces, {count:,} blocks of {'' if corpus.settings.join_documents else 'up to '}"
        f"{corpus.block_length}"
    )
    without = left_out(report)
    return f"{line} ({without})" if without else line


def left_out(report: dict[str, Any]) -> str:
    """What a report says was left out, in words; empty if nothing was."""
    counts = {
        "empty": report["documents_empty"],
        "too short": report["documents_too_short"],
        "duplicates": report["documents_duplicate"],
        "on the other side of the split": report["documents_other_side"],
        "held out": report["documents_in_dev"],
        "overlapping with evaluation texts": report["documents_overlapping"],
        "shorter than a block": report["documents_shorter_than_a_block_dropped"],
        **report["unreadable"],
        "files ignored": report["files_ignored"],
    }
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"left out: {', '.join(parts)}" if parts else ""


def _let_main_begin(lock: Path) -> None:
    """Wait on all workers but the main one until somebody has taken the lock."""
    if connect_workers().is_local_main_process:
        return
    last = time.monotonic() + HEAD_START
    while not lock.exists() and time.monotonic() < last:
        time.sleep(0.05)


def _build(corpus: TextCorpus, folder: Path, console: Console) -> None:
    meter = Meter()
    size = corpus.size()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Tokenizing", total=size or None, rate="")
        started = time.monotonic()

        def watched() -> Iterator[Block]:
            looked = 0.0
            for block in corpus.read_blocks(meter):
                now = time.monotonic()
                if now - looked >= REPORT_EVERY:
                    rate = corpus.word_pieces / max(now - started, 1e-3)
                    progress.update(task, completed=meter.done, rate=f"{rate:,.0f} word pieces/s")
                    looked = now
                yield block

        count = write_cache(
            folder,
            watched(),
            corpus.block_length,
            corpus.tokenizer,
            corpus.settings.join_documents,
            corpus.report,
        )
    require_blocks(corpus, count)
