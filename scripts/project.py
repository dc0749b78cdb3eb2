"""`python -m scripts.project`: write project.yml from its template.

weasel knows no templates, so the steps that differ in a name or an option alone, such as those of
the two benchmarks, are made of one here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import jinja2
import typer

from spacy_spanmed.util.files import write_atomically

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("project.yml.jinja")


def render_project() -> str:
    """RETURNS (str): What project.yml must be.
    RAISES (jinja2.TemplateError): If the template is wrong; no name in it may be undefined."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        extensions=["jinja2.ext.do"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(TEMPLATE.name).render().rstrip() + "\n"


def main(
    output: Annotated[Path, typer.Argument(help="The file.")] = ROOT / "project.yml",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if the file is not current.")
    ] = False,
) -> None:
    """Write project.yml from scripts/project.yml.jinja.

    Example: python -m scripts.project --check
    """
    text = render_project()
    if output.is_file() and output.read_text(encoding="utf8") == text:
        typer.echo(f"{output.name} is up to date")
    elif check:
        typer.echo(f"Error: {output} is not current: run python -m scripts.project.", err=True)
        raise typer.Exit(1)
    else:
        write_atomically(output, text.encode("utf8"))
        typer.echo(f"{output.name} updated")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app(prog_name="python -m scripts.project")
