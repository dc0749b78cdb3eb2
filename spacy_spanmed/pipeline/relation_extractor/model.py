"""The pair classifier: one encoder pass, then a score for each ordered pair of mentions.

A mention is its first and last token vector and the embedding of its label. A pair is its two
mentions, their product, a bucket of their distance, and what the text around says: attention over
the tokens near the pair with a query made from both mentions (the idea of the localized context
pooling of Zhou et al. 2021, ATLOP, with learned instead of borrowed attention); with `evidence` also
what `evidence.py` counts of the document. Labels are scored independently (sigmoid), so a pair may
have several.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
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
from .candidates import CandidatePairs
from .evidence import SIZE, describe_pairs

DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)  # upper ends of the buckets, in tokens
UNKNOWN_LABEL = 0
# Pairs at once: bounds the memory of a Doc with thousands of mentions. On a CPU, so few that they
# stay in the processor's cache and share most of the tokens around them.
PAIRS_AT_ONCE = {"cpu": 256, "cuda": 4096}
# Tables with a row for each label of entities, of either architecture
BY_ENTITY_LABEL = {"label.weight", "layers.first.weight", "layers.last.weight"}
FAR = 512  # tokens from one end of a pair's context to the other


class PairBatch(NamedTuple):
    """numpy arrays of a batch, int64 but for the last, float32.

    spans (Ints2d): (mentions, 2), first and last token, in rows of the concatenated Docs.
    labels (Ints1d): Row of each mention's label embedding. pairs (Ints2d): (pairs, 2), head and
    tail, in mentions. context (Ints2d): (pairs, 4), the tokens to attend to: start and end, exclusive,
    of two ranges of rows, of which the second may be empty.
    evidence (Floats2d): (pairs, SIZE), see `describe_pairs`; (pairs, 0) if it isn't wanted.
    """

    spans: np.ndarray
    labels: np.ndarray
    pairs: np.ndarray
    context: np.ndarray
    evidence: np.ndarray


class PairClassifier(torch.nn.Module):
    """Token vectors and pairs in, logits out: one column a relation label, then "negated".

    nI (int): Width of token vectors. nO (int): Relation labels. nL (int): Rows of the embedding
    of entity labels. hidden (int): Width of mentions, context and the hidden layer. evidence (bool):
    Look at `describe_pairs`.
    """

    def __init__(
        self,
        nI: int,
        nO: int,
        nL: int,
        hidden: int,
        evidence: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.hidden = hidden
        self.dropout = torch.nn.Dropout(dropout)
        self.mention = torch.nn.Linear(2 * nI, hidden)
        self.label = torch.nn.Embedding(nL, hidden)
        torch.nn.init.normal_(self.label.weight, std=0.1)
        self.query = torch.nn.Linear(2 * hidden, hidden)
        self.key_value = torch.nn.Linear(nI, 2 * hidden)
        self.distance = torch.nn.Embedding(2 * len(DISTANCES) + 2, hidden)
        torch.nn.init.normal_(self.distance.weight, std=0.1)
        self.evidence = torch.nn.Linear(SIZE, hidden) if evidence else None
        self.combine = torch.nn.Linear((6 if evidence else 5) * hidden, hidden)
        self.output = torch.nn.Linear(hidden, nO + 1)
        with torch.no_grad():  # never trained: says nothing, instead of something at random
            self.label.weight[UNKNOWN_LABEL] = 0.0
        # Most pairs are unrelated: start there instead of unlearning a probability of one half.
        torch.nn.init.constant_(self.output.bias, -2.0)

    def forward(
        self,
        X: torch.Tensor,
        spans: torch.Tensor,
        labels: torch.Tensor,
        pairs: torch.Tensor,
        context: torch.Tensor,
        evidence: torch.Tensor,
    ) -> torch.Tensor:
        X = self.dropout(X)
        ends = torch.cat([X[spans[:, 0]], X[spans[:, 1]]], dim=1)
        mentions = F.gelu(self.mention(ends)) + self.label(labels)
        keys, values = self.key_value(X).chunk(2, dim=1)
        # What a layer makes of one mention, token or distance is computed once for each of these, not
        # for each pair: a linear layer of parts side by side is the sum of the parts' layers.
        of_head, of_tail, of_product, of_context, of_distance, *of_evidence = (
            self.combine.weight.split(self.hidden, dim=1)
        )
        ask_head, ask_tail = self.query.weight.split(self.hidden, dim=1)
        as_head, as_tail = F.linear(mentions, of_head), F.linear(mentions, of_tail)
        as_distance = F.linear(self.distance.weight, of_distance, self.combine.bias)
        order = context[:, 0].argsort(stable=True)  # neighbours share tokens, see `attend`
        pairs, context = pairs.index_select(0, order), context.index_select(0, order)
        evidence = evidence.index_select(0, order)
        nearby = attend(
            keys,
            F.linear(values, of_context),
            F.linear(mentions, ask_head, self.query.bias),
            F.linear(mentions, ask_tail),
            pairs,
            context,
        )
        step = count_at_once(X)
        scores = []
        for some, around, described in zip(*(x.split(step) for x in (pairs, nearby, evidence))):
            head, tail = some.unbind(dim=1)
            pair = around + as_head.index_select(0, head) + as_tail.index_select(0, tail)
            pair = pair + as_distance.index_select(0, self.bucket(spans, some))
            product = mentions.index_select(0, head) * mentions.index_select(0, tail)
            pair = pair + F.linear(product, of_product)
            if self.evidence is not None:
                pair = pair + F.linear(F.gelu(self.evidence(described)), of_evidence[0])
            scores.append(self.output(self.dropout(F.gelu(pair))))
        return torch.cat(scores).index_select(0, order.argsort())

    def bucket(self, spans: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """RETURNS (pairs,): Distance between the mentions' first tokens and which comes first."""
        offset = spans[pairs[:, 1], 0] - spans[pairs[:, 0], 0]
        edges = torch.tensor(DISTANCES, device=offset.device)
        bucket = torch.bucketize(offset.abs(), edges)
        return bucket + (offset < 0) * (len(DISTANCES) + 1)


def count_at_once(X: torch.Tensor) -> int:
    """RETURNS (int): Pairs at once where X lies."""
    return PAIRS_AT_ONCE.get(X.device.type, PAIRS_AT_ONCE["cuda"])


def attend(
    keys: torch.Tensor,
    values: torch.Tensor,
    head_queries: torch.Tensor,
    tail_queries: torch.Tensor,
    pairs: torch.Tensor,
    context: torch.Tensor,
) -> torch.Tensor:
    """Weighted sum of the values of the tokens around each pair, by a softmax over queries by keys.

    Each query is compared with the tokens of other pairs that lie near it too, and what is not its
    own is hidden: products that a processor is made for, instead of a copy of each pair's tokens.

    keys, values (Tensor): (tokens, hidden).
    head_queries, tail_queries (Tensor): (mentions, hidden). A pair's query is the sum of its mentions'.
    pairs (Tensor): (pairs, 2), head and tail.
    context (Tensor): (pairs, 4), start and end, exclusive, of two ranges of tokens, of which the second
        may be empty. Sorted by the first start.
    RETURNS (Tensor): (pairs, hidden).
    """
    queries = head_queries, tail_queries
    # Both ends of a pair that reaches far are looked at among those that are near each
    far = (context[:, 3] - context[:, 0] > FAR) & (context[:, 3] > context[:, 2])
    first = context.where(~far[:, None], context[:, [0, 1, 1, 1]])
    found, total = _attend_near(keys, values, *queries, pairs, first)
    rows = far.nonzero().squeeze(1)
    if not len(rows):
        return found
    rows = rows.index_select(0, context[rows, 2].argsort(stable=True))
    second = context.index_select(0, rows)[:, [2, 3, 3, 3]]
    other, other_total = _attend_near(keys, values, *queries, pairs.index_select(0, rows), second)
    share = (other_total - total.index_select(0, rows)).sigmoid()  # the softmax over both ends
    return found.index_add(0, rows, share * (other - found.index_select(0, rows)))


def _attend_near(
    keys: torch.Tensor,
    values: torch.Tensor,
    head_queries: torch.Tensor,
    tail_queries: torch.Tensor,
    pairs: torch.Tensor,
    context: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """RETURNS (Tuple[Tensor, Tensor]): (pairs, hidden), as `attend`, and (pairs, 1), the logsumexp of
    queries by keys."""
    change = torch.tensor([1, -1, 1, -1], device=context.device)
    step, scale = count_at_once(keys), keys.shape[1] ** 0.5
    found, totals = [], []
    for own, some in zip(context.split(step), pairs.split(step)):
        edges = own.new_zeros(len(keys) + 1)
        edges.index_add_(0, own.flatten(), change.repeat(len(own)))
        tokens = (edges.cumsum(0) > 0).nonzero().squeeze(1)
        start, end, start_2, end_2 = own.unsqueeze(2).unbind(dim=1)
        inside = (tokens >= start) & (tokens < end) | (tokens >= start_2) & (tokens < end_2)
        head, tail = some.unbind(dim=1)
        query = head_queries.index_select(0, head) + tail_queries.index_select(0, tail)
        scores = query @ keys.index_select(0, tokens).T / scale
        scores = scores.masked_fill(~inside, float("-inf"))
        highest = scores.amax(dim=1, keepdim=True).detach()
        weights = (scores - highest).exp()
        total = weights.sum(dim=1, keepdim=True)
        found.append(weights @ values.index_select(0, tokens) / total)
        totals.append(total.log() + highest)
    return torch.cat(found), torch.cat(totals)


def build_pair_scorer(
    tok2vec: Model[list[Doc], list[Floats2d]],
    hidden_size: int = 192,
    context_margin: int = 8,
    context_window: int = 64,
    evidence: bool = False,
    learn_rate_factor: float = 1.0,
    nO: int | None = None,
) -> Model[tuple[list[Doc], list[CandidatePairs]], Floats2d]:
    """Architecture `spanmed.PairScorer.v1`.

    tok2vec (Model[List[Doc], List[Floats2d]]): Token vectors, usually a TransformerListener.
    hidden_size (int): Width of the hidden layers.
    context_margin (int): Tokens to look at on either side of a pair.
    context_window (int): Tokens to look at in all; of a wider pair, half from either end.
    evidence (bool): Also look at how often, where and how near to each other the document has the
        two concepts (see `evidence.py`). Defaults to False.
    learn_rate_factor (float): Multiplies the optimizer's learning rate for this layer.
    nO (Optional[int]): Number of relation labels; set by the pipe.
    RAISES (ValueError): On a negative context_margin, or a context_window without a token.
    """
    if context_margin < 0 or context_window < 1:
        raise ValueError(
            "context_margin must be at least 0 and context_window at least 1, not "
            f"{context_margin} and {context_window}."
        )
    settings = {"hidden": hidden_size, "evidence": evidence}
    return Model(
        "pair_scorer",
        # Not in attrs, which are stored with the weights and would win over the config
        partial(forward, margin=context_margin, window=context_window),
        init=init,
        layers=[tok2vec],
        dims={"nO": nO},
        attrs={"entity_labels": []},
        shims=[ModuleShim(PairClassifier, settings, learn_rate_factor)],
    )


def init(model: Model, X: list[Doc] | None = None, Y: Any = None) -> None:
    """X (Optional[List[Doc]]): Example Docs, to infer the width of the token vectors."""
    init_on_tokens(model, X, Y, nL=len(model.attrs["entity_labels"]) + 1)


def index_pairs(
    lengths: list[int],
    candidates: list[CandidatePairs],
    entity_labels: list[str],
    margin: int,
    window: int,
    evidence: bool = False,
) -> PairBatch:
    """Turn the candidates of a batch into arrays over its concatenated tokens.

    lengths (List[int]): Tokens of each Doc. entity_labels (List[str]): Known labels; others share
        row 0. margin, window (int), evidence (bool): See `build_pair_scorer`.
    """

    def as_ints(values: list, *shape: int) -> np.ndarray:
        return np.array(values, dtype="int64").reshape(*shape)

    def join(parts: list, *shape: int) -> np.ndarray:
        return np.concatenate([np.zeros((0, *shape), dtype="int64"), *parts])

    row_of = {label: row for row, label in enumerate(entity_labels, start=1)}
    labels: list[int] = []
    spans, pairs, lefts, rights = [], [], [], []
    offset = n_mentions = 0
    for length, candidate in zip(lengths, candidates):
        own = as_ints([(m.start, m.end) for m in candidate.mentions], -1, 2)
        labels.extend(row_of.get(m.label, UNKNOWN_LABEL) for m in candidate.mentions)
        pair = as_ints(candidate.pairs, -1, 2)
        starts, ends = own[pair, 0], own[pair, 1]  # of head and tail
        lefts.append((starts.min(axis=1) - margin).clip(min=0) + offset)
        rights.append((ends.max(axis=1) + margin).clip(max=length) + offset)
        spans.append(own + (offset, offset - 1))
        pairs.append(pair + n_mentions)
        n_mentions += len(own)
        offset += length
    left, right = join(lefts), join(rights)
    # A pair wider than the window is seen from both ends.
    wide = right - left > window
    middle = np.where(wide, left + (window + 1) // 2, right)
    behind = np.where(wide, right - window // 2, right)  # empty if window is 1
    described = [np.zeros((len(left), 0), dtype="float32")]
    if evidence:
        described = [describe_pairs(candidate) for candidate in candidates]
    return PairBatch(
        join(spans, 2),
        as_ints(labels, -1),
        join(pairs, 2),
        np.stack([left, middle, behind, right], axis=1),
        np.concatenate(described),
    )


def forward(
    model: Model,
    inputs: tuple[list[Doc], list[CandidatePairs]],
    is_train: bool,
    margin: int,
    window: int,
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    """margin, window (int): See `build_pair_scorer`.

    RETURNS (Floats2d): (pairs of all Docs in order, labels + 1), the last column "negated".
    """
    docs, candidates = inputs
    shim = get_shim(model)
    X, backprop_tok2vec = read_tokens(model, docs, is_train)
    batch = index_pairs(
        [len(doc) for doc in docs],
        candidates,
        model.attrs["entity_labels"],
        margin,
        window,
        evidence=shim._model.evidence is not None,
    )
    if not len(batch.pairs):
        zeros = [model.ops.alloc2f(*x.shape) for x in X]
        # Zeros still go back: the last listener must, or the encoder gets no gradient at all.
        empty = model.ops.alloc2f(0, shim.settings["nO"] + 1)
        return empty, lambda d_logits: backprop_tok2vec(zeros)
    return run_on_tokens(shim, X, backprop_tok2vec, is_train, *batch)


def resize_entity_labels(model: Model) -> None:
    """Add rows for entity labels at the end; what is known stays as it is. A new label starts as
    an unknown one does.

    model (Model): Its `entity_labels` already name the new ones.
    """
    shim = get_shim(model)
    if shim._model is None:
        return
    state = shim._model.state_dict()
    count = len(model.attrs["entity_labels"]) + 1
    known = BY_ENTITY_LABEL & state.keys()
    if not known:  # it reads their names
        return
    for name in known:
        unknown = state[name][UNKNOWN_LABEL].expand(count - len(state[name]), -1)
        state[name] = torch.cat([state[name], unknown])
    shim.create(nL=count).load_state_dict(state)


def resize_output(model: Model, nO: int) -> None:
    """Add relation labels at the end; what is known stays as it is.

    nO (int): The new number of relation labels.
    """
    shim = get_shim(model)
    model.set_dim("nO", nO, force=True)
    if shim._model is None:
        return
    state, known = shim._model.state_dict(), shim.settings["nO"]
    # A new label starts unlikely: predictions don't change before training, even of two concepts
    # with thousands of pairs of mentions, which add up in their pooling. "negated" stays last.
    for name, start in (("output.weight", 0.0), ("output.bias", -14.0)):
        new = state[name].new_full((nO - known, *state[name].shape[1:]), start)
        state[name] = torch.cat([state[name][:known], new, state[name][known:]])
    shim.create(nO=nO).load_state_dict(state)
