"""The PyTorch side of the encoder: how it is run, how it learns, how its weights are stored.

bf16 on CPUs where it is faster (spaCy's own `mixed_precision` only knows CUDA), word embeddings that
stay frozen while fine-tuning, an optimizer inside PyTorch, and prediction in batches of similar
length, so that a document of any length runs in bounded memory and padding costs nothing.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext

import srsly
import torch
import torch.nn.functional as F
from spacy.language import Language
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Optimizer
from thinc.types import ArgsKwargs
from transformers.modeling_outputs import BaseModelOutput

from .cpu.layers import FastLayers
from .cpu.machine import give_back_freed_memory, keep_freed_memory, resolve_precision
from .torch_layer import AdamWMixin, dump_state

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
    _prepared: torch.nn.Module | None = None
    _layers: FastLayers | None = None

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

    def autocast(self) -> AbstractContextManager:
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
        return BaseModelOutput(last_hidden_state=output)  # type: ignore[arg-type]

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

        return BaseModelOutput(last_hidden_state=hidden), backprop  # type: ignore[arg-type]

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


def find_encoders(nlp: Language) -> list[EncoderShim]:
    """RETURNS (List[EncoderShim]): Those of a pipeline's components, shared or a pipe's own."""
    models = [pipe.model for _, pipe in nlp.pipeline if hasattr(pipe, "model")]
    shims = [shim for model in models for node in model.walk() for shim in node.shims]
    return [shim for shim in shims if isinstance(shim, EncoderShim)]
