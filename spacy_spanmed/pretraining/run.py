"""A pretraining run from start to finish: load, pack, train or go on, measure, publish."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from ..util.files import write_atomically, write_json
from ..util.provenance import file_sha256, git_commit, versions
from . import checkpoints, record
from .config import Paths, Precision, PretrainSettings
from .distributed import connect_workers, lost_worker_explained, on_main
from .encoder_files import publish, save_encoder
from .evaluation import evaluate, warn_of_untrained
from .model import PretrainingModel
from .preparing import Fingerprints, Prepared, fingerprint_texts
from .reporting import ConsoleProgress, draw_curves
from .trainer import PretrainingTrainer, check_arguments, logged_seconds, use_bfloat16

RECORD_FILE = "pretraining.json"
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
            if console is None or not workers.is_main_process:
                console = Console(quiet=not workers.is_main_process)
            run = _Run(settings, source, console)
            finished = None if restart else on_main(run.find_finished)
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
        self.data, self.identity = on_main(self._identify)
        self.fingerprint = record.run_fingerprint(self.identity)

    def _identify(self) -> tuple[Fingerprints, dict[str, Any]]:
        """Size and hash of all that is read, by role, and the identity of the run."""
        data = fingerprint_texts(self.settings)
        for name, path in self.settings.masker.files.items():
            facts = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            data[f"masker.{name}"] = {"path": str(path), **facts}
        return data, record.run_identity(self.source, data, self.settings.model.encoder)

    def find_finished(self) -> dict[str, Any] | None:
        """RETURNS (dict): The record of this run if it has been finished before; what it may not
        have written after its encoder, because it was killed, is written now."""
        finished = checkpoints.read_json(self.paths.output / RECORD_FILE)
        if not isinstance(finished, dict) or finished.get("fingerprint") != self.fingerprint:
            return None
        hint = f"'{self.paths.output}' is the finished result of this config; see --restart."
        self.console.print(hint, markup=False)
        write_results(finished, self.paths, self.console)
        if checkpoints.read_run(self.paths.checkpoints).get("fingerprint") == self.fingerprint:
            checkpoints.discard(self.paths.checkpoints)
        return finished

    def train(self, restart: bool) -> dict[str, Any]:
        """Train from the last checkpoint, or from the start, and publish the result.

        restart (bool): Discard the checkpoints first.
        RETURNS (dict): The record.
        """
        settings, console = self.settings, self.console
        checkpoint, settings.training.precision = on_main(lambda: self._take_up(restart))
        self.prepared = Prepared(settings, self.data, console)
        self.dev = self.prepared.load_dev_sequences()
        progress = ConsoleProgress(console)
        trainer = self.prepared.make_trainer(callbacks=[progress])
        before = on_main(self._measure_start)
        if self.prepared.taken_over:
            rows = len(self.prepared.model.decoder_bias)
            warn_of_untrained(before, rows, settings.model.encoder)
        if checkpoint is not None:
            console.print(f"Going on from {checkpoint.name}.")
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            progress.close()
        console.print("Measuring the pretrained encoder on held-out text ...")
        model = trainer.trained_model(self.prepared.rebuild_model)
        after = on_main(lambda: self._measure(model))
        result = self._describe(trainer, before, after)
        on_main(lambda: self._conclude(model, result))
        return result

    def _take_up(self, restart: bool) -> tuple[Path | None, Precision]:
        """The checkpoint to go on from, after all that is no part of this run is out of the way,
        and the precision to go on in."""
        directory, tell = self.paths.checkpoints, self.console.print
        if restart:
            checkpoints.discard(directory)
        checkpoints.check_run(directory, self.fingerprint, self.identity)
        checkpoint = checkpoints.newest_complete(directory, tell, clear=True)
        workers = connect_workers().num_processes
        return checkpoint, keep_precision(
            directory, self.settings.training.precision, workers, tell
        )

    def _measure(self, model: PretrainingModel) -> Figures:
        return evaluate(
            model,
            self.dev,
            self.prepared.vocabulary,
            max_sequences=self.settings.training.dev_blocks,
            masker=self.settings.masker,
        )

    def _measure_start(self) -> Figures:
        """The losses before training, measured once and kept beside the checkpoints."""
        started = checkpoints.read_run(self.paths.checkpoints)
        if started.get("fingerprint") == self.fingerprint:
            return started["before"]
        self.console.print("Measuring the starting encoder on held-out text ...")
        before = self._measure(self.prepared.model)
        run = {
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "precision": self.settings.training.precision,
            "processes": connect_workers().num_processes,
            "before": before,
        }
        write_json(self.paths.checkpoints / checkpoints.RUN_FILE, run)
        return before

    def _describe(
        self, trainer: PretrainingTrainer, before: Figures, after: Figures
    ) -> dict[str, Any]:
        """The record of the run."""
        settings, training, args = self.settings, self.settings.training, trainer.args
        prepared, dev, state = self.prepared, self.dev, trainer.state
        sequences = prepared.sequences
        seconds = logged_seconds(state)
        tokens = round(state.global_step * trainer.tokens_a_step)
        found = {"train": prepared.report(), "dev": dev.report}
        texts = {role: {**self.data[role], "texts": report} for role, report in found.items()}
        return {
            "fingerprint": self.fingerprint,
            "config": self.source,
            "seed": settings.system.seed,
            "git_commit": self.commit,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
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

    def _conclude(self, model: PretrainingModel, result: dict[str, Any]) -> None:
        """Write encoder, tokenizer, heads and record beside their place, then move them there."""
        output, loaded = self.paths.output, self.prepared.loaded
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.with_name(f".{output.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)  # of a run killed at this point
        remedy = (
            "Free some space, then give the same command again: it only has to write the result."
        )
        with checkpoints.writing(temporary, remedy):
            heads = model.head_state()
            save_encoder(temporary, model.encoder, loaded.tokenizer, heads, loaded.dropout)
            write_json(temporary / RECORD_FILE, result)
            publish(temporary, output)
        write_results(result, self.paths, self.console)
        checkpoints.discard(self.paths.checkpoints)


def keep_precision(
    directory: Path, precision: Precision, workers: int, tell: Callable[[str], None]
) -> Precision:
    """The precision to compute in: on a machine where "auto" means another one than where a run
    began, that of its beginning.

    directory (Path): The run's checkpoints.
    precision (str): Of its settings.
    workers (int): Of now; if they are more or fewer than before, that is told.
    tell (Callable): Called with a sentence for each difference.
    RETURNS (str): "float32" or "bfloat16".
    """
    here: Precision = "bfloat16" if use_bfloat16(precision) else "float32"
    if not checkpoints.list_checkpoints(directory):
        return here
    run = checkpoints.read_run(directory)
    began, processes = run.get("precision", here), run.get("processes", workers)
    if began != here:
        tell(f"Going on in {began}, in which the run began; {here} would be faster here.")
    if processes != workers:
        tell(
            f"The run began with {processes} worker(s), now it has {workers}: the batches stay "
            "the same, but dropout and the order of sums differ."
        )
    return began


def check_output(paths: Paths) -> None:
    """Check, before a run, that its result may take the place of what is there.

    paths (Paths): Of the config.
    RAISES (ValueError): ``output`` is no folder of its own: it holds other files than an earlier
        result, or is where the run keeps something.
    """
    output = paths.output.resolve()
    advice = "Name a folder that does not exist yet, such as 'training/encoder'."
    for name, path in (("checkpoints", paths.checkpoints), ("cache", paths.cache_folder)):
        if path.resolve().is_relative_to(output):
            raise ValueError(
                f"paths.output is '{paths.output}', which the finished encoder will replace as a "
                f"whole, with paths.{name} ('{path}') inside. {advice}"
            )
    if not output.exists():
        return
    ours = (output / RECORD_FILE).is_file()
    if not output.is_dir() or (not ours and any(output.iterdir())):
        raise ValueError(
            f"paths.output is '{paths.output}', which the finished encoder would replace, but it "
            f"is not the result of a pretraining (it has no {RECORD_FILE}). {advice}"
        )


def write_results(result: dict[str, Any], paths: Paths, console: Console) -> None:
    """Write the record of a finished run where the config wants it, and draw its curves.

    result (dict): The record.
    paths (Paths): Of the config.
    console (Console): To say that the curves cannot be drawn.
    """
    write_json(paths.metrics, result)
    figure = paths.curves or paths.metrics.with_suffix(".svg")
    try:
        write_atomically(figure, draw_curves(result))
    except ImportError:
        hint = "The curves are not drawn: for that, pip install 'spacy_spanmed[pretrain]'."
        console.print(hint, markup=False)
