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
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import spacy
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
from thinc.api import require_gpu

from spacy_spanmed.cli.common import GpuId
from spacy_spanmed.corpora.docbin import create_gold_corpus
from spacy_spanmed.tuning.thresholds import tune_pipes
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
    tuned (bool): Calibrate and tune on dev before scoring there: for variants whose scores don't mean
        the same at one threshold. Defaults to no.
    settings (dict): Overrides for all runs.
    corpora, variants (dict): By name, overrides of their own; a variant's win over a corpus's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: FilePath
    seeds: Annotated[list[StrictInt], Field(min_length=1)]
    scores: Annotated[list[str], Field(min_length=1)]
    tuned: bool = False
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
        work, records = read_plan(plan), read_records(json)
        unknown = set(variant or ()) - work.variants.keys()
        if unknown:
            raise ValueError(f"The plan has no variant {', '.join(sorted(unknown))}.")
        runs = [(run, _identity(work.config, run)) for run in work.runs]
        for number, (run, identity) in enumerate(runs, start=1):
            place = f"{number}/{len(runs)} {run.corpus}, {run.variant}, seed {run.seed}"
            if _find(identity, records):
                typer.echo(f"{place}: there is a result already")
            elif not variant or run.variant in variant:
                typer.echo(place)
                # each training is a process of its own, with the code that is there when it starts
                record = {**identity, "commit": git_commit(), "date": date.today().isoformat()}
                started = time.perf_counter()
                record["scores"] = _train(work.config, run, gpu_id, work.tuned)
                record["seconds"] = round(time.perf_counter() - started, 1)
                typer.echo(", ".join(f"{x} {record['scores'].get(x)}" for x in work.scores))
                records.append(record)
                own = [old for _, known in runs if (old := _find(known, records))]
                others = [old for old in records if old not in own]
                head = {"plan": str(plan), "scores": work.scores}
                write_json(json, {**head, "runs": own, "other_runs": others})
        own = [old for _, known in runs if (old := _find(known, records))]
        typer.echo(summarise(own, work.scores))


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
    """Read what earlier comparisons wrote down.

    RETURNS (list[Record]): Those in "runs", of a plan, and in "other_runs": of other settings,
        another config or variants that the plan no longer has, which a mean over seeds must not mix
        in. None without a file. A record is a `Run` with "config_sha256" (of the config with the
        run's settings), "commit" (whose code was run), "date", "scores" and "seconds".
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


def _identity(config: Path, run: Run) -> Record:
    """What a record must have in common with a run to stand for it; what lies at the paths of its
    settings is not looked at."""
    # With the run's settings: what they override anyway may change in the config, as may comments
    text = load_config(config, overrides=run.settings).to_str()
    return {**run._asdict(), "config_sha256": hashlib.sha256(text.encode()).hexdigest()}


def _find(identity: Record, records: Iterable[Record]) -> Record | None:
    return next((old for old in records if identity.items() <= old.items()), None)


def _train(config: Path, run: Run, gpu_id: int, tuned: bool) -> dict[str, Any]:
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
        model = Path(folder) / "model-last"
        scores = srsly.read_json(model / "meta.json")["performance"]
        if tuned:
            dev = load_config(config, overrides=overrides, interpolate=True)["paths"]["dev"]
            scores = _tune(model, Path(dev), gpu_id)
        return {name: score for name, score in scores.items() if isinstance(score, (int, float))}


def _tune(model: Path, dev: Path, gpu_id: int) -> dict[str, Any]:
    if gpu_id >= 0:
        require_gpu(gpu_id)
    nlp = spacy.load(model)
    tune_pipes(nlp, list(create_gold_corpus(dev)(nlp)))
    return nlp.evaluate(create_gold_corpus(dev)(nlp))


def summarise(
    records: Iterable[Record], scores: Sequence[str], names: Mapping[str, str] | None = None
) -> str:
    """Compare the variants of each corpus.

    records (Iterable[Record]): See `read_records`.
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
