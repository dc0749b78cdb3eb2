"""The settings of a run, checked and translated for the Hugging Face Trainer; its precision."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ..encoder.cpu.machine import resolve_precision
from . import checkpoints
from .config import Precision, PretrainSettings

# Packages that can write the reports, any of them.
REPORT_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


def use_bfloat16(precision: str) -> bool:
    """Whether to compute under bfloat16 autocast.

    precision (str): "float32", "bfloat16" or "auto": where it is the faster of the two.
    RETURNS (bool): True for autocast.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return resolve_precision(precision, device) == "bfloat16"


def keep_precision(
    directory: Path, settings: PretrainSettings, workers: PartialState, tell: Callable[[str], None]
) -> Precision:
    """The precision to compute in: on a machine where "auto" means another one than where a run
    began, that of its beginning.

    directory (Path): The run's checkpoints.
    settings (PretrainSettings): Its settings.
    workers (PartialState): Of now; if they are more or fewer than before, that is told.
    tell (Callable): Called with a sentence for each difference.
    RETURNS (str): "float32" or "bfloat16".
    """
    here: Precision = "bfloat16" if use_bfloat16(settings.training.precision) else "float32"
    run = checkpoints.read_json(directory / checkpoints.RUN_FILE)
    if not isinstance(run, dict) or not checkpoints.list_checkpoints(directory):
        return here
    began, processes = run.get("precision", here), run.get("processes", workers.num_processes)
    if began != here:
        tell(f"Going on in {began}, in which the run began; {here} would be faster here.")
    if processes != workers.num_processes:
        tell(
            f"The run began with {processes} worker(s), now it has {workers.num_processes}: the "
            "batches stay the same, but dropout and the order of sums differ."
        )
    return began


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
