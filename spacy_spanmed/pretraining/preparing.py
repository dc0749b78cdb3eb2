"""What a run works with: its texts by their role, the encoder with its heads, and the trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from transformers import TrainerCallback, set_seed

from .arguments import training_arguments
from .cache import load_sequences
from .config import PretrainSettings
from .encoder_files import LoadedEncoder, check_vocabulary, load_encoder
from .model import PretrainingModel
from .samples import (
    MaskedSamples,
    MaskedSequences,
    StreamedSequences,
    Vocabulary,
    make_vocabulary,
)
from .texts.corpus import SequenceStream, TextCorpus
from .texts.packing import PackedSequences, check_readable, count_pieces
from .texts.sources import check_entry, fingerprint
from .trainer import PretrainingTrainer

TRAIN, DEV, EXCLUDE = "train", "dev", "exclude"
Fingerprints = dict[str, dict[str, Any]]


def fingerprint_texts(settings: PretrainSettings) -> Fingerprints:
    """Size and hash of all texts of a run.

    settings (PretrainSettings): The run's settings.
    RETURNS (dict): See ``texts/sources.py``, by role.
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


def load_training_sequences(
    loaded: LoadedEncoder, settings: PretrainSettings, known: Fingerprints, console: Console
) -> tuple[PackedSequences, SequenceStream | None]:
    """Read the texts to train on.

    loaded (LoadedEncoder): For its tokenizer.
    settings (PretrainSettings): The run's settings.
    known (dict): From :func:`fingerprint_texts`.
    console (Console): For progress.
    RETURNS (tuple): At least one sequence; with ``data.streaming`` the first ones, and the stream.
    RAISES (ValueError): The texts can't be used, or hold less than one sequence.
    """
    data, training = settings.data, settings.training
    corpus = TextCorpus(
        settings.paths.train,
        loaded.tokenizer,
        data,
        training.block_length,
        exclude=data.exclude,
        dev=settings.paths.dev,
    )
    if not data.streaming:
        counting = {TRAIN: True, DEV: settings.paths.dev, EXCLUDE: data.exclude}
        contents = "".join(known[role]["sha256"] for role, counts in counting.items() if counts)
        return load_sequences(TRAIN, corpus, settings, contents, console), None
    window = math.ceil(data.shuffle_buffer / training.batch_size) * training.batch_size
    stream = SequenceStream(corpus, window)
    with console.status(f"Reading the first {window:,} sequences ..."):
        return stream.head(), stream


def load_dev_sequences(
    loaded: LoadedEncoder, settings: PretrainSettings, known: Fingerprints, console: Console
) -> PackedSequences:
    """Read the held-out texts.

    loaded, settings, known, console: As in :func:`load_training_sequences`.
    RETURNS (PackedSequences): At least one sequence.
    RAISES (ValueError): The texts can't be used, or hold less than one sequence.
    """
    corpus = TextCorpus(
        settings.paths.dev or settings.paths.train,
        loaded.tokenizer,
        settings.data,
        settings.training.block_length,
        held_out=not settings.paths.dev,
    )
    return load_sequences(DEV, corpus, settings, known[DEV]["sha256"], console)


class Prepared(NamedTuple):
    """What a run works with.

    loaded (LoadedEncoder): The starting encoder and its tokenizer.
    sequences (PackedSequences): The texts to train on, or, of a stream, the first ones, which stand
        for all.
    stream (SequenceStream): With ``data.streaming``; else None.
    model (PretrainingModel): The encoder with its heads.
    taken_over (list): Names of the head weights of an earlier pretraining.
    masker_facts (dict): What the masker tells about the texts, for the record.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    """

    loaded: LoadedEncoder
    sequences: PackedSequences
    stream: SequenceStream | None
    model: PretrainingModel
    taken_over: list[str]
    masker_facts: dict[str, Any]
    vocabulary: Vocabulary

    def samples(self, settings: PretrainSettings, count: int) -> MaskedSamples:
        """The masked samples of a run.

        settings (PretrainSettings): Masker, seed and batch size.
        count (int): How many, over all passes.
        RETURNS (MaskedSamples): In the order of training.
        """
        masker, training, vocabulary = settings.masker, settings.training, self.vocabulary
        seed, size = settings.system.seed, training.batch_size
        if self.stream is not None:
            return StreamedSequences(
                self.stream, masker, vocabulary, seed=seed, samples=count, batch_size=size
            )
        return MaskedSequences(
            self.sequences,
            masker,
            vocabulary,
            seed=seed,
            samples=count,
            batch_size=size,
            dynamic=training.dynamic_masking,
        )

    def report(self) -> dict[str, Any]:
        """What was read, left out and kept; of a stream, in the pass under way."""
        return self.stream.report() if self.stream is not None else self.sequences.report

    def passes(self, tokens: int) -> float | None:
        """How often so many tokens go through the text; of a stream None, its end is unknown."""
        if self.stream is not None:
            return None
        return round(tokens / (len(self.sequences.input_ids) * self.sequences.mean_length), 3)


def prepare(
    settings: PretrainSettings, console: Console, texts: Fingerprints | None = None
) -> Prepared:
    """Load the encoder, read the texts to train on, and put everything together.

    settings (PretrainSettings): The run's settings.
    console (Console): For progress.
    texts (dict): From ``fingerprint_texts``; made if not given.
    RETURNS (Prepared): The same for the same settings and texts.
    """
    loaded = load_encoder(
        settings.model.encoder,
        block_length=settings.training.block_length,
        dropout=settings.model.dropout,
    )
    check_vocabulary(loaded, settings.model.encoder)
    texts = texts or fingerprint_texts(settings)
    sequences, stream = load_training_sequences(loaded, settings, texts, console)
    check_readable(sequences, ", ".join(settings.paths.train))
    with console.status("Preparing the masker ..."):
        masker_facts = settings.masker.prepare(loaded.tokenizer, sequences)
    if masker_facts:
        console.print(f"Masker '{settings.masker.name}': {masker_facts}", highlight=False)
    set_seed(settings.system.seed)
    model, taken_over = build_model(loaded, sequences, settings)
    vocabulary = make_vocabulary(loaded.tokenizer)
    return Prepared(loaded, sequences, stream, model, taken_over, masker_facts, vocabulary)


def rebuild(settings: PretrainSettings, sequences: PackedSequences) -> PretrainingModel:
    """The model before its training once more, for weights that were split over workers."""
    loaded = load_encoder(settings.model.encoder, block_length=settings.training.block_length)
    return build_model(loaded, sequences, settings)[0]


def make_trainer(
    prepared: Prepared,
    settings: PretrainSettings,
    steps: int,
    *,
    save: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> PretrainingTrainer:
    """Make the trainer of a run.

    prepared (Prepared): What it works with.
    settings (PretrainSettings): The run's settings.
    steps (int): Optimizer steps.
    save (bool): Write checkpoints, default True.
    callbacks (Sequence[TrainerCallback]): Further callbacks.
    """
    training = settings.training
    count = steps * training.batch_size
    samples = prepared.samples(settings, count)
    return PretrainingTrainer(
        prepared.model,
        training_arguments(settings, steps, save),
        settings,
        samples,
        training.batch_size * prepared.sequences.mean_length,
        callbacks,
    )


def build_model(
    loaded: LoadedEncoder, sequences: PackedSequences, settings: PretrainSettings
) -> tuple[PretrainingModel, list[str]]:
    """Put the heads on an encoder, with weights of an earlier pretraining where it has them.

    A fresh decoder bias starts at the log frequencies of the training text, so that the heads
    need not spend their first steps on learning which words are common.

    loaded (LoadedEncoder): The encoder.
    sequences (PackedSequences): The training text.
    settings (PretrainSettings): For the objectives.
    RETURNS (tuple): The model, and the names of the head weights taken over.
    """
    model = PretrainingModel(
        loaded.model,
        block_length=settings.training.block_length,
        sbo_weight=settings.model.sbo_weight,
        sbo_position_width=settings.model.sbo_position_width,
        freeze_encoder=settings.training.freeze_encoder,
    )
    size = len(model.decoder_bias)
    counts = count_pieces(sequences, size) + 1.0
    with torch.no_grad():
        model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    return model, model.load_heads(loaded.heads)
