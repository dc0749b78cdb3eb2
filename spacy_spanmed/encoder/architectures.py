"""The transformer that carries the pretrained encoder inside a spaCy pipeline: a `spacy-transformers`
TransformerModel with another PyTorch shim (see `shim.py`), shared by the pipes or inside one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from spacy_transformers import TransformerModel
from spacy_transformers.layers import split_trf_batch, trfs2arrays
from thinc.api import Model, Shim, chain
from thinc.types import ArgsKwargs
from transformers.modeling_outputs import BaseModelOutput

from .cpu.machine import check_precision
from .resolving import resolve_encoder
from .shim import ROBERTAS, EncoderShim
from .windows import PieceCounter, SentenceWindows


def _convert_outputs(model: Model, inputs_outputs: Any, is_train: bool):
    _, output = inputs_outputs
    if is_train:
        detached = BaseModelOutput(last_hidden_state=output.last_hidden_state.detach())
    else:
        detached = output

    def backprop(d_output: Any) -> ArgsKwargs:
        return ArgsKwargs(args=(), kwargs={"grad_tensors": d_output.values()})

    return detached, backprop


def create_transformer_model(
    name: str,
    get_spans: Callable,
    tokenizer_config: dict[str, Any] = {},
    transformer_config: dict[str, Any] = {},
    precision: str = "auto",
    freeze_embeddings: bool = True,
    learn_rate_factor: float = 1.0,
    piece_dropout: float = 0.0,
    layer_decay: float = 1.0,
) -> Model:
    """Architecture `spanmed.TransformerModel.v1`: takes Docs, returns a FullTransformerBatch.

    name (str): Hugging Face name, local directory, or `package:NAME` (see `resolve_encoder`).
    get_spans (Callable[[List[Doc]], List[List[Span]]]): Cuts Docs into windows for the encoder.
    tokenizer_config (Dict): Settings for the Hugging Face tokenizer.
    transformer_config (Dict): Settings for the Hugging Face model, such as its dropout. The
        default configs set dropout to 0: on a CPU its random numbers cost more than they bring
        in a short fine-tuning.
    precision (str): "auto" (bf16 where that is faster, else float32), "float32" or
        "bfloat16". Weights are kept in float32 throughout.
    freeze_embeddings (bool): Leave the word embeddings, half of a small encoder's parameters, as
        they were pretrained.
    learn_rate_factor (float): Multiplies the optimizer's learning rate.
    piece_dropout (float): While training, the share of word pieces that the mask token hides, so
        that mentions are learned from their context too and not by heart. Defaults to 0.
    layer_decay (float): Each layer of the encoder learns at so much of the rate of the one above it
        (Howard and Ruder 2018, ULMFiT, doi 10.18653/v1/P18-1031). Defaults to 1: all alike.
    RAISES (ValueError): On an unknown precision, or a piece_dropout or layer_decay outside 0 to 1.
    """
    if not 0.0 < layer_decay <= 1.0:
        raise ValueError(f"layer_decay must be above 0 and at most 1, not {layer_decay}.")
    if not 0.0 <= piece_dropout < 1.0:
        raise ValueError(f"piece_dropout must be at least 0 and below 1, not {piece_dropout}.")
    check_precision(precision)
    model = TransformerModel(name, get_spans, dict(tokenizer_config), dict(transformer_config))
    _count_pieces(model)
    layer = model.layers[0]
    given: Any = layer.shims[0]
    shim = EncoderShim(given._hfmodel)
    shim.precision = precision
    shim.freeze_embeddings = freeze_embeddings
    shim.piece_dropout = piece_dropout
    shim.layer_decay = layer_decay
    shim.learn_rate_factor = learn_rate_factor
    layer.shims[0] = shim
    layer.attrs["convert_outputs"] = _convert_outputs
    model.attrs["replace_listener"] = _replace_listener
    model.attrs["replace_listener_cfg"] = _replace_listener_cfg
    model.init = partial(_init_resolved, model.init)
    return model


def create_tok2vec_transformer(
    name: str,
    get_spans: Callable,
    pooling: Model,
    grad_factor: float = 1.0,
    tokenizer_config: dict[str, Any] = {},
    transformer_config: dict[str, Any] = {},
    precision: str = "auto",
    freeze_embeddings: bool = True,
    learn_rate_factor: float = 1.0,
    piece_dropout: float = 0.0,
    layer_decay: float = 1.0,
) -> Model:
    """Architecture `spanmed.Tok2VecTransformer.v1`: the encoder inside one pipe, unshared.

    What `nlp.replace_listeners` turns a listener to `spanmed.TransformerModel.v1` into.

    pooling (Model[Ragged, Floats2d]), grad_factor (float): As in spaCy's TransformerListener.
    The rest: see `create_transformer_model`.
    """
    model = create_transformer_model(
        name,
        get_spans,
        tokenizer_config,
        transformer_config,
        precision,
        freeze_embeddings,
        learn_rate_factor,
        piece_dropout,
        layer_decay,
    )
    return chain(chain(model, split_trf_batch()), trfs2arrays(pooling, grad_factor))


def _init_resolved(init: Callable, model: TransformerModel, X: Any = None, Y: Any = None) -> None:
    """Not inside the function that uses it: started processes get the pipeline pickled.

    init (Callable): Of spacy-transformers' model.
    """
    if model.attrs["has_transformer"]:  # trained: the encoder it was made of may not be here
        return
    given = model.attrs["name"]  # is saved, so that it must not become a path of this machine
    model.attrs["name"] = name = resolve_encoder(given)
    try:
        init(model)  # without texts: how long they may be is known only below
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(
            f"Can't load the encoder {name!r}: {error}\nGive a Hugging Face name, a local "
            "directory with config.json, weights and tokenizer files, or package:NAME."
        ) from error
    finally:
        model.attrs["name"] = given
    limit = getattr(model.transformer.config, "max_position_embeddings", None)
    if limit is not None:  # a tokenizer may not know it
        limit -= 2 if model.transformer.config.model_type in ROBERTAS else 0
        model.tokenizer.model_max_length = min(model.tokenizer.model_max_length, limit)


def _count_pieces(model: TransformerModel) -> None:
    """Have the pieces in sentence windows counted by this model's tokenizer."""
    get_spans = model.attrs["get_spans"]
    if isinstance(get_spans, SentenceWindows):
        counter = PieceCounter(partial(getattr, model, "tokenizer"))
        model.attrs["get_spans"] = SentenceWindows(get_spans.max_pieces, counter)


def _replace_listener(model: TransformerModel) -> Model:
    """A copy of the encoder, to take a listener's place. It comes as a deep copy."""
    # `TransformerModel.copy` forgets it, and would load an encoder anew when initialized
    model.attrs["has_transformer"] = model.transformer is not None
    _count_pieces(model)
    for node in model.walk():
        for shim in node.shims:  # by whose ids a thinc optimizer keeps what belongs to each
            with Shim.global_id_lock:
                Shim.global_id += 1
                shim.id = Shim.global_id
    return chain(model, split_trf_batch())


def _replace_listener_cfg(transformer: dict[str, Any], listener: dict[str, Any]) -> dict[str, Any]:
    """The config of a pipe's own copy of the encoder, in place of its listener."""
    kept: dict[str, Any] = {
        key: listener[key] for key in ("pooling", "grad_factor") if key in listener
    }
    return {**transformer, **kept, "@architectures": "spanmed.Tok2VecTransformer.v1"}
