"""`spacy train` in a process of its own, watched through the log of its evaluations."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.util import load_config
from thinc.api import Config

from . import training_log

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
