"""`python -m benchmarks`: this package side by side with what a user would run without it."""

import typer

from spacy_spanmed.util.provenance import git_commit

from . import (
    ablation,
    baselines,
    everyday,
    inference,
    joined,
    pretraining,
    record,
    results,
    training,
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
baseline = typer.Typer(no_args_is_help=True, help="Figures to compare a trained pipeline with.")


@app.callback()
def main(context: typer.Context) -> None:
    """Benchmarks, side by side with the stock recipes; baselines; the figures of the documents."""
    # Of the code that is measured: another may be checked out before a long benchmark ends.
    context.obj = git_commit()


@baseline.callback()
def _baseline() -> None:
    """Keeps `dictionary` a command of its own, though it is the only one."""


app.command()(pretraining.pretrain)
app.command()(inference.inference)
app.command()(training.train)
app.command()(ablation.ablation)
app.command()(everyday.everyday)
app.command()(joined.joined)
app.add_typer(baseline, name="baseline")
baseline.command()(baselines.dictionary)
app.command()(record.record)
app.command()(results.results)
