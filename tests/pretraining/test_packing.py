import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pretraining.packing import pack_texts, read_texts

from .conftest import SYLLABLES, make_texts

WORDS = st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=12).map("".join)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), max_size=8)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, length=st.integers(8, 40))
def test_blocks_show_whole_words_and_lose_nothing(tokenizer, texts, length):
    blocks = pack_texts(texts, tokenizer, length)
    stream = []
    for text in texts:
        stream += tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.sep_token_id]
    assert blocks.documents == len(texts)
    assert blocks.tokens == len(stream) - len(texts)
    assert blocks.input_ids.shape == blocks.words.shape
    seen = []
    for ids, words in zip(blocks.input_ids, blocks.words):
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
    # every block continues the stream, stepping back at most to the start of a cut word
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


def test_word_longer_than_a_block_is_never_a_target(tokenizer):
    blocks = pack_texts(["ka" * 45, "lo mi"], tokenizer, 12)
    # WordPiece turns it into [UNK]; a longer limit keeps the pieces
    tokenizer.backend_tokenizer.model.max_input_chars_per_word = 10_000
    try:
        blocks = pack_texts(["ka" * 45 + " lo mi ne pu ra so ti vu xe ka lo mi"], tokenizer, 12)
    finally:
        tokenizer.backend_tokenizer.model.max_input_chars_per_word = 100
    assert len(blocks.words) >= 5
    assert (blocks.words[:4] == -1).all()
    assert (blocks.words[4:] >= 0).any()


def test_all_full_blocks_come_without_padding(tokenizer):
    blocks = pack_texts(make_texts(200), tokenizer, 32)
    assert len(blocks.input_ids) > 100
    assert not (blocks.input_ids == tokenizer.pad_token_id).any()
    assert (blocks.words >= 0).mean() > 0.8


def test_short_block_length_is_refused(tokenizer):
    with pytest.raises(ValueError, match="at least 8"):
        pack_texts(["ka"], tokenizer, 4)


@pytest.mark.parametrize("line", ["{", '{"txt": "a"}', '{"text": 3}', "[1]"])
def test_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "ka"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"texts\.jsonl, line 3"):
        list(read_texts(path))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="nope.jsonl"):
        list(read_texts(tmp_path / "nope.jsonl"))
