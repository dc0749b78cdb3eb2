"""A pretraining run from start to finish: load, pack, train or go on, measure, publish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from transformers import TrainerCallback, set_seed

from ..util.files import write_json
from ..util.provenance import git_commit
from . import checkpoints, record
from .arguments import check_arguments, training_arguments
from .config import PretrainSettings
from .distributed import connect_workers, lost_worker_explained, on_main
from .encoder_files import LoadedEncoder, load_encoder
from .evaluation import evaluate
from .machine import claimed, keep_precision, warn_of_untrained
from .model import PretrainingModel
from .outcome import check_output, find_finished, finish, write_results
from .packing import PackedBlocks, count_pieces
from .progress import ConsoleProgress
from .role_texts import (
    Fingerprints,
    TrainingText,
    fingerprint_texts,
    load_dev_blocks,
    load_training_text,
)
from .samples import Vocabulary, make_vocabulary
from .sequences import check_readable, check_vocabulary
from .trainer import PretrainingTrainer, logged_seconds


class Prepared(NamedTuple):
    """What a run works with.

    loaded (LoadedEncoder): The starting encoder and its tokenizer.
    text (TrainingText): The texts to train on.
    blocks (PackedBlocks): Their blocks, or, of a stream, the first ones.
    model (PretrainingModel): The encoder with its heads.
    taken_over (list): Names of the head weights of an earlier pretraining.
    masker_facts (dict): What the masker tells about the texts, for the record.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    """

    loaded: LoadedEncoder
    text: TrainingText
    blocks: PackedBlocks
    model: PretrainingModel
    taken_over: list[str]
    masker_facts: dict[str, Any]
    vocabulary: Vocabulary


def pretrain(
    settings: PretrainSettings,
    source: dict[str, Any],
    *,
    restart: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Pretrain an encoder, or go on with an interrupted run.

    settings (PretrainSettings): From ``load_settings``.
    source (dict): The config they come from, for the record.
    restart (bool): Discard checkpoints and a finished result, default False.
    console (Console): For progress; default standard output.
    RETURNS (dict): The record of the run, which is also written to ``paths.metrics`` and beside
        the encoder.
    RAISES (ValueError): Texts, encoder and settings do not allow the run; the message says why.
    """
    with lost_worker_explained():
        check_arguments(settings, connect_workers().num_processes)
        on_main(lambda: check_output(settings.paths))
        with claimed(settings.paths.checkpoints):
            return _pretrain(settings, source, restart, console or Console())


def _pretrain(
    settings: PretrainSettings, source: dict[str, Any], restart: bool, console: Console
) -> dict[str, Any]:
    workers = connect_workers()
    main = workers.is_main_process
    commit = git_commit()  # of the code that runs: hours later another may be checked out
    console = console if main else Console(quiet=True)
    paths, training = settings.paths, settings.training
    masker_files = {f"masker.{name}": path for name, path in settings.masker.files.items()}
    texts = on_main(lambda: fingerprint_texts(settings))
    data = {**texts, **on_main(lambda: record.data_fingerprints(masker_files))}
    identity = on_main(lambda: record.run_identity(source, data, settings.model.encoder))
    fingerprint = record.run_fingerprint(identity)
    finished = on_main(lambda: None if restart else find_finished(paths, fingerprint))
    if finished is not None:
        hint = f"'{paths.output}' is the finished result of this config; see --restart."
        console.print(hint, markup=False)
        if main:
            write_results(finished, paths, console)
            started = checkpoints.read_json(paths.checkpoints / checkpoints.RUN_FILE) or {}
            if started.get("fingerprint") == fingerprint:  # killed just before it tidied up
                discard(paths.checkpoints)
        return finished

    def take_up() -> Path | None:
        if restart:
            discard(paths.checkpoints)
        checkpoints.check_run(paths.checkpoints, fingerprint, identity)
        return checkpoints.recover(paths.checkpoints, tell=console.print)

    checkpoint = on_main(take_up)
    precision = on_main(lambda: keep_precision(paths.checkpoints, settings, workers, console.print))
    settings.training.precision = precision
    prepared = prepare(settings, console, texts)
    loaded, blocks, model = prepared.loaded, prepared.blocks, prepared.model
    dev_blocks = load_dev_blocks(loaded, settings, texts, console)
    progress = ConsoleProgress(console)
    steps = math.ceil(training.total_tokens / (training.batch_size * blocks.mean_length))
    trainer = make_trainer(prepared, settings, steps, callbacks=[progress])
    args = trainer.args

    def measure() -> dict[str, dict[str, float]]:
        return evaluate(
            model,
            dev_blocks,
            prepared.vocabulary,
            max_blocks=training.dev_blocks,
            masker=settings.masker,
        )

    def measure_start() -> dict[str, dict[str, float]]:
        run_file = paths.checkpoints / checkpoints.RUN_FILE
        started = checkpoints.read_json(run_file) or {}
        if started.get("fingerprint") == fingerprint:
            return started["before"]
        console.print("Measuring the starting encoder on held-out text ...")
        before = measure()
        start = {"precision": precision, "processes": args.world_size}
        run = {"fingerprint": fingerprint, "identity": identity, **start, "before": before}
        write_json(run_file, run)
        return before

    before = on_main(measure_start)
    if prepared.taken_over:
        warn_of_untrained(before, len(model.decoder_bias), settings.model.encoder)
    if checkpoint is not None:
        console.print(f"Going on from {checkpoint.name}.")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        progress.close()
    console.print("Measuring the pretrained encoder on held-out text ...")
    model = trainer.trained_model(lambda: rebuild(settings, blocks))
    after = on_main(measure)

    seconds = logged_seconds(trainer.state)
    tokens = round(trainer.state.global_step * trainer.tokens_a_step)
    found = {"train": prepared.text.report(), "dev": dev_blocks.report}
    for role, report in found.items():
        data[role] = {**data[role], "texts": report}
    result = {
        "fingerprint": fingerprint,
        "config": source,
        "seed": settings.system.seed,
        "git_commit": commit,
        "versions": record.versions(),
        "data": data,
        "train_documents": blocks.documents,
        "train_word_pieces": blocks.tokens,
        "train_blocks": len(blocks.input_ids),
        "masker": {"name": settings.masker.name, "found": prepared.masker_facts},
        "dev_blocks": min(training.dev_blocks, len(dev_blocks.input_ids)),
        "head_weights_taken_over": prepared.taken_over,
        "trained": "heads" if training.freeze_encoder else "encoder and heads",
        "device": args.device.type,
        "hardware": record.hardware(args.device),
        "processes": args.world_size,
        "precision": precision,
        "steps": trainer.state.global_step,
        "tokens": tokens,
        "passes": prepared.text.passes(tokens),
        "seconds": seconds,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "peak_memory_mb": record.peak_memory(args.device),
        "heldout": {"before": before, "after": after},
        "curve": [entry for entry in trainer.state.log_history if "tokens" in entry],
    }

    def conclude() -> None:
        finish(paths.output, model, loaded, result)
        write_results(result, paths, console)
        discard(paths.checkpoints)

    on_main(conclude)
    return result


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
    text = load_training_text(loaded, settings, texts or fingerprint_texts(settings), console)
    blocks = text.blocks
    check_readable(blocks, ", ".join(settings.paths.train))
    with console.status("Preparing the masker ..."):
        masker_facts = settings.masker.prepare(loaded.tokenizer, blocks)
    if masker_facts:
        console.print(f"Masker '{settings.masker.name}': {masker_facts}", highlight=False)
    set_seed(settings.system.seed)
    model, taken_over = build_model(loaded, blocks, settings)
    vocabulary = make_vocabulary(loaded.tokenizer)
    return Prepared(loaded, text, blocks, model, taken_over, masker_facts, vocabulary)


def rebuild(settings: PretrainSettings, blocks: PackedBlocks) -> PretrainingModel:
    """The model before its training once more, for weights that were split over workers."""
    loaded = load_encoder(settings.model.encoder, block_length=settings.training.block_length)
    return build_model(loaded, blocks, settings)[0]


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
    samples = prepared.text.samples(settings, prepared.vocabulary, count)
    return PretrainingTrainer(
        prepared.model,
        training_arguments(settings, steps, save),
        settings,
        samples,
        training.batch_size * prepared.blocks.mean_length,
        callbacks,
    )


def build_model(
    loaded: LoadedEncoder, blocks: PackedBlocks, settings: PretrainSettings
) -> tuple[PretrainingModel, list[str]]:
    """Put the heads on an encoder, with weights of an earlier pretraining where it has them.

    A fresh decoder bias starts at the log frequencies of the training text, so that the heads
    need not spend their first steps on learning which words are common.

    loaded (LoadedEncoder): The encoder.
    blocks (PackedBlocks): The training text.
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
    counts = count_pieces(blocks, size) + 1.0
    with torch.no_grad():
        model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    return model, model.load_heads(loaded.heads)


def discard(directory: Path) -> None:
    """Delete the checkpoints and the run file of a directory, and nothing else in it."""
    (directory / checkpoints.RUN_FILE).unlink(missing_ok=True)
    for path in checkpoints.list_checkpoints(directory):
        checkpoints.delete(path)
