"""A pretraining run from start to finish: load, pack, train or go on, measure, publish."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from ..util.files import write_json
from ..util.provenance import git_commit, versions
from . import checkpoints, record
from .arguments import check_arguments, keep_precision
from .config import PretrainSettings
from .distributed import connect_workers, lost_worker_explained, on_main
from .evaluation import evaluate, warn_of_untrained
from .preparing import (
    Prepared,
    fingerprint_texts,
    load_dev_sequences,
    make_trainer,
    prepare,
    rebuild,
)
from .publishing import check_output, find_finished, finish, write_results
from .reporting.progress import ConsoleProgress
from .texts.packing import PackedSequences
from .trainer import PretrainingTrainer, logged_seconds

Figures = dict[str, dict[str, float]]  # held-out losses by masker


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
        workers = connect_workers()
        check_arguments(settings, workers.num_processes)
        on_main(lambda: check_output(settings.paths))
        with checkpoints.claimed(settings.paths.checkpoints):
            console = console or Console()
            run = _Run(
                settings, source, console if workers.is_main_process else Console(quiet=True)
            )
            finished = None if restart else run.find_finished()
            return run.train(restart) if finished is None else finished


class _Run:
    """A run: what identifies it, and its steps. All workers take them together.

    settings (PretrainSettings): Its settings.
    source (dict): The config they come from.
    console (Console): For progress.
    """

    def __init__(self, settings: PretrainSettings, source: dict[str, Any], console: Console):
        self.settings, self.source, self.console = settings, source, console
        self.paths = settings.paths
        self.commit = git_commit()  # of the code that runs: hours later it may be another
        masker_files = {f"masker.{name}": path for name, path in settings.masker.files.items()}
        self.texts = on_main(lambda: fingerprint_texts(settings))
        self.data = {**self.texts, **on_main(lambda: record.data_fingerprints(masker_files))}
        encoder = settings.model.encoder
        self.identity = on_main(lambda: record.run_identity(source, self.data, encoder))
        self.fingerprint = record.run_fingerprint(self.identity)

    def find_finished(self) -> dict[str, Any] | None:
        """RETURNS (dict): The record of this run if it has been finished before; what it may not
        have written after its encoder, because it was killed, is written now."""
        finished = on_main(lambda: find_finished(self.paths, self.fingerprint))
        if finished is not None:
            hint = f"'{self.paths.output}' is the finished result of this config; see --restart."
            self.console.print(hint, markup=False)
            on_main(lambda: self._write_again(finished))
        return finished

    def _write_again(self, finished: dict[str, Any]) -> None:
        write_results(finished, self.paths, self.console)
        if self._started() is not None:
            checkpoints.discard(self.paths.checkpoints)

    def _started(self) -> dict[str, Any] | None:
        """The run file beside the checkpoints, if it is of this run."""
        started = checkpoints.read_json(self.paths.checkpoints / checkpoints.RUN_FILE) or {}
        return started if started.get("fingerprint") == self.fingerprint else None

    def train(self, restart: bool) -> dict[str, Any]:
        """Train from the last checkpoint, or from the start, and publish the result.

        restart (bool): Discard the checkpoints first.
        RETURNS (dict): The record.
        """
        settings, console = self.settings, self.console
        checkpoint = on_main(lambda: self._take_up(restart))
        workers, directory = connect_workers(), self.paths.checkpoints
        settings.training.precision = on_main(
            lambda: keep_precision(directory, settings, workers, console.print)
        )
        prepared = prepare(settings, console, self.texts)
        dev = load_dev_sequences(prepared.loaded, settings, self.texts, console)
        progress = ConsoleProgress(console)
        trainer = self._make_trainer(prepared, progress)
        before = on_main(lambda: self._measure_start(prepared, dev, trainer.args.world_size))
        if prepared.taken_over:
            rows = len(prepared.model.decoder_bias)
            warn_of_untrained(before, rows, settings.model.encoder)
        if checkpoint is not None:
            console.print(f"Going on from {checkpoint.name}.")
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            progress.close()
        console.print("Measuring the pretrained encoder on held-out text ...")
        model = trainer.trained_model(lambda: rebuild(settings, prepared.sequences))
        prepared = prepared._replace(model=model)
        after = on_main(lambda: self._measure(prepared, dev))
        result = self._describe(prepared, dev, trainer, before, after)
        on_main(lambda: self._conclude(prepared, result))
        return result

    def _take_up(self, restart: bool) -> Path | None:
        """The checkpoint to go on from, after all that is no part of this run is out of the way."""
        directory = self.paths.checkpoints
        if restart:
            checkpoints.discard(directory)
        checkpoints.check_run(directory, self.fingerprint, self.identity)
        return checkpoints.recover(directory, tell=self.console.print)

    def _make_trainer(self, prepared: Prepared, progress: ConsoleProgress) -> PretrainingTrainer:
        training = self.settings.training
        tokens_a_step = training.batch_size * prepared.sequences.mean_length
        steps = math.ceil(training.total_tokens / tokens_a_step)
        return make_trainer(prepared, self.settings, steps, callbacks=[progress])

    def _measure(self, prepared: Prepared, dev: PackedSequences) -> Figures:
        return evaluate(
            prepared.model,
            dev,
            prepared.vocabulary,
            max_sequences=self.settings.training.dev_blocks,
            masker=self.settings.masker,
        )

    def _measure_start(self, prepared: Prepared, dev: PackedSequences, processes: int) -> Figures:
        """The losses before training, measured once and kept beside the checkpoints."""
        started = self._started()
        if started is not None:
            return started["before"]
        self.console.print("Measuring the starting encoder on held-out text ...")
        before = self._measure(prepared, dev)
        run = {
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "precision": self.settings.training.precision,
            "processes": processes,
            "before": before,
        }
        write_json(self.paths.checkpoints / checkpoints.RUN_FILE, run)
        return before

    def _describe(
        self,
        prepared: Prepared,
        dev: PackedSequences,
        trainer: PretrainingTrainer,
        before: Figures,
        after: Figures,
    ) -> dict[str, Any]:
        """The record of the run."""
        settings, training, args = self.settings, self.settings.training, trainer.args
        sequences, state = prepared.sequences, trainer.state
        seconds = logged_seconds(state)
        tokens = round(state.global_step * trainer.tokens_a_step)
        found = {"train": prepared.report(), "dev": dev.report}
        texts = {role: {**self.data[role], "texts": report} for role, report in found.items()}
        return {
            "fingerprint": self.fingerprint,
            "config": self.source,
            "seed": settings.system.seed,
            "git_commit": self.commit,
            "versions": versions(),
            "data": {**self.data, **texts},
            "train_documents": sequences.documents,
            "train_word_pieces": sequences.tokens,
            "train_blocks": len(sequences.input_ids),
            "masker": {"name": settings.masker.name, "found": prepared.masker_facts},
            "dev_blocks": min(training.dev_blocks, len(dev.input_ids)),
            "head_weights_taken_over": prepared.taken_over,
            "trained": "heads" if training.freeze_encoder else "encoder and heads",
            "device": args.device.type,
            "hardware": record.hardware(args.device),
            "processes": args.world_size,
            "precision": training.precision,
            "steps": state.global_step,
            "tokens": tokens,
            "passes": prepared.passes(tokens),
            "seconds": seconds,
            "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
            "peak_memory_mb": record.peak_memory(args.device),
            "heldout": {"before": before, "after": after},
            "curve": [entry for entry in state.log_history if "tokens" in entry],
        }

    def _conclude(self, prepared: Prepared, result: dict[str, Any]) -> None:
        finish(self.paths.output, prepared.model, prepared.loaded, result)
        write_results(result, self.paths, self.console)
        checkpoints.discard(self.paths.checkpoints)
