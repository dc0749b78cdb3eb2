"""The `spanmed` command: one module a sub-command."""

import typer

from . import (
    baselines,
    bench,
    convert,
    corpus,
    estimate,
    evaluate,
    export,
    lost,
    package,
    pretrain,
    results,
    terms,
    visualize,
)
from .common import CONTEXT_SETTINGS

app = typer.Typer(
    name="spanmed",
    help="Span-masked biomedical encoders, entities and relations for spaCy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(corpus.app, name="corpus")
app.command()(convert.convert)
app.command()(export.export)
app.command()(lost.lost)
app.command()(terms.terms)
app.command(context_settings=CONTEXT_SETTINGS)(pretrain.pretrain)
app.command(context_settings=CONTEXT_SETTINGS)(estimate.estimate)
app.command(context_settings=CONTEXT_SETTINGS)(evaluate.evaluate)
app.command()(package.finalize)
app.command()(package.package)
app.command()(package.install)
app.add_typer(baselines.app, name="baseline")
app.add_typer(bench.app, name="bench")
app.command()(results.results)
app.command()(visualize.visualize)
