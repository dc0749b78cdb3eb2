"""The transformer that carries the pretrained encoder inside a spaCy pipeline.

A `spacy-transformers` TransformerModel with another PyTorch shim: bf16 on CPUs where it is faster
(spaCy's own `mixed_precision` only knows CUDA), word embeddings that stay frozen while
fine-tuning, an optimizer inside PyTorch, and prediction in batches of similar length, so that a
document of any length runs in bounded memory and padding costs nothing.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, ContextManager, Dict, List, Optional

import srsly
import torch
import torch.nn.functional as F
from spacy.language import Language
from spacy_transformers import TransformerModel
from spacy_transformers.layers import split_trf_batch, trfs2arrays
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model, Optimizer, Shim, chain
from thinc.types import ArgsKwargs
from transformers.modeling_outputs import BaseModelOutput

from .encoders import resolve_encoder
from .fast_layers import FastLayers
from .memory import give_back_freed_memory, keep_freed_memory
from .precision import check_precision, resolve_precision
from .torch_layer import AdamWMixin, dump_state
from .windows import PieceCounter, SentenceWindows

# Word pieces, padding included, that go through the encoder at once while predicting. On a CPU, so
# few that what a layer makes of them stays in the processor's cache; on a GPU, few enough for any
# card.
PREDICT_PIECES = {"cpu": 2048, "cuda": 8192}

# Updates after which freed memory goes back to the system: seldom enough to cost nothing
UPDATES_TO_TRIM = 100

# Rows are padded to a multiple of so many pieces: oneDNN writes a program for each shape that it
# meets, which takes longer than a few pieces of padding.
MULTIPLE = 16

# Names of an encoder's parameters have the number of their layer
LAYER = re.compile(r"\.layers?\.(\d+)\.")

ROBERTAS = ("roberta", "xlm-roberta", "camembert")  # the first two positions aren't for text


class EncoderShim(AdamWMixin, HFShim):
    """The PyTorch side of `spanmed.TransformerModel.v1`. Settings are set by that function."""

    precision: str = "auto"
    freeze_embeddings: bool = True
    piece_dropout: float = 0.0
    layer_decay: float = 1.0
    _updates: int = 0
    _prepared: Optional[torch.nn.Module] = None
    _layers: Optional[FastLayers] = None

    def run_encoder(self, **inputs: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): The last hidden state, (rows, longest row, width), float32."""
        longest = inputs["input_ids"].shape[1]
        room = self._hfmodel.tokenizer.model_max_length - longest
        fill = min(-longest % MULTIPLE, max(room, 0))
        if fill:
            padding = {"input_ids": self._model.config.pad_token_id or 0}
            inputs = {k: F.pad(v, (0, fill), value=padding.get(k, 0)) for k, v in inputs.items()}
        if self._prepared is not self._model:  # loading a pipeline makes a new one
            supported = FastLayers.supports(self._model)
            self._layers = FastLayers(self._model) if supported else None
            self._prepared = self._model
        with self.autocast():
            return self._model(**inputs).last_hidden_state[:, :longest].float()

    def computes_in(self) -> str:
        """RETURNS (str): "float32" or "bfloat16"."""
        return resolve_precision(self.precision, self.device.type)

    def autocast(self) -> ContextManager:
        if self.computes_in() == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def predict(self, inputs: ArgsKwargs) -> BaseModelOutput:
        """Run the encoder over rows of similar length together, without their padding.

        RETURNS (BaseModelOutput): last_hidden_state, float32, (rows, longest row, width). Rows
            are zero behind their end.
        """
        self._model.eval()
        with torch.inference_mode():
            ids, mask = inputs.kwargs["input_ids"], inputs.kwargs["attention_mask"]
            lengths = mask.sum(dim=1).long()
            order = torch.argsort(lengths, descending=True)
            output = torch.zeros((*ids.shape, self._model.config.hidden_size), device=ids.device)
            limit = PREDICT_PIECES.get(self.device.type, PREDICT_PIECES["cuda"])
            start = 0
            while start < len(order):
                width = max(int(lengths[order[start]]), 1)
                rows = order[start : start + max(limit // width, 1)]
                start += len(rows)
                batch = {k: v[rows, :width] for k, v in inputs.kwargs.items()}
                output[rows, :width] = self.run_encoder(**batch)
        return BaseModelOutput(last_hidden_state=output)

    def finish_update(self, optimizer: Optimizer) -> None:
        super().finish_update(optimizer)
        if self._layers is not None:  # whatever was predicted since the batch went through
            self._layers.packed.clear()

    def begin_update(self, inputs: ArgsKwargs):
        if self.device.type == "cpu":
            keep_freed_memory()
            self._updates += 1
            if self._updates % UPDATES_TO_TRIM == 0:
                give_back_freed_memory()
        self._model.train()
        if self.freeze_embeddings:  # each time: loading a pipeline makes new parameters
            self._model.get_input_embeddings().weight.requires_grad_(False)
        ids = self._hide_pieces(inputs.kwargs["input_ids"])
        hidden = self.run_encoder(**{**inputs.kwargs, "input_ids": ids})

        def backprop(grads: ArgsKwargs) -> ArgsKwargs:
            torch.autograd.backward(hidden, list(grads.kwargs["grad_tensors"])[0])
            return inputs

        return BaseModelOutput(last_hidden_state=hidden), backprop

    def _get_share(self, name: str) -> float:
        if self.layer_decay == 1.0:
            return 1.0
        layers = self._model.config.num_hidden_layers
        found = LAYER.search(name)
        if found:
            return self.layer_decay ** (layers - 1 - int(found[1]))
        return self.layer_decay**layers if name.startswith("embeddings.") else 1.0

    def _hide_pieces(self, ids: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): The ids, with `piece_dropout` of them replaced by the mask token."""
        tokenizer = self._hfmodel.tokenizer
        if not self.piece_dropout or tokenizer.mask_token_id is None:
            return ids
        special = torch.tensor(tokenizer.all_special_ids, device=ids.device)
        hidden = torch.rand(ids.shape, device=ids.device) < self.piece_dropout
        return ids.masked_fill(hidden & ~torch.isin(ids, special), tokenizer.mask_token_id)

    def to_bytes(self) -> bytes:
        msg = srsly.msgpack_loads(super().to_bytes())
        if self._model is not None:
            msg["state"] = dump_state(self._model)
        return srsly.msgpack_dumps(msg)


def find_encoders(nlp: Language) -> List[EncoderShim]:
    """RETURNS (List[EncoderShim]): Those of a pipeline's components, shared or a pipe's own."""
    models = [pipe.model for _, pipe in nlp.pipeline if hasattr(pipe, "model")]
    shims = [shim for model in models for node in model.walk() for shim in node.shims]
    return [shim for shim in shims if isinstance(shim, EncoderShim)]


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
    tokenizer_config: Dict[str, Any] = {},
    transformer_config: Dict[str, Any] = {},
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
    shim = EncoderShim(layer.shims[0]._hfmodel)
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
    tokenizer_config: Dict[str, Any] = {},
    transformer_config: Dict[str, Any] = {},
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


def _init_resolved(init: Callable, model: Model, X: Any = None, Y: Any = None) -> None:
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


def _replace_listener_cfg(transformer: Dict[str, Any], listener: Dict[str, Any]) -> Dict[str, Any]:
    """The config of a pipe's own copy of the encoder, in place of its listener."""
    kept = {key: listener[key] for key in ("pooling", "grad_factor") if key in listener}
    return {**transformer, **kept, "@architectures": "spanmed.Tok2VecTransformer.v1"}
