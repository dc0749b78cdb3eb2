"""`spanmed finalize`, `package` and `install`: from a trained pipeline to wheels."""

from pathlib import Path

import typer
from rich.console import Console

from .common import GpuId, errors_in_one_line, fail

console = Console()


def finalize(
    source: Path = typer.Argument(
        ..., help="Trained pipeline, such as training/pipeline/model-best."
    ),
    output: Path = typer.Argument(..., help="Where to write the finished pipeline."),
    name: str = typer.Option("spanmed", help="Name of the model, without the language."),
    version: str = typer.Option("0.1.0", help="Version of the model."),
    sources: list[str] = typer.Option([], "--source", help="Data it was made from; repeatable."),
    dev: Path | None = typer.Option(None, help="Development set to calibrate and tune on."),
    like: Path | None = typer.Option(
        None, help="Take both from this tuned pipeline: for one that was trained on dev too."
    ),
    gpu_id: GpuId = -1,
) -> None:
    """Round a trained pipeline to half precision, calibrate and tune it on dev, write its model card.

    Evaluate what this writes: it is what `spanmed package` publishes.

    Example: spanmed finalize training/pipeline/model-best training/model-best --dev corpus/dev.spacy
    """
    if not (source / "meta.json").is_file():
        fail(f"No pipeline at {source}: train one first (spacy project run train).")
    from spacy.cli._util import setup_gpu

    from ..corpora.docbin import create_gold_corpus
    from ..tuning.finalize import finalize as run

    setup_gpu(gpu_id, silent=True)
    with errors_in_one_line(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            with console.status("Rounding weights and tuning thresholds ..."):
                read_dev = None if dev is None else create_gold_corpus(dev)
                nlp = run(
                    source,
                    output,
                    name=name,
                    version=version,
                    sources=sources,
                    dev=read_dev,
                    like=like,
                )
        except ValueError as error:
            fail(str(error))
    for pipe, figures in nlp.meta["thresholds"].items():
        if like is not None:
            console.print(f"{pipe}: threshold {figures['threshold']}, from {like}")
            continue
        console.print(f"{pipe}: threshold {figures['threshold']} (F1 {figures['f']:.3f} on {dev})")
        if figures["calibration"] is None:
            console.print(f"{pipe}: too few predictions on {dev} to calibrate the scores")
        elif figures["ece"] is not None:
            console.print(
                f"{pipe}: expected calibration error {figures['ece']:.3f} on the same data, without "
                f"calibration {figures['ece_before']:.3f}"
            )
    size = sum(f.stat().st_size for f in output.rglob("*") if f.is_file())
    console.print(f"{nlp.meta['lang']}_{name} {version}: {size / 1e6:.1f} MB in {output}")


def package(
    model: Path = typer.Argument(..., help="Pipeline written by `spanmed finalize`."),
    output: Path = typer.Argument(Path("dist"), help="Folder for the wheels."),
    metrics: Path | None = typer.Option(None, help="Test scores (JSON) for the model card."),
    project: Path = typer.Option(Path("."), help="Folder with the package's pyproject.toml."),
) -> None:
    """Build two wheels: the pipeline's, and that of the package it needs.

    Example: spanmed package training/model-best dist --metrics metrics/test.json
    """
    if not (model / "meta.json").is_file():
        fail(f"No pipeline at {model}: run `spanmed finalize` first.")
    from ..util.wheels import build_wheels

    with errors_in_one_line(output):
        try:
            with console.status("Building wheels ..."):
                wheels = build_wheels(model, output, metrics, project)
        except ValueError as error:
            message, _, printed = str(error).partition("\n")
            typer.echo(printed, err=True)  # by the command that failed
            fail(message)
    for wheel in wheels:
        console.print(f"{wheel} ({wheel.stat().st_size / 1e6:.1f} MB)")


def install(
    wheel_dir: Path = typer.Argument(Path("dist"), help="Folder with the pipeline's wheel."),
    name: str = typer.Option("en_spanmed", help="Which pipeline to install."),
) -> None:
    """Install a pipeline's wheel into this environment, unless it is the one installed.

    Example: spanmed install dist
    """
    wheels = sorted(wheel_dir.glob(f"{name}-*.whl"))
    if not wheels:
        fail(f"No {name}-*.whl in {wheel_dir}: run `spanmed package` first.")
    from ..util.wheels import install as run

    try:
        done = run(wheels[-1])
    except ValueError as error:
        fail(str(error))
    console.print(f"{name} {'installed' if done else 'is installed already'}: spacy.load({name!r})")
