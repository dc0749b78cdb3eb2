"""`python -m benchmarks baseline`: figures to compare a trained pipeline with."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from spacy.tokens import Doc

from spacy_spanmed.cli.evaluate import hash_data, load_pipeline, read_examples
from spacy_spanmed.doc.layers import ENTITIES, get_layers
from spacy_spanmed.scoring.tables import print_scores
from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import git_commit

from .baselines import DictionaryBaseline, MajorityRelations, score_baselines

app = typer.Typer(help="Figures to compare a trained pipeline with.", no_args_is_help=True)


@app.callback()
def _main() -> None:
    """Figures to compare a trained pipeline with."""


@app.command()
def dictionary(
    train: Annotated[Path, typer.Option(help="Data to learn from (.spacy file or directory).")],
    dev: Annotated[Path, typer.Option(help="Data to tune the threshold on.")],
    test: Annotated[Path, typer.Option(help="Data to evaluate on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores.")
    ] = None,
    tokenizer_from: Annotated[
        str | None,
        typer.Option(help="Pipeline whose tokenizer to use. Default: spaCy's English one."),
    ] = None,
    per_type: Annotated[
        bool, typer.Option("--per-type/--brief", help="Print a row for each label, or only totals.")
    ] = True,
) -> None:
    """Look up the training mentions, and relate them by majority vote.

    Example: python -m benchmarks baseline dictionary --train corpus/train.spacy --dev corpus/dev.spacy
    --test corpus/test.spacy --output metrics/baseline_dictionary.json
    """
    console, errors = Console(), Console(stderr=True)
    try:
        with errors.status("Reading the data"):
            nlp = spacy.blank("en") if tokenizer_from is None else load_pipeline(tokenizer_from)
            data: dict[str, list[Doc]] = {
                name: [example.reference for example in read_examples(nlp, path)]
                for name, path in (("train", train), ("dev", dev), ("test", test))
            }
    except ValueError as error:
        message = escape(" ".join(str(error).split()))
        errors.print(f"[red]Error:[/red] {message}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    if not any(ENTITIES in get_layers(doc) for doc in data["train"]):
        errors.print(
            f"[yellow]Warning:[/yellow] No document in '{escape(str(train))}' carries the "
            "entities layer: the dictionary is empty.",
            soft_wrap=True,
        )
    words, relations = DictionaryBaseline(nlp), MajorityRelations()
    with _progress(errors) as track:
        words.fit(data["train"], track)
        tuning = words.tune(data["dev"], progress=track)
        relations.fit(data["train"], track)
        scores = score_baselines(words, relations, data["test"], track)
    print_scores(console, scores, per_type=per_type)
    console.print(f"{len(words.entries):,} forms, annotated in at least {words.min_share:.0%}")
    if output is not None:
        meta: dict[str, Any] = {
            "name": "dictionary",
            "tokenizer": tokenizer_from or "blank:en",
            "min_share": words.min_share,
            "dev_ents_f_by_min_share": {str(share): f for share, f in tuning.items()},
            "forms": len(words.entries),
            "data": {"train": str(train), "dev": str(dev), "test": str(test)},
            "data_sha256": {"train": hash_data(train), "dev": hash_data(dev),
                            "test": hash_data(test)},
            "commit": git_commit(),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }  # fmt: skip
        write_json(output, {**scores, "meta": meta})
        console.print(f"Saved the scores to {output}", highlight=False, markup=False)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Iterable[Doc], str], Iterable[Doc]]]:
    with Progress(console=console, transient=True) as progress:

        def track(docs: Iterable[Doc], description: str) -> Iterable[Doc]:
            return progress.track(list(docs), description=description)

        yield track
