"""The Hugging Face Trainer: told the settings of a run, made resumable to the step, and strict about
broken losses."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence, Sized
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import set_seed
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINING_ARGS_NAME, Trainer

from ..encoder.cpu.machine import keep_freed_memory, resolve_precision
from . import checkpoints
from .config import PretrainSettings, Training
from .model import PretrainingModel
from .samples import MaskedSequence, collate

KEEP_CHECKPOINTS = 2
LOSSES = ("loss", "mlm_loss", "sbo_loss")
# Packages that can write the reports, any of them.
REPORT_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


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
        self.use_cpu_amp = False  # accelerate has the model autocast already
        self.settings = settings
        self._directory = settings.paths.checkpoints
        self.tokens_a_step = tokens_a_step
        self._sums: defaultdict[str, Any] = defaultdict(float)  # of losses, since the last line
        self._window = (0.0, 0)  # time and step of the last line of the log

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Train, counting the seconds that an interrupted run has already taken."""
        state = TrainerState()
        if isinstance(resume_from_checkpoint, str):
            path = Path(resume_from_checkpoint) / "trainer_state.json"
            state = TrainerState.load_from_json(str(path))
        now = time.perf_counter()
        self._window, self._started = (now, state.global_step), now - logged_seconds(state)
        if self.args.device.type == "cpu":
            keep_freed_memory()
        if self.settings.training.compile:
            self.model.encoder.compile()
        # Dropout that does not depend on what was drawn before, and differs between workers. A
        # checkpoint brings its own state.
        set_seed(self.args.seed, device_specific=True)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        return SequentialSampler(cast(Sized, self.train_dataset))  # shuffled already

    def create_optimizer(self) -> torch.optim.Optimizer:
        """See `make_optimizer`."""
        if self.optimizer is None:
            decayed = self.get_decay_parameter_names(self.model)
            # FSDP puts its own name first.
            self.optimizer = make_optimizer(self.model, self.settings.training, decayed, "encoder.")
        return self.optimizer

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
            step = self.state.global_step + 1
            raise self._broken(
                f"The loss became {everywhere.item()} at step {step}, so training stopped"
            )
        for name in LOSSES:
            if name in output:
                self._sums[name] += output[name].detach() * share
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add unrounded losses, tokens, speed and time to the Trainer's log."""
        if "loss" in logs and self._sums:
            now, step = time.perf_counter(), self.state.global_step
            then, last_step = self._window
            steps = step - last_step
            for name, total in self._sums.items():
                logs[name] = self._nested_gather(total).mean().item() / steps
            logs["tokens"] = round(step * self.tokens_a_step)
            logs["tokens_per_second"] = round(steps * self.tokens_a_step / (now - then), 1)
            logs["seconds"] = round(now - self._started, 2)
            self._window = (now, step)
            self._sums.clear()
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
        """Without the pickle of its arguments that the Trainer adds."""
        super()._save(output_dir, state_dict)
        (Path(output_dir or self._directory) / TRAINING_ARGS_NAME).unlink()

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write, seal and prune.

        RAISES (ValueError): The weights are not finite, or the disk is full. The last checkpoint
            stays as it was.
        """
        step, directory = self.state.global_step, self._directory
        if not all(torch.isfinite(p).all() for p in model.parameters()):
            raise self._broken(
                f"The weights are no finite numbers after step {step}, so training stopped before "
                "they were saved"
            )
        target = directory / f"{checkpoints.PREFIX}{step}"
        kept = [p.name for p in checkpoints.list_checkpoints(directory) if p != target]
        last = f"from {kept[0]}, which is whole" if kept else "from the beginning"
        remedy = f"Free some space, then give the same command again: the run goes on {last}."
        with checkpoints.writing(target, remedy):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                checkpoints.seal(target)
        if self.is_world_process_zero():
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

    def _broken(self, what: str) -> ValueError:
        """The error to end with when the numbers broke: what to change, and what can be used."""
        kept = checkpoints.newest_complete(self._directory)
        remedy = (
            "lower training.learn_rate and training.head_learn_rate, raise training.warmup, or "
            'set training.precision to "float32", and start anew with --restart'
        )
        if kept is not None:
            remedy += (
                f", or from the weights of {kept.name}, which is whole: --model.encoder {kept} "
                "with other --paths.checkpoints"
            )
        return ValueError(f"{what}: {remedy}.")


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


def use_bfloat16(precision: str) -> bool:
    """Whether to compute under bfloat16 autocast.

    precision (str): "float32", "bfloat16" or "auto": where it is the faster of the two.
    RETURNS (bool): True for autocast.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return resolve_precision(precision, device) == "bfloat16"


def reset_precision() -> None:
    """Make the Trainer compute in float32 unless its own arguments say otherwise.

    TrainingArguments leave their precision behind in the environment, where the arguments of the
    next run in the same process find it.
    """
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)


def training_arguments(
    settings: PretrainSettings, steps: int, save: bool = True
) -> TrainingArguments:
    """Translate the settings for the Trainer.

    settings (PretrainSettings): The run's settings.
    steps (int): Optimizer steps of the run.
    save (bool): Write checkpoints, default True.
    RETURNS (TrainingArguments): On the CPU only where there is no GPU.
    RAISES (ValueError): ``training.fsdp`` is no option the Trainer knows.
    """
    training = settings.training
    cuda = torch.cuda.is_available()
    reset_precision()
    try:
        args = TrainingArguments(
            output_dir=str(settings.paths.checkpoints),
            max_steps=steps,
            gradient_accumulation_steps=training.accumulate_gradient,
            learning_rate=training.learn_rate,
            lr_scheduler_type="linear",
            warmup_steps=round(training.warmup * steps),
            weight_decay=training.weight_decay,
            max_grad_norm=training.grad_clip,
            bf16=use_bfloat16(training.precision),
            use_cpu=not cuda,
            fsdp=training.fsdp,
            logging_dir=str(settings.paths.checkpoints / "tensorboard"),
            logging_steps=training.log_every,
            logging_nan_inf_filter=False,
            save_strategy="steps" if save else "no",
            save_steps=training.checkpoint_every,
            save_total_limit=None,  # pruned by our trainer, which knows the complete ones
            seed=settings.system.seed,
            disable_tqdm=True,
            report_to=list(settings.logging.report_to) or "none",
            remove_unused_columns=False,
            dataloader_pin_memory=cuda,
            ddp_find_unused_parameters=False,
            log_level="error",
        )
    except ValueError as err:
        if not training.fsdp:
            raise
        raise ValueError(f'training.fsdp = "{training.fsdp}" cannot be used: {err}') from err
    args._n_gpu = min(args.n_gpu, 1)  # several GPUs need torchrun: flat positions cannot be split
    args.average_tokens_across_devices = args.world_size > 1
    parts = args.world_size * training.accumulate_gradient
    args.per_device_train_batch_size = training.batch_size // parts
    return args


def check_arguments(settings: PretrainSettings, workers: int) -> None:
    """Check early what the Trainer would find out late, or not at all.

    settings (PretrainSettings): The run's settings.
    workers (int): Processes that work on the run.
    RAISES (ValueError): The batch cannot be split evenly over workers and parts, a package to
        report to is not installed, or there are no GPUs to split a model over.
    """
    training = settings.training
    parts = workers * training.accumulate_gradient
    if training.batch_size % parts:
        raise ValueError(
            f"batch_size is {training.batch_size}, which cannot be split evenly over "
            f"{workers} processes x {training.accumulate_gradient} parts: make it a "
            f"multiple of {parts}."
        )
    if training.fsdp and (workers == 1 or not torch.cuda.is_available()):
        raise ValueError(
            f'training.fsdp = "{training.fsdp}" splits the model over the GPUs of several workers, '
            f"but there is {'one worker' if workers == 1 else 'no GPU'}: start one for each GPU "
            'with torchrun, or set training.fsdp to "".'
        )
    for name in settings.logging.report_to:
        if not any(find_spec(package) for package in REPORT_PACKAGES[name]):
            raise ValueError(
                f'logging.report_to names "{name}", which is not installed: pip install {name}, '
                "or leave it out."
            )
