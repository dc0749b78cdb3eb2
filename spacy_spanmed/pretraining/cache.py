"""Token sequences on the disk: packed once, with progress, and then mapped into memory.

A cache is a folder with an array a file and an index, ``index.json``. It is written under another
name and moved to its place when it is whole, so a run that is killed leaves none, only a folder
that the next one clears away. Its name is a hash of all that decides its content: texts, settings,
tokenizer, and the code of ``texts/``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
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
from transformers import PreTrainedTokenizerBase

from ..util.files import write_json
from ..util.text_files import Meter
from .checkpoints import read_json
from .config import PretrainSettings
from .distributed import connect_workers
from .record import text_code
from .texts.corpus import TextCorpus, describe, require_sequences
from .texts.packing import PIECES, PackedSequences, TokenSequence, stack_sequences
from .texts.selection import KEPT

INDEX = "index.json"
ARRAYS = ("input_ids", "words", "lengths")  # each a file
ROWS_AT_ONCE = 4096
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Seconds the main worker has at most to take the lock first, for it is the one to show progress.
HEAD_START = 5.0
# Settings that don't change what sequences a text gives: `exclude` counts with its content.
NOT_IN_KEY = {"exclude", "streaming", "shuffle_buffer"}


def load_sequences(
    role: str, corpus: TextCorpus, settings: PretrainSettings, fingerprint: str, console: Console
) -> PackedSequences:
    """Open the sequences of a corpus, tokenized before or now.

    Several workers may call this at once: one tokenizes, the others wait for it.

    role (str): "train" or "dev", the beginning of the name of the cache.
    corpus (TextCorpus): The texts.
    settings (PretrainSettings): For the folder of the cache.
    fingerprint (str): Of the content of the texts, and of those excluded.
    console (Console): For progress.
    RETURNS (PackedSequences): At least one sequence.
    RAISES (ValueError): A text can't be read, there is less than one sequence of text, or the cache
        can't be written.
    """
    values = settings.data.model_dump(exclude=NOT_IN_KEY)
    values["replace"] = [(pattern.pattern, text) for pattern, text in settings.data.replace]
    values["block_length"] = corpus.block_length
    key = cache_key(fingerprint, corpus.tokenizer, values)
    folder = settings.paths.cache_folder / f"{role}-{key}"
    sequences = open_cache(folder)
    if sequences is None:
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
            sequences = open_cache(folder) or _build(corpus, folder, console)
    console.print(describe(corpus, sequences), highlight=False)
    return sequences


def cache_key(
    fingerprint: str, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]
) -> str:
    """A name for the sequences of a text.

    fingerprint (str): Of the content of the texts, and of those excluded.
    tokenizer (PreTrainedTokenizerBase): Counts with its vocabulary, merges, normalization and
        special tokens, wherever its files lie.
    settings (dict): All that decides what sequences the texts give.
    RETURNS (str): 16 hexadecimal digits.
    """
    # How a call cuts and pads, which a tokenizer remembers from the last one, does not count.
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["truncation"] = rules["padding"] = None
    parts = [fingerprint, rules, tokenizer.special_tokens_map, settings, text_code()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def open_cache(folder: Path) -> PackedSequences | None:
    """Open a cache.

    folder (Path): Where it may be.
    RETURNS (PackedSequences): Mapped from the files; None if there is no cache, or it is damaged.
    """
    index = read_json(folder / INDEX)
    try:
        arrays = []
        for name in ARRAYS:
            dtype, shape = index["arrays"][name]
            arrays.append(np.memmap(folder / f"{name}.bin", dtype, mode="r").reshape(shape))
        report = index["report"]
        return PackedSequences.make(arrays, report[KEPT], report[PIECES], report)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def write_cache(
    folder: Path,
    sequences: Iterator[TokenSequence],
    block_length: int,
    tokenizer: PreTrainedTokenizerBase,
    report: Callable[[], dict[str, Any]],
) -> int:
    """Write a cache. Only one process may write to a folder at a time.

    folder (Path): Where it goes; a damaged one there is replaced.
    sequences (Iterator[TokenSequence]): The sequences; 4096 at most are in memory.
    block_length (int): Width of the arrays.
    tokenizer (PreTrainedTokenizerBase): For the width of ids and the id of padding.
    report (Callable): Gives what was read, once all sequences are written.
    RETURNS (int): Number of sequences. If there are none, nothing is written.
    RAISES (ValueError): The disk is full, or the folder can't be written; nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    written = count = 0
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        temporary.mkdir(parents=True)
        arrays: dict[str, tuple[str, list[int]]] = {}
        with ExitStack() as stack:
            files = [stack.enter_context((temporary / f"{name}.bin").open("wb")) for name in ARRAYS]
            while rows := list(islice(sequences, ROWS_AT_ONCE)):
                count += len(rows)
                stacked = stack_sequences(rows, block_length, tokenizer)
                for name, array, file in zip(ARRAYS, stacked, files):
                    written += file.write(array.tobytes())
                    arrays[name] = array.dtype.str, [count, *array.shape[1:]]
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        if count:
            write_json(temporary / INDEX, {"arrays": arrays, "report": report()})
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
        return count
    except OSError as error:
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise ValueError(
            f"The tokenized texts can't be kept in '{folder.parent}', after {written / 1e6:,.0f} "
            f"MB: {why}. Free some space, set paths.cache to a folder on another disk, or set "
            "data.streaming = true, which keeps only the held-out texts."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _let_main_begin(lock: Path) -> None:
    """Wait on all workers but the main one until somebody has taken the lock."""
    if connect_workers().is_local_main_process:
        return
    last = time.monotonic() + HEAD_START
    while not lock.exists() and time.monotonic() < last:
        time.sleep(0.05)


def _build(corpus: TextCorpus, folder: Path, console: Console) -> PackedSequences:
    meter = Meter()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Tokenizing", total=corpus.size() or None, rate="")

        def watched() -> Iterator[TokenSequence]:
            for sequence in corpus.read_sequences(meter):
                rate = corpus.word_pieces / max(progress.tasks[task].elapsed or 0.0, 1e-3)
                progress.update(task, completed=meter.done, rate=f"{rate:,.0f} word pieces/s")
                yield sequence

        count = write_cache(folder, watched(), corpus.block_length, corpus.tokenizer, corpus.report)
    require_sequences(corpus, count)
    sequences = open_cache(folder)
    if sequences is None:
        raise ValueError(
            f"The cache '{folder}' can't be read back just after it was written: set paths.cache "
            "to a folder on another disk."
        )
    return sequences
