"""Variants of a config, trained over several seeds and compared on dev.

Each run is a `spacy train` of its own and its scores are those of the last evaluation. They are
written down after each run, so that an interrupted comparison goes on where it was.
"""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import srsly
import typer
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    StrictInt,
    ValidationError,
)
from spacy.util import load_config

from spacy_spanmed.cli.common import GpuId
from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import git_commit

from .common import errors

Record = dict[str, Any]
Settings = dict[str, Any]  # by dotted names
# Nothing behind a name in YAML is None, and means no settings
Overrides = Annotated[Settings, BeforeValidator(lambda value: {} if value is None else value)]


class Run(NamedTuple):
    """One training.

    corpus, variant (str): Their names in the plan.
    seed (int): Of the training.
    settings (dict): Overrides of the config, by dotted names, the seed not among them.
    """

    corpus: str
    variant: str
    seed: int
    settings: Settings


class Plan(BaseModel):
    """What is to be compared: a YAML file such as `configs/ablation.yml`.

    config (Path): Of `spacy train`, relative to the working directory.
    seeds (list[int]), scores (list[str]): One or more; scores by spaCy's names, such as "ents_f".
    settings (dict): Overrides for all runs.
    corpora, variants (dict): By name, overrides of their own; a variant's win over a corpus's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: FilePath
    seeds: Annotated[list[StrictInt], Field(min_length=1)]
    scores: Annotated[list[str], Field(min_length=1)]
    settings: Overrides
    corpora: Annotated[dict[str, Overrides], Field(min_length=1)]
    variants: Annotated[dict[str, Overrides], Field(min_length=1)]

    @property
    def runs(self) -> list[Run]:
        """RETURNS (list[Run]): One after the other: first each variant once."""
        return [
            Run(corpus, variant, seed, {**self.settings, **own, **more})
            for seed in self.seeds
            for corpus, own in self.corpora.items()
            for variant, more in self.variants.items()
        ]


def ablation(
    plan: Annotated[Path, typer.Argument(help="Plan, such as configs/ablation.yml.")],
    variant: Annotated[
        list[str] | None, typer.Option(help="Run only this one; may be repeated. Default: all.")
    ] = None,
    gpu_id: GpuId = -1,
    json: Annotated[
        Path, typer.Option(help="Results. Runs that are in it already are not run again.")
    ] = Path("metrics/ablation.json"),
) -> None:
    """Train variants of a config over several seeds, and compare their scores on dev.

    Give the same command again to go on after an interruption.

    Examples:

    python -m benchmarks ablation configs/ablation.yml

    python -m benchmarks ablation configs/ablation.yml --variant no_repeats
    """
    with errors(json):
        work = read_plan(plan)

        def save(records: list[Record]) -> None:
            own, others = split_records(work, records)
            head = {"plan": str(plan), "scores": work.scores}
            write_json(json, {**head, "runs": own, "other_runs": others})

        old = read_records(json)
        records = run_plan(work, old, variants=variant or (), gpu_id=gpu_id, save=save)
        typer.echo(summarise(records, work.scores))


def read_plan(path: Path) -> Plan:
    """Read a plan.

    path (Path): The YAML file, see `Plan`.
    RAISES (ValueError): The file is missing, or no such plan; the message says what to change.
    """
    if not path.is_file():
        raise ValueError(f"The plan '{path}' does not exist: check the path.")
    try:
        return Plan.model_validate(srsly.read_yaml(path))
    except ValidationError as error:
        wrong = []
        for item in error.errors():
            place = ".".join(map(str, item["loc"])) or "the file"
            given = "" if item["type"] == "missing" else f", not {item['input']!r}"
            wrong.append(f"{place}: {item['msg']}{given}")
        raise ValueError(f"'{path}' is no plan. {'; '.join(wrong)}.") from None
    except Exception as error:  # of its own for each kind of mistake
        raise ValueError(f"'{path}' is no YAML: {' '.join(str(error).split())}") from error


def read_records(path: Path) -> list[Record]:
    """RETURNS (list[Record]): Those written down by an earlier comparison, in "runs" and
    "other_runs"; none without a file.
    RAISES (ValueError): The file is something else."""
    if not path.exists():
        return []
    try:
        found = srsly.read_json(path)
        return [*found["runs"], *found.get("other_runs", [])]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{path}' holds no results of a comparison: choose another file."
        ) from error


def split_records(plan: Plan, records: list[Record]) -> tuple[list[Record], list[Record]]:
    """RETURNS (tuple): The records of this plan, in its order, and the others: of other settings,
    another config or variants that it no longer has, which a mean over seeds must not mix in."""
    own = [old for run in plan.runs if (old := _find(plan, run, records))]
    return own, [record for record in records if all(record is not old for old in own)]


def _identity(plan: Plan, run: Run) -> Record:
    # With the run's settings: what they override anyway may change in the config, as may comments
    config = load_config(plan.config, overrides=run.settings).to_str()
    return {**run._asdict(), "config_sha256": hashlib.sha256(config.encode()).hexdigest()}


def _find(plan: Plan, run: Run, records: list[Record]) -> Record | None:
    wanted = _identity(plan, run)
    same = (old for old in records if all(old.get(key) == wanted[key] for key in wanted))
    return next(same, None)


def run_plan(
    plan: Plan,
    records: list[Record],
    *,
    variants: Collection[str] = (),
    gpu_id: int = -1,
    save: Callable[[list[Record]], None],
) -> list[Record]:
    """Train what has not been trained yet, and show what is done.

    records (list[Record]): Of earlier runs. One with the same names, seed, settings and config is
        not run again; what lies at the paths of its settings is not looked at.
    variants (Collection[str]): Run only these. Default: all.
    gpu_id (int): GPU, or -1 for the CPU. Defaults to -1.
    save (Callable): Called with all records after each run.
    RETURNS (list[Record]): Those of this plan, earlier and new ones: the `Run`, "config_sha256"
        (of the config with the run's settings), "commit" (whose code was run), "date", "scores",
        "seconds".
    RAISES (ValueError): A variant that is not in the plan, or a training that fails.
    """
    unknown = set(variants) - {run.variant for run in plan.runs}
    if unknown:
        raise ValueError(f"The plan has no variant {', '.join(sorted(unknown))}.")
    records, found = list(records), []
    for number, run in enumerate(plan.runs, start=1):
        place = f"{number}/{len(plan.runs)} {run.corpus}, {run.variant}, seed {run.seed}"
        old = _find(plan, run, records)
        if old:
            typer.echo(f"{place}: there is a result already")
            found.append(old)
            continue
        if variants and run.variant not in variants:
            continue
        typer.echo(place)
        # each training is a process of its own, with the code that is there when it starts
        today = date.today().isoformat()
        record = {**_identity(plan, run), "commit": git_commit(), "date": today}
        started = time.perf_counter()
        record["scores"] = _train(plan.config, run, gpu_id)
        record["seconds"] = round(time.perf_counter() - started, 1)
        typer.echo(", ".join(f"{name} {record['scores'].get(name)}" for name in plan.scores))
        records.append(record)
        found.append(record)
        save(records)
    return found


def _train(config: Path, run: Run, gpu_id: int) -> dict[str, Any]:
    overrides = {**run.settings, "system.seed": run.seed}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "spacy", "train", str(config), "--output", folder]
        command += ["--gpu-id", str(gpu_id)]
        for name, value in overrides.items():
            command += [f"--{name}", value if isinstance(value, str) else srsly.json_dumps(value)]
        if subprocess.run(command).returncode:
            raise ValueError(
                f"{run.corpus}, {run.variant}, seed {run.seed}: spacy train failed, see above. "
                "Give the same command again to go on with this run."
            )
        scores = srsly.read_json(Path(folder) / "model-last" / "meta.json")["performance"]
        return {name: score for name, score in scores.items() if isinstance(score, (int, float))}


def summarise(
    records: Iterable[Record], scores: Sequence[str], names: Mapping[str, str] | None = None
) -> str:
    """Compare the variants of each corpus.

    records (Iterable[Record]): From `run_plan`.
    scores (Sequence[str]): Those to show.
    names (Mapping[str, str]): What scores are called in the head, by their names. Default: these.
    RETURNS (str): A table in Markdown: of each corpus and variant, mean and standard deviation of
        each score over the seeds, in per cent; behind them, in brackets, the mean difference from
        the corpus's first variant over the seeds that both have.
    """
    heads = [(names or {}).get(name, name) for name in scores]
    lines = [f"| corpus | variant | {' | '.join(heads)} | seeds |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record["corpus"]):
        groups.setdefault((record["corpus"], record["variant"]), []).append(record)
    first: dict[str, list[Record]] = {}
    for (corpus, variant), found in groups.items():
        base = first.setdefault(corpus, found)
        cells = []
        for name in scores:
            own, of_base = _by_seed(found, name), _by_seed(base, name)
            common = [own[seed] - of_base[seed] for seed in own if seed in of_base]
            difference = f" ({statistics.mean(common):+.1f})" if common else ""
            cells.append(mean_and_deviation(own.values()) + difference * (found is not base))
        lines.append(f"| {corpus} | {variant} | {' | '.join(cells)} | {len(found)} |")
    return "\n".join(lines)


def _by_seed(records: Iterable[Record], name: str) -> dict[int, float]:
    """RETURNS (dict[int, float]): A score in per cent by seed, where it is known."""
    found = {record["seed"]: record["scores"].get(name) for record in records}
    return {seed: 100 * score for seed, score in found.items() if score is not None}


def mean_and_deviation(values: Collection[float], digits: int = 1) -> str:
    """RETURNS (str): Mean and standard deviation, of several; "-" of none."""
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"
