"""What a run works with: its texts by their role, the encoder with its heads, and the trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import TrainerCallback, set_seed

from .cache import load_sequences
from .config import PretrainSettings
from .encoder_files import LoadedEncoder, load_encoder
from .model import PretrainingModel
from .samples import (
    MaskedSamples,
    MaskedSequences,
    StreamedSequences,
    make_vocabulary,
)
from .texts.corpus import SequenceStream, TextCorpus
from .texts.packing import PackedSequences, check_readable, count_pieces
from .texts.sources import check_entry, fingerprint
from .trainer import PretrainingTrainer, training_arguments

TRAIN, DEV, EXCLUDE = "train", "dev", "exclude"
Fingerprints = dict[str, dict[str, Any]]


def fingerprint_texts(settings: PretrainSettings) -> Fingerprints:
    """Size and hash of all texts of a run.

    settings (PretrainSettings): The run's settings.
    RETURNS (dict): See ``texts/sources.py``, by role.
    RAISES (ValueError): A text does not exist, or is of no known format.
    """
    paths, data = settings.paths, settings.data
    for entry in paths.train + paths.dev:
        check_entry(entry)
    roles = {TRAIN: paths.train}
    if paths.dev:
        roles[DEV] = paths.dev
    if data.exclude:
        roles[EXCLUDE] = [str(path) for path in data.exclude]
    found = {role: fingerprint(texts, data.streaming) for role, texts in roles.items()}
    return {DEV: found[TRAIN], **found}


class Prepared:
    """What a run works with: the encoder with its heads, the texts to train on, and the masker.

    settings (PretrainSettings): The run's settings. Its masker is prepared.
    texts (dict): From ``fingerprint_texts``.
    console (Console): For progress.
    RAISES (ValueError): Encoder and texts can't be used, or hold less than one sequence.

    loaded (LoadedEncoder): The starting encoder and its tokenizer.
    sequences (PackedSequences): The texts to train on, or, of a stream, the first ones, which stand
        for all.
    stream (SequenceStream): With ``data.streaming``; else None.
    model (PretrainingModel): The encoder with its heads.
    taken_over (list): Names of the head weights of an earlier pretraining.
    masker_facts (dict): What the masker tells about the texts, for the record.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    """

    def __init__(self, settings: PretrainSettings, texts: Fingerprints, console: Console):
        self.settings, self._texts, self._console = settings, texts, console
        self.loaded = load_encoder(
            settings.model.encoder,
            block_length=settings.training.block_length,
            dropout=settings.model.dropout,
        )
        self.sequences, self.stream = self._load_sequences()
        check_readable(self.sequences, ", ".join(settings.paths.train))
        with console.status("Preparing the masker ..."):
            self.masker_facts = settings.masker.prepare(self.loaded.tokenizer, self.sequences)
        if self.masker_facts:
            facts = f"Masker '{settings.masker.name}': {self.masker_facts}"
            console.print(facts, highlight=False)
        set_seed(settings.system.seed)
        self.model, self.taken_over = build_model(self.loaded, self.sequences, settings)
        self.vocabulary = make_vocabulary(self.loaded.tokenizer)

    def _load_sequences(self) -> tuple[PackedSequences, SequenceStream | None]:
        """The texts to train on: all sequences, or with ``data.streaming`` the first, and the
        stream."""
        settings, data, console = self.settings, self.settings.data, self._console
        corpus = TextCorpus(
            settings.paths.train,
            self.loaded.tokenizer,
            data,
            settings.training.block_length,
            exclude=data.exclude,
            dev=settings.paths.dev,
        )
        if not data.streaming:
            counting = {TRAIN: True, DEV: settings.paths.dev, EXCLUDE: data.exclude}
            hashes = [self._texts[role]["sha256"] for role, counts in counting.items() if counts]
            return load_sequences(TRAIN, corpus, settings, "".join(hashes), console), None
        size = settings.training.batch_size
        window = math.ceil(data.shuffle_buffer / size) * size
        stream = SequenceStream(corpus, window)
        with console.status(f"Reading the first {window:,} sequences ..."):
            return stream.head(), stream

    def load_dev_sequences(self) -> PackedSequences:
        """Read the held-out texts.

        RETURNS (PackedSequences): At least one sequence.
        RAISES (ValueError): The texts can't be used, or hold less than one sequence.
        """
        settings = self.settings
        corpus = TextCorpus(
            settings.paths.dev or settings.paths.train,
            self.loaded.tokenizer,
            settings.data,
            settings.training.block_length,
            held_out=not settings.paths.dev,
        )
        return load_sequences(DEV, corpus, settings, self._texts[DEV]["sha256"], self._console)

    def make_trainer(
        self,
        steps: int | None = None,
        *,
        save: bool = True,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> PretrainingTrainer:
        """Make the trainer of a run.

        steps (int): Optimizer steps, default as many as ``training.total_tokens`` needs.
        save (bool): Write checkpoints, default True.
        callbacks (Sequence[TrainerCallback]): Further callbacks.
        """
        settings, training = self.settings, self.settings.training
        tokens_a_step = training.batch_size * self.sequences.mean_length
        if steps is None:
            steps = math.ceil(training.total_tokens / tokens_a_step)
        arguments = training_arguments(settings, steps, save)
        samples = self._make_samples(steps * training.batch_size)
        return PretrainingTrainer(
            self.model, arguments, settings, samples, tokens_a_step, callbacks
        )

    def _make_samples(self, count: int) -> MaskedSamples:
        """So many masked samples in the order of training, over all passes."""
        masker, training = self.settings.masker, self.settings.training
        seed, size = self.settings.system.seed, training.batch_size
        if self.stream is not None:
            return StreamedSequences(
                self.stream, masker, self.vocabulary, seed=seed, samples=count, batch_size=size
            )
        return MaskedSequences(
            self.sequences,
            masker,
            self.vocabulary,
            seed=seed,
            samples=count,
            batch_size=size,
            dynamic=training.dynamic_masking,
        )

    def rebuild_model(self) -> PretrainingModel:
        """The model before its training once more, for weights that were split over workers."""
        settings = self.settings
        loaded = load_encoder(settings.model.encoder, block_length=settings.training.block_length)
        return build_model(loaded, self.sequences, settings)[0]

    def report(self) -> dict[str, Any]:
        """What was read, left out and kept; of a stream, in the pass under way."""
        return self.stream.report() if self.stream is not None else self.sequences.report

    def passes(self, tokens: int) -> float | None:
        """How often so many tokens go through the text; of a stream None, its end is unknown."""
        if self.stream is not None:
            return None
        return round(tokens / (len(self.sequences.input_ids) * self.sequences.mean_length), 3)


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
