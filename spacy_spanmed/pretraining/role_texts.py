"""The texts of a run by their role: those to train on, those held out, those to keep away from."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from rich.console import Console
from torch.utils.data import Dataset

from .config import PretrainSettings
from .encoder_files import LoadedEncoder
from .packing import PackedBlocks
from .samples import BlockStream, MaskedBlocks, StreamedSamples, Vocabulary
from .sequences import load_blocks
from .texts.corpus import TextCorpus
from .texts.fingerprint import fingerprint
from .texts.sources import check_entry

TRAIN, DEV, EXCLUDE = "train", "dev", "exclude"
Fingerprints = dict[str, dict[str, Any]]


class TrainingText(NamedTuple):
    """Texts to train on.

    blocks (PackedBlocks): All of them, or the first ones of a stream, which stand for all.
    stream (BlockStream): With ``data.streaming``; else None.
    """

    blocks: PackedBlocks
    stream: BlockStream | None

    def samples(self, settings: PretrainSettings, vocabulary: Vocabulary, count: int) -> Dataset:
        """The masked samples of a run.

        settings (PretrainSettings): Masker, seed and batch size.
        vocabulary (Vocabulary): For the 80/10/10 replacement.
        count (int): How many, over all passes.
        RETURNS (Dataset): In the order of training.
        """
        common = {
            "seed": settings.system.seed,
            "samples": count,
            "batch_size": settings.training.batch_size,
        }
        if self.stream is not None:
            return StreamedSamples(self.stream, settings.masker, vocabulary, **common)
        dynamic = settings.training.dynamic_masking
        return MaskedBlocks(self.blocks, settings.masker, vocabulary, dynamic=dynamic, **common)

    def report(self) -> dict[str, Any]:
        """What was read, left out and kept; of a stream, in the pass under way."""
        return self.stream.report() if self.stream is not None else self.blocks.report

    def passes(self, tokens: int) -> float | None:
        """How often so many tokens go through the text; of a stream None, its end is unknown."""
        if self.stream is not None:
            return None
        return round(tokens / (len(self.blocks.input_ids) * self.blocks.mean_length), 3)


def fingerprint_texts(settings: PretrainSettings) -> Fingerprints:
    """Size and hash of all texts of a run.

    settings (PretrainSettings): The run's settings.
    RETURNS (dict): See ``texts/fingerprint.py``, by role.
    RAISES (ValueError): A text does not exist, or is of no known format.
    """
    roles = {TRAIN: settings.paths.train}
    if settings.paths.dev:
        roles[DEV] = settings.paths.dev
    if settings.data.exclude:
        roles[EXCLUDE] = [str(path) for path in settings.data.exclude]
    streaming = settings.data.streaming
    for entry in settings.paths.train + settings.paths.dev:
        check_entry(entry)
    found = {role: fingerprint(texts, streaming) for role, texts in roles.items()}
    return {DEV: found[TRAIN], **found}


def load_training_text(
    loaded: LoadedEncoder, settings: PretrainSettings, known: Fingerprints, console: Console
) -> TrainingText:
    """Read the texts to train on.

    loaded (LoadedEncoder): For its tokenizer.
    settings (PretrainSettings): The run's settings.
    known (dict): From :func:`fingerprint_texts`.
    console (Console): For progress.
    RETURNS (TrainingText): At least one block.
    RAISES (ValueError): The texts can't be used, or hold less than one block.
    """
    data, training = settings.data, settings.training
    corpus = TextCorpus(
        settings.paths.train,
        loaded.tokenizer,
        data,
        training.block_length,
        exclude=data.exclude,
        streaming=data.streaming,
        dev=settings.paths.dev,
    )
    if not data.streaming:
        roles = [
            TRAIN,
            *([DEV] if settings.paths.dev else []),
            *([EXCLUDE] if data.exclude else []),
        ]
        contents = "".join(known[role]["sha256"] for role in roles)
        return TrainingText(load_blocks(TRAIN, corpus, settings, contents, console), None)
    window = math.ceil(data.shuffle_buffer / training.batch_size) * training.batch_size
    stream = BlockStream(corpus, window)
    with console.status(f"Reading the first {window:,} blocks ..."):
        return TrainingText(stream.head(), stream)


def load_dev_blocks(
    loaded: LoadedEncoder, settings: PretrainSettings, known: Fingerprints, console: Console
) -> PackedBlocks:
    """Read the held-out texts.

    loaded, settings, known, console: As in :func:`load_training_text`.
    RETURNS (PackedBlocks): At least one block.
    RAISES (ValueError): The texts can't be used, or hold less than one block.
    """
    corpus = TextCorpus(
        settings.paths.dev or settings.paths.train,
        loaded.tokenizer,
        settings.data,
        settings.training.block_length,
        streaming=settings.data.streaming,
        held_out=not settings.paths.dev,
    )
    return load_blocks(DEV, corpus, settings, known[DEV]["sha256"], console)
