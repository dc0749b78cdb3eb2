"""`spanmed bench`: this package side by side with what a user would run without it."""

from pathlib import Path
from typing import List, Optional

import typer
from typing_extensions import Annotated

from .common import errors_in_one_line, fail

app = typer.Typer(no_args_is_help=True, help="Benchmarks, side by side with the stock recipes.")


@app.callback()
def bench() -> None:
    """Benchmarks, side by side with the stock recipes."""


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="Config: encoder, masker, training.")] = Path(
        "configs/pretrain.cfg"
    ),
    text: Annotated[
        Optional[Path],
        typer.Option(help="File or folder of texts. Default: the config's [paths.train]."),
    ] = None,
    block_length: Annotated[int, typer.Option(min=8, help="Tokens of a block.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Blocks a step.")] = 32,
    steps: Annotated[int, typer.Option(min=2, help="Timed steps a round.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")] = 3,
    collator: Annotated[
        str, typer.Option(help="Stock collator: token or whole_word (slower).")
    ] = "token",
    loss_tokens: Annotated[
        int, typer.Option(min=0, help="Also train both on so many tokens; compare their losses.")
    ] = 0,
    seeds: Annotated[
        Optional[List[int]], typer.Option(help="Seeds for that, one an option. Default: 0.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Ours: auto, float32 or bfloat16. Stock is always float32.")
    ] = "auto",
    json: Annotated[Optional[Path], typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Time our pretraining and Hugging Face's example on the same text, encoder and tokens a step.

    Example: spanmed bench pretrain configs/pretrain.cfg --loss-tokens 200000 --json bench.json
    """
    try:
        from ..benchmarks.pretraining import Text, run_benchmark
        from ..pretraining.config import load_settings
        from ..pretraining.texts.sources import read_texts
    except (ImportError, RuntimeError) as error:  # transformers wraps some in a RuntimeError
        fail(f"{error}. Pretraining needs: pip install 'spacy_spanmed[pretrain]'")
    from .. import __version__
    from ..files import write_json
    from ..pretraining.record import git_commit, versions

    overrides = {
        "training.block_length": block_length,
        "training.batch_size": batch_size,
        "training.precision": precision,
    }
    with errors_in_one_line(json):
        try:
            settings, _ = load_settings(config, overrides)
            texts = list(read_texts([str(text)] if text else settings.paths.train))
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
        except ValueError as error:
            fail(str(error))
        masking = result["masking"]
        typer.echo(
            f"Ours {result['ours']:,.0f}, stock {result['stock']:,.0f} tokens/s: "
            f"{result['ratio']:.2f} x. Masking: {result['masking_share']:.2%} of the time, "
            f"{masking['ratio']:.0f} x as fast as SpanBERT's loop."
        )
        if json is not None:
            record = {"spacy_spanmed": __version__, "commit": git_commit(), "versions": versions()}
            write_json(json, {**result, **record})
            typer.echo(f"Wrote {json}")
