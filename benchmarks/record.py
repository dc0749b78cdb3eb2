"""From the file a run wrote to a committed result.

Runs write to metrics/, which git ignores, and never to results/: a result is taken over on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from spacy_spanmed.cli.common import fail
from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import DIRTY

from .common import errors
from .results import get_origin

Result = dict[str, Any]
# How each kind of result file is told, and what of its origin it must say
KINDS: dict[str, tuple[Callable[[Result], bool], tuple[str, ...]]] = {
    "scores": (lambda data: "meta" in data, ("commit", "seed", "date")),
    "record of pretraining": (lambda data: "heldout" in data, ("commit", "seed", "date")),
    "comparison": (lambda data: "plan" in data and bool(data.get("runs")), ("commit", "seed")),
    "benchmark": (lambda data: "versions" in data, ("commit", "date")),
}
NO_SEED = {"dictionary"}  # baselines that draw nothing
CURVE = "curve"  # of a record of pretraining, thousands of lines that no document shows


def record(
    files: Annotated[list[Path], typer.Argument(help="Result files of runs, below metrics/.")],
    name: Annotated[
        str | None,
        typer.Option("--as", help="Name below results/. Default: as the file's below metrics/."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the committed results lie.")] = Path(
        "results"
    ),
    force: Annotated[
        bool, typer.Option("--force", help="Even if it isn't known which code made it.")
    ] = False,
) -> None:
    """Take the figures of a run over into results/, from which the documents are made.

    Examples:

    python -m benchmarks record metrics/test.json

    python -m benchmarks record metrics/bc5cdr.json --as seed3/bc5cdr
    """
    if name is not None and len(files) > 1:
        fail("--as names one result: give one file.")
    with errors(results):
        for file in files:
            result = _read(file, force)
            target = results / f"{name or _default_name(file)}.json"
            done = f"Recorded {file} as {target}"
            if target.is_file():
                old = get_origin(json.loads(target.read_text(encoding="utf8")))
                done += (
                    f", in place of that of commit {old['commit']}, seed {old['seed']}, "
                    f"{old['date']}"
                )
            write_json(target, result)
            typer.echo(done)
    typer.echo("Now the documents: python -m benchmarks results")


def _read(source: Path, force: bool) -> Result:
    """Read what is to be recorded of a result file by `spanmed evaluate`, `spanmed pretrain` or a
    benchmark. If it does not say when it was written, that is the time of the file.

    RAISES (ValueError): If the file is no result or, without force, lacks its origin: commit (a
        dirty one is none), seed or date.
    """
    if not source.is_file():
        raise ValueError(f"There is no result file '{source}': check the path.")
    try:
        result = json.loads(source.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"'{source}' is no JSON: {error}.") from error
    known = KINDS.items() if isinstance(result, dict) else ()
    kind, needed = next(
        ((kind, needed) for kind, (matches, needed) in known if matches(result)), ("", ())
    )
    if not kind:
        raise ValueError(f"'{source}' is no result file: none of {', '.join(KINDS)}.")
    if kind == "record of pretraining" and not result.get("date"):
        written = datetime.fromtimestamp(source.stat().st_mtime, timezone.utc)
        result["date"] = written.isoformat(timespec="seconds")
    missing = {part for run in result.get("runs", [result]) for part in _lacking(run, needed)}
    if missing and not force:
        raise ValueError(
            f"'{source}' can't be traced, it has {' and '.join(sorted(missing))}: commit, run "
            "again, and record that; or give --force."
        )
    if result.pop(CURVE, None) is not None:
        result["excerpt"] = "Without the curve of losses, which the run's own file has."
    result.pop("other_runs", None)  # of a comparison: those of other settings
    return result


def _lacking(run: Result, needed: tuple[str, ...]) -> list[str]:
    origin = get_origin(run)
    if run.get("meta", {}).get("name") in NO_SEED:
        origin["seed"] = 0
    lacking = [f"no {part}" for part in needed if origin[part] is None]
    if str(origin["commit"]).endswith(DIRTY):
        lacking.append("a commit with changes that were not committed")
    return lacking


def _default_name(source: Path) -> str:
    parts = source.with_suffix("").parts
    below = parts[parts.index("metrics") + 1 :] if "metrics" in parts else parts[-1:]
    return "/".join(below)
