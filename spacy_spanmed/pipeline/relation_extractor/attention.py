"""Attention of pairs of mentions over the tokens around them.

Each query is compared with the tokens of other pairs that lie near it too, and what is not its own is
hidden: products that a processor is made for, instead of a copy of each pair's tokens.
"""

from __future__ import annotations

import torch

# Pairs at once: bounds the memory of a Doc with thousands of mentions. On a CPU, so few that they
# stay in the processor's cache and share most of the tokens around them.
PAIRS_AT_ONCE = {"cpu": 256, "cuda": 4096}
FAR = 512  # tokens from one end of a pair's context to the other


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
