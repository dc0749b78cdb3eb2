import platform
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pretraining.samples import bucket_order
from spacy_spanmed.pretraining.texts import packing
from spacy_spanmed.pretraining.texts import tokenizing as encoding
from spacy_spanmed.pretraining.texts.packing import (
    CUT,
    DROPPED,
    PIECES,
    DocumentPacker,
    PackedSequences,
    count_pieces,
    pack_texts,
)
from spacy_spanmed.pretraining.texts.tokenizing import encode_texts
from tests.pretraining.conftest import SYLLABLES, make_texts

WORDS = st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=12).map("".join)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), max_size=8)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, length=st.integers(8, 40))
def test_sequences_show_whole_words_and_lose_nothing(tokenizer, texts, length):
    sequences = pack_texts(texts, tokenizer, length)
    stream = []
    for text in texts:
        stream += tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.sep_token_id]
    assert sequences.documents == len(texts)
    assert sequences.tokens == len(stream) - len(texts)
    assert sequences.input_ids.shape == sequences.words.shape
    seen = []
    for ids, words in zip(sequences.input_ids, sequences.words):
        assert len(ids) == length and ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert (words[np.isin(ids, tokenizer.all_special_ids)] == -1).all()
        for word in set(words[words >= 0].tolist()):
            places = np.flatnonzero(words == word)
            assert (np.diff(places) == 1).all()
            pieces = tokenizer.convert_ids_to_tokens(ids[places].tolist())
            # starts a word, and what follows does not go on with it
            assert not pieces[0].startswith("##")
            assert all(piece.startswith("##") for piece in pieces[1:])
            following = tokenizer.convert_ids_to_tokens(int(ids[places[-1] + 1]))
            assert not following.startswith("##")
        seen.append(ids[1:-1].tolist())
    # every sequence continues the stream, stepping back at most to the start of a cut word
    start = 0
    for body in seen:
        assert body == stream[start : start + length - 2]
        end = start + length - 2
        back = end
        while back > start and tokenizer.convert_ids_to_tokens(stream[back : back + 1] or [5])[
            0
        ].startswith("##"):
            back -= 1
        start = back if back > start else end
    assert len(stream) - start < length - 2 or not stream


def test_word_longer_than_a_sequence_is_never_a_target(tokenizer):
    sequences = pack_texts(["ka" * 45, "lo mi"], tokenizer, 12)
    # WordPiece turns it into [UNK]; a longer limit keeps the pieces
    tokenizer.backend_tokenizer.model.max_input_chars_per_word = 10_000
    try:
        sequences = pack_texts(["ka" * 45 + " lo mi ne pu ra so ti vu xe ka lo mi"], tokenizer, 12)
    finally:
        tokenizer.backend_tokenizer.model.max_input_chars_per_word = 100
    assert len(sequences.words) >= 5
    assert (sequences.words[:4] == -1).all()
    assert (sequences.words[4:] >= 0).any()


def test_all_full_sequences_come_without_padding(tokenizer):
    sequences = pack_texts(make_texts(200), tokenizer, 32)
    assert len(sequences.input_ids) > 100
    assert not (sequences.input_ids == tokenizer.pad_token_id).any()
    assert (sequences.words >= 0).mean() > 0.8


def test_short_block_length_is_refused(tokenizer):
    with pytest.raises(ValueError, match="at least 8"):
        pack_texts(["ka"], tokenizer, 4)


SENTENCES = st.lists(WORDS, min_size=1, max_size=14).map(lambda words: " ".join(words) + " .")
DOCUMENTS = st.lists(st.lists(SENTENCES, min_size=1, max_size=8).map(" ".join), max_size=6)


@settings(max_examples=40, deadline=None)
@given(texts=DOCUMENTS, length=st.integers(12, 40))
def test_sequences_of_documents_end_with_sentences_and_lose_nothing_uncounted(
    tokenizer, texts, length
):
    packer = DocumentPacker(tokenizer, length, 6)
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    packed = dropped = 0
    for encoded in encode_texts(texts, tokenizer):
        ids = encoded.ids.tolist()
        ends = {*encoded.sentences.tolist(), len(ids)}
        cut_before, dropped_before = packer.counts[CUT], packer.counts[DROPPED]
        sequences = list(packer.add(encoded))
        place = 0
        outside = 0
        for sequence in sequences:
            assert 6 <= len(sequence.ids) <= length
            assert sequence.ids[0] == tokenizer.cls_token_id
            assert sequence.ids[-1] == tokenizer.sep_token_id
            body = sequence.ids[1:-1].tolist()
            assert not special & set(body)
            while ids[place : place + len(body)] != body:  # a dropped remainder lies between
                place += 1
            place += len(body)
            outside += place not in ends
        if packer.counts[DROPPED] == dropped_before:
            assert outside <= packer.counts[CUT] - cut_before
        packed += sum(len(sequence.ids) - 2 for sequence in sequences)
        dropped += packer.counts[DROPPED] - dropped_before
    assert packed + dropped == packer.counts[PIECES]
    assert list(packer.finish()) == []


def make_sentences(*sizes):
    """A text of sentences with so many tokens each, the full stop included."""
    return " ".join(" ".join(["ka"] * (size - 1)) + " ." for size in sizes)


@pytest.mark.parametrize(
    "sizes, lengths, dropped",
    [
        ((10, 10, 10), [22, 12], 0),  # two fit 22, one is left
        ((10, 10, 2), [12, 14], 0),  # the end is too short alone: it gets a sentence
        ((2, 30, 5), [22, 19], 0),  # a sentence longer than a sequence is cut
        ((3,), [], 3),
        ((20,), [22], 0),
        ((21,), [18, 7], 0),  # cut, so that the rest is a sequence
    ],
)
def test_cuts_follow_the_sentences(tokenizer, sizes, lengths, dropped):
    packer = DocumentPacker(tokenizer, 22, 7)
    (text,) = encode_texts([make_sentences(*sizes)], tokenizer)
    assert [len(sequence.ids) for sequence in packer.add(text)] == lengths
    assert packer.counts[DROPPED] == dropped


def test_no_sequence_holds_two_documents_unless_joined(tokenizer):
    texts = ["ka lo mi ne pu ra so ti .", "vu xe vu xe vu xe vu xe ."]
    apart = pack_texts(texts, tokenizer, 32, join_documents=False)
    first, second = (set(tokenizer(text)["input_ids"]) for text in texts)
    found = [set(ids[:length].tolist()) for ids, length in zip(apart.input_ids, apart.lengths)]
    assert found == [first, second]
    assert (apart.input_ids[0, 11:] == tokenizer.pad_token_id).all()
    assert (apart.words[0, 10:] == -1).all()
    joined = pack_texts(texts * 4, tokenizer, 32)
    assert joined.lengths is None and len(joined.input_ids) == 2


def test_word_longer_than_a_sequence_is_cut_and_never_a_target_by_document(tokenizer):
    model = tokenizer.backend_tokenizer.model
    model.max_input_chars_per_word = 10_000
    try:
        text = "lo mi ne pu . " + "ka" * 30 + " lo mi ne pu ra so ."
        sequences = pack_texts([text], tokenizer, 14, join_documents=False)
    finally:
        model.max_input_chars_per_word = 100
    pieces = [tokenizer.convert_ids_to_tokens(ids.tolist()) for ids in sequences.input_ids]
    for row, words in zip(pieces, sequences.words):
        assert all(word == -1 for piece, word in zip(row, words) if piece == "##ka")
        assert any(word >= 0 for word in words) or set(row[1:-1]) <= {"ka", "##ka"}
    assert sum(row.count("##ka") for row in pieces) == 29


def test_long_text_is_tokenized_in_parts_as_if_in_one(tokenizer, monkeypatch):
    texts = [" ".join(make_texts(30)), "ka lo ."]
    whole = list(encode_texts(texts, tokenizer))
    monkeypatch.setattr(encoding, "LONGEST_PART", 400)
    monkeypatch.setattr(encoding, "PARTS_AT_ONCE", 1000)
    for expected, found in zip(whole, encode_texts(texts, tokenizer), strict=True):
        for field in ("ids", "words", "sentences"):
            assert (getattr(expected, field) == getattr(found, field)).all(), field
    assert len(whole[0].sentences) == 30


def test_text_without_any_sentence_or_space_is_cut(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "LONGEST_PART", 50)
    (encoded,) = encode_texts(["ka lo " * 40 + "ka" * 200], tokenizer)
    assert len(encoded.ids) > 80
    sequences = pack_texts(["ka lo " * 400], tokenizer, 32, join_documents=False)
    assert sequences.lengths.sum() - 2 * len(sequences.lengths) == 800


def test_unknown_words_do_not_pass_for_words(tokenizer):
    sequences = pack_texts(["ka 字 lo 字 mi ne pu ra ."], tokenizer, 16, join_documents=False)
    unknown = sequences.input_ids[0] == tokenizer.unk_token_id
    assert unknown.sum() == 2 and (sequences.words[0][unknown] == -1).all()


@pytest.mark.parametrize("least", [2, 17])
def test_min_sequence_out_of_bounds_is_refused(tokenizer, least):
    with pytest.raises(ValueError, match="data.min_block"):
        DocumentPacker(tokenizer, 32, least)


def test_pieces_are_counted_in_parts(tokenizer, monkeypatch):
    sequences = pack_texts(make_texts(60), tokenizer, 32, join_documents=False)
    monkeypatch.setattr(packing, "COUNTED_AT_ONCE", 7)
    counts = count_pieces(sequences, len(tokenizer))
    expected = np.bincount(sequences.input_ids[sequences.words >= 0], minlength=len(tokenizer))
    assert (counts == expected).all() and counts[tokenizer.pad_token_id] == 0


@pytest.mark.skipif(platform.system() != "Linux", reason="reads Linux's /proc")
def test_text_on_the_disk_does_not_stay_in_memory(tmp_path):
    def mapped():
        """MB of files in the memory of this process."""
        status = Path("/proc/self/status").read_text()
        return sum(map(int, re.findall(r"Rss(?:File|Shmem):\s+(\d+)", status))) / 1e3

    arrays = [
        np.memmap(tmp_path / name, dtype=dtype, mode="w+", shape=(200_000, 64))
        for name, dtype in (("ids", np.uint16), ("words", np.int16))
    ]
    sequences = PackedSequences(*arrays, documents=1, tokens=1)
    before = mapped()
    assert int(sequences.input_ids.max()) == int(sequences.words.max()) == 0
    assert mapped() - before > 40
    sequences.release()
    assert mapped() - before < 5
    counts = count_pieces(sequences, 10)
    assert counts.tolist() == [200_000 * 64] + [0] * 9
    assert mapped() - before < 5


def padding_share(lengths, batch_size):
    """Part of all tokens that are padding, each batch padded to its longest sequence."""
    batches = lengths[: len(lengths) // batch_size * batch_size].reshape(-1, batch_size)
    return 1 - batches.sum() / (batches.max(axis=1).sum() * batch_size)


def test_bucketed_order_keeps_every_sequence_and_saves_padding():
    rng = np.random.default_rng(0)
    lengths = rng.integers(16, 129, size=5003)
    order = rng.permutation(5003)
    found = bucket_order(order, lengths, 8, np.random.default_rng(1), first=3)
    again = bucket_order(order, lengths, 8, np.random.default_rng(1), first=3)
    assert (found == again).all() and sorted(found) == list(range(5003))
    assert (found[:3] == order[:3]).all()
    assert padding_share(lengths[order[3:]], 8) > 0.3
    assert padding_share(lengths[found[3:]], 8) < 0.02
    # batches come in random order, not from short to long
    means = lengths[found[3:]][:5000].reshape(-1, 8).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.1


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 50), batch=st.integers(1, 20), first=st.integers(0, 19))
def test_bucketed_order_of_few_sequences(count, batch, first):
    lengths = np.arange(count)[::-1].copy()
    order = np.random.default_rng(count).permutation(count)
    found = bucket_order(order, lengths, batch, np.random.default_rng(0), first % batch)
    assert sorted(found) == list(range(count))
