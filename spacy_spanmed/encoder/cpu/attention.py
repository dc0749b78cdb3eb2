"""Attention on CPUs, with a backward pass of its own.

Small matrix products, which oneDNN computes in bfloat16 where that is faster, one document at a
time, so that its scores stay in the processor's cache. While learning they are kept for the
backward pass, where PyTorch's fused kernel would compute them again; else the next document's
take their place.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762).

    query (Tensor): (rows, heads, queries, width of a head).
    key, value (Tensor): (rows, heads, keys, width of a head).
    bias (Tensor): (rows, 1, keys), added to the scores, such as minus infinity for padding. It gets
        no gradient.
    RETURNS (Tensor): (rows, queries, heads x width of a head).
    """
    if torch.is_grad_enabled() and any(part.requires_grad for part in (query, key, value)):
        return _Attention.apply(query, key, value, bias)
    lengths = None if bias is None else _find_lengths(bias)
    if (bias is None or lengths) and query.dtype == torch.bfloat16 and has_amx():
        return _attend_fused(query, key, value, lengths)
    query = query * (1 / math.sqrt(query.shape[-1]))
    one = query.new_empty((1, *query.shape[1:3], key.shape[2]))  # of all rows, one after the other
    return _compute(query, key, value, bias, lengths, one.expand(len(query), -1, -1, -1))


def has_amx() -> bool:
    """RETURNS (bool): Whether PyTorch's fused kernel multiplies bfloat16 by AMX. It is then faster
    than ours, if there is nothing to mask; on other processors it is slower on long rows."""
    return torch.cpu._is_amx_tile_supported()


def _attend_fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int] | None
) -> torch.Tensor:
    """lengths (Optional[list[int]]): Of each row the keys to look at, the first; None: all."""
    if lengths is None or min(lengths) == key.shape[2]:
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    rows, heads, queries, width = query.shape
    output = query.new_empty((rows, queries, heads, width))
    for row, length in enumerate(lengths):
        some = slice(row, row + 1)
        output[some] = F.scaled_dot_product_attention(
            query[some], key[some, :, :length], value[some, :, :length]
        ).transpose(1, 2)
    return output.flatten(2)


def _compute(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    lengths: list[int] | None,
    scores: torch.Tensor,
) -> torch.Tensor:
    """query (Tensor): Scaled. lengths (Optional[list[int]]): What `_find_lengths` says of bias. scores (Tensor): (rows, heads, queries, keys), gets the weights."""
    rows, heads, queries, width = query.shape
    output = query.new_empty((rows, queries, heads, width))
    for row in range(rows):
        weights = scores[row]
        torch.bmm(query[row], key[row].transpose(1, 2), out=weights)
        if lengths is not None:
            weights[:, :, lengths[row] :] = -math.inf
        elif bias is not None:
            weights += bias[row]
        torch.softmax(weights, dim=-1, out=weights)
        output[row] = torch.bmm(weights, value[row]).transpose(0, 1)
    return output.flatten(2)


def _find_lengths(bias: torch.Tensor) -> list[int] | None:
    """RETURNS (Optional[list[int]]): Of each row the number of its first keys, to which nothing is
    added, if all others are shut out; None otherwise."""
    free = bias[:, 0] == 0
    counts = free.sum(dim=1)
    first = torch.arange(bias.shape[2]) < counts[:, None]
    shut = bias[:, 0] <= torch.finfo(torch.bfloat16).min / 2
    if int(counts.min()) and bool(((free == first) & (free | shut)).all()):
        return counts.tolist()
    return None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.scale = 1 / math.sqrt(query.shape[-1])
        query = (query * ctx.scale).contiguous()
        key, value = key.contiguous(), value.contiguous()
        scores = query.new_empty((*query.shape[:3], key.shape[2]))
        lengths = None if bias is None else _find_lengths(bias)
        output = _compute(query, key, value, bias, lengths, scores)
        ctx.save_for_backward(query, key, value, scores)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        query, key, value, scores = ctx.saved_tensors
        grads = [torch.empty_like(part) for part in (query, key, value)]
        d_output = gradient.view(*gradient.shape[:2], *query.shape[1::2]).transpose(1, 2)
        d_output = d_output.to(query.dtype).contiguous()
        d_weights = torch.empty_like(scores[:1])[0]
        for row in range(len(query)):
            weights = scores[row]
            torch.bmm(weights.transpose(1, 2), d_output[row], out=grads[2][row])
            torch.bmm(d_output[row], value[row].transpose(1, 2), out=d_weights)
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
            torch.bmm(d_scores, key[row], out=grads[0][row])
            torch.bmm(d_scores.transpose(1, 2), query[row], out=grads[1][row])
        grads[0] *= ctx.scale
        return (*grads, None)
