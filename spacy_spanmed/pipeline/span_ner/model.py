"""The span classifier: a biaffine score for each span and label.

After Yu, Bohnet and Poesio (2020), "Named Entity Recognition as Dependency Parsing", with a
softmax over the labels and "no entity" (class 0), a bias per span width, and without their LSTM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ...encoder.torch_layer import (
    ModuleShim,
    get_shim,
    init_on_tokens,
    read_tokens,
    run_on_tokens,
)

# Tokens whose spans are scored at once while predicting: bounds the memory of long Docs
PREDICT_TOKENS = 1024


@dataclass
class SpanScores:
    """Scores of all spans of up to `max_width` tokens of a batch of Docs.

    docs, starts, widths (np.ndarray): Ints1d; for each span, the index of its Doc in the batch, its first
        token in that Doc, and its length in tokens minus one. Sorted by width, then position.
    logits (Floats2d): (spans, labels + 1); column 0 is "no entity". Where the model runs; the pipe
        takes it to numpy.
    """

    docs: np.ndarray
    starts: np.ndarray
    widths: np.ndarray
    logits: Any


class BiaffineSpans(torch.nn.Module):
    """Token vectors in, span logits out.

    nI (int): Width of the token vectors. nO (int): Classes, "no entity" included.
    hidden (int): Width of the start and end representations. max_width (int): In tokens.
    """

    def __init__(self, nI: int, nO: int, hidden: int, max_width: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.project = torch.nn.Linear(nI, 2 * hidden)
        self.bilinear = torch.nn.Parameter(torch.empty(hidden, nO, hidden))
        torch.nn.init.normal_(self.bilinear, std=hidden**-1)
        # The parts that look at one boundary alone, and the prior of each width
        self.start = torch.nn.Linear(hidden, nO)
        self.end = torch.nn.Linear(hidden, nO, bias=False)
        self.width = torch.nn.Embedding(max_width, nO)
        torch.nn.init.zeros_(self.width.weight)
        # Nearly all spans are no entity: start from there instead of learning it first.
        with torch.no_grad():
            self.start.bias[0] += 4.0

    def forward(self, X: torch.Tensor, *firsts: torch.Tensor) -> torch.Tensor:
        """X (Tensor): (tokens, nI). firsts (Tensor): For each width, the rows in X where such a span
        starts. RETURNS (Tensor): (spans, nO), by width, then as in firsts."""
        hidden = torch.nn.functional.gelu(self.project(self.dropout(X)))
        starts, ends = self.dropout(hidden).chunk(2, dim=-1)
        start_scores, end_scores = self.start(starts), self.end(ends)
        size = max(len(X), 1) if self.training else PREDICT_TOKENS
        blocks = range(0, len(X), size)
        parts = []
        for first in firsts:
            counts = torch.bincount(first // size, minlength=len(blocks))
            parts.append(first.split(counts.tolist()))
        logits: list[list[torch.Tensor]] = [[] for _ in firsts]
        # From each token on all ends at once, in (token, hidden, width), without a copy
        padding = (0, 0, 0, len(firsts) - 1)
        windows = torch.nn.functional.pad(ends, padding).unfold(0, len(firsts), 1)
        for block, begin in enumerate(blocks):
            left = torch.einsum("ti,ioj->toj", starts[begin : begin + size], self.bilinear)
            pairs = torch.bmm(left, windows[begin : begin + size])
            for width, (part, of_width) in enumerate(zip(parts, pairs.unbind(dim=2))):
                first = part[block]
                scores = of_width[first - begin] + start_scores[first] + end_scores[first + width]
                logits[width].append(scores + self.width.weight[width])
        return torch.cat([scores for of_width in logits for scores in of_width])


def build_span_scorer(
    tok2vec: Model[list[Doc], list[Floats2d]],
    hidden_size: int = 96,
    max_width: int = 16,
    learn_rate_factor: float = 1.0,
    nO: int | None = None,
) -> Model[list[Doc], SpanScores]:
    """Architecture `spanmed.SpanScorer.v1`.

    tok2vec (Model[List[Doc], List[Floats2d]]): Token vectors, usually a TransformerListener.
    hidden_size (int): Width of the start and end representations.
    max_width (int): Longest span in tokens; longer entities can't be found.
    learn_rate_factor (float): Multiplies the optimizer's learning rate for this layer.
    nO (Optional[int]): Number of classes, "no entity" included; set by the pipe.
    RAISES (ValueError): If max_width is not positive.
    """
    if max_width < 1:
        raise ValueError(f"max_width must be at least 1 token, not {max_width}.")
    settings = {"hidden": hidden_size, "max_width": max_width}
    return Model(
        "span_scorer",
        forward,
        init=init_on_tokens,
        layers=[tok2vec],
        dims={"nO": nO},
        shims=[ModuleShim(BiaffineSpans, settings, learn_rate_factor)],
    )


def enumerate_spans(
    lengths: list[int], max_width: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """List all spans of up to max_width tokens that stay within their Doc.

    lengths (List[int]): Tokens of each Doc.
    RETURNS: (Doc index of each token, offset of each Doc, for each width the rows of the
        concatenated tokens at which such a span starts).
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("int64")
    room = offsets[1:][owner] - np.arange(len(owner)) if len(owner) else owner
    widest = min(max_width, max(lengths, default=0))
    return owner, offsets, [np.flatnonzero(room > width) for width in range(widest)]


def forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[SpanScores, Callable[[Floats2d], Any]]:
    shim = get_shim(model)
    X, backprop_tok2vec = read_tokens(model, docs, is_train)
    lengths = [len(doc) for doc in docs]
    owner, offsets, firsts = enumerate_spans(lengths, shim.settings["max_width"])
    if not firsts:
        empty = np.zeros((0,), dtype="int64")
        logits = model.ops.alloc2f(0, shim.settings["nO"])
        return SpanScores(empty, empty, empty, logits), lambda d_logits: backprop_tok2vec(X)
    logits, backprop = run_on_tokens(shim, X, backprop_tok2vec, is_train, *firsts)
    first = np.concatenate(firsts)
    widths = np.repeat(np.arange(len(firsts)), [len(f) for f in firsts])
    return SpanScores(owner[first], first - offsets[owner[first]], widths, logits), backprop


def resize_output(model: Model, nO: int) -> None:
    """Add classes at the end; what is known stays as it is.

    nO (int): The new number of classes, "no entity" included.
    """
    shim = get_shim(model)
    model.set_dim("nO", nO, force=True)
    if shim._model is None:
        return
    old, known = shim._model, shim.settings["nO"]
    new = shim.create(nO=nO)
    with torch.no_grad():
        new.project.load_state_dict(old.project.state_dict())
        new.bilinear[:, :known] = old.bilinear
        new.start.weight[:known], new.start.bias[:known] = old.start.weight, old.start.bias
        new.end.weight[:known] = old.end.weight
        new.width.weight[:, :known] = old.width.weight
        # A new class starts as the least likely one: predictions don't change before training.
        new.bilinear[:, known:] = 0
        new.start.weight[known:], new.end.weight[known:] = 0, 0
        new.start.bias[known:] = min(float(old.start.bias.min()) - 2.0, -6.0)
