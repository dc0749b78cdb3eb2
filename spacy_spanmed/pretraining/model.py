"""The model of the pretraining: an encoder, a masked-language head and a span boundary head.

Logits are computed at the targets only, and for both objectives in one product with the word
embeddings, to which the decoder is tied.

The cross-entropy over the vocabulary makes its gradients on the way. For each target the decoder
gives a row as wide as the vocabulary. Made with stock operations, half a dozen float32 matrices of
that size go through memory: logits, their float32 copy, log-probabilities, three gradients. Here one
bfloat16 (or float32) matrix is made, and turned into the gradient of the logits in place, a few
rows at a time, while they are in the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from ..encoder.cpu.layers import FastLayers, find_rows

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
        d_decoder: torch.Tensor | None = None
        d_bias = torch.zeros_like(bias) if wanted[2] else None
        for start in range(0, len(labels), ROWS):
            part = slice(start, start + ROWS)
            logits = torch.addmm(offset, vectors[part], matrix.t())
            losses[part], hits[part] = _to_gradients(logits, labels[part], weights[part])
            if d_vectors is not None:
                torch.mm(logits, matrix, out=d_vectors[part])
            if wanted[1]:  # not where the encoder is frozen
                d_part = logits.t() @ vectors[part]
                d_decoder = (
                    d_part.to(decoder.dtype) if d_decoder is None else d_decoder.add_(d_part)
                )
            if d_bias is not None:
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


def make_transform(hidden: int, width: int) -> nn.Sequential:
    """BERT's masked-language head up to the decoder: dense, GeLU, LayerNorm.

    hidden (int): Width of the encoder.
    width (int): Width of the word embeddings, which differs from ``hidden`` in some encoders.
    RETURNS (Sequential): From (targets, hidden) to (targets, width).
    """
    norm = nn.LayerNorm(width, eps=1e-12)  # BERT's, so that its heads can be taken over
    parts = {"dense": nn.Linear(hidden, width), "gelu": nn.GELU(), "norm": norm}
    return nn.Sequential(OrderedDict(parts))


class SpanBoundaryHead(nn.Module):
    """The span boundary objective of SpanBERT (Joshi et al. 2020, doi 10.1162/tacl_a_00300).

    A target is predicted from the tokens just outside its span, x[s-1] and x[e+1], and an
    embedding p of its place in the span: h0 = [x[s-1]; x[e+1]; p], then two layers of
    LayerNorm(GeLU(W h)).

    hidden (int): Width of the encoder.
    width (int): Width of the word embeddings.
    positions (int): Places in a span that have an embedding of their own; later ones share the
        last.
    position_width (int): Width of that embedding.
    """

    def __init__(self, hidden: int, width: int, positions: int, position_width: int):
        super().__init__()
        self.positions = nn.Embedding(positions, position_width)
        self.first = make_transform(2 * hidden + position_width, hidden)
        self.second = make_transform(hidden, width)

    def forward(
        self, left: torch.Tensor, right: torch.Tensor, offsets: torch.Tensor
    ) -> torch.Tensor:
        """Map two (targets, hidden) tensors and (targets,) offsets to (targets, width)."""
        place = self.positions(offsets.clamp(max=self.positions.num_embeddings - 1))
        return self.second(self.first(torch.cat([left, right, place.to(left.dtype)], dim=-1)))


def word_embeddings(encoder: PreTrainedModel) -> torch.Tensor:
    """RETURNS (Tensor): The encoder's word embeddings, (vocabulary, width)."""
    weights = encoder.get_input_embeddings().weight
    assert isinstance(weights, torch.Tensor)
    return weights


class PretrainingModel(nn.Module):
    """An encoder with its pretraining heads.

    encoder (PreTrainedModel): A BERT-like encoder as ``AutoModel`` loads it.
    block_length (int): Tokens of a sequence, the number of places in a span at most.
    sbo_weight (float): Weight of the span boundary loss; 0 leaves its head out.
    sbo_position_width (int): Width of the embedding of the place in a span.
    freeze_encoder (bool): Train the heads only. The decoder matrix is the encoder's word
        embeddings, so what trains is: dense layer and LayerNorm of the masked-language head, the
        span boundary head, and the decoder's bias.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        block_length: int,
        sbo_weight: float,
        sbo_position_width: int,
        freeze_encoder: bool,
    ):
        super().__init__()
        vocabulary, width = word_embeddings(encoder).shape
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        self._layers = FastLayers(encoder) if FastLayers.supports(encoder) else None
        self.mlm = make_transform(hidden, width)
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary))
        self.sbo = (
            SpanBoundaryHead(hidden, width, block_length, sbo_position_width)
            if sbo_weight > 0
            else None
        )
        self.sbo_weight = sbo_weight
        self.freeze_encoder = freeze_encoder
        # What FSDP's auto_wrap splits: layers, but not the embeddings, which the decoder reads too.
        names: Iterable[str] = encoder._no_split_modules or ()
        self._no_split_modules = [name for name in names if not name.endswith("Embeddings")]
        for module in (self.mlm, self.sbo):
            if module is not None:
                module.apply(_initialise)
        for name, parameter in encoder.named_parameters():
            # The pooler reads [CLS] for tasks of its own; left out, it would be an unused
            # parameter, which distributed training refuses.
            parameter.requires_grad = not (freeze_encoder or name.startswith("pooler."))

    def head_state(self) -> dict[str, torch.Tensor]:
        """The weights that are no part of the encoder, by name."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("encoder.")}

    def load_heads(self, state: dict[str, torch.Tensor]) -> list[str]:
        """Take over head weights of an earlier pretraining where name and shape fit.

        state (dict): Tensors by name, as from :meth:`head_state`.
        RETURNS (list): The names that were taken over.
        """
        own = self.head_state()
        known = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
        self.load_state_dict(known, strict=False)
        return sorted(known)

    def _encode(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        read: tuple[torch.Tensor, ...],
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """RETURNS (tuple): Vectors, (rows, width), and where in them the tokens lie that `read`
        has numbered through the flattened batch."""
        inputs = {"input_ids": input_ids}
        if attention_mask is not None:
            # RoBERTa-like encoders count positions by which ids are not the padding's
            padding = getattr(self.encoder.config, "pad_token_id", None) or 0
            inputs["input_ids"] = input_ids.masked_fill(attention_mask == 0, padding)
            inputs["attention_mask"] = attention_mask
        if self._layers is None:
            return self.encoder(**inputs).last_hidden_state.flatten(0, 1), read
        batch, length = input_ids.shape
        rows, place = find_rows(batch, length, read)
        hidden = self._layers.run(rows, **inputs)
        return hidden.flatten(0, 1), tuple(place[index] for index in read)

    def forward(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        labels: torch.Tensor,
        left: torch.Tensor,
        right: torch.Tensor,
        offsets: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Losses of a batch from ``collate``.

        input_ids (Tensor): Shape (batch, length), corrupted ids.
        positions, labels, left, right, offsets (Tensor): Shape (targets,), see ``collate``.
        attention_mask (Tensor): Shape (batch, length), 0 where there is padding, whatever its
            ids; None if there is none, which is faster.
        RETURNS (dict): ``loss`` = mean MLM loss + ``sbo_weight`` x mean SBO loss, in nats a
            target; ``mlm_loss`` and ``sbo_loss`` alone, detached; in evaluation mode also
            ``mlm_accuracy``. Zero where there is no target.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_encoder):
            tokens = (positions,) if self.sbo is None else (positions, left, right)
            hidden, read = self._encode(input_ids, attention_mask, tokens)
        # Filled up with targets that weigh nothing, so that there are few shapes: see `collate`.
        count = len(labels)
        fill = (0, -count % 64)
        labels, offsets, *rows = (F.pad(part, fill) for part in (labels, offsets, *read))
        # F.embedding instead of an index: many targets share a boundary, and only its gradient
        # is summed in the same order whatever the threads do.
        targets, *boundaries = (F.embedding(index, hidden) for index in rows)
        vectors = [self.mlm(targets)]
        if self.sbo is not None:
            vectors.append(self.sbo(*boundaries, offsets))
        # The mean over targets, of each objective
        weights = torch.zeros(len(labels), device=labels.device)
        weights[:count] = 1.0 / max(count, 1)
        parts = [weights, weights * self.sbo_weight][: len(vectors)]
        total, losses, hits = tied_cross_entropy(
            torch.cat(vectors),
            word_embeddings(self.encoder),
            self.decoder_bias,
            labels.repeat(len(vectors)),
            torch.cat(parts),
        )
        means = (losses.view(len(vectors), len(labels)) * weights).sum(dim=1)
        output = {"loss": total, "mlm_loss": means[0]}
        if not self.training:
            output["mlm_accuracy"] = (hits[: len(labels)] * weights).sum()
        if self.sbo is not None:
            output["sbo_loss"] = means[1]
        return output


def _initialise(module: nn.Module) -> None:
    """BERT's initialisation: normal with deviation 0.02, biases zero."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
