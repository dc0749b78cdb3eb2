"""Windows cover every token once, in order, and stay within the limit."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_spanmed.windows import configure_sentence_windows, estimate_pieces

VOCAB = spacy.blank("en").vocab
WORDS = st.lists(
    st.sampled_from(["a", "protein", "x" * 300, "12345", "🧬", "-", "细胞"]), max_size=60
)


@given(WORDS, st.data())
@settings(max_examples=200, deadline=None)
def test_windows_cover_all_tokens_once(words, data):
    doc = Doc(VOCAB, words=words)
    for token in doc[1:]:
        token.is_sent_start = data.draw(st.booleans())
    max_pieces = data.draw(st.integers(8, 40))
    (windows,) = configure_sentence_windows(max_pieces)([doc])
    assert [token.i for window in windows for token in window] == list(range(len(doc)))
    for window in windows:
        pieces = [min(estimate_pieces(token), max_pieces) for token in window]
        assert sum(pieces) <= max_pieces


def test_whole_sentences_stay_together():
    doc = Doc(VOCAB, words=["aa"] * 20, sent_starts=[i in (0, 6, 12) for i in range(20)])
    (windows,) = configure_sentence_windows(15)([doc])
    assert [(w.start, w.end) for w in windows] == [(0, 12), (12, 20)]


def test_long_sentence_is_cut():
    doc = Doc(VOCAB, words=["aa"] * 20)
    (windows,) = configure_sentence_windows(8)([doc])
    assert [(w.start, w.end) for w in windows] == [(0, 8), (8, 16), (16, 20)]


def test_limit_is_checked():
    with pytest.raises(ValueError, match="at least 8"):
        configure_sentence_windows(4)
