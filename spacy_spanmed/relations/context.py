"""Token vectors that know which entities are around them, in the whole document.

The encoder reads a document window by window and knows nothing of its entities. Here each token
gets the labels of the mentions that it lies in (typed markers, Zhong and Chen 2021, PURE, doi
10.18653/v1/2021.naacl-main.5, as embeddings instead of tokens), and a few layers of attention
(pre-norm, Xiong et al. 2020, arXiv 2002.04745) go over the document, not a window; over one of more
than BLOCK_TOKENS, over equal parts of it.
"""

from __future__ import annotations

from typing import Sequence

import numpy
import torch
import torch.nn.functional as F

BLOCK_TOKENS = 512  # of a longer document, tokens that see each other
TOGETHER = 8  # parts that go through the layers at once
HEAD_WIDTH = 32


def make_blocks(lengths: Sequence[int], size: int = BLOCK_TOKENS) -> numpy.ndarray:
    """Cut each document into as few parts of about equal length as needed.

    lengths (Sequence[int]): Tokens of each document.
    size (int): Tokens of a part, at most.
    RETURNS (numpy.ndarray): (parts, tokens of the longest), int64, rows of the concatenated
        documents, -1 behind the end of a part.
    """
    ends = [0]
    for length in lengths:
        parts = max(-(-length // size), 1)
        start = ends[-1]
        ends.extend(start + length * (i + 1) // parts for i in range(parts))
    widths = numpy.diff(ends)
    widths = widths[widths > 0]
    starts = numpy.cumsum(widths) - widths
    steps = numpy.arange(widths.max() if len(widths) else 0)
    return numpy.where(steps < widths[:, None], starts[:, None] + steps, -1).astype("int64")


class DocumentContext(torch.nn.Module):
    """Vectors in, vectors out: what each token says in its document.

    nI (int): Width of the token vectors. hidden (int): Width of what comes out, a multiple of
    HEAD_WIDTH. layers (int): Layers of attention.
    """

    def __init__(self, nI: int, hidden: int, layers: int):
        super().__init__()
        self.project = torch.nn.Linear(nI, hidden)
        self.layers = torch.nn.ModuleList(_Layer(hidden) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(hidden)

    def forward(self, X: torch.Tensor, marks: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """X (Tensor): (tokens, nI). marks (Tensor): (tokens, hidden), of the tokens' labels.
        blocks (Tensor): See `make_blocks`. RETURNS (Tensor): (tokens, hidden)."""
        tokens = self.project(X) + marks
        # Parts of about equal length together, so that little of them is padding
        order = torch.argsort((blocks >= 0).sum(dim=1))
        found, places = [], []
        for rows in order.split(TOGETHER):
            part = blocks[rows]
            part = part[:, : int((part >= 0).sum(dim=1).max())]
            used = part >= 0
            hidden = tokens[part.clamp(min=0)]
            hidden = hidden + make_positions(hidden.shape[1], hidden.shape[2]).to(hidden.device)
            for layer in self.layers:
                hidden = layer(hidden, used)
            found.append(hidden[used])
            places.append(part[used])
        return self.norm(torch.cat(found)[torch.argsort(torch.cat(places))])


class _Layer(torch.nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.attention_norm = torch.nn.LayerNorm(width)
        self.query_key_value = torch.nn.Linear(width, 3 * width)
        self.attention_output = torch.nn.Linear(width, width)
        self.norm = torch.nn.LayerNorm(width)
        self.wide = torch.nn.Linear(width, 2 * width)
        self.output = torch.nn.Linear(2 * width, width)
        self.dropout = torch.nn.Dropout(0.0)

    def forward(self, hidden: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        parts = self.query_key_value(self.attention_norm(hidden)).chunk(3, dim=2)
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in parts)
        attended = F.scaled_dot_product_attention(query, key, value, used[:, None, None])
        attended = attended.transpose(1, 2).flatten(2)
        hidden = hidden + self.dropout(self.attention_output(attended))
        return hidden + self.dropout(self.output(F.gelu(self.wide(self.norm(hidden)))))


def make_positions(length: int, width: int) -> torch.Tensor:
    """RETURNS (Tensor): (length, width), the sines and cosines of Vaswani et al. 2017."""
    rates = torch.exp(torch.arange(0, width, 2) * (-numpy.log(10000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
