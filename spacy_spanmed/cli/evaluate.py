"""`spanmed evaluate`: judge a pipeline on `.spacy` data, the way `spacy evaluate` does.

The scores are those of `nlp.evaluate`, hence the same as `python -m spacy evaluate` gives; that
command prints a fixed choice of them, this one prints them all.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.corpus import walk_corpus
from spacy.util import load_model
from thinc.api import ConfigValidationError, fix_random_seed

from ..doc.layers import get_layers
from ..scoring.relations import gold_label_counts
from ..scoring.tables import print_scores
from ..util.files import write_json
from ..util.provenance import file_sha256, git_commit
from .common import parse_overrides


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
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU.")] = -1,
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


def load_pipeline(model: str, overrides: Mapping[str, Any] = {}) -> Language:
    """Load a pipeline by name or path.

    model (str): Name of an installed package, or a directory.
    overrides (Mapping[str, Any]): Settings by dotted key, in place of those in its config.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): With one line that says what is wrong.
    """
    try:
        return load_model(model, config=dict(overrides))
    except ConfigValidationError as error:  # says on its further lines which settings are wrong
        reason = " ".join(str(error).split())
        raise ValueError(f"Can't load the pipeline '{model}': {reason}") from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(f"Can't load the pipeline '{model}': {reason}") from error


def read_examples(nlp: Language, data: Path) -> list[Example]:
    """Read what `spacy.Corpus` would, but say which file is broken.

    nlp (Language): Its tokenizer makes the predicted Docs.
    data (Path): A `.spacy` file, or a directory searched for them.
    RETURNS (List[Example]): In the order of the sorted paths.
    RAISES (ValueError): If there is nothing to read, a file is invalid, or no Doc carries an
        annotation layer.
    """
    if not data.exists():
        raise ValueError(f"No such file or directory: '{data}'")
    if data.is_file() and data.suffix != ".spacy":
        raise ValueError(f"'{data}' is not a .spacy file. Convert it first: `spanmed convert`.")
    examples: list[Example] = []
    for path in _data_files(data):
        try:
            examples.extend(Corpus(path)(nlp))
        except Exception as error:  # zlib, msgpack and spaCy each raise their own
            raise ValueError(
                f"'{path}' is not valid .spacy data ({type(error).__name__}: {error})"
            ) from error
    if not examples:
        raise ValueError(f"No documents in '{data}'")
    if not any(get_layers(example.reference) for example in examples):
        raise ValueError(
            f"None of the {len(examples)} documents in '{data}' carries entity or relation "
            "annotation. Was the DocBin written with store_user_data=True?"
        )
    return examples


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

        def advance() -> None:
            progress.advance(task)
            if progress.tasks[0].finished:
                progress.update(task, description="Scoring")

        with _watch_pipe(nlp, advance):
            return nlp.evaluate(examples, batch_size=batch_size)


@contextmanager
def _watch_pipe(nlp: Language, advance: Callable[[], None]) -> Iterator[None]:
    """Have `nlp.pipe` report each Doc. `nlp.evaluate` has no hook of its own, and going through
    it is what keeps the scores equal to those of `spacy evaluate`."""
    pipe = nlp.pipe

    def watched(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for doc in pipe(*args, **kwargs):
            yield doc
            advance()

    nlp.pipe = watched  # type: ignore[method-assign]
    try:
        yield
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
        the working directory (None outside a git repository), and the overrides,
        and what the encoders computed in.
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


def hash_data(data: Path) -> str:
    """sha256 of a file, or, for a directory, of the names and hashes of its `.spacy` files.

    data (Path): A file or a directory.
    RETURNS (str): Hexadecimal digest.
    """
    if data.is_file():
        return file_sha256(data)
    lines = [f"{path.relative_to(data)} {hash_data(path)}\n" for path in _data_files(data)]
    return hashlib.sha256("".join(lines).encode("utf8")).hexdigest()


def _data_files(data: Path) -> list[Path]:
    if data.is_file():
        return [data]
    if not any(data.rglob("*.spacy")):  # spaCy would warn about it on top of our own error
        return []
    return [Path(path) for path in walk_corpus(data, ".spacy")]
