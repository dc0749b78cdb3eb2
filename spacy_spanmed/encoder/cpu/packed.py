"""BERT's layers in bfloat16 for prediction on a CPU: weights rounded once and laid out for oneDNN.

Autocast rounds all weights again for each batch, and oneDNN lays them out again for each product.
While nothing is learned both are the same work each time: here it is done once, and again after the
weights have changed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .attention import attend

BertLayer = Any  # a Module; PyTorch's types say nothing of its parts
ROWS = 2048  # of the products that the layout is for; others are right too


class PackedLayers:
    """Layers by their modules, for as long as their weights stay the same. PyTorch's fused optimizers,
    and changes through `.data`, give no sign of it: clear this then."""

    def __init__(self) -> None:
        self._layers: dict[nn.Module, tuple[Any, PackedLayer]] = {}

    def get(self, layer: BertLayer) -> PackedLayer:
        """RETURNS (PackedLayer): Of one of BERT's layers."""
        state = [_get_state(parameter) for parameter in layer.parameters()]
        known = self._layers.get(layer)
        if known is None or known[0] != state:
            known = self._layers[layer] = (state, PackedLayer(layer))
        return known[1]

    def clear(self) -> None:
        """Forget all."""
        self._layers.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles start empty: a layout is for this process and these modules."""
        return PackedLayers, ()


def can_pack(layer: BertLayer, hidden: torch.Tensor) -> bool:
    """RETURNS (bool): Whether a layer is used as packed ones are: on a CPU, in bfloat16 by autocast,
    without gradients and dropout, with BERT's own activation, and nothing (such as LoRA) wrapped
    around its linear layers."""
    return (
        not layer.training
        and not torch.is_grad_enabled()
        and hidden.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and type(layer.intermediate.intermediate_act_fn).__name__ == "GELUActivation"
        and all(type(linear) is nn.Linear for linear in _get_linears(layer))
    )


def _get_linears(layer: BertLayer) -> tuple[nn.Linear, ...]:
    """RETURNS (tuple[Linear, ...]): Query, key, value, output of attention, wide, narrow."""
    attention, own = layer.attention, layer.attention.self
    read = (own.query, own.key, own.value)
    return (*read, attention.output.dense, layer.intermediate.dense, layer.output.dense)


class PackedLayer:
    """One of BERT's layers (Devlin et al. 2019, doi 10.18653/v1/N19-1423).

    layer (BertLayer): Its weights are copied.
    """

    def __init__(self, layer: BertLayer):
        query, key, value, attended, wide, narrow = _get_linears(layer)
        self.heads = layer.attention.self.num_attention_heads
        self.read = _Linear(query, key, value)
        self.attended = _Linear(attended)
        self.wide = _Linear(wide, gelu=True)
        self.narrow = _Linear(narrow)
        self.norms = [
            (norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps)
            for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm)
        ]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """hidden (Tensor): (rows, length, width). mask (Tensor): (rows, 1, queries or 1, length), added
        to the scores; the same for each query. RETURNS (Tensor): As hidden, bfloat16."""
        with torch.autocast("cpu", enabled=False):
            hidden = hidden.to(torch.bfloat16)
            query, key, value = (
                part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for part in self.read(hidden).chunk(3, dim=-1)
            )
            attended = attend(query, key, value, None if mask is None else mask[:, 0, :1])
            hidden = F.layer_norm(self.attended(attended) + hidden, *self.norms[0])
            return F.layer_norm(self.narrow(self.wide(hidden)) + hidden, *self.norms[1])


class _Linear:
    """Several linear layers on the same input as one; the activation is part of it."""

    def __init__(self, *linears: nn.Linear, gelu: bool = False):
        self.weight = torch.cat([linear.weight.detach().bfloat16() for linear in linears])
        self.bias = torch.cat([linear.bias.detach().bfloat16() for linear in linears])
        self.gelu = gelu
        self.packed = _find_operators()
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.packed:
            after: tuple[Any, ...] = ("gelu", [], "none") if self.gelu else ("none", [], "")
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, *after)
        x = F.linear(x, self.weight, self.bias)
        return F.gelu(x) if self.gelu else x


def _find_operators() -> bool:
    """RETURNS (bool): Whether this PyTorch has the operators that its own compiler uses, and a
    processor for them. They are not public, hence may go."""
    names = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    found = torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )
    return found and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _get_state(parameter: torch.Tensor) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): Changes with the values."""
    version = 0 if parameter.is_inference() else parameter._version
    return parameter.data_ptr(), version
