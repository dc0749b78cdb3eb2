"""The settings of a pretraining run, in spaCy's config language."""

import re
from pathlib import Path
from typing import Any, Literal

from catalogue import RegistryError
from confection import ConfigValidationError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from spacy.util import load_config, registry

from .maskers import Masker

Precision = Literal["auto", "float32", "bfloat16"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        # An option without a value is read as true, which pydantic takes for the number 1.
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and field is not None and field.annotation is not bool:
            raise ValueError(f"needs a value, not {str(value).lower()}")
        return value


class Paths(_Section):
    """Files and directories, relative to the working directory.

    train (list): Texts to train on: one or several files, folders, and datasets as ``hf:NAME``;
        see ``texts/sources.py``.
    dev (list): Held-out texts in the same forms; empty or null with ``data.held_out``.
    output (Path): Where the pretrained encoder goes.
    checkpoints (Path): Where checkpoints live until the run has finished.
    cache (Path): Where tokenized texts are kept for later runs; null: beside the checkpoints, in a
        folder with "-cache" after their name.
    metrics (Path): The record of the run, JSON.
    curves (Path): A figure of its losses, SVG; null: beside the record.
    """

    train: list[str]
    dev: list[str] = []
    output: Path
    checkpoints: Path
    cache: Path | None = None
    metrics: Path
    curves: Path | None = None

    @field_validator("train", "dev", mode="before")
    @classmethod
    def _is_list(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name == "dev":
            return []
        return [str(value)] if isinstance(value, (str, Path)) else value

    @property
    def cache_folder(self) -> Path:
        """Where tokenized texts are kept."""
        return self.cache or self.checkpoints.with_name(f"{self.checkpoints.name}-cache")


class DataSettings(_Section):
    """From texts to sequences.

    text_field (str): Key or column of the text in JSON lines, Parquet and datasets.
    txt_documents (str): What a document is in a .txt file: the whole "file", a "line", or a
        "paragraph" between blank lines.
    on_error (str): What to do with a text that can't be read: "raise" an error, or "skip" and
        count it.
    held_out (float): Without ``paths.dev``: share of the training texts that is held out instead,
        chosen by a hash of the text, so that equal texts are on the same side.
    replace (list): Pairs of a regular expression and what its matches become, before all else:
        for a corpus's own placeholders and headings.
    normalize_whitespace (bool): Make runs of white space one space; see
        ``texts/selection.py``.
    remove_control_characters (bool): Remove characters that nobody sees.
    min_characters (int): Leave out shorter documents.
    deduplicate (bool): Leave out documents that were there before.
    exclude (list): Corpora whose texts must not be trained on, in any format that ``convert``
        reads: documents that share a passage with one of them are left out of the training texts.
    exclude_words (int): How many words in a row make a shared passage; see
        ``texts/selection.py``.
    join_documents (bool): Fill sequences with one document after the other, instead of starting a
        sequence with each document and ending it with a sentence.
    min_block (int): Unless joined, tokens of a sequence at least, special tokens included.
    streaming (bool): Tokenize while training and keep only held-out texts on the disk; see
        ``StreamedSequences``.
    shuffle_buffer (int): Sequences that are shuffled at a time while streaming.
    """

    text_field: str = "text"
    txt_documents: Literal["file", "line", "paragraph"] = "file"
    on_error: Literal["raise", "skip"] = "raise"
    held_out: float = Field(default=0.0, ge=0, lt=1)
    replace: list[tuple[re.Pattern[str], str]] = []
    normalize_whitespace: bool = True
    remove_control_characters: bool = True
    min_characters: int = Field(default=0, ge=0)
    deduplicate: bool = True
    exclude: list[Path] = []
    exclude_words: int = Field(default=13, ge=8)
    join_documents: bool = False
    min_block: int = Field(default=16, ge=3)
    streaming: bool = False
    shuffle_buffer: int = Field(default=8192, ge=1)

    @field_validator("replace")
    @classmethod
    def _fits(cls, pairs: list[tuple[re.Pattern[str], str]]) -> list[tuple[re.Pattern[str], str]]:
        for pattern, replacement in pairs:
            try:
                re.sub(f"{pattern.pattern}|", replacement, "")  # a match, to look at its groups
            except re.error as error:
                raise ValueError(
                    f"{pattern.pattern!r} can't become {replacement!r}: {error}"
                ) from None
        return pairs


class System(_Section):
    """seed (int): Seed of the fresh heads, the order of the sequences and the masks."""

    seed: int = Field(default=0, ge=0)


class ModelSettings(_Section):
    """The model and its objectives.

    encoder (str): A directory, a Hugging Face name or ``package:MODULE``.
    sbo_weight (float): Weight of the span boundary objective beside the masked-language one;
        0 turns it off.
    sbo_position_width (int): Width of the embedding of a target's place in its span.
    dropout (float): Dropout of the encoder while it is pretrained.
    """

    encoder: str
    sbo_weight: float = Field(default=1.0, ge=0)
    sbo_position_width: int = Field(default=200, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Training(_Section):
    """The training run.

    block_length (int): Tokens of a sequence, special tokens included.
    total_tokens (int): Tokens to train on, repeated ones included; rounded up to full steps.
    batch_size (int): Sequences an optimizer step, over all devices.
    accumulate_gradient (int): Parts a batch is computed in, to save memory.
    learn_rate (float): Peak learning rate of the encoder.
    head_learn_rate (float): Peak learning rate of the heads, which may start fresh.
    warmup (float): Part of the steps over which the rates rise; then they fall linearly to 0.
    weight_decay (float): For weight matrices; biases and LayerNorm have none.
    grad_clip (float): Largest norm of the gradient; 0 turns clipping off.
    dynamic_masking (bool): New masks whenever a text comes again; else always the same.
    freeze_encoder (bool): Train the heads only: what the starting encoder knows without training.
    precision (str): "float32", "bfloat16" (autocast), or "auto": the faster of them.
    compile (bool): Compile the encoder with torch.compile: slow to start, then faster.
    fsdp (str): Split the model over several GPUs instead of copying it to each: options of
        ``TrainingArguments.fsdp``, such as "full_shard auto_wrap"; empty turns it off.
    dev_blocks (int): Held-out sequences to measure on at most.
    log_every (int): Steps between two lines of progress.
    checkpoint_every (int): Steps between two checkpoints.
    """

    block_length: int = Field(default=128, ge=8)
    total_tokens: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1)
    accumulate_gradient: int = Field(default=1, ge=1)
    learn_rate: float = Field(default=5e-4, ge=0)
    head_learn_rate: float = Field(default=1e-3, ge=0)
    warmup: float = Field(default=0.06, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    grad_clip: float = Field(default=1.0, ge=0)
    dynamic_masking: bool = True
    freeze_encoder: bool = False
    precision: Precision = "auto"
    compile: bool = False
    fsdp: str = ""
    dev_blocks: int = Field(default=128, ge=1)
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)


class Logging(_Section):
    """report_to (list): Where else the Trainer reports to: "tensorboard", "wandb"."""

    report_to: list[Literal["tensorboard", "wandb"]] = []


class PretrainSettings(_Section):
    """All settings; ``masker`` is built by the function that [masker] names."""

    paths: Paths
    data: DataSettings = DataSettings()
    system: System = System()
    model: ModelSettings
    masker: Any
    training: Training
    logging: Logging = Logging()

    @field_validator("masker", mode="before")
    @classmethod
    def _is_masker(cls, value: Any) -> Any:
        if not isinstance(value, Masker):
            raise ValueError('needs a registered masker, such as @misc = "spanmed.SpanMasker.v1"')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "PretrainSettings":
        data = self.data
        if bool(self.paths.dev) == bool(data.held_out):
            raise ValueError(
                "give held-out texts with paths.dev, or a share of the training texts with "
                "data.held_out, one of the two"
            )
        if data.held_out and data.streaming:
            raise ValueError("streaming needs held-out texts of their own: set paths.dev")
        if data.streaming and not self.training.dynamic_masking:
            raise ValueError(
                "training.dynamic_masking = false needs texts that are kept: data.streaming = false"
            )
        return self


def load_settings(
    path: Path, overrides: dict[str, Any] | None = None
) -> tuple[PretrainSettings, dict[str, Any]]:
    """Read and check a pretraining config.

    path (Path): The config file.
    overrides (dict): Values by dotted key, such as ``{"training.total_tokens": 10000}``.
    RETURNS (tuple): The checked settings, and the interpolated config they come from.
    RAISES (ValueError): The file is missing, or a section, key or value is wrong; the message
        names it.
    """
    if not path.is_file():
        raise ValueError(f"The config file '{path}' does not exist.")
    try:
        config = load_config(path, overrides=overrides or {}, interpolate=True)
        sections = {name: section for name, section in config.items() if name != "vars"}
        return PretrainSettings(**registry.resolve(sections)), sections
    except (ConfigValidationError, ValidationError) as err:
        faults: Any = err.errors() if isinstance(err, ValidationError) else err.errors
        details = []
        for fault in faults:
            message = fault["msg"].removeprefix("Value error, ")
            if message.startswith("Extra inputs"):
                message += " (unknown key: check its spelling)"
            place = " -> ".join(map(str, fault["loc"]))
            details.append(f"{place}: {message}" if place else message)
        raise ValueError(f"{path}: {'; '.join(details) or ' '.join(str(err).split())}") from err
    except (RegistryError, ValueError) as err:
        raise ValueError(f"{path}: {' '.join(str(err).split())}") from err
