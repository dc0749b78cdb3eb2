"""Layers of an encoder for one pipe alone, on the token vectors that all pipes share.

The encoder reads a text once, not knowing what is asked of it. These layers go on from its output with
learned marks where the mentions begin and end, so that each token can take in which words are
entities and of which types: what typed markers in the text do (Zhou and Chen 2022, "An Improved Baseline
for Sentence-level Relation Extraction"), without another pass through the encoder. They start as a
copy of its last layers, and learn from their own pipe alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers import BertConfig, PreTrainedModel
from transformers.models.bert.modeling_bert import BertEncoder

from .cpu.layers import FastLayers
from .cpu.machine import resolve_precision

MULTIPLE = 16  # rows are padded to one: see `shim.py`
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 8192}  # while predicting, padding included


class TokenLayers(torch.nn.Module):
    """Token vectors in, token vectors out.

    width (int): Of token vectors. layers (int): Their number. heads (int): Of attention; width is a
    multiple of it. wide (int): Width of what lies between a layer's two products. marks (int): Kinds
    of mentions. dropout (float): Between layers.
    """

    precision = "auto"  # see `resolve_precision`

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        wide: int,
        marks: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.config = BertConfig(
            vocab_size=1,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=wide,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=0.0,  # its random numbers cost more than they bring
        )
        self.encoder = BertEncoder(self.config)
        self.first = torch.nn.Embedding(marks, width)
        self.last = torch.nn.Embedding(marks, width)
        for table in (self.first, self.last):
            torch.nn.init.normal_(table.weight, std=0.02)
        self._fast: FastLayers | None = None

    def forward(
        self, X: torch.Tensor, spans: torch.Tensor, labels: torch.Tensor, windows: torch.Tensor
    ) -> torch.Tensor:
        """X (Tensor): (tokens, width). spans (Tensor): (mentions, 2), first and last token.
        labels (Tensor): (mentions,), the kind of each. windows (Tensor): (windows, 2), start and end,
        exclusive, which together cover all tokens, in order, on the CPU.
        RETURNS (Tensor): (tokens, width), float32."""
        X = X.index_add(0, spans[:, 0], self.first(labels).to(X.dtype))
        X = X.index_add(0, spans[:, 1], self.last(labels).to(X.dtype))
        parts = []
        for rows in self._batch(windows, X.device.type):
            starts, ends = windows[rows].unbind(dim=1)
            longest = int((ends - starts).max())
            longest += -longest % MULTIPLE
            places = starts[:, None] + torch.arange(longest)
            outside = places >= ends[:, None]
            index = places.masked_fill(outside, 0).to(X.device)
            bias = torch.zeros(outside.shape, device=X.device)
            bias = bias.masked_fill(outside.to(X.device), torch.finfo(X.dtype).min)[
                :, None, None, :
            ]
            hidden = self._run(X[index], bias if outside.any() else None)
            parts.append((places[~outside].to(X.device), hidden[~outside.to(X.device)]))
        order = torch.cat([places for places, _ in parts])
        found = torch.cat([hidden for _, hidden in parts])
        return torch.zeros_like(X).index_copy(0, order, found)

    def _batch(self, windows: torch.Tensor, device: str) -> Sequence[torch.Tensor]:
        """RETURNS (Sequence[Tensor]): Rows that go through together, of similar length."""
        lengths = windows[:, 1] - windows[:, 0]
        order = lengths.argsort(descending=True, stable=True)
        limit = TOKENS_AT_ONCE.get(device, TOKENS_AT_ONCE["cuda"])
        batches, start = [], 0
        while start < len(order):
            size = max(limit // max(int(lengths[order[start]]), 1), 1)
            batches.append(order[start : start + size])
            start += size
        return batches

    def _run(self, hidden: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self._fast is None:
            self._fast = FastLayers(self)  # type: ignore[arg-type]
        kind = hidden.device.type
        half = resolve_precision(self.precision, kind) == "bfloat16"
        with torch.autocast(kind, dtype=torch.bfloat16) if half else nullcontext():
            for layer in self.encoder.layer:
                hidden = layer(hidden, bias)[0]
        return hidden.float()

    def forget(self) -> None:
        """Drop what was computed from the weights, which have changed."""
        if self._fast is not None:
            self._fast.packed.clear()

    def __getstate__(self) -> dict:
        # A copy's layers must not run with this one's weights
        state = {**self.__dict__, "_fast": None}
        return state


def describe_layers(encoder: PreTrainedModel) -> dict[str, Any] | None:
    """RETURNS (Optional[Dict]): "heads", "wide" and "dropout" of an encoder whose layers `TokenLayers`
    can start from; None of another architecture."""
    if not FastLayers.supports(encoder):
        return None
    config = encoder.config
    return {
        "heads": config.num_attention_heads,
        "wide": config.intermediate_size,
        "dropout": config.hidden_dropout_prob,
    }


def copy_layers(layers: TokenLayers, encoder: PreTrainedModel) -> None:
    """Let the layers start as the last ones of an encoder.

    encoder (PreTrainedModel): One that `describe_layers` describes as these are. If it has fewer
        layers, the last one is copied several times.
    """
    own = list(layers.encoder.layer)
    given = list(encoder.encoder.layer)  # type: ignore[union-attr,arg-type]
    for number, layer in enumerate(own):
        place = max(len(given) - len(own) + number, 0)
        layer.load_state_dict(given[place].state_dict())
