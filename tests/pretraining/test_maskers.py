"""Each masker is held to its definition on random blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pretraining.maskers import (
    SpanMasker,
    TokenMasker,
    WholeWordMasker,
    mask_rng,
    token_budget,
    word_ranges,
)

MASKERS = [TokenMasker(), WholeWordMasker(), SpanMasker()]
WORD_MASKERS = MASKERS[1:]
# Chi-square, 9 degrees of freedom: exceeded by chance once in 10,000 samples.
CHI_SQUARE_9 = 33.7
SEED = st.integers(0, 2**31)


@st.composite
def blocks(draw):
    """Word index of each token: words of 1 to 8 pieces, separators and cut words (-1) between."""
    sizes = draw(st.lists(st.integers(-2, 8).filter(bool), max_size=60))
    words, next_word = [-1], 0
    for size in sizes:
        if size < 0:
            words += [-1] * -size
        else:
            words += [next_word] * size
            next_word += 1
    return np.array([*words, -1])


def masked(units, length):
    mask = np.zeros(length, dtype=int)
    for start, end in units:
        mask[start:end] += 1
    return mask


@pytest.mark.parametrize("masker", MASKERS, ids=lambda m: m.name)
@settings(max_examples=100, deadline=None)
@given(words=blocks(), seed=SEED)
def test_budget_is_never_exceeded_and_specials_never_masked(masker, words, seed):
    mask = masked(masker.select(words, mask_rng(seed, 0, 0)), len(words))
    assert mask.max(initial=0) <= 1, "units overlap"
    assert mask.sum() <= 0.15 * np.count_nonzero(words >= 0) + 1e-9
    assert not mask[words < 0].any()


@settings(max_examples=50, deadline=None)
@given(words=blocks(), seed=SEED)
def test_token_masker_meets_the_budget_exactly(words, seed):
    units = TokenMasker().select(words, mask_rng(seed, 0, 0))
    assert len(units) == token_budget(0.15, words)
    assert (units[:, 1] - units[:, 0] == 1).all()


@pytest.mark.parametrize("masker", WORD_MASKERS, ids=lambda m: m.name)
@settings(max_examples=100, deadline=None)
@given(words=blocks(), seed=SEED)
def test_words_are_whole_and_budget_missed_by_less_than_one(masker, words, seed):
    mask = masked(masker.select(words, mask_rng(seed, 0, 0)), len(words))
    starts, ends = word_ranges(words)
    for start, end in zip(starts, ends):
        assert len(set(mask[start:end])) == 1, "a part of a word is masked"
    left = token_budget(0.15, words) - mask.sum()
    unmasked = [end - start for start, end in zip(starts, ends) if not mask[start]]
    assert left == 0 or left < max(unmasked)


@settings(max_examples=100, deadline=None)
@given(words=blocks(), seed=SEED)
def test_spans_are_unbroken_words_of_one_document_with_visible_neighbours(words, seed):
    units = SpanMasker().select(words, mask_rng(seed, 0, 0))
    mask = masked(units, len(words))
    for start, end in units:
        inside = words[start:end]
        assert (inside >= 0).all() and len(set(inside)) <= 10
    if len(words) > 60 and (word_ranges(words)[1] - word_ranges(words)[0]).max(initial=0) == 1:
        assert all(not mask[start - 1] and not mask[end] for start, end in units)


@pytest.mark.parametrize("masker", MASKERS, ids=lambda m: m.name)
def test_masks_depend_on_seed_epoch_and_sample_alone(masker):
    words = np.concatenate([[-1], np.repeat(np.arange(60), 2), [-1]])
    keys = [(s, e, i) for s in (0, 1) for e in (0, 1) for i in (0, 1)]
    first = {key: masker.select(words, mask_rng(*key)).tobytes() for key in keys}
    again = {key: masker.select(words, mask_rng(*key)).tobytes() for key in reversed(keys)}
    assert first == again
    assert len(set(first.values())) == len(keys)


def geometric(longest=10, p=0.2):
    weights = p * (1 - p) ** np.arange(longest)
    return weights / weights.sum()


def chi_square(observed, expected):
    return ((observed - expected) ** 2 / expected).sum()


def test_drawn_lengths_are_geometric_with_mean_3_8():
    masker, rng = SpanMasker(), mask_rng(0, 0, 0)
    lengths = np.array([masker.draw_length(rng) for _ in range(20_000)])
    observed = np.bincount(lengths, minlength=11)[1:]
    assert observed.sum() == 20_000
    assert chi_square(observed, 20_000 * geometric()) < CHI_SQUARE_9
    assert lengths.mean() == pytest.approx(3.8, abs=0.06)
    assert masker.length_probabilities == pytest.approx(geometric())


def test_lengths_keep_their_distribution_when_spans_are_placed():
    """The first span of a long block is cut by no budget and blocked by no other span."""
    words = np.concatenate([[-1], np.arange(400), [-1]])
    lengths, starts = [], []
    for sample in range(3000):
        units = recorded_first_span(words, sample)
        lengths.append(units[1] - units[0])
        starts.append(units[0])
    observed = np.bincount(lengths, minlength=11)[1:]
    assert chi_square(observed, 3000 * geometric()) < CHI_SQUARE_9
    # uniform start: ten equal parts of the block are hit equally often
    parts = np.histogram(starts, bins=10, range=(1, 401 - 4))[0]
    assert chi_square(parts, np.full(10, 300.0)) < CHI_SQUARE_9


def recorded_first_span(words, sample):
    """A budget of at most ten words holds at least the first drawn span uncut."""

    class OneSpan(SpanMasker):
        def draw_length(self, rng):
            self.drawn.append(super().draw_length(rng))
            return self.drawn[-1]

    masker = OneSpan(rate=0.15)
    masker.drawn = []
    units = masker.select(words, mask_rng(7, 0, sample))
    # units come sorted: pick one of the first drawn length, by chance when there are several
    matching = [u for u in units if u[1] - u[0] == masker.drawn[0]]
    assert matching, "the first drawn span was not placed in full"
    return matching[sample % len(matching)]


def test_realised_lengths_of_all_uncut_spans_match_the_drawn_ones():
    words = np.concatenate([[-1], np.repeat(np.arange(100), 3), [-1]])
    drawn = []

    class Recorder(SpanMasker):
        def draw_length(self, rng):
            drawn.append(super().draw_length(rng))
            return drawn[-1]

    for sample in range(200):
        drawn.clear()
        units = Recorder().select(words, mask_rng(1, 0, sample))
        realised = sorted((units[:, 1] - units[:, 0]) // 3)
        for length in drawn[:-1]:  # only the last may be cut by the budget
            realised.remove(length)
        assert len(realised) <= 1 and (not realised or realised[0] <= drawn[-1])


def test_whole_words_are_chosen_uniformly():
    words = np.concatenate([[-1], np.arange(40), [-1]])
    hits = np.zeros(42)
    for sample in range(2000):
        for start, _ in WholeWordMasker().select(words, mask_rng(0, 0, sample)):
            hits[start] += 1
    assert hits[1:-1] == pytest.approx(np.full(40, 300), abs=90)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rate": 0.0}, "rate"),
        ({"rate": 1.5}, "rate"),
        ({"p": 1.0}, "p must"),
        ({"max_words": 0}, "max_words"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpanMasker(**arguments)


def test_blocks_without_words_give_no_units():
    for masker in MASKERS:
        for words in (np.array([-1, -1]), np.array([-1, 0, -1])):
            assert masker.select(words, mask_rng(0, 0, 0)).shape == (0, 2)
