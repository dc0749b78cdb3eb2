"""Blocks on the disk, mapped into memory instead of read into it.

A cache is a folder with an array a file and an index, ``index.json``. It is written under another
name and moved to its place when it is whole, so a run that is killed leaves none, only a folder
that the next one clears away.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..util.files import write_json
from ..util.provenance import file_sha256
from .checkpoints import read_json
from .packing import PIECES, Block, PackedBlocks, id_type, padding_id
from .texts.selection import KEPT

INDEX = "index.json"
ROWS_AT_ONCE = 512
# The code that decides what blocks of a text are: another version of it needs another cache.
CODE = ("packing", "tokenizing")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def cache_key(
    fingerprint: str, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]
) -> str:
    """A name for the blocks of a text.

    fingerprint (str): Of the content of the texts, and of those excluded.
    tokenizer (PreTrainedTokenizerBase): Counts with its vocabulary, merges, normalization and
        special tokens, wherever its files lie.
    settings (dict): All that decides what blocks the texts give.
    RETURNS (str): 16 hexadecimal digits.
    """
    # How a call cuts and pads, which a tokenizer remembers from the last one, does not count.
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["truncation"] = rules["padding"] = None
    here = Path(__file__).parent
    files = [here / f"{name}.py" for name in CODE] + sorted((here / "texts").glob("*.py"))
    parts = [
        fingerprint,
        rules,
        tokenizer.special_tokens_map,
        settings,
        [file_sha256(path) for path in files],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def open_cache(folder: Path) -> PackedBlocks | None:
    """Open a cache.

    folder (Path): Where it may be.
    RETURNS (PackedBlocks): Mapped from the files; None if there is no cache, or it is damaged.
    """
    index = read_json(folder / INDEX)
    try:
        arrays = {}
        for name, facts in index["arrays"].items():
            path, dtype = folder / f"{name}.bin", np.dtype(facts["dtype"])
            shape = tuple(facts["shape"])
            if path.stat().st_size != dtype.itemsize * np.prod(shape, dtype=np.int64):
                return None
            arrays[name] = np.memmap(path, dtype=dtype, mode="r", shape=shape)
        report = index["report"]
        return PackedBlocks(**arrays, documents=report[KEPT], tokens=report[PIECES], report=report)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def write_cache(
    folder: Path,
    blocks: Iterable[Block],
    block_length: int,
    tokenizer: PreTrainedTokenizerBase,
    full: bool,
    report: Callable[[], dict[str, Any]],
) -> int:
    """Write a cache. Only one process may write to a folder at a time.

    folder (Path): Where it goes; a damaged one there is replaced.
    blocks (Iterable[Block]): The blocks; a thousand at most are in memory.
    block_length (int): Width of the arrays.
    tokenizer (PreTrainedTokenizerBase): For the width of ids and the id of padding.
    full (bool): Whether all blocks are full, so that no lengths are needed.
    report (Callable): Gives what was read, once all blocks are written.
    RETURNS (int): Number of blocks. If there are none, nothing is written.
    RAISES (ValueError): The disk is full, or the folder can't be written; nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        temporary.mkdir(parents=True)
        count, types = _write_arrays(temporary, blocks, block_length, tokenizer, full)
        if count:
            arrays = {
                name: {"dtype": dtype.str, "shape": [count, *shape]}
                for name, (dtype, shape) in types.items()
            }
            write_json(temporary / INDEX, {"arrays": arrays, "report": report()})
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(temporary, folder)
        return count
    except OSError as error:
        written = sum(p.stat().st_size for p in temporary.glob("*")) if temporary.exists() else 0
        shutil.rmtree(temporary, ignore_errors=True)
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise ValueError(
            f"The tokenized texts can't be kept in '{folder.parent}', after {written / 1e6:,.0f} "
            f"MB: {why}. Free some space, set paths.cache to a folder on another disk, or set "
            "data.streaming = true, which keeps only the held-out texts."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_arrays(
    folder: Path,
    blocks: Iterable[Block],
    block_length: int,
    tokenizer: PreTrainedTokenizerBase,
    full: bool,
) -> tuple[int, dict[str, tuple[np.dtype, tuple[int, ...]]]]:
    """Write blocks as rows. RETURNS (tuple): Their number, and type and shape of a row of each
    array."""
    types: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        "input_ids": (id_type(tokenizer), (block_length,)),
        "words": (np.dtype(np.int16), (block_length,)),
    }
    if not full:
        types["lengths"] = (np.dtype(np.int32), ())
    padding = {"input_ids": padding_id(tokenizer), "words": -1, "lengths": 0}
    rows = {
        name: np.full((ROWS_AT_ONCE, *shape), padding[name], dtype)
        for name, (dtype, shape) in types.items()
    }
    files: dict[str, BinaryIO] = {}
    count = filled = 0
    try:
        for name in types:
            files[name] = (folder / f"{name}.bin").open("wb")
        for block in blocks:
            size = len(block.ids)
            rows["input_ids"][filled, :size] = block.ids
            rows["words"][filled, :size] = block.words
            if not full:
                rows["lengths"][filled] = size
            filled += 1
            if filled == ROWS_AT_ONCE:
                _flush(files, rows, filled, padding)
                count, filled = count + filled, 0
        _flush(files, rows, filled, padding)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        return count + filled, types
    finally:
        for file in files.values():
            file.close()


def _flush(
    files: dict[str, BinaryIO], rows: dict[str, np.ndarray], filled: int, padding: dict[str, int]
) -> None:
    for name, file in files.items():
        file.write(rows[name][:filled].tobytes())
        rows[name].fill(padding[name])
