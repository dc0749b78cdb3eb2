"""The last layer of the encoder, computed only where an objective reads it.

Targets and the tokens around spans are a quarter of a block. The last layer attends to all of it,
but queries, output and feed-forward part are needed for that quarter alone. The result is the
same to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "electra", "camembert")


def find_rows(
    batch: int, length: int, indices: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the tokens that are read.

    batch, length (int): Shape of the blocks.
    indices (tuple[Tensor, ...]): Rows of the flattened blocks that are read, repeated or not.
    RETURNS (tuple[Tensor, Tensor]): (batch, most tokens read in a block), the places read in each
        block, in order, filled up with others; and (batch x length,), where in these, flattened, a
        token that is read lies.
    """
    device = indices[0].device
    read = torch.zeros(batch * length, dtype=torch.bool, device=device)
    for index in indices:
        read[index] = True
    read = read.view(batch, length)
    most = max(int(read.sum(dim=1).max()), 1)
    rows = torch.argsort(read.int(), dim=1, descending=True, stable=True)[:, :most]
    first = torch.arange(batch, device=device)[:, None] * most
    return rows, (read.cumsum(dim=1) - 1 + first).flatten()


class LastLayer:
    """Takes the place of the last layer's `forward`; its weights and their names stay.

    encoder (PreTrainedModel): One for which `LastLayer.supports`.
    """

    def __init__(self, encoder: PreTrainedModel):
        self.layer = encoder.encoder.layer[-1]
        self.rows: torch.Tensor | None = None
        self._whole = self.layer.forward
        self.layer.forward = self._forward

    @staticmethod
    def supports(encoder: PreTrainedModel) -> bool:
        """RETURNS (bool): Whether the encoder is built of BERT's layers."""
        config = encoder.config
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        return config.model_type in MODEL_TYPES and absolute and not config.is_decoder

    def run(self, encoder: PreTrainedModel, rows: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Run the encoder.

        rows (Tensor): (batch, rows), the places to compute in each block. inputs: The encoder's.
        RETURNS (Tensor): (batch, rows, width).
        """
        self.rows = rows
        try:
            return encoder(**inputs).last_hidden_state
        finally:
            self.rows = None

    def _forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, ...]:
        if self.rows is None:
            return self._whole(hidden, mask, *args, **kwargs)
        index = self.rows[:, :, None].expand(-1, -1, hidden.shape[2])
        if mask is not None:
            mask = mask[:, :, :1]  # the same for every query
        # Cross-attention, from the rows that are read to the whole block
        attended = self.layer.attention(
            hidden.gather(1, index), encoder_hidden_states=hidden, encoder_attention_mask=mask
        )
        return (self.layer.feed_forward_chunk(attended[0]),)
