"""A pretraining run from start to finish: load, pack, train or go on, measure, publish."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import set_seed

from spacy_spanmed.files import write_json
from spacy_spanmed.pretraining import checkpoints, record
from spacy_spanmed.pretraining.config import PretrainSettings
from spacy_spanmed.pretraining.data import MaskedBlocks, make_vocabulary
from spacy_spanmed.pretraining.evaluation import evaluate
from spacy_spanmed.pretraining.loading import LoadedEncoder, load_encoder, publish, save_encoder
from spacy_spanmed.pretraining.objectives import PretrainingModel
from spacy_spanmed.pretraining.packing import PackedBlocks, pack_texts, read_texts
from spacy_spanmed.pretraining.progress import ConsoleProgress
from spacy_spanmed.pretraining.trainer import PretrainingTrainer, logged_seconds, use_bfloat16

RECORD_FILE = "pretraining.json"


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
    console = console or Console()
    paths, training = settings.paths, settings.training
    data = record.data_fingerprints({"train": paths.train, "dev": paths.dev})
    fingerprint = record.run_fingerprint(source, data, settings.model.encoder)
    finished = checkpoints.read_json(paths.output / RECORD_FILE)
    if not restart and isinstance(finished, dict) and finished.get("fingerprint") == fingerprint:
        console.print(f"'{paths.output}' is the finished result of this config; see --restart.")
        write_json(paths.metrics, finished)
        started = checkpoints.read_json(paths.checkpoints / checkpoints.RUN_FILE) or {}
        if started.get("fingerprint") == fingerprint:  # killed just before it tidied up
            discard(paths.checkpoints)
        return finished
    if restart:
        discard(paths.checkpoints)
    checkpoints.check_run(paths.checkpoints, fingerprint)

    loaded = load_encoder(
        settings.model.encoder,
        block_length=training.block_length,
        dropout=settings.model.dropout,
    )
    blocks = load_blocks(paths.train, loaded, settings, console)
    dev_blocks = load_blocks(paths.dev, loaded, settings, console)
    set_seed(settings.system.seed)
    model, taken_over = build_model(loaded, blocks, settings)
    vocabulary = make_vocabulary(loaded.tokenizer)
    tokens_a_step = training.batch_size * training.block_length
    steps = -(-training.total_tokens // tokens_a_step)
    samples = MaskedBlocks(
        blocks,
        settings.masker,
        vocabulary,
        seed=settings.system.seed,
        samples=steps * training.batch_size,
    )
    progress = ConsoleProgress(console)
    trainer = PretrainingTrainer(model, settings, samples, steps, [progress])
    main = trainer.is_world_process_zero()

    def measure() -> dict[str, dict[str, float]]:
        return evaluate(model, dev_blocks, vocabulary, max_blocks=training.dev_blocks)

    run_file = paths.checkpoints / checkpoints.RUN_FILE
    started = checkpoints.read_json(run_file) or {}
    if started.get("fingerprint") == fingerprint:
        before = started["before"]
    else:
        console.print("Measuring the starting encoder on held-out text ...")
        before = measure()
        if main:
            write_json(run_file, {"fingerprint": fingerprint, "before": before})
    checkpoint = checkpoints.newest_complete(paths.checkpoints)
    if checkpoint is not None:
        console.print(f"Going on from {checkpoint.name}.")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        progress.close()
    console.print("Measuring the pretrained encoder on held-out text ...")
    after = measure()

    seconds = logged_seconds(trainer.state)
    tokens = trainer.state.global_step * tokens_a_step
    result = {
        "fingerprint": fingerprint,
        "config": source,
        "seed": settings.system.seed,
        "git_commit": record.git_commit(),
        "versions": record.versions(),
        "data": data,
        "train_documents": blocks.documents,
        "train_word_pieces": blocks.tokens,
        "train_blocks": len(blocks.input_ids),
        "dev_blocks": min(training.dev_blocks, len(dev_blocks.input_ids)),
        "head_weights_taken_over": taken_over,
        "trained": "heads" if training.freeze_encoder else "encoder and heads",
        "device": str(trainer.args.device),
        "processes": trainer.args.world_size,
        "precision": "bfloat16" if use_bfloat16(training.precision) else "float32",
        "steps": trainer.state.global_step,
        "tokens": tokens,
        "passes": round(tokens / blocks.input_ids.size, 3),
        "seconds": seconds,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "heldout": {"before": before, "after": after},
        "curve": [entry for entry in trainer.state.log_history if "tokens" in entry],
    }
    if main:
        finish(paths.output, model, loaded, result)
        write_json(paths.metrics, result)
        discard(paths.checkpoints)
    trainer.accelerator.wait_for_everyone()
    return result


def load_blocks(
    path: Path, loaded: LoadedEncoder, settings: PretrainSettings, console: Console
) -> PackedBlocks:
    """Read and pack a text file.

    path (Path): JSONL with a "text" a line.
    loaded (LoadedEncoder): For its tokenizer.
    settings (PretrainSettings): For the block length.
    console (Console): For progress.
    RETURNS (PackedBlocks): At least one block.
    RAISES (ValueError): The file is malformed or holds less than one block of text.
    """
    length = settings.training.block_length
    with console.status(f"Packing {path} ..."):
        blocks = pack_texts(read_texts(path), loaded.tokenizer, length)
    if not len(blocks.input_ids):
        raise ValueError(
            f"'{path}' holds {blocks.tokens} word pieces, less than one block of {length} tokens: "
            "give more text or a smaller training.block_length."
        )
    console.print(
        f"{path}: {blocks.documents:,} texts, {blocks.tokens:,} word pieces, "
        f"{len(blocks.input_ids):,} blocks of {length}",
        highlight=False,
    )
    return blocks


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
    pieces = blocks.input_ids[blocks.words >= 0]
    counts = np.bincount(pieces, minlength=size) + 1.0
    with torch.no_grad():
        model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    return model, model.load_heads(loaded.heads)


def finish(
    output: Path, model: PretrainingModel, loaded: LoadedEncoder, result: dict[str, Any]
) -> None:
    """Write encoder, tokenizer, heads and record beside their place, then move them there.

    output (Path): The directory to publish.
    model (PretrainingModel): The trained model.
    loaded (LoadedEncoder): For tokenizer and dropout settings.
    result (dict): The record.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run killed at this point
    save_encoder(temporary, model.encoder, loaded.tokenizer, model.head_state(), loaded.dropout)
    write_json(temporary / RECORD_FILE, result)
    publish(temporary, output)


def discard(directory: Path) -> None:
    """Delete the checkpoints and the run file of a directory, and nothing else in it."""
    (directory / checkpoints.RUN_FILE).unlink(missing_ok=True)
    for path in checkpoints.list_checkpoints(directory):
        shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
