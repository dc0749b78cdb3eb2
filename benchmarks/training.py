"""How long our entity pipe and the stock one train until they are equally good.

Both are trained by `spacy train` in a process of its own, on the same corpus and encoder, with the
same rhythm of evaluations, each by its own config: stock first, whose F1 on dev after its last step
is the target. The time of each side ends with the first evaluation at or above the target; nothing
is interpolated. It counts from the start of the command, imports and reading included, less the
time of the evaluations themselves, and nothing is saved meanwhile. Both are scored by our scorer,
on characters. A learning-rate schedule is told the number of steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thinc.api import Config

from spacy_spanmed.corpora.docbin import is_docs
from spacy_spanmed.encoder.cpu.precision import resolve_precision
from spacy_spanmed.encoder.resolving import resolve_encoder

from .spacy_train import Evaluation, first_reaching, make_config, run_training

OUR_PIPELINE = ("sentencizer", "transformer", "span_ner")  # the sentencizer, for our windows
STOCK_PIPELINE = ("transformer", "ner")


def run_benchmark(
    train: Path,
    dev: Path,
    encoder: str,
    *,
    config: Path = Path("configs/pipeline.cfg"),
    stock_config: Path = Path("configs/stock.cfg"),
    target: float | None = None,
    steps: int = 900,
    stock_steps: int = 900,
    eval_frequency: int = 50,
    seed: int = 0,
    gpu_id: int = -1,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train both sides.

    train, dev (Path): `.spacy` data. encoder (str): See `resolve_encoder`.
    config, stock_config (Path): Of the two sides. Default to those of the project.
    target (float | None): F1 on dev, in (0, 1]. Defaults to None: stock's after its last step.
    steps, stock_steps (int): Of ours, at most, and of stock; multiples of eval_frequency. Default
        to 900.
    eval_frequency (int): Steps from one evaluation to the next. Defaults to 50.
    seed (int): Defaults to 0. gpu_id (int): GPU, or -1 for the CPU. Defaults to -1.
    show (Callable[[str], None]): Told what is done. Defaults to print.
    RETURNS (dict): "ratio" (stock's seconds to ours; None if a side did not reach the target),
        "loop_ratio" (the same without start-up), "target", "stock" and "ours" ("seconds",
        "loop_seconds", "step", "f" where the target was reached, or None; "evaluations"),
        "settings".
    RAISES (ValueError): On settings or data that can't be used, or a training that fails.
    """
    for role, path in (("train", train), ("dev", dev)):
        if not path.exists():
            raise ValueError(
                f"No corpus at '{path}': build it (spacy project run corpus), or give --{role}."
            )
        if not is_docs(path):
            raise ValueError(f"'{path}' is not .spacy data: convert it first (spanmed convert).")
    for option, value in (("steps", steps), ("stock-steps", stock_steps)):
        if value % eval_frequency:
            raise ValueError(
                f"--{option} {value} must be a multiple of --eval-frequency {eval_frequency}, so "
                "that the last step is evaluated."
            )
    if target is not None and not 0 < target <= 1:
        raise ValueError(f"--target must be 'stock' or an F1 above 0 and at most 1, not {target}.")
    overrides = {
        "paths.train": str(train), "paths.dev": str(dev),
        "paths.encoder": resolve_encoder(encoder), "system.seed": seed,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            name: make_config(
                path,
                overrides,
                pipeline,
                steps=number,
                eval_frequency=eval_frequency,
                log=Path(folder) / f"{name}.jsonl",
            )
            for name, path, pipeline, number in (
                ("stock", stock_config, STOCK_PIPELINE, stock_steps),
                ("ours", config, OUR_PIPELINE, steps),
            )
        }
        show(f"Training stock, {stock_steps:,} steps")
        stock = run_training("stock", sides["stock"], gpu_id=gpu_id, target=target, show=show)
        target = stock[-1].f if target is None else target
        if not target:
            raise ValueError(
                f"After {stock_steps:,} steps stock finds nothing: raise --stock-steps, or give a "
                "--target."
            )
        show(f"Training ours until F1 {target:.2%}, at most {steps:,} steps")
        ours = run_training("ours", sides["ours"], gpu_id=gpu_id, target=target, show=show)
    result = {"stock": _describe(stock, target), "ours": _describe(ours, target)}
    settings = {
        "train": str(train), "dev": str(dev), "encoder": encoder, "config": str(config),
        "stock_config": str(stock_config), "steps": steps, "stock_steps": stock_steps,
        "eval_frequency": eval_frequency, "seed": seed, "gpu_id": gpu_id,
        "precision": _find_precision(sides["ours"], gpu_id),
    }  # fmt: skip
    return {
        "ratio": _ratio(result, "seconds"),
        "loop_ratio": _ratio(result, "loop_seconds"),
        "target": target,
        **result,
        "settings": settings,
    }


def _find_precision(config: Config, gpu_id: int) -> str:
    """RETURNS (str): What the encoder of our side computes in; stock's is in float32."""
    wanted = config["components"]["transformer"]["model"].get("precision", "auto")
    return resolve_precision(wanted, "cpu" if gpu_id < 0 else "cuda")


def _describe(evaluations: Sequence[Evaluation], target: float) -> dict[str, Any]:
    reached = first_reaching(evaluations, target)
    values = dict.fromkeys(Evaluation._fields) if reached is None else reached._asdict()
    return {**values, "evaluations": [item._asdict() for item in evaluations]}


def _ratio(result: dict[str, Any], key: str) -> float | None:
    ours, stock = result["ours"][key], result["stock"][key]
    return None if ours is None or stock is None else round(stock / ours, 3)
