"""The `spanmed` command: one module a sub-command."""

import typer

from . import baselines, corpus, evaluate, package, pretrain, results

app = typer.Typer(
    name="spanmed",
    help="Span-masked biomedical encoders, entities and relations for spaCy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(corpus.app, name="corpus")
app.command(context_settings=pretrain.CONTEXT_SETTINGS)(pretrain.pretrain)
app.command()(evaluate.evaluate)
app.command()(package.finalize)
app.command()(package.package)
app.command()(package.install)
app.add_typer(baselines.app, name="baseline")
app.command()(results.results)
