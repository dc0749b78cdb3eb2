"""The classifier of pairs of arguments, `spanmed.PairScorer.v2`: one row a pair, however many mentions.

On the token vectors that all pipes share go layers of the relations' own, with marks at the mentions
(`encoder/token_layers.py`). An argument is a smooth maximum over its mentions (Jia et al. 2019); head and
tail have maps of their own. A pair attends with several heads to its document, by a query made from
both (the localized context pooling of Zhou et al. 2021, ATLOP, arXiv 2010.11304, with learned instead
of borrowed attention), and its two sides meet in a grouped bilinear layer (the same paper). Whether
a pair is related, and how, are two outputs: see `losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import gcd
from typing import Any

import torch
import torch.nn.functional as F
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ...encoder.cpu.machine import check_precision
from ...encoder.token_layers import TokenLayers, copy_layers, describe_layers
from ...encoder.torch_layer import (
    ModuleShim,
    get_shim,
    init_on_tokens,
    read_tokens,
    run_on_tokens,
)
from .arguments import BUCKETS, index_arguments
from .candidates import CandidatePairs
from .evidence import SIZE
from .model import UNKNOWN_LABEL, count_at_once

OTHER_COLUMNS = 2  # behind the labels: "related", "negated"


class ArgumentClassifier(torch.nn.Module):
    """Token vectors and pairs of arguments in, logits out: (pairs, labels + 2), the last two columns
    whether they are related, and whether that is negated.

    nI (int): Width of token vectors. nO (int): Relation labels. nL (int): Rows of the embedding of
    entity labels. hidden (int): Width of arguments, context and the hidden layer, a multiple of
    heads and of block. heads (int): Of attention to the document. block (int): Size of the groups
    of the bilinear layer. layers (int): Of the relations' own; layer_heads, layer_wide
    (Optional[int]), layer_dropout (float): see `TokenLayers`; without sizes, BERT's. evidence (bool): Look at `describe_pairs`.
    """

    pretrained = "layers."  # what learns at the encoder's own rate

    def __init__(
        self,
        nI: int,
        nO: int,
        nL: int,
        hidden: int,
        heads: int,
        block: int,
        layers: int,
        evidence: bool,
        layer_heads: int | None = None,
        layer_wide: int | None = None,
        layer_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.hidden, self.heads, self.block = hidden, heads, block
        self.layers = None
        if layers:
            layer_heads = layer_heads or gcd(nI, 12)
            self.layers = TokenLayers(
                nI, layers, layer_heads, layer_wide or 4 * nI, nL, layer_dropout
            )
        self.dropout = torch.nn.Dropout(dropout)
        self.mention = torch.nn.Linear(2 * nI, hidden)
        self.label = torch.nn.Embedding(nL, hidden)
        torch.nn.init.normal_(self.label.weight, std=0.1)
        self.mention_norm = torch.nn.LayerNorm(hidden)
        self.head_query = torch.nn.Linear(hidden, hidden)
        self.tail_query = torch.nn.Linear(hidden, hidden)
        self.key_value = torch.nn.Linear(nI, 2 * hidden)
        self.head = torch.nn.Linear(2 * hidden, hidden)
        self.tail = torch.nn.Linear(2 * hidden, hidden)
        self.distance = torch.nn.Embedding(BUCKETS, hidden)
        torch.nn.init.normal_(self.distance.weight, std=0.1)
        self.evidence = torch.nn.Linear(SIZE, hidden) if evidence else None
        self.combine = torch.nn.Linear((4 if evidence else 3) * hidden, hidden)
        self.bilinear = torch.nn.Linear(hidden * block, hidden, bias=False)
        self.norm = torch.nn.LayerNorm(hidden)
        self.output = torch.nn.Linear(hidden, nO + OTHER_COLUMNS)
        with torch.no_grad():  # never trained: says nothing, instead of something at random
            self.label.weight[UNKNOWN_LABEL] = 0.0

    def forward(
        self,
        X: torch.Tensor,
        windows: torch.Tensor,
        spans: torch.Tensor,
        labels: torch.Tensor,
        members: torch.Tensor,
        pairs: torch.Tensor,
        contexts: torch.Tensor,
        buckets: torch.Tensor,
        evidence: torch.Tensor,
    ) -> torch.Tensor:
        """For the arguments see `ArgumentBatch`."""
        if self.layers is not None:
            X = self.layers(X, spans, labels, windows.cpu())
        X = self.dropout(X)
        ends = torch.cat([X[spans[:, 0]], X[spans[:, 1]]], dim=1)
        mentions = self.mention_norm(self.mention(ends) + self.label(labels))
        arguments = pool_members(mentions, members)
        order = contexts[:, 0].argsort(stable=True)  # neighbours share tokens
        pairs, contexts = pairs[order], contexts[order]
        around = self._attend(X, arguments, pairs, contexts)
        step = count_at_once(X)
        parts = (pairs, around, self.distance(buckets[order]), evidence[order])
        scores = [self._combine(arguments, *some) for some in zip(*(x.split(step) for x in parts))]
        return torch.cat(scores)[order.argsort()]

    def _attend(
        self,
        X: torch.Tensor,
        arguments: torch.Tensor,
        pairs: torch.Tensor,
        contexts: torch.Tensor,
    ) -> torch.Tensor:
        """RETURNS (Tensor): (pairs, hidden). Each query is compared with the contexts of the pairs beside
        it too, and what is not its own is hidden."""
        keys, values = (
            part.unflatten(1, (self.heads, -1)).transpose(0, 1)
            for part in self.key_value(X).chunk(2, dim=1)
        )
        as_head, as_tail = self.head_query(arguments), self.tail_query(arguments)
        scale = keys.shape[2] ** -0.5
        found = []
        step = count_at_once(X)
        for some, own in zip(pairs.split(step), contexts.split(step)):
            start, end = int(own[:, 0].min()), int(own[:, 1].max())
            query = (as_head[some[:, 0]] + as_tail[some[:, 1]]) * scale
            query = query.unflatten(1, (self.heads, -1)).transpose(0, 1)
            tokens = torch.arange(start, end, device=X.device)
            outside = (tokens < own[:, :1]) | (tokens >= own[:, 1:])
            scores = query @ keys[:, start:end].transpose(1, 2)
            weights = scores.masked_fill(outside, float("-inf")).softmax(dim=-1)
            found.append((weights @ values[:, start:end]).transpose(0, 1).flatten(1))
        return torch.cat(found)

    def _combine(
        self,
        arguments: torch.Tensor,
        pairs: torch.Tensor,
        around: torch.Tensor,
        distance: torch.Tensor,
        evidence: torch.Tensor,
    ) -> torch.Tensor:
        head = self.head(torch.cat([arguments[pairs[:, 0]], around], dim=1)).tanh()
        tail = self.tail(torch.cat([arguments[pairs[:, 1]], around], dim=1)).tanh()
        parts = [head, tail, around]
        if self.evidence is not None:
            parts.append(F.gelu(self.evidence(evidence)))
        groups = head.unflatten(1, (-1, self.block, 1)) * tail.unflatten(1, (-1, 1, self.block))
        pair = self.combine(torch.cat(parts, dim=1)) + self.bilinear(groups.flatten(1)) + distance
        return self.output(self.dropout(F.gelu(self.norm(pair))))


def pool_members(mentions: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """Pool mentions to arguments by logsumexp.

    mentions (Tensor): (mentions, hidden). members (Tensor): (members, 2), a mention and an argument;
        each argument has one.
    RETURNS (Tensor): (arguments, hidden).
    """
    rows, count = mentions[members[:, 0]], int(members[:, 1].max()) + 1
    if count == len(rows):  # one each: the same, without rounding
        return torch.zeros_like(rows).index_copy(0, members[:, 1], rows)
    places = members[:, 1, None].expand_as(rows)
    highest = rows.new_full((count, rows.shape[1]), float("-inf"))
    highest = highest.scatter_reduce(0, places, rows.detach(), "amax")
    total = torch.zeros_like(highest).index_add(
        0, members[:, 1], (rows - highest[members[:, 1]]).exp()
    )
    return highest + total.log()


def build_argument_scorer(
    tok2vec: Model[list[Doc], list[Floats2d]],
    hidden_size: int = 256,
    attention_heads: int = 8,
    bilinear_block: int = 16,
    own_layers: int = 2,
    context_window: int = 512,
    evidence: bool = False,
    learn_rate_factor: float = 1.0,
    precision: str = "auto",
    nO: int | None = None,
) -> Model[tuple[list[Doc], list[CandidatePairs]], Floats2d]:
    """Architecture `spanmed.PairScorer.v2`.

    tok2vec (Model[List[Doc], List[Floats2d]]): Token vectors, usually a TransformerListener.
    hidden_size (int): Width of the hidden layers. Defaults to 256.
    attention_heads (int): Heads of a pair's attention to its document. Defaults to 8.
    bilinear_block (int): Size of the groups of the bilinear layer. Defaults to 16.
    own_layers (int): Layers of the encoder that the pipe has a copy of, on top of the whole
        encoder, with marks at the mentions (see `TokenLayers`). Defaults to 2.
    context_window (int): Tokens of a document that a pair attends to, at most, around its nearest
        mentions. Defaults to 512.
    evidence (bool): Also look at how often, where and how near to each other the document has the
        two arguments (see `evidence.py`). Defaults to False.
    learn_rate_factor (float): Multiplies the optimizer's learning rate for this layer, but not
        for its copies of the encoder's layers.
    precision (str): Of the copies: see `spanmed.TransformerModel.v1`.
    nO (Optional[int]): Number of relation labels; set by the pipe.
    RAISES (ValueError): On sizes below 1 (own_layers: 0) or that don't divide hidden_size, or an
        unknown precision.
    """
    check_precision(precision)
    sizes = {"attention_heads": attention_heads, "bilinear_block": bilinear_block}
    for name, size in sizes.items():
        if size < 1 or hidden_size % size:
            raise ValueError(f"{name} must divide hidden_size, {hidden_size}; {size} doesn't.")
    if own_layers < 0 or context_window < 1:
        raise ValueError(
            "own_layers must be at least 0 and context_window at least 1, not "
            f"{own_layers} and {context_window}."
        )
    settings = {
        "hidden": hidden_size,
        "heads": attention_heads,
        "block": bilinear_block,
        "layers": own_layers,
        "evidence": evidence,
    }
    return Model(
        "argument_scorer",
        # Not in attrs, which are stored with the weights and would win over the config
        partial(forward, window=context_window, precision=precision),
        init=init,
        layers=[tok2vec],
        dims={"nO": nO},
        attrs={"entity_labels": []},
        shims=[ModuleShim(ArgumentClassifier, settings, learn_rate_factor)],
    )


def init(model: Model, X: list[Doc] | None = None, Y: Any = None) -> None:
    """X (Optional[List[Doc]]): Example Docs, to infer the width of the token vectors."""
    init_on_tokens(model, X, Y, nL=len(model.attrs["entity_labels"]) + 1)


def start_layers(model: Model, encoder: Any) -> None:
    """Let a freshly initialized model's own layers start as copies of an encoder's last ones.

    encoder (PreTrainedModel): One of another architecture than BERT's is left alone.
    """
    shim = get_shim(model)
    described = describe_layers(encoder)
    if described is None or not shim.settings["layers"]:
        return
    # The rest keeps its weights: only the layers' sizes may have changed
    known = {k: v for k, v in shim._model.state_dict().items() if not k.startswith("layers.")}
    shim.create(**{f"layer_{name}": value for name, value in described.items()})
    shim._model.load_state_dict(known, strict=False)
    copy_layers(shim._model.layers, encoder)


def forward(
    model: Model,
    inputs: tuple[list[Doc], list[CandidatePairs]],
    is_train: bool,
    window: int,
    precision: str,
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    """window (int), precision (str): See `build_argument_scorer`.

    RETURNS (Floats2d): (pairs of arguments of all Docs in order, labels + 2).
    """
    docs, candidates = inputs
    shim = get_shim(model)
    X, backprop_tok2vec = read_tokens(model, docs, is_train)
    batch = index_arguments(
        [len(doc) for doc in docs],
        candidates,
        model.attrs["entity_labels"],
        window,
        evidence=shim.settings["evidence"],
    )
    if not len(batch.pairs):
        zeros = [model.ops.alloc2f(*x.shape) for x in X]
        # Zeros still go back: the last listener must, or the encoder gets no gradient at all.
        empty = model.ops.alloc2f(0, shim.settings["nO"] + OTHER_COLUMNS)
        return empty, lambda d_logits: backprop_tok2vec(zeros)
    if shim._model.layers is not None:
        shim._model.layers.precision = precision
    return run_on_tokens(shim, X, backprop_tok2vec, is_train, *batch)
