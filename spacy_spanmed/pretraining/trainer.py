"""The Hugging Face Trainer, made resumable to the step and strict about broken losses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.pretraining.config import PretrainSettings
from spacy_spanmed.pretraining.data import collate
from spacy_spanmed.pretraining.objectives import PretrainingModel

KEEP_CHECKPOINTS = 2
PARTS = ("mlm_loss", "sbo_loss")


def use_bfloat16(precision: str) -> bool:
    """Whether to compute under bfloat16 autocast.

    precision (str): "float32", "bfloat16" or "auto": where the hardware computes in bfloat16,
        because emulated it is slower than float32.
    RETURNS (bool): True for autocast.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def training_arguments(settings: PretrainSettings, steps: int) -> TrainingArguments:
    """Translate the settings for the Trainer.

    settings (PretrainSettings): The run's settings.
    steps (int): Optimizer steps of the run.
    RETURNS (TrainingArguments): On the CPU only where there is no GPU.
    RAISES (ValueError): The batch cannot be split evenly over processes and parts.
    """
    training = settings.training
    cuda = torch.cuda.is_available()
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
        logging_steps=training.log_every,
        logging_nan_inf_filter=False,
        save_steps=training.checkpoint_every,
        save_total_limit=None,  # pruned by the trainer below, which knows the complete ones
        seed=settings.system.seed,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
        log_level="error",
    )
    args._n_gpu = min(args.n_gpu, 1)  # several GPUs need torchrun: flat positions cannot be split
    parts = args.world_size * training.accumulate_gradient
    if training.batch_size % parts:
        raise ValueError(
            f"batch_size is {training.batch_size}, which cannot be split evenly over "
            f"{args.world_size} processes x {training.accumulate_gradient} parts: make it a "
            f"multiple of {parts}."
        )
    args.per_device_train_batch_size = training.batch_size // parts
    return args


class PretrainingTrainer(Trainer):
    """Trains a :class:`PretrainingModel` on :class:`MaskedBlocks`.

    model (PretrainingModel): The model.
    settings (PretrainSettings): The run's settings.
    train_dataset (Dataset): The samples of the whole run, in order.
    steps (int): Optimizer steps of the run.
    callbacks (Sequence[TrainerCallback]): Further callbacks.
    """

    def __init__(
        self,
        model: PretrainingModel,
        settings: PretrainSettings,
        train_dataset: Dataset,
        steps: int,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        super().__init__(
            model=model,
            args=training_arguments(settings, steps),
            train_dataset=train_dataset,
            data_collator=collate,
            callbacks=[LogBeforeSaving(), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self.settings = settings
        self._part_sums: dict[str, torch.Tensor] = {}
        self._part_count = 0
        self._window: tuple[float, int] | None = None
        self._seconds_before = 0.0

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train, counting the seconds that an interrupted run has already taken."""
        if resume_from_checkpoint is not None:
            path = Path(resume_from_checkpoint) / "trainer_state.json"
            state = TrainerState.load_from_json(str(path))
            self._seconds_before = logged_seconds(state)
            self._window = (time.perf_counter(), state.global_step)
        else:
            self._window = (time.perf_counter(), 0)
        self._started = time.perf_counter()
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        return SequentialSampler(train_dataset or self.train_dataset)  # it is shuffled already

    def create_optimizer(self) -> torch.optim.Optimizer:
        """AdamW with a learning rate of its own for the heads, no decay for biases and norms."""
        if self.optimizer is None:
            training = self.settings.training
            decayed = set(self.get_decay_parameter_names(self.model))
            groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    key = (name.startswith("encoder."), name in decayed)
                    groups.setdefault(key, []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": training.learn_rate if encoder else training.head_learn_rate,
                        "weight_decay": training.weight_decay if decay else 0.0,
                    }
                    for (encoder, decay), parameters in groups.items()
                ],
                betas=(0.9, 0.98),
                eps=1e-6,
                fused=True,
            )
        return self.optimizer

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """The model's loss; its parts are kept for the log.

        RAISES (ValueError): The loss is not finite. Nothing has been learned from it, and the
            last checkpoint is from before.
        """
        output = model(**inputs)
        loss = output["loss"]
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss became {loss.item()} at step {self.state.global_step + 1}, so training "
                "stopped: lower training.learn_rate and training.head_learn_rate, raise "
                'training.warmup, or set training.precision to "float32", and --restart.'
            )
        for part in PARTS:
            if part in output:
                self._part_sums[part] = self._part_sums.get(part, 0.0) + output[part]
        self._part_count += 1
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add parts of the loss, tokens, speed and time to the Trainer's log."""
        if "loss" in logs and self._part_count:
            for part, total in self._part_sums.items():
                mean = self._nested_gather(total / self._part_count).mean()
                logs[part] = round(mean.item(), 4)
            self._part_sums, self._part_count = {}, 0
            now, step = time.perf_counter(), self.state.global_step
            training = self.settings.training
            tokens_a_step = training.batch_size * training.block_length
            then, last_step = self._window
            logs["tokens"] = step * tokens_a_step
            logs["tokens_per_second"] = round((step - last_step) * tokens_a_step / (now - then), 1)
            logs["seconds"] = round(self._seconds_before + now - self._started, 2)
            self._window = (now, step)
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Weights only, as safetensors: the Trainer would add a pickle of its arguments."""
        directory = Path(output_dir or self.args.output_dir)
        directory.mkdir(parents=True, exist_ok=True)
        state = state_dict or self.model.state_dict()
        weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            directory = Path(self.args.output_dir)
            checkpoints.seal(directory / f"{checkpoints.PREFIX}{self.state.global_step}")
            checkpoints.prune(directory, KEEP_CHECKPOINTS)
        self.accelerator.wait_for_everyone()


class LogBeforeSaving(TrainerCallback):
    """Log whenever a checkpoint is due, so that a resumed run logs what an unbroken one does."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Called by the Trainer after each optimizer step."""
        control.should_log = control.should_log or control.should_save
        return control


def logged_seconds(state: TrainerState) -> float:
    """Seconds of training up to the last line of a run's log, interruptions left out."""
    return max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
