"""From the result files in results/ to docs/results.md and the table in README.md.

What the documents say of figures stands in templates beside this module, the figures come from the
files alone. A file that is missing leaves its part of the documents out. Results lie in results/ as
runs wrote them to metrics/: those of other seeds in folders seed*, those with other encoders in
folders `plain` and `domain` (see ENCODERS).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer

from spacy_spanmed.cli.common import fail
from spacy_spanmed.util.files import write_atomically

from .ablation import mean_and_deviation, summarise
from .common import errors

START, END = "<!-- results: start -->", "<!-- results: end -->"
TEMPLATES = Path(__file__).parent / "templates"

Result = dict[str, Any]
BENCHMARKS = {"bc5cdr": "BC5CDR", "biored": "BioRED"}
ENCODERS = {"plain": "plain", "domain": "continued on medical papers"}
SCORES = {
    "ents_f": "entities",
    "rel_gold_micro_f": "relations given gold entities",
    "rel_micro_f": "relations end to end",
}


class Results(dict[str, Result]):
    """The result files of a folder and of those in it, by their names without ".json".

    folder (Path): Where they lie.
    RAISES (ValueError): If one is no JSON.
    """

    def __init__(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*.json")):
            name = path.relative_to(folder).with_suffix("").as_posix()
            try:
                self[name] = json.loads(path.read_text(encoding="utf8"))
            except ValueError as error:
                raise ValueError(f"'{path}' is no JSON: {error}.") from error

    def seeds(self, name: str, folder: str = "") -> list[Result]:
        """RETURNS (list[dict]): Of the run in a folder itself and of those in its folders seed*,
        by seed."""
        pattern = re.compile(rf"{re.escape(folder and f'{folder}/')}(seed[^/]*/)?{re.escape(name)}")
        found = [result for key, result in self.items() if pattern.fullmatch(key)]
        return sorted(found, key=lambda result: result["meta"]["seed"])


def results(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if one is not current.")
    ] = False,
    root: Annotated[Path, typer.Option(help="Folder with results/, docs/ and README.md.")] = Path(
        "."
    ),
) -> None:
    """Write docs/results.md, and the table between README.md's markers, from results/.

    Example: python -m benchmarks results --check
    """
    with errors(root):
        changed = render_documents(root, write=not check)
    for path, differs in changed.items():
        state = "up to date" if not differs else "not current" if check else "updated"
        typer.echo(f"{path}: {state}")
    if check and any(changed.values()):
        fail("Run `python -m benchmarks results`.")


def render_documents(root: Path, *, write: bool = True) -> dict[Path, bool]:
    """Bring docs/results.md and README.md up to date with results/.

    root (Path): The folder they lie in.
    write (bool): Whether to write them. Defaults to True; else they are only compared.
    RETURNS (dict[Path, bool]): Whether each of the two differed from what it must be.
    RAISES (ValueError): If the file of the main result, the README or its markers are missing.
    """
    found = Results(root / "results")
    if "test" not in found:
        raise ValueError(
            f"No {root / 'results' / 'test.json'}: run `spacy project run evaluate`, then "
            "`python -m benchmarks record metrics/test.json`."
        )
    readme, page = root / "README.md", root / "docs" / "results.md"
    wanted = {
        page: _render("results.md.jinja", found),
        readme: _between_markers(readme, _render("summary.md.jinja", found)),
    }
    changed = {}
    for path, text in wanted.items():
        changed[path] = not path.is_file() or path.read_text(encoding="utf8") != text
        if changed[path] and write:
            write_atomically(path, text.encode("utf8"))
    return changed


def _between_markers(document: Path, part: str) -> str:
    """RETURNS (str): A Markdown file with another text between its markers."""
    text = document.read_text(encoding="utf8") if document.is_file() else ""
    if START not in text or END not in text:
        raise ValueError(f"{document} lacks the line {START!r} or {END!r}.")
    before, rest = text.split(START, 1)
    return f"{before}{START}\n\n{part}\n{END}{rest.split(END, 1)[1]}"


def _render(template: str, found: Results) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.do"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        pick=pick, percent=format_percent, mean=format_mean, commits=format_commits,
        origin=format_origin,
    )  # fmt: skip
    environment.globals.update(
        results=found, benchmarks=BENCHMARKS, encoders=ENCODERS, scores=SCORES,
        compare_losses=compare_losses, summarise=summarise,
    )  # fmt: skip
    return environment.get_template(template).render()


def pick(found: Iterable[Result], *keys: str) -> list[Any]:
    """RETURNS (list): What stands at nested keys of each result; None where it has no such."""
    values: list[Any] = list(found)
    for key in keys:
        values = [(value or {}).get(key) for value in values]
    return values


def format_percent(value: float | None) -> str:
    """RETURNS (str): A share in per cent; empty if it is None."""
    return "" if value is None else f"{100 * value:.1f}"


def format_mean(values: Iterable[float | None], factor: float = 100, digits: int = 1) -> str:
    """RETURNS (str): Mean and standard deviation over seeds; empty if one of the values is None.
    factor (float): Of the values. Defaults to 100, for per cent."""
    known = list(values)
    if None in known or not known:
        return ""
    return mean_and_deviation([factor * value for value in known if value is not None], digits)


def format_commits(found: Iterable[Result]) -> str:
    """RETURNS (str): The commits of results, or of the runs of a comparison, in short."""
    commits = (get_origin(result)["commit"] or "none" for result in found)
    return ", ".join(dict.fromkeys(f"`{commit[:10]}`" for commit in commits))


def format_origin(runs: Sequence[Result]) -> str:
    """RETURNS (str): When, with which seeds (if any) and at which commits results were measured."""
    origins = [get_origin(run) for run in runs]
    days = sorted(origin["date"][:10] for origin in origins if origin["date"])
    parts = [" and ".join(dict.fromkeys((days[0], days[-1])))] if days else []
    seeds = [str(origin["seed"]) for origin in origins if origin["seed"] is not None]
    if seeds:
        parts.append(f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)}")
    return ", ".join((*parts, f"commit {format_commits(runs)}"))


def get_origin(result: Result) -> dict[str, Any]:
    """RETURNS (dict): "commit", "seed" and "date" of a result file; None where it doesn't say. In
    scores they stand under "meta", in records of pretraining the commit is "git_commit"."""
    meta = result.get("meta", result)
    return {
        "commit": meta.get("commit", meta.get("git_commit")),
        "seed": meta.get("seed"),
        "date": meta.get("date"),
    }


def compare_losses(records: dict[str, Result]) -> tuple[list[str], list[list[str]]]:
    """Set held-out losses of pretraining side by side, by the masker that hid the tokens.

    records (dict): Records of pretraining, by title.
    RETURNS (tuple): The maskers that all records have (each also has its own), and rows of a title,
        losses by masker, that of the span boundary head, tokens and commit. The first row is of
        the encoder that the first record started from.
    """
    rows = [("starting encoder, fresh heads", next(iter(records.values()))["heldout"]["before"])]
    rows += [(title, record["heldout"]["after"]) for title, record in records.items()]
    origins = [["", ""]]
    origins += [[f"{x['tokens']:,}", format_commits([x])] for x in records.values()]
    maskers = [name for name in rows[1][1] if all(name in losses for _, losses in rows[1:])]
    cells = []
    for (title, losses), origin in zip(rows, origins):
        boundary = (f"{x['sbo_loss']:.3f}" for x in losses.values() if "sbo_loss" in x)
        figures = [f"{losses[masker]['loss']:.3f}" for masker in maskers]
        cells.append([title, *figures, next(boundary, ""), *origin])
    return maskers, cells
