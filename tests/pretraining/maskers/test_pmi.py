"""Collocations: counted, scored and chosen as by hand, found in text and masked as a whole."""

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pretraining.maskers import PMIMasker, mask_rng
from spacy_spanmed.pretraining.maskers.pmi import (
    choose_collocations,
    count_ngrams,
    pointwise_mutual_information,
)
from spacy_spanmed.pretraining.texts.packing import pack_texts
from tests.pretraining.conftest import SYLLABLES

DOCUMENTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=8)


def as_arrays(documents):
    words = np.array(sum(documents, []))
    follows = np.ones(len(words), dtype=bool)
    follows[np.cumsum([len(document) for document in documents]) - 1] = False
    return words, follows


def count_one_by_one(documents, longest):
    """Counters of the n-grams of each length, from 1 on."""
    return [
        Counter(tuple(d[i : i + n]) for d in documents for i in range(len(d) - n + 1))
        for n in range(1, longest + 1)
    ]


def segmentations(words):
    """All ways to cut words into parts, the whole included."""
    yield [words]
    for cut in range(1, len(words)):
        for rest in segmentations(words[cut:]):
            yield [words[:cut], *rest]


def pmi_one_by_one(words, counters):
    def log_p(part):
        counter = counters[len(part) - 1]
        return log(counter[part] / sum(counter.values()))

    splits = [parts for parts in segmentations(words) if len(parts) > 1]
    return min(log_p(words) - sum(map(log_p, parts)) for parts in splits)


@settings(max_examples=100, deadline=None)
@given(documents=DOCUMENTS, min_count=st.integers(1, 3))
def test_counts_and_pmi_are_those_found_one_by_one(documents, min_count):
    words, follows = as_arrays(documents)
    counters = count_one_by_one(documents, 5)
    found = count_ngrams(words, follows, 5, min_count)
    scores = [None, *pointwise_mutual_information(found)]
    for number, counter in enumerate(counters):
        expected = {ngram: n for ngram, n in counter.items() if n >= min_count}
        if not expected:
            assert len(found) <= number
            continue
        ngrams = found[number]
        assert ngrams.length == number + 1 and ngrams.total == sum(counter.values())
        strings = [tuple(words[place : place + ngrams.length]) for place in ngrams.places]
        assert dict(zip(strings, ngrams.counts.tolist())) == expected
        if number:
            by_hand = [pmi_one_by_one(string, counters) for string in strings]
            assert scores[number] == pytest.approx(by_hand, abs=1e-9)


def test_pmi_by_hand():
    """Words 0 1 2 come together twice and 0 1 once more: 3 of 10 words each, and so on."""
    words, follows = as_arrays([[0, 1, 2, 3], [4, 0, 1, 2], [0, 1]])
    singles, pairs, triples = found = count_ngrams(words, follows, 3, min_count=2)
    assert (singles.total, pairs.total, triples.total) == (10, 7, 4)
    assert singles.counts.tolist() == [3, 3, 2] and pairs.counts.tolist() == [3, 2]
    (zero_one, one_two), (all_three,) = pointwise_mutual_information(found)
    assert zero_one == pytest.approx(log((3 / 7) / (3 / 10 * 3 / 10)))
    assert one_two == pytest.approx(log((2 / 7) / (3 / 10 * 2 / 10)))
    # 0 1 | 2 explains the triple best: 3/7 * 2/10 is more than 3/10 * 2/7 and 3/10 * 3/10 * 2/10.
    assert all_three == pytest.approx(log((2 / 4) / max(3 / 7 * 2 / 10, 3 / 10 * 2 / 7)))


def test_lengths_share_the_vocabulary_and_only_positive_pmi_counts():
    scores = [np.array([0.5, 3.0, -1.0, 2.0, 1.0]), np.array([5.0, 0.0, 4.0]), np.array([9.0, 8.0])]
    chosen = [numbers.tolist() for numbers in choose_collocations(scores, 4)]
    assert chosen == [[1, 3], [0], [0]]  # a half, a quarter, a quarter, best first
    chosen = [numbers.tolist() for numbers in choose_collocations(scores, 100)]
    assert chosen == [[1, 3, 4, 0], [0, 2], [0, 1]]
    unequal = [np.array([1.0]), np.array([1.0, 2.0, 3.0, 4.0]), np.array([-1.0])]
    assert [len(numbers) for numbers in choose_collocations(unequal, 4)] == [1, 3, 0]
    assert [len(n) for n in choose_collocations([np.array([2.0, 1.0, 3.0])], 2)] == [2]


PLANTED = ["kalo mi", "nepu ra so", "ti vu xe ka lo"]


@pytest.fixture(scope="module")
def planted(tokenizer):
    """Sequences of random words with collocations in between, and a masker that knows them."""
    rng = np.random.default_rng(0)
    words = [a + b + "ne" for a in SYLLABLES for b in SYLLABLES]
    texts = []
    for _ in range(150):
        text = rng.choice(words, size=8).tolist()
        for phrase in PLANTED:
            text.insert(int(rng.integers(len(text) + 1)), phrase)
        texts.append(" ".join(text))
    packed = pack_texts(texts, tokenizer, 64)
    masker = PMIMasker(min_count=20)
    return packed, masker, masker.prepare(tokenizer, packed)


def test_planted_collocations_are_found_and_nothing_else(planted, tokenizer):
    packed, masker, facts = planted
    found = Counter()
    for words, ids in zip(packed.words, packed.input_ids):
        for start, end in masker.find(words, ids):
            assert (words[start:end] >= 0).all()
            found[tokenizer.decode(ids[start:end])] += 1
    whole = {phrase: found[phrase] for phrase in PLANTED}
    assert min(whole.values()) > 100
    # Where a sequence or document ends inside of one, parts of it may be found.
    for phrase in set(found) - set(PLANTED):
        assert any(phrase in each for each in PLANTED) and found[phrase] < 30
    texts = (tokenizer.decode(ids) for ids in packed.input_ids)
    assert sum(whole.values()) == sum(t.count(p) for t in texts for p in PLANTED)
    assert facts["coverage"] == pytest.approx(14 / (14 + 8 * 3), abs=0.05)
    assert set(facts["collocations"]) == {"2", "3", "4", "5"}
    assert facts["tokens_counted"] == packed.input_ids.size


def test_collocations_are_masked_as_a_whole_or_not_at_all(planted):
    packed, masker, _ = planted
    masked = Counter()
    for sample, (words, ids) in enumerate(zip(packed.words, packed.input_ids)):
        collocations = masker.find(words, ids).tolist()
        units = masker.select(words, mask_rng(0, 0, sample), ids).tolist()
        for start, end in collocations:
            inside = [u for u in units if u[0] < end and u[1] > start]
            assert inside in ([], [[start, end]])
            masked[bool(inside)] += 1
        others = [u for u in units if u not in collocations]
        assert all(words[start] == words[end - 1] for start, end in others)
    assert masked[True] > 20 and masked[False] > 20


def test_units_are_chosen_as_often_whatever_they_are(planted, tokenizer):
    packed, masker, _ = planted
    words, ids = packed.words[0], packed.input_ids[0]
    generous = PMIMasker(rate=0.5, min_count=20)
    generous.prepare(tokenizer, packed)
    hits, count = Counter(), 800
    for sample in range(count):
        hits.update(map(tuple, generous.select(words, mask_rng(0, 0, sample), ids).tolist()))
    collocations = set(map(tuple, masker.find(words, ids).tolist()))
    of_two = np.mean([hits[unit] for unit in collocations]) / count
    singles = np.mean([n for unit, n in hits.items() if unit not in collocations]) / count
    assert of_two == pytest.approx(singles, abs=0.1)  # long ones fit the end of a budget less


def test_where_only_collocations_are_left_one_is_broken_up(tokenizer):
    packed = pack_texts(["ka lo mi ne ra " * 40] * 5, tokenizer, 32)
    masker = PMIMasker(rate=0.1, min_count=5, vocabulary=1000)
    masker.prepare(tokenizer, packed)
    words, ids = packed.words[0], packed.input_ids[0]
    masker.find = lambda words, ids: np.stack([np.arange(1, 31, 5), np.arange(6, 36, 5)], axis=1)
    units = masker.select(words, mask_rng(0, 0, 0), ids)
    assert (units[:, 1] - units[:, 0]).tolist() == [1, 1, 1]


def test_vocabulary_is_a_limit(planted, tokenizer):
    facts = PMIMasker(min_count=20, vocabulary=3).prepare(tokenizer, planted[0])
    assert facts["collocations"] == {"2": 2, "3": 1, "4": 0, "5": 0}
    facts = PMIMasker(min_count=20, max_words=2).prepare(tokenizer, planted[0])
    assert list(facts["collocations"]) == ["2"]
    sampled = PMIMasker(min_count=5, max_tokens=64 * 10).prepare(tokenizer, planted[0])
    assert sampled["tokens_counted"] == 640


def test_text_without_collocations_is_refused(planted, tokenizer):
    with pytest.raises(ValueError, match="No words come together 9999 times.*min_count"):
        PMIMasker(min_count=9999).prepare(tokenizer, planted[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rate": 1.0}, "rate"),
        ({"max_words": 1}, "max_words is 1"),
        ({"min_count": 0}, "min_count must be at least 1"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"max_tokens": -1}, "max_tokens must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PMIMasker(**arguments)


def test_sequences_before_preparation_are_refused():
    words = np.array([-1, 0, 1, -1])
    with pytest.raises(ValueError, match=r"prepare\(\) once"):
        PMIMasker().select(words, mask_rng(0, 0, 0), words)
