"""The settings of a pretraining run, in spaCy's config language."""

from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple

from catalogue import RegistryError
from confection import ConfigValidationError
from pydantic.v1 import BaseModel, Extra, Field, ValidationError, validator
from spacy.util import load_config, registry

from spacy_spanmed.pretraining import maskers  # noqa: F401 (registers the maskers)


class _Section(BaseModel):
    class Config:
        extra = Extra.forbid
        arbitrary_types_allowed = True


class Paths(_Section):
    """Files and directories, relative to the working directory.

    train (Path): Texts to train on, JSONL with a "text" a line.
    dev (Path): Held-out texts in the same form.
    output (Path): Where the pretrained encoder goes.
    checkpoints (Path): Where checkpoints live until the run has finished.
    metrics (Path): The record of the run, JSON.
    """

    train: Path
    dev: Path
    output: Path
    checkpoints: Path
    metrics: Path


class System(_Section):
    """seed (int): Seed of the fresh heads, the order of the blocks and the masks."""

    seed: int = Field(0, ge=0)


class ModelSettings(_Section):
    """The model and its objectives.

    encoder (str): A directory, a Hugging Face name or ``package:MODULE``.
    sbo_weight (float): Weight of the span boundary objective beside the masked-language one;
        0 turns it off.
    sbo_position_width (int): Width of the embedding of a target's place in its span.
    dropout (float): Dropout of the encoder while it is pretrained.
    """

    encoder: str
    sbo_weight: float = Field(1.0, ge=0)
    sbo_position_width: int = Field(200, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)


class Training(_Section):
    """The training run.

    block_length (int): Tokens of a block, special tokens included.
    total_tokens (int): Tokens to train on, repeated ones included; rounded up to full steps.
    batch_size (int): Blocks an optimizer step, over all devices.
    accumulate_gradient (int): Parts a batch is computed in, to save memory.
    learn_rate (float): Peak learning rate of the encoder.
    head_learn_rate (float): Peak learning rate of the heads, which may start fresh.
    warmup (float): Part of the steps over which the rates rise; then they fall linearly to 0.
    weight_decay (float): For weight matrices; biases and LayerNorm have none.
    grad_clip (float): Largest norm of the gradient; 0 turns clipping off.
    freeze_encoder (bool): Train the heads only: what the starting encoder knows without training.
    precision (str): "float32", "bfloat16" (autocast), or "auto": bfloat16 where the hardware has it.
    dev_blocks (int): Held-out blocks to measure on at most.
    log_every (int): Steps between two lines of progress.
    checkpoint_every (int): Steps between two checkpoints.
    """

    block_length: int = Field(128, ge=8)
    total_tokens: int = Field(..., ge=1)
    batch_size: int = Field(16, ge=1)
    accumulate_gradient: int = Field(1, ge=1)
    learn_rate: float = Field(5e-4, ge=0)
    head_learn_rate: float = Field(1e-3, ge=0)
    warmup: float = Field(0.06, ge=0, le=1)
    weight_decay: float = Field(0.01, ge=0)
    grad_clip: float = Field(1.0, ge=0)
    freeze_encoder: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    dev_blocks: int = Field(128, ge=1)
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(50, ge=1)


class PretrainSettings(_Section):
    """All settings; ``masker`` is built by the function that [masker] names."""

    paths: Paths
    system: System = System()
    model: ModelSettings
    masker: Any
    training: Training

    @validator("masker", pre=True)
    def _is_masker(cls, value: Any) -> Any:
        if not hasattr(value, "select"):
            raise ValueError('needs a registered masker, such as @misc = "spanmed.SpanMasker.v1"')
        return value


def load_settings(
    path: Path, overrides: Optional[Dict[str, Any]] = None
) -> Tuple[PretrainSettings, Dict[str, Any]]:
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
        details = [f"{' -> '.join(map(str, e['loc']))}: {e['msg']}" for e in _errors(err)]
        hint = " (unknown key: check its spelling)" if "extra fields" in str(details) else ""
        raise ValueError(f"{path}: {'; '.join(details)}{hint}") from err
    except (RegistryError, ValueError) as err:
        raise ValueError(f"{path}: {' '.join(str(err).split())}") from err


def _errors(err: Exception) -> List[Dict[str, Any]]:
    """The single faults of a pydantic or confection error."""
    faults = err.errors() if callable(err.errors) else err.errors
    return list(faults) or [{"loc": ("config",), "msg": " ".join(str(err).split())}]
