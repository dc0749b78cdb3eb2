"""BERT's layers, computed with less work on the same weights.

Query, key and value in one product, attention by `attention.py`, what flows from layer to layer
in autocast's type, and the last layer only where it is read; for prediction in bfloat16 on a CPU
`packed.py`. Results are the same to rounding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from .attention import attend
from .packed import BertLayer, PackedLayers, can_pack

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "electra", "camembert")


def find_rows(
    batch: int, length: int, indices: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the tokens that are read.

    batch, length (int): Sequences, and their length.
    indices (tuple[Tensor, ...]): Rows of the flattened sequences that are read, repeated or not.
    RETURNS (tuple[Tensor, Tensor]): (batch, most tokens read in a sequence, rounded up to a
        multiple of 16), the places read in each, in order, filled up with others; and
        (batch x length,), where in these, flattened, a token that is read lies.
    """
    device = indices[0].device
    read = torch.zeros(batch * length, dtype=torch.bool, device=device)
    for index in indices:
        read[index] = True
    read = read.view(batch, length)
    most = max(int(read.sum(dim=1).max()), 1)
    most = min(-(-most // 16) * 16, length)  # few shapes: see `collate`
    rows = torch.argsort(read.int(), dim=1, descending=True, stable=True)[:, :most]
    first = torch.arange(batch, device=device)[:, None] * most
    return rows, (read.cumsum(dim=1) - 1 + first).flatten()


class FastLayers:
    """Takes the place of the layers' `forward`; their weights and names stay.

    encoder (PreTrainedModel): One for which `FastLayers.supports`.
    """

    def __init__(self, encoder: PreTrainedModel):
        self.encoder = encoder
        self.rows: torch.Tensor | None = None
        self.packed = PackedLayers()
        layers: list[BertLayer] = list(encoder.encoder.layer)  # type: ignore[union-attr,arg-type]
        for layer in layers:
            last = layer is layers[-1]
            layer.forward = partial(self._forward, layer, last)

    @staticmethod
    def supports(encoder: PreTrainedModel) -> bool:
        """RETURNS (bool): Whether the encoder is built of BERT's layers."""
        config = encoder.config
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        return config.model_type in MODEL_TYPES and absolute and not config.is_decoder

    def run(self, rows: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Run the encoder, its last layer only at some places.

        rows (Tensor): (batch, rows), the places to compute in each sequence. inputs: The encoder's.
        RETURNS (Tensor): (batch, rows, width).
        """
        self.rows = rows
        try:
            return self.encoder(**inputs).last_hidden_state
        finally:
            self.rows = None

    def _forward(
        self,
        layer: BertLayer,
        last: bool,
        hidden: torch.Tensor,
        mask: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...]:
        if layer.training or torch.is_grad_enabled():
            self.packed.clear()
        if any(arg is not None and arg is not False for arg in (*args, *kwargs.values())):
            # Attention weights wanted, or heads masked
            return type(layer).forward(layer, hidden, mask, *args, **kwargs)
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            hidden = hidden.to(torch.get_autocast_dtype(kind))
        rows = self.rows if last else None
        if rows is None and can_pack(layer, hidden):
            return (self.packed.get(layer)(hidden, mask),)
        attention, output = layer.attention, layer.output
        own = attention.self
        linears = (own.query, own.key, own.value)
        if rows is None:
            read = hidden
            weight = torch.cat([linear.weight for linear in linears])
            bias = torch.cat([linear.bias for linear in linears])
            parts = list(F.linear(hidden, weight, bias).chunk(3, dim=-1))
        else:
            read = hidden.gather(1, rows[:, :, None].expand(-1, -1, hidden.shape[2]))
            parts = [linear(x) for linear, x in zip(linears, (read, hidden, hidden))]
        heads = [
            part.unflatten(-1, (own.num_attention_heads, -1)).transpose(1, 2) for part in parts
        ]
        query, key, value = heads
        rate = own.dropout.p if layer.training else 0.0
        attended = _attend(query, key, value, mask, rate)
        part = attention.output
        middle = _add_and_norm(part, part.dense(attended), read)
        wide = layer.intermediate(middle)
        return (_add_and_norm(output, output.dense(wide), middle),)


def _add_and_norm(part: Any, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """part (Module): BertSelfOutput or BertOutput."""
    norm = part.LayerNorm
    total = dropout(new, part.dropout.p if part.training else 0.0) + old
    return F.layer_norm(total, norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(
        total.dtype
    )


def dropout(hidden: torch.Tensor, rate: float) -> torch.Tensor:
    """Dropout (Srivastava et al. 2014); on a CPU from a byte of randomness each, because PyTorch
    draws there one number after the other.

    rate (float): Between 0 and 1; on a CPU rounded to a 256th, unless to 0 or 1.
    RETURNS (Tensor): Of the same mean.
    """
    kept = 256 - round(256 * rate)
    if kept in (0, 256) or hidden.device.type != "cpu":
        return F.dropout(hidden, rate)
    numbers = torch.empty(-(-hidden.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    bytes_ = numbers.view(torch.uint8)[: hidden.numel()].view(hidden.shape)
    return hidden * (bytes_ < kept).to(hidden.dtype).mul_(256 / kept)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
) -> torch.Tensor:
    """mask (Tensor): (rows, 1, queries or 1, keys), added to the scores; the same for each query.
    RETURNS (Tensor): (rows, queries, width)."""
    learning = torch.is_grad_enabled() and query.requires_grad
    # Without gradients PyTorch's kernel is as fast, but not in bfloat16 on long rows.
    if query.device.type == "cpu" and not dropout and (learning or query.dtype == torch.bfloat16):
        return attend(query, key, value, None if mask is None else mask[:, 0, :1])
    if mask is not None:
        mask = mask[:, :, :1].to(query.dtype)
    attended = F.scaled_dot_product_attention(query, key, value, mask, dropout)
    return attended.transpose(1, 2).flatten(2)
