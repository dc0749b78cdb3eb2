"""Each masker is held to its definition on random sequences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pretraining.maskers import (
    EntityMasker,
    MixedMasker,
    PMIMasker,
    SpanMasker,
    TokenMasker,
    WholeWordMasker,
    mask_rng,
    token_budget,
    word_ranges,
)
from spacy_spanmed.pretraining.texts.packing import pack_texts

NAMES = ["token", "whole_word", "span", "entity", "pmi", "mixed"]
WORD_NAMES = [name for name in NAMES if name not in ("token", "mixed")]
# Chi-square, 9 degrees of freedom: exceeded by chance once in 10,000 samples.
CHI_SQUARE_9 = 33.7
SEED = st.integers(0, 2**31)
FIRST, INNER = 6, 16  # ids of "ka", "lo", "mi" and of "##ka", "##lo", "##mi" begin here


@pytest.fixture(scope="module")
def maskers(tokenizer):
    """One masker of each kind, prepared on text with a vocabulary as small as that of `sequences`."""
    rng = np.random.default_rng(0)
    phrases = ["ka lo", "kami lo", "mi mi ka", "lolo", "ka", "mika lo lo ka mi"]
    texts = [" ".join(rng.choice(phrases, size=30)) for _ in range(60)]
    made = {
        "token": TokenMasker(),
        "whole_word": WholeWordMasker(),
        "span": SpanMasker(),
        "entity": EntityMasker(phrases),
        "pmi": PMIMasker(min_count=3),
    }
    made["mixed"] = MixedMasker(dict(made), dict.fromkeys(made, 1.0))
    packed = pack_texts(texts, tokenizer, 32)
    for masker in made.values():
        masker.prepare(tokenizer, packed)
    return made


@st.composite
def sequences(draw):
    """Word index and id of each token: words of 1 to 8 pieces, and separators and cut words (-1)
    between them."""
    sizes = draw(st.lists(st.integers(-2, 8).filter(bool), max_size=60))
    words, next_word = [-1], 0
    for size in sizes:
        if size < 0:
            words += [-1] * -size
        else:
            words += [next_word] * size
            next_word += 1
    words = np.array([*words, -1])
    pieces = np.random.default_rng(draw(SEED)).integers(3, size=len(words))
    inner = np.append(False, words[1:] == words[:-1])
    return words, np.where(words < 0, 3, pieces + np.where(inner, INNER, FIRST))


def masked(units, length):
    mask = np.zeros(length, dtype=int)
    for start, end in units:
        mask[start:end] += 1
    return mask


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(sequence=sequences(), seed=SEED)
def test_budget_is_never_exceeded_and_specials_never_masked(maskers, name, sequence, seed):
    words, ids = sequence
    units = maskers[name].select(words, mask_rng(seed, 0, 0), ids)
    assert units.dtype == np.int64 and units.shape == (len(units), 2)
    assert (units[:, 0] < units[:, 1]).all() and (units[1:, 0] >= units[:-1, 1]).all()
    mask = masked(units, len(words))
    assert mask.sum() <= 0.15 * np.count_nonzero(words >= 0) + 1e-9
    assert not mask[words < 0].any()


@settings(max_examples=50, deadline=None)
@given(sequence=sequences(), seed=SEED)
def test_token_masker_meets_the_budget_exactly(sequence, seed):
    units = TokenMasker().select(sequence[0], mask_rng(seed, 0, 0))
    assert len(units) == token_budget(0.15, sequence[0])
    assert (units[:, 1] - units[:, 0] == 1).all()


@pytest.mark.parametrize("name", WORD_NAMES)
@settings(max_examples=60, deadline=None)
@given(sequence=sequences(), seed=SEED)
def test_words_are_whole_and_budget_missed_by_less_than_one(maskers, name, sequence, seed):
    words, ids = sequence
    mask = masked(maskers[name].select(words, mask_rng(seed, 0, 0), ids), len(words))
    starts, ends = word_ranges(words)
    for start, end in zip(starts, ends):
        assert len(set(mask[start:end])) == 1, "a part of a word is masked"
    left = token_budget(0.15, words) - mask.sum()
    unmasked = [end - start for start, end in zip(starts, ends) if not mask[start]]
    assert left == 0 or left < max(unmasked)


@settings(max_examples=100, deadline=None)
@given(sequence=sequences(), seed=SEED)
def test_spans_are_unbroken_words_of_one_document_with_visible_neighbours(sequence, seed):
    words, _ = sequence
    units = SpanMasker().select(words, mask_rng(seed, 0, 0))
    mask = masked(units, len(words))
    for start, end in units:
        inside = words[start:end]
        assert (inside >= 0).all() and len(set(inside)) <= 10
    if len(words) > 60 and (word_ranges(words)[1] - word_ranges(words)[0]).max(initial=0) == 1:
        assert all(not mask[start - 1] and not mask[end] for start, end in units)


@settings(max_examples=100, deadline=None)
@given(
    sequence=sequences(),
    seed=SEED,
    rate=st.sampled_from([0.1, 0.3, 0.8]),
    longest=st.integers(1, 12),
)
def test_spans_are_those_of_the_algorithm_done_word_by_word(sequence, seed, rate, longest):
    masker = SpanMasker(rate=rate, max_words=longest)
    units = masker.select(sequence[0], mask_rng(seed, 0, 0))
    assert units.tolist() == spans_word_by_word(masker, sequence[0], mask_rng(seed, 0, 0))


def spans_word_by_word(masker, words, rng):
    """What :class:`SpanMasker` describes, with a look at every word for every span."""
    ranges = list(zip(*(array.tolist() for array in word_ranges(words))))
    free, masked_words, spans = [True] * len(ranges), [False] * len(ranges), []
    left = token_budget(masker.rate, words)

    def fits(first, length):
        last = first + length - 1
        return (
            last < len(ranges)
            and all(free[first : last + 1])
            and all(ranges[i][1] == ranges[i + 1][0] for i in range(first, last))
        )

    while left > 0:
        if not any(free):
            if all(masked_words):
                break
            free = [not m for m in masked_words]
        length = masker.draw_length(rng)
        while not any(fits(i, length) for i in range(len(ranges))):
            length -= 1
        places = [i for i in range(len(ranges)) if fits(i, length)]
        first = end = places[rng.integers(len(places))]
        while end < first + length and ranges[end][1] - ranges[first][0] <= left:
            masked_words[end] = True
            end += 1
        if end > first:
            spans.append([ranges[first][0], ranges[end - 1][1]])
            left -= ranges[end - 1][1] - ranges[first][0]
            for i in range(max(first - 1, 0), min(end + 1, len(ranges))):
                free[i] = False
        if end < first + length:
            break
    return sorted(spans)


@pytest.mark.parametrize("name", NAMES)
def test_masks_depend_on_seed_epoch_and_sample_alone(maskers, name):
    words = np.concatenate([[-1], np.repeat(np.arange(60), 2), [-1]])
    pieces = np.random.default_rng(0).integers(3, size=60)
    ids = np.concatenate([[2], np.stack([FIRST + pieces, INNER + pieces], axis=1).ravel(), [3]])
    keys = [(s, e, i) for s in (0, 1) for e in (0, 1) for i in (0, 1)]

    def draw(key):
        return maskers[name].select(words, mask_rng(*key), ids).tobytes()

    first = {key: draw(key) for key in keys}
    again = {key: draw(key) for key in reversed(keys)}
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
    """The first span of a long sequence is cut by no budget and sequenceed by no other span."""
    words = np.concatenate([[-1], np.arange(400), [-1]])
    lengths, starts = [], []
    for sample in range(3000):
        units = recorded_first_span(words, sample)
        lengths.append(units[1] - units[0])
        starts.append(units[0])
    observed = np.bincount(lengths, minlength=11)[1:]
    assert chi_square(observed, 3000 * geometric()) < CHI_SQUARE_9
    # uniform start: ten equal parts of the sequence are hit equally often
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


@pytest.mark.parametrize("name", NAMES)
def test_sequences_without_words_give_no_units(maskers, name):
    for words in (np.array([-1, -1]), np.array([-1, 0, -1])):
        ids = np.where(words < 0, 3, FIRST)
        assert maskers[name].select(words, mask_rng(0, 0, 0), ids).shape == (0, 2)
