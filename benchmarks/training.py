"""How long our entity pipe and the stock one train until they are equally good.

Both are trained by `spacy train` in a process of its own, on the same corpus and encoder, with the
same rhythm of evaluations, each by its own config: stock first, whose F1 on dev after its last step
is the target. The time of each side ends with the first evaluation at or above the target; nothing
is interpolated. It counts from the start of the command, imports and reading included, less the
time of the evaluations themselves, and nothing is saved meanwhile. Both are scored by our scorer,
on characters. A learning-rate schedule is told the number of steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.util import load_config
from thinc.api import Config

from spacy_spanmed.corpora.docbin import is_docs
from spacy_spanmed.encoder.cpu.machine import resolve_precision
from spacy_spanmed.encoder.resolving import resolve_encoder

from . import training_log

OUR_PIPELINE = ("sentencizer", "transformer", "span_ner")  # the sentencizer, for our windows
STOCK_PIPELINE = ("transformer", "ner")
PAUSE = 0.3  # seconds between looks at the log


class Evaluation(NamedTuple):
    """What a line of the log says.

    step (int): Steps before it, from 0. f (float): Micro F1 of the entities on dev, in [0, 1].
    seconds (float): Since the command was started, evaluations left out.
    loop_seconds (float): The same since the first step began.
    """

    step: int
    f: float
    seconds: float
    loop_seconds: float


def parse_target(text: str) -> float | None:
    """RETURNS (float | None): The F1 to reach; None for "stock", what stock has in the end.
    RAISES (ValueError): If it is neither that nor a number."""
    if text == "stock":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--target must be 'stock' or a number, not {text!r}.") from None


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


def read_log(path: Path, started: float) -> list[Evaluation]:
    """Read a log that is perhaps still being written.

    path (Path): See `training_log.json_lines_logger`; may be missing yet.
    started (float): When the command was started, seconds since the epoch.
    RAISES (ValueError): If an evaluation had no entity to score.
    """
    lines = path.read_text(encoding="utf8").split("\n")[:-1] if path.exists() else []
    found = []
    for line in map(json.loads, lines):
        if line["ents_f"] is None:
            raise ValueError(
                "The dev corpus has no entities, so there is no F1 to reach: give another by --dev."
            )
        found.append(
            Evaluation(
                line["step"],
                line["ents_f"],
                round(line["time"] - started - line["evaluating"], 3),
                round(line["time"] - line["started"] - line["evaluating"], 3),
            )
        )
    return found


def first_reaching(evaluations: Sequence[Evaluation], target: float) -> Evaluation | None:
    """RETURNS (Evaluation | None): The first with an F1 at or above the target, if there is one."""
    return next((item for item in evaluations if item.f >= target), None)


def make_config(
    path: Path,
    overrides: dict[str, Any],
    pipeline: Sequence[str],
    *,
    steps: int,
    eval_frequency: int,
    log: Path,
) -> Config:
    """Complete the config of a side.

    path (Path): Its config.
    overrides (dict): Settings by dotted names, the same for both sides.
    pipeline (Sequence[str]): The components to train; "sentencizer" may be missing.
    steps (int), eval_frequency (int): Of the training. log (Path): To be written.
    RETURNS (Config): Not interpolated.
    RAISES (ValueError): If the file or a component is missing, or a setting can't be overridden.
    """
    if not path.is_file():
        raise ValueError(f"The config '{path}' does not exist: check the path.")
    try:
        config = load_config(path, overrides, interpolate=False)
    except ValueError as error:
        raise ValueError(
            f"'{path}' can't be used, it needs {', '.join(overrides)}: {error}"
        ) from error
    components = config["components"]
    for name in pipeline:
        if name not in components and name != "sentencizer":
            raise ValueError(f"'{path}' has no [components.{name}]: give another config.")
    config["nlp"]["pipeline"] = [name for name in pipeline if name in components]
    components[pipeline[-1]]["scorer"] = {"@scorers": "spanmed.entity_scorer.v1"}
    training = config["training"]
    training.update(
        max_steps=steps, max_epochs=0, patience=0, eval_frequency=eval_frequency,
        score_weights={"ents_f": 1.0},
        logger={"@loggers": "spanmed.JsonLinesLogger.v1", "path": str(log)},
    )  # fmt: skip
    schedule = training["optimizer"].get("learn_rate")
    if isinstance(schedule, dict) and "total_steps" in schedule:
        schedule["total_steps"] = steps
    return config


def run_training(
    name: str,
    config: Config,
    *,
    gpu_id: int = -1,
    target: float | None = None,
    show: Callable[[str], None] = print,
) -> list[Evaluation]:
    """Run `spacy train`.

    name (str): The side, for messages.
    config (Config): From `make_config`; its log's folder takes config and output too.
    gpu_id (int): GPU, or -1 for the CPU. Defaults to -1.
    target (float | None): Stop at the first evaluation with this F1. Defaults to None: at the end.
    show (Callable[[str], None]): Told of each evaluation. Defaults to print.
    RETURNS (list[Evaluation]): In order.
    RAISES (ValueError): If the command fails.
    """
    log = Path(config["training"]["logger"]["path"])
    file, printed = log.with_suffix(".cfg"), log.with_suffix(".txt")
    config.to_disk(file, interpolate=False)
    command = [sys.executable, "-m", "spacy", "train", str(file), "--gpu-id", str(gpu_id)]
    with printed.open("w", encoding="utf8") as output:
        started = time.time()
        process = subprocess.Popen(
            [*command, "--code", training_log.__file__], stdout=output, stderr=subprocess.STDOUT
        )
        shown = 0
        try:
            while True:
                running = process.poll() is None  # looked up before the log, so none is missed
                evaluations = read_log(log, started)
                for item in evaluations[shown:]:
                    show(f"{name}, step {item.step:,}: F1 {item.f:.2%}, {item.seconds:,.0f} s")
                shown = len(evaluations)
                reached = target is not None and first_reaching(evaluations, target) is not None
                if reached or not running:
                    break
                time.sleep(PAUSE)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if not reached and process.returncode:
        lines = [x for x in printed.read_text(encoding="utf8", errors="replace").split("\n") if x]
        errors = [x for x in lines if "Error" in x] or lines or [f"code {process.returncode}"]
        raise ValueError(f"{name}: spacy train failed: {errors[-1].strip()}")
    return evaluations
