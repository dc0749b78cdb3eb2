"""From the file a run wrote to a committed result.

Runs write to metrics/, which git ignores, and never to results/: a result is taken over on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import DIRTY

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


def record_result(
    source: Path, folder: Path, *, name: str | None = None, force: bool = False
) -> str:
    """Take a run's file over into the folder of committed results.

    source (Path): A result file, by `spanmed evaluate`, `spanmed pretrain` or a benchmark. If it
        does not say when it was written, that is the time of the file.
    folder (Path): Of the results.
    name (str | None): Of the result, without ".json". Defaults to None: the file's path below a
        folder `metrics`, or its name.
    force (bool): Whether to take a file whose origin is incomplete. Defaults to False.
    RETURNS (str): What was done, for the terminal.
    RAISES (ValueError): If the file is no result, or lacks its origin: commit (a dirty one is none),
        seed or date.
    """
    result = _read(source)
    kind, needed = _find_kind(source, result)
    if kind == "record of pretraining" and not result.get("date"):
        written = datetime.fromtimestamp(source.stat().st_mtime, timezone.utc)
        result["date"] = written.isoformat(timespec="seconds")
    missing = sorted(
        {part for run in result.get("runs", [result]) for part in _lacking(run, needed)}
    )
    if missing and not force:
        raise ValueError(
            f"'{source}' can't be traced, it has {' and '.join(missing)}: commit, run again, and "
            "record that; or give --force."
        )
    if CURVE in result:
        del result[CURVE]
        result["excerpt"] = "Without the curve of losses, which the run's own file has."
    result.pop(
        "other_runs", None
    )  # of a comparison: those of other settings, which it doesn't show
    target = folder / f"{name or _default_name(source)}.json"
    done = f"Recorded {source} as {target}"
    if target.is_file():
        old = get_origin(json.loads(target.read_text(encoding="utf8")))
        done += f", in place of that of commit {old['commit']}, seed {old['seed']}, {old['date']}"
    write_json(target, result)
    return done


def _read(source: Path) -> Result:
    if not source.is_file():
        raise ValueError(f"There is no result file '{source}': check the path.")
    try:
        result = json.loads(source.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"'{source}' is no JSON: {error}.") from error
    return result if isinstance(result, dict) else {}


def _find_kind(source: Path, result: Result) -> tuple[str, tuple[str, ...]]:
    for kind, (matches, needed) in KINDS.items():
        if matches(result):
            return kind, needed
    raise ValueError(f"'{source}' is no result file: none of {', '.join(KINDS)}.")


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
