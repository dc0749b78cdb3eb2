"""What a finished run leaves: the encoder, its record, and the curves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from ..util.files import write_atomically, write_json
from . import checkpoints
from .config import Paths
from .encoder_files import LoadedEncoder, publish, save_encoder
from .model import PretrainingModel
from .reporting.curves import draw_curves

RECORD_FILE = "pretraining.json"


def check_output(paths: Paths) -> None:
    """Check, before a run, that its result may take the place of what is there.

    paths (Paths): Of the config.
    RAISES (ValueError): ``output`` is no folder of its own: it holds other files than an earlier
        result, or is where the run keeps something.
    """
    output = paths.output.resolve()
    advice = "Name a folder that does not exist yet, such as 'training/encoder'."
    for name, path in (("checkpoints", paths.checkpoints), ("cache", paths.cache_folder)):
        if path.resolve().is_relative_to(output):
            raise ValueError(
                f"paths.output is '{paths.output}', which the finished encoder will replace as a "
                f"whole, with paths.{name} ('{path}') inside. {advice}"
            )
    if not output.exists():
        return
    ours = (output / RECORD_FILE).is_file()
    if not output.is_dir() or (not ours and any(output.iterdir())):
        raise ValueError(
            f"paths.output is '{paths.output}', which the finished encoder would replace, but it "
            f"is not the result of a pretraining (it has no {RECORD_FILE}). {advice}"
        )


def find_finished(paths: Paths, fingerprint: str) -> dict[str, Any] | None:
    """The record of a finished run, if it is this one's."""
    finished = checkpoints.read_json(paths.output / RECORD_FILE)
    same = isinstance(finished, dict) and finished.get("fingerprint") == fingerprint
    return finished if same else None


def finish(
    output: Path, model: PretrainingModel, loaded: LoadedEncoder, result: dict[str, Any]
) -> None:
    """Write encoder, tokenizer, heads and record beside their place, then move them there.

    output (Path): The directory to publish.
    model (PretrainingModel): The trained model.
    loaded (LoadedEncoder): For tokenizer and dropout settings.
    result (dict): The record.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run killed at this point
    remedy = "Free some space, then give the same command again: it only has to write the result."
    with checkpoints.writing(temporary, remedy):
        save_encoder(temporary, model.encoder, loaded.tokenizer, model.head_state(), loaded.dropout)
        write_json(temporary / RECORD_FILE, result)
        publish(temporary, output)


def write_results(result: dict[str, Any], paths: Paths, console: Console) -> None:
    """Write the record of a finished run where the config wants it, and draw its curves.

    result (dict): The record.
    paths (Paths): Of the config.
    console (Console): To say that the curves cannot be drawn.
    """
    write_json(paths.metrics, result)
    figure = paths.curves or paths.metrics.with_suffix(".svg")
    try:
        write_atomically(figure, draw_curves(result))
    except ImportError:
        hint = "The curves are not drawn: for that, pip install 'spacy_spanmed[pretrain]'."
        console.print(hint, markup=False)
