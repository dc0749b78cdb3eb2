"""`spanmed evaluate`: judge a pipeline on `.spacy` data, the way `spacy evaluate` does.

The scores are those of `nlp.evaluate`, hence the same as `python -m spacy evaluate` gives; that
command prints a fixed choice of them, this one prints them all.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.training import Example
from thinc.api import fix_random_seed

from ..scoring.relations import gold_label_counts
from ..scoring.tables import print_scores
from ..util.files import write_json
from ..util.provenance import git_commit
from .common import GpuId, parse_overrides
from .data import hash_data, load_pipeline, read_examples


def evaluate(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of an installed pipeline, or its directory.")],
    data: Annotated[Path, typer.Argument(help="A .spacy file, or a directory of them.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores.")
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option("--code", "-c", help="Python file to import first (registered functions)."),
    ] = None,
    gpu_id: GpuId = -1,
    batch_size: Annotated[
        int | None, typer.Option(help="Documents a batch. Default: the pipeline's own.", min=1)
    ] = None,
    per_type: Annotated[
        bool, typer.Option("--per-type/--brief", help="Print a row for each label, or only totals.")
    ] = True,
) -> None:
    """Evaluate a pipeline: entities, relations, and what tokenization loses.

    Any setting of the pipeline's config can be overridden, for this evaluation alone.

    Example: spanmed evaluate en_spanmed corpus/test.spacy --output metrics.json

    Example: spanmed evaluate en_spanmed corpus/dev.spacy --components.span_ner.threshold 0.5
    """
    console, errors = Console(), Console(stderr=True)
    overrides = parse_overrides(ctx.args)
    try:
        import_code(code)
        fix_random_seed()  # as `spacy evaluate` does
        setup_gpu(gpu_id, silent=True)
        with errors.status("Loading the pipeline and the data"):
            nlp = load_pipeline(model, overrides)
            examples = read_examples(nlp, data)
    except (ValueError, OSError, ImportError) as error:
        message = " ".join(str(error).split())
        errors.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    for warning in find_problems(nlp, examples):
        errors.print(f"[yellow]Warning:[/yellow] {escape(warning)}", soft_wrap=True)
    scores = evaluate_examples(nlp, examples, console=errors, batch_size=batch_size)
    print_scores(console, scores, per_type=per_type)
    if output is not None:
        write_json(output, {**scores, "meta": describe_run(nlp, model, data, overrides)})
        console.print(f"Saved the scores to {output}", highlight=False, markup=False)


def find_problems(nlp: Language, examples: list[Example]) -> list[str]:
    """Reasons why a score will be lower than one might expect, or absent.

    nlp (Language): The pipeline.
    examples (List[Example]): The data.
    RETURNS (List[str]): One sentence each.
    """
    known = {label for labels in nlp.pipe_labels.values() for label in labels}
    problems = []
    for kind, counts in zip(("entity", "relation"), gold_label_counts(examples)):
        unknown = {label: n for label, n in counts.items() if label not in known}
        if unknown and len(unknown) == len(counts):
            problems.append(
                f"The pipeline knows none of the {len(counts)} gold {kind} labels "
                f"({', '.join(sorted(unknown))})."
            )
        elif unknown:
            problems.append(
                f"Gold {kind} labels unknown to the pipeline, counted as missed: "
                + ", ".join(f"{label} ({n})" for label, n in sorted(unknown.items()))
            )
    return problems


def evaluate_examples(
    nlp: Language,
    examples: list[Example],
    console: Console | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """`nlp.evaluate` with a progress bar.

    nlp (Language): The pipeline.
    examples (List[Example]): The data.
    console (Optional[Console]): For the progress bar. Defaults to None: standard error.
    batch_size (Optional[int]): Documents a batch. Defaults to None: `nlp.batch_size`.
    RETURNS (Dict[str, Any]): The scores.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Documents", total=len(examples))

        pipe = nlp.pipe

        def watched(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for doc in pipe(*args, **kwargs):
                yield doc
                progress.advance(task)
                if progress.tasks[0].finished:
                    progress.update(task, description="Scoring")

        # `nlp.evaluate` has no hook, and only through it are scores those of `spacy evaluate`
        nlp.pipe = watched  # type: ignore[method-assign]
        try:
            return nlp.evaluate(examples, batch_size=batch_size)
        finally:
            delattr(nlp, "pipe")  # the method of the class shows again


def describe_run(
    nlp: Language, model: str, data: Path, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """What was measured on what, for the JSON file.

    nlp (Language): The pipeline.
    model (str): Name or path it was loaded by.
    data (Path): The data file or directory.
    overrides (Mapping[str, Any]): Settings that were overridden.
    RETURNS (Dict[str, Any]): name and version of the pipeline, `model` and `data` as given, sha256
        of the data, date (UTC, ISO 8601), seed of the training (None if not configured), the commit of
        the working directory (None outside a git repository), the overrides, and what the encoders
        computed in.
    """
    from ..encoder.shim import find_encoders

    meta = nlp.meta
    return {
        "name": f"{meta.get('lang')}_{meta.get('name')}",
        "version": meta.get("version"),
        "pipeline": list(nlp.pipe_names),
        "model": model,
        "data": str(data),
        "data_sha256": hash_data(data),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": nlp.config.interpolate().get("training", {}).get("seed"),
        "commit": git_commit(),
        "overrides": dict(overrides),
        "precision": sorted({encoder.computes_in() for encoder in find_encoders(nlp)}),
    }
