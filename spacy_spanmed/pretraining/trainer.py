"""The Hugging Face Trainer, made resumable to the step and strict about broken losses."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import Trainer

from ..encoder.cpu.machine import keep_freed_memory
from . import checkpoints
from .config import PretrainSettings, Training
from .encoder_files import WEIGHTS_FILE
from .model import PretrainingModel
from .samples import MaskedSequence, collate

KEEP_CHECKPOINTS = 2
REMEDY = (
    "lower training.learn_rate and training.head_learn_rate, raise training.warmup, or set "
    'training.precision to "float32", and start anew with --restart'
)
LOSSES = ("loss", "mlm_loss", "sbo_loss")


class PretrainingTrainer(Trainer):
    """Trains a :class:`PretrainingModel` on :class:`MaskedSequences`.

    model (PretrainingModel): The model.
    args (TrainingArguments): From ``training_arguments``.
    settings (PretrainSettings): The run's settings.
    train_dataset (Dataset): The samples of the whole run, in order; it has a length.
    tokens_a_step (float): Tokens of an optimizer step, on average, over all workers.
    callbacks (Sequence[TrainerCallback]): Further callbacks.
    """

    model: PretrainingModel

    def __init__(
        self,
        model: PretrainingModel,
        args: TrainingArguments,
        settings: PretrainSettings,
        train_dataset: Dataset[MaskedSequence],
        tokens_a_step: float,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            data_collator=partial(collate, multiple=16, limit=settings.training.block_length),
            callbacks=[Rhythm(), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        # The Trainer then counts the targets of a whole batch, and leaves the average to us.
        self.model_accepts_loss_kwargs = True
        self.settings = settings
        self._samples = cast(Sized, train_dataset)
        self._directory = settings.paths.checkpoints
        self.tokens_a_step = tokens_a_step
        self._sums: dict[str, torch.Tensor] = {}
        self._window = (0.0, 0)  # time and step of the last line of the log
        self._seconds_before = 0.0

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Train, counting the seconds that an interrupted run has already taken."""
        step = 0
        if isinstance(resume_from_checkpoint, str):
            path = Path(resume_from_checkpoint) / "trainer_state.json"
            state = TrainerState.load_from_json(str(path))
            self._seconds_before = logged_seconds(state)
            step = state.global_step
        self._started = time.perf_counter()
        self._window = (self._started, step)
        if self.args.device.type == "cpu":
            keep_freed_memory()
        if self.settings.training.compile:
            self.model.encoder.compile()
        # Dropout that does not depend on what was drawn before, and differs between workers. A
        # checkpoint brings its own state.
        set_seed(self.args.seed, device_specific=True)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        return SequentialSampler(self._samples)  # shuffled already

    def create_optimizer(self) -> torch.optim.Optimizer:
        """See `make_optimizer`."""
        if self.optimizer is None:
            decayed = self.get_decay_parameter_names(self.model)
            # FSDP puts its own name first.
            self.optimizer = make_optimizer(self.model, self.settings.training, decayed, "encoder.")
        return self.optimizer

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """Without the Trainer's warning about its own use of torch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return super().autocast_smart_context_manager(cache_enabled)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """The share of one part of a batch in the mean loss over the targets of the whole batch.

        The parts of a batch (one for each worker and each step of gradient accumulation) have
        different numbers of targets, so their mean losses must not be averaged as equals.

        num_items_in_batch (Tensor): Targets of the whole batch, over all parts.
        RAISES (ValueError): The loss is not finite, on any worker. Nothing has been learned from
            it, and the last checkpoint is from before.
        """
        output = model(**inputs)
        # The workers' gradients are averaged, where a sum is needed: hence their number.
        targets = inputs["labels"].numel() * self.args.world_size
        assert num_items_in_batch is not None  # because model_accepts_loss_kwargs
        share = targets / num_items_in_batch.clamp(min=1)
        loss = output["loss"] * share
        everywhere = self.accelerator.reduce(loss.detach(), "mean")
        if not torch.isfinite(everywhere):
            raise ValueError(
                f"The loss became {everywhere.item()} at step {self.state.global_step + 1}, so "
                f"training stopped: {REMEDY}{self._last_good()}."
            )
        for name in LOSSES:
            if name in output:
                value = output[name].detach() * share
                self._sums[name] = self._sums[name] + value if name in self._sums else value
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add unrounded losses, tokens, speed and time to the Trainer's log."""
        if "loss" in logs and self._sums:
            now, step = time.perf_counter(), self.state.global_step
            then, last_step = self._window
            for name, total in self._sums.items():
                logs[name] = self._nested_gather(total).mean().item() / (step - last_step)
            self._sums = {}
            speed = (step - last_step) * self.tokens_a_step / (now - then)
            logs["tokens"] = round(step * self.tokens_a_step)
            logs["tokens_per_second"] = round(speed, 1)
            logs["seconds"] = round(self._seconds_before + now - self._started, 2)
            self._window = (now, step)
        super().log(logs, start_time)

    def trained_model(self, rebuild: Callable[[], PretrainingModel]) -> PretrainingModel:
        """The trained model as it was before the training: whole, and computing in float32.

        rebuild (Callable): Makes a model of the same shape, for weights split over the workers.
        RETURNS (PretrainingModel): On the main worker; not to be used on the others if split.
        """
        if not self.is_fsdp_enabled:
            return self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        weights = self.accelerator.get_state_dict(self.model_wrapped)  # all workers take part
        if not self.is_world_process_zero():
            return self.model
        model = rebuild()
        model.load_state_dict(weights)
        return model.to(self.args.device)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Weights only, as safetensors: the Trainer would add a pickle of its arguments."""
        directory = Path(output_dir or self._directory)
        directory.mkdir(parents=True, exist_ok=True)
        state = state_dict or self.model.state_dict()
        weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        save_file(weights, directory / WEIGHTS_FILE, metadata={"format": "pt"})

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write, seal and prune.

        RAISES (ValueError): The weights are not finite, or the disk is full. The last checkpoint
            stays as it was.
        """
        step = self.state.global_step
        if not all(torch.isfinite(p).all() for p in model.parameters()):
            raise ValueError(
                f"The weights are no finite numbers after step {step}, so training stopped before "
                f"they were saved: {REMEDY}{self._last_good()}."
            )
        directory = self._directory
        target = directory / f"{checkpoints.PREFIX}{step}"
        with checkpoints.writing(target, remedy=self._remedy(target)):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            with checkpoints.writing(target, remedy=self._remedy(target)):
                checkpoints.seal(target)
            checkpoints.prune(directory, KEEP_CHECKPOINTS)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load by way of the CPU: the Trainer would load to "cpu:0" on several CPU workers, a
        device torch.load does not know."""
        if checkpoint is None or self.is_fsdp_enabled:
            return super()._load_optimizer_and_scheduler(checkpoint)
        for name, part in (("optimizer.pt", self.optimizer), ("scheduler.pt", self.lr_scheduler)):
            path = Path(checkpoint) / name
            assert part is not None  # both have been made by now
            part.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def _last_good(self) -> str:
        """How to make use of what was learned before the numbers broke."""
        kept = checkpoints.newest_complete(self._directory)
        if kept is None:
            return ""
        return (
            f", or from the weights of {kept.name}, which is whole: --model.encoder {kept} with "
            "other --paths.checkpoints"
        )

    def _remedy(self, target: Path) -> str:
        """How to go on when a checkpoint cannot be written."""
        kept = [p.name for p in checkpoints.list_checkpoints(target.parent) if p != target]
        last = f"from {kept[0]}, which is whole" if kept else "from the beginning"
        return f"Free some space, then give the same command again: the run goes on {last}."


def make_optimizer(
    model: torch.nn.Module, training: Training, decayed: Sequence[str], encoder: str
) -> torch.optim.Optimizer:
    """AdamW with a learning rate of its own for the heads, no decay for biases and norms.

    model (Module): Encoder and heads; parameters that need no gradient are left out.
    training (Training): Rates and decay.
    decayed (Sequence[str]): Names of the parameters that decay.
    encoder (str): What the names of the encoder's parameters contain.
    RETURNS (Optimizer): The encoder's groups first: the first one's rate is what is logged.
    """
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((encoder in name, name in decayed), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": groups[of_encoder, decay],
                "lr": training.learn_rate if of_encoder else training.head_learn_rate,
                "weight_decay": training.weight_decay if decay else 0.0,
            }
            for of_encoder, decay in sorted(groups, reverse=True)
        ],
        betas=(0.9, 0.98),
        eps=1e-6,
        fused=True,
    )


class Rhythm(TrainerCallback):
    """Log and save as often as the settings say, not as those that a checkpoint remembers; and log
    whenever a checkpoint is due, so that a resumed run logs what an unbroken one does."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer once it has taken up a checkpoint."""
        state.logging_steps, state.save_steps = int(args.logging_steps), int(args.save_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Called by the Trainer after each optimizer step."""
        control.should_log = control.should_log or control.should_save
        return control


def logged_seconds(state: TrainerState) -> float:
    """Seconds of training up to the last line of a run's log, interruptions left out."""
    return max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
