"""A mixture: each sequence is masked by one of several maskers."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.util import registry

from .base import Masker

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..texts.packing import PackedSequences


class MixedMasker(Masker):
    """Draws, for each sequence, the masker that masks it, as UL2 mixes denoisers (Tay et al. 2023,
    arXiv 2205.05131). The draw comes from the sequence's own generator, so it is as reproducible as
    the masks are.

    maskers (Mapping[str, Masker]): The maskers, by names of your choice.
    weights (Mapping[str, float]): How often each is drawn, by the same names: not negative; they
        need not sum to 1.
    RAISES (ValueError): The names differ, or the weights can't be used.
    """

    name = "mixed"

    def __init__(self, maskers: Mapping[str, Masker], weights: Mapping[str, float]):
        if not maskers or set(maskers) != set(weights):
            raise ValueError(
                "Each masker of a mixture needs a weight of the same name, but the maskers are "
                f"{sorted(maskers)} and the weights are {sorted(weights)}."
            )
        for name, masker in maskers.items():
            if not isinstance(masker, Masker):
                raise ValueError(
                    f"masker.maskers.{name} is no masker: give it a registered one, such as "
                    '@misc = "spanmed.SpanMasker.v1".'
                )
        for name, weight in weights.items():
            if not isfinite(weight) or weight < 0:
                raise ValueError(
                    f"The weight of a masker must be 0 or more, but that of '{name}' is {weight}."
                )
        if not sum(weights.values()):
            raise ValueError("One of the weights of a mixture must be more than 0.")
        self.maskers = {name: maskers[name] for name in sorted(maskers) if weights[name]}
        total = sum(weights.values())
        self.weights = {name: weights[name] / total for name in self.maskers}
        self.files = {
            f"{name}.{kind}": path
            for name, masker in self.maskers.items()
            for kind, path in masker.files.items()
        }
        self._names = list(self.maskers)
        self._cumulative = list(accumulate(self.weights.values()))

    def prepare(
        self, tokenizer: "PreTrainedTokenizerBase", sequences: "PackedSequences"
    ) -> dict[str, Any]:
        """Prepare all maskers.

        RETURNS (dict): What each found, by its name.
        """
        found = {name: m.prepare(tokenizer, sequences) for name, m in self.maskers.items()}
        return {name: facts for name, facts in found.items() if facts}

    def draw(self, rng: np.random.Generator) -> str:
        """RETURNS (str): The name of the masker for a sequence. rng: The sequence's generator."""
        place = bisect_right(self._cumulative, rng.random())
        return self._names[min(place, len(self._names) - 1)]

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; the units are those of the masker drawn."""
        return self.maskers[self.draw(rng)].select(words, rng, input_ids)


@registry.misc("spanmed.MixedMasker.v1")
def make_mixed_masker(maskers: dict[str, Any], weights: dict[str, float]) -> MixedMasker:
    """Registered as ``spanmed.MixedMasker.v1``; see :class:`MixedMasker`."""
    return MixedMasker(maskers, weights)
