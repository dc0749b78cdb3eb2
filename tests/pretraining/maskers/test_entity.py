"""Terms: where they are found, how they are read, and how they are masked."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spacy_spanmed.pretraining.maskers import EntityMasker, mask_rng, token_budget
from spacy_spanmed.pretraining.maskers.entity import read_terms, tokenize_terms
from spacy_spanmed.pretraining.maskers.units import (
    PhraseTrie,
    draw_units,
    keep_disjoint,
    make_symbols,
    mark_tokens,
    measure_coverage,
    sample_sequences,
)
from spacy_spanmed.pretraining.texts.packing import PackedSequences, pack_texts

TERMS = ["kalo mi", "mi", "mi ne", "sotivu"]
TEXT = "ka kalo mi ne so . mi lo sotivu ra kalo so"


def one_sequence(text, tokenizer):
    """Words and ids of the first sequence of a text, which is filled up with "ra"."""
    packed = pack_texts([text + " ra" * 30], tokenizer, 32)
    return packed.words[0], packed.input_ids[0]


def strings(units, ids, tokenizer):
    return [tokenizer.decode(ids[start:end]) for start, end in units]


# ------------------------------------------------------------------------- units.py

SEED = st.integers(0, 2**31)
SYMBOLS = st.lists(st.integers(0, 5), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(text=SYMBOLS, phrases=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6)))
def test_the_tree_finds_what_a_search_place_by_place_finds(text, phrases):
    # Even symbols begin a word, odd ones go on with it; a phrase begins with an even one.
    phrases = [[phrase[0] & ~1, *phrase[1:]] for phrase in phrases]
    ends = np.cumsum([len(p) for p in phrases], dtype=np.int64)
    flat = np.array(sum(phrases, []), dtype=np.int64)
    trie = PhraseTrie(flat, ends - [len(p) for p in phrases], ends)
    outside = make_symbols(np.array([-1]), np.array([0]))[0]
    symbols = np.array([*text, outside])
    found = sorted(zip(*(array.tolist() for array in trie.find(symbols)[:2])))
    expected = {
        (start, start + len(phrase))
        for phrase in phrases
        for start in range(len(text))
        if text[start : start + len(phrase)] == phrase and not symbols[start + len(phrase)] & 1
    }
    assert found == sorted(expected)
    assert len(trie) == len(set(map(tuple, phrases)))


def test_symbols_tell_words_apart_that_have_the_same_pieces():
    ids = np.array([2, 7, 7, 7, 3])
    one, two = np.array([-1, 0, 0, 1, -1]), np.array([-1, 0, 1, 1, -1])
    assert make_symbols(one, ids).tolist()[1:4] == [14, 15, 14]
    assert make_symbols(two, ids).tolist()[1:4] == [14, 14, 15]
    assert (make_symbols(one, ids) == make_symbols(two, ids))[[0, 4, 5]].all()


def test_overlaps_are_resolved_in_the_order_given():
    starts, ends = np.array([4, 2, 0, 6]), np.array([6, 5, 2, 7])
    assert keep_disjoint(starts, ends, 8).tolist() == [[4, 6], [0, 2], [6, 7]]


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), max_size=20), budget=st.integers(0, 30), seed=st.integers(0)
)
def test_units_are_drawn_until_none_fits(sizes, budget, seed):
    ends = np.cumsum(sizes, dtype=np.int64)
    units = np.stack([ends - np.array(sizes, dtype=np.int64), ends], axis=1)
    taken, left = draw_units(units, budget, np.random.default_rng(seed))
    taken = set(map(tuple, taken.tolist()))
    rest = [end - start for start, end in units.tolist() if (start, end) not in taken]
    assert left == budget - sum(end - start for start, end in taken) >= 0
    assert left < min(rest, default=left + 1)
    mask = mark_tokens(np.array(sorted(taken), dtype=np.int64).reshape(-1, 2), sum(sizes))
    assert mask.sum() == budget - left


def test_sequences_are_sampled_evenly():
    rows = np.repeat(np.arange(10)[:, None], 4, axis=1)
    words, ids = sample_sequences(PackedSequences(rows, rows, 1, 40), max_tokens=20)
    assert words.tolist() == ids.tolist() == sorted([0, 2, 4, 6, 8] * 4)
    assert len(sample_sequences(PackedSequences(rows, rows, 1, 40), max_tokens=1)[0]) == 4
    assert len(sample_sequences(PackedSequences(rows, rows, 1, 40), max_tokens=99)[0]) == 40


# ------------------------------------------------------------------------- entity.py


def test_terms_are_found_as_whole_words_longest_first(tokenizer):
    words, ids = one_sequence(TEXT, tokenizer)
    masker = EntityMasker(TERMS, rate=0.9)
    masker.prepare(tokenizer, pack_texts([TEXT * 9], tokenizer, 32))
    units = masker.select(words, mask_rng(0, 0, 0), ids)
    found = strings(units, ids, tokenizer)
    assert {"kalo mi", "mi", "sotivu"} <= set(found)
    assert "mi ne" not in found  # it begins inside "kalo mi"
    starts, ends, _ = tokenize_terms(TERMS, tokenizer).find(make_symbols(words, ids))
    occurrences = strings(zip(starts, ends), ids, tokenizer)
    assert sorted(occurrences) == ["kalo mi", "mi", "mi", "mi ne", "sotivu"]


def test_every_term_is_masked_as_often_and_none_in_part(tokenizer):
    text = "ka lo mi sotivu ra ne pu kalo ra so"
    words, ids = one_sequence(text, tokenizer)
    masker = EntityMasker(["lo mi", "sotivu", "kalo"], rate=0.15)
    masker.prepare(tokenizer, pack_texts([text * 9], tokenizer, 32))
    hits = dict.fromkeys(["lo mi", "sotivu", "kalo"], 0)
    for sample in range(600):
        units = masker.select(words, mask_rng(0, 0, sample), ids)
        assert 3 <= (units[:, 1] - units[:, 0]).sum() <= token_budget(0.15, words) == 4
        for string in strings(units, ids, tokenizer):
            hits[string] = hits.get(string, 0) + 1
    # Pieces 2, 3, 2 of a budget of 4: first is each in a third of the sequences. After a first of 2
    # pieces the other one of 2 fits, after that of 3 none.
    assert hits["sotivu"] == pytest.approx(200, abs=60)
    assert hits["lo mi"] == hits["kalo"] == 600 - hits["sotivu"]


def test_a_sequence_without_terms_is_filled_with_spans(tokenizer):
    words, ids = one_sequence("ka " * 28, tokenizer)
    masker = EntityMasker(["sotivu"])
    masker.prepare(tokenizer, pack_texts(["sotivu " * 30], tokenizer, 32))
    units = masker.select(words, mask_rng(0, 0, 0), ids)
    assert (units[:, 1] - units[:, 0]).sum() == token_budget(0.15, words) == 4


def test_terms_do_not_cross_documents(tokenizer):
    packed = pack_texts(["ka lo mi", "ne ra " * 20], tokenizer, 32)
    phrases = tokenize_terms(["mi ne", "lo mi", "ne ra"], tokenizer)
    starts, ends, _ = phrases.find(make_symbols(packed.words[0], packed.input_ids[0]))
    assert [2, 4] in np.stack([starts, ends], axis=1).tolist()
    assert not any(start == 3 for start in starts)


def test_terms_of_a_tokenizer_that_marks_spaces():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", cls_token="<s>", sep_token="</s>"
    )
    packed = pack_texts(["IL-2 binds IL-2. IL-20, MIL-2 ..."], tokenizer, 33)
    phrases = tokenize_terms(["IL-2"], tokenizer)
    starts, ends, _ = phrases.find(make_symbols(packed.words[0], packed.input_ids[0]))
    found = [tokenizer.decode(packed.input_ids[0][s:e]) for s, e in sorted(zip(starts, ends))]
    assert found == ["I L - 2", "Ġ I L - 2"]


def test_terms_unknown_to_the_tokenizer_match_nothing(tokenizer):
    assert len(tokenize_terms(["日本", "zzz", ""], tokenizer)) == 0
    with pytest.raises(ValueError, match=r"None of the 2 terms \(such as 'zzz'\) occurs"):
        EntityMasker(["zzz", "so so"]).prepare(
            tokenizer, pack_texts(["ka lo " * 30], tokenizer, 32)
        )


def test_what_was_found_is_reported(tokenizer):
    packed = pack_texts(["ka lo mi ne ra " * 12], tokenizer, 32)  # 60 words, one sequence
    facts = EntityMasker(["lo mi", "mi", "zzz"]).prepare(tokenizer, packed)
    assert facts == {"terms": 3, "phrases": 2, "coverage": 0.4}
    assert measure_coverage(tokenize_terms(["ka lo mi", "mi ne"], tokenizer), packed) == 0.8


def test_sequences_before_preparation_are_refused():
    words = np.array([-1, 0, 1, -1])
    with pytest.raises(ValueError, match=r"prepare\(\) once"):
        EntityMasker(["ka"]).select(words, mask_rng(0, 0, 0), words)


# -------------------------------------------------------------------------- terms.py


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_terms_of_text_and_pattern_files(tmp_path):
    text = write(tmp_path / "a.txt", "\ufeffaspirin\r\n\n  gastric   bleeding \naspirin\n5-HT")
    assert read_terms(text) == ["aspirin", "gastric bleeding", "5-HT"]
    packed = write(tmp_path / "a.txt.gz", gzip.compress("α-actin\n".encode()))
    assert read_terms(packed) == ["α-actin"]
    patterns = write(
        tmp_path / "a.jsonl",
        '{"label": "DRUG", "pattern": "aspirin"}\n\n'
        '{"label": "X", "pattern": [{"LOWER": "gastric"}, {"text": "bleeding"}], "id": "7"}\n',
    )
    assert read_terms(patterns) == ["aspirin", "gastric bleeding"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", "", r"a\.txt' is empty"),
        ("a.txt", " \n\n", r"a\.txt' is empty"),
        (
            "a.txt",
            b"ka\nm\xe9\n",
            r"a\.txt:2: byte 0xe9, number 2 of the line, is not UTF-8.*iconv",
        ),
        ("a.jsonl", '{"pattern": "ka"}\nka\n', r"a\.jsonl:2: expected a JSON object"),
        ("a.jsonl", '\n{"label": "X"}\n', r"a\.jsonl:2: expected a JSON object"),
        ("a.jsonl", '["ka"]\n', r"a\.jsonl:1: expected a JSON object"),
        ("a.jsonl", '{"pattern": " "}\n', r':1: "pattern" must be a string'),
        ("a.jsonl", '{"pattern": []}\n', r':1: "pattern" must be a string'),
        ("a.jsonl", '{"pattern": [{"LOWER": {"IN": ["a"]}}]}\n', ":1: a token .* its text"),
        ("a.jsonl", '{"pattern": [{"LOWER": "a", "OP": "+"}]}\n', ":1: a token .* its text"),
    ],
)
def test_faults_of_terms_files_are_named(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_terms(write(tmp_path / name, content))
    assert "\n" not in str(error.value)


def test_missing_terms_file():
    with pytest.raises(ValueError, match="'nowhere.txt' does not exist.*spanmed terms"):
        read_terms(Path("nowhere.txt"))
