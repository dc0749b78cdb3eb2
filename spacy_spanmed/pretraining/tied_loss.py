"""Cross-entropy over the vocabulary, with its gradients made on the way.

For each target the decoder gives a row as wide as the vocabulary. Made with stock operations,
half a dozen float32 matrices of that size go through memory: logits, their float32 copy,
log-probabilities, three gradients. Here one bfloat16 (or float32) matrix is made, and turned into
the gradient of the logits in place, a few rows at a time, while they are in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

ROWS = 1024  # targets whose logits are in memory at a time
CACHED_ROWS = 32  # float32 rows that go through the softmax at a time on a CPU: some MB


class TargetLosses(NamedTuple):
    """Losses of targets.

    total (Tensor): Sum of the weighted losses, the one through which gradients flow.
    losses (Tensor): (targets,), in nats, float32, unweighted and detached.
    hits (Tensor): (targets,), bool, whether the highest logit is the label's.
    """

    total: torch.Tensor
    losses: torch.Tensor
    hits: torch.Tensor


def tied_cross_entropy(
    vectors: torch.Tensor,
    decoder: torch.Tensor,
    bias: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
) -> TargetLosses:
    """Cross-entropy of ``vectors @ decoder.T + bias``, computed in autocast's type, if it is on.

    vectors (Tensor): (targets, width).
    decoder (Tensor): (vocabulary, width), such as the word embeddings.
    bias (Tensor): (vocabulary,).
    labels (Tensor): (targets,), ids.
    weights (Tensor): (targets,), float32, factors of the losses in the total. No gradient.
    RETURNS (TargetLosses): The losses. A gradient of a gradient is not to be had.
    """
    kind = vectors.device.type
    if torch.is_autocast_enabled(kind):
        vectors = vectors.to(torch.get_autocast_dtype(kind))
    return TargetLosses(*_TiedCrossEntropy.apply(vectors, decoder, bias, labels, weights))


class _TiedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        vectors: torch.Tensor,
        decoder: torch.Tensor,
        bias: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        wanted = ctx.needs_input_grad[:3]
        matrix, offset = decoder.to(vectors.dtype), bias.to(vectors.dtype)
        losses = torch.empty(len(labels), device=vectors.device)
        hits = torch.empty(len(labels), dtype=torch.bool, device=vectors.device)
        ones = torch.ones(len(labels), dtype=vectors.dtype, device=vectors.device)
        d_vectors = torch.empty_like(vectors) if wanted[0] else None
        d_decoder = None
        d_bias = torch.zeros_like(bias) if wanted[2] else None
        for start in range(0, len(labels), ROWS):
            part = slice(start, start + ROWS)
            logits = torch.addmm(offset, vectors[part], matrix.t())
            losses[part], hits[part] = _to_gradients(logits, labels[part], weights[part])
            if wanted[0]:
                torch.mm(logits, matrix, out=d_vectors[part])
            if wanted[1]:  # not where the encoder is frozen
                d_part = logits.t() @ vectors[part]
                d_decoder = (
                    d_part.to(decoder.dtype) if d_decoder is None else d_decoder.add_(d_part)
                )
            if wanted[2]:
                d_bias += logits.t() @ ones[part]
        if wanted[1] and d_decoder is None:
            d_decoder = torch.zeros_like(decoder)
        ctx.grads = (d_vectors, d_decoder, d_bias)
        ctx.mark_non_differentiable(losses, hits)
        return (losses * weights).sum(), losses, hits

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, *unused: Any) -> tuple[Any, ...]:
        grads, ctx.grads = ctx.grads, None  # once only, hence in place
        if gradient != 1:
            for part in filter(lambda grad: grad is not None, grads):
                part *= gradient
        return (*grads, None, None)


def _to_gradients(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace logits by the gradient of the weighted losses; RETURNS losses and hits."""
    losses, hits = [], []
    count = CACHED_ROWS if logits.device.type == "cpu" else ROWS
    cached = torch.empty((min(count, len(logits)), logits.shape[1]), device=logits.device)
    for rows, label, weight in zip(logits.split(count), labels.split(count), weights.split(count)):
        probabilities = cached[: len(rows)].copy_(rows)
        label = label[:, None]
        right = probabilities.gather(1, label)
        torch.softmax(probabilities, dim=-1, out=probabilities)
        # Of the highest logit, because the label's own probability may be too small for a float.
        most, best = probabilities.max(dim=-1, keepdim=True)
        highest = rows.gather(1, best).float()
        losses.append((highest - most.log() - right)[:, 0])
        hits.append((best == label)[:, 0])
        probabilities.scatter_add_(1, label, torch.full_like(right, -1.0))
        torch.mul(probabilities, weight[:, None], out=probabilities)
        rows.copy_(probabilities)
    return torch.cat(losses), torch.cat(hits)
