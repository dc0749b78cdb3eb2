"""The `spanmed` command: a module for each sub-command, or for a few of one matter."""

import typer

from . import convert, estimate, evaluate, export, mentions, package, pretrain, visualize
from .common import CONTEXT_SETTINGS, fail

# Commands that serve this project's repository alone, and are no longer part of the package
MOVED = {
    "bench": "python -m benchmarks",
    "baseline": "python -m benchmarks baseline",
    "results": "python -m benchmarks results",
    "corpus": "python -m scripts.nero",
}

app = typer.Typer(
    name="spanmed",
    help="Span-masked biomedical encoders, entities and relations for spaCy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(convert.convert)
app.command()(export.export)
app.command()(mentions.lost)
app.command()(mentions.terms)
app.command(context_settings=CONTEXT_SETTINGS)(pretrain.pretrain)
app.command(context_settings=CONTEXT_SETTINGS)(estimate.estimate)
app.command(context_settings=CONTEXT_SETTINGS)(evaluate.evaluate)
app.command()(package.finalize)
app.command()(package.package)
app.command()(package.install)
app.command()(visualize.visualize)


def _say_where(old: str, new: str) -> None:
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @app.command(old, hidden=True, context_settings=settings)
    def moved() -> None:
        fail(f"`spanmed {old}` is now `{new}`, in a checkout of the project: it serves that alone.")


for _old, _new in MOVED.items():
    _say_where(_old, _new)
