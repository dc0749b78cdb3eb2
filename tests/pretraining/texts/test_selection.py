"""Cleaning, sentences, duplicates, overlap with evaluation texts, and the account of it all."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_spanmed.pretraining.config import DataSettings
from spacy_spanmed.pretraining.texts import selection
from spacy_spanmed.pretraining.texts.reading import Document
from spacy_spanmed.pretraining.texts.selection import (
    EvaluationTexts,
    SeenTexts,
    Selection,
    clean_text,
    read_selected,
)
from spacy_spanmed.pretraining.texts.tokenizing import sentence_ends


def test_cleaning():
    raw = "\ufeffA\r\n\r\n b\x00\u00a0 c\n\nd\ne \t\n\n\nf\x1cg\xadh\u200d "
    assert clean_text(raw, DataSettings()) == "A\nb c\nd e\nf gh\u200d"
    as_it_is = DataSettings(normalize_whitespace=False, remove_control_characters=False)
    kept = clean_text(raw, as_it_is)
    assert kept == raw.strip()
    assert "\xad" in clean_text(raw, DataSettings(remove_control_characters=False))
    assert clean_text("a\ud800b", as_it_is) == "a\ufffdb"


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_cleaned_text_has_single_spaces_and_line_feeds_only(text):
    cleaned = clean_text(text, DataSettings())
    assert cleaned == cleaned.strip()
    assert all(space in " \n" for space in cleaned if space.isspace())
    assert not any(pair in cleaned for pair in ("  ", "\n\n", " \n", "\n "))
    assert set(cleaned) <= {*text, " ", "\n", "\ufffd"}


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One. Two! Three? (Four.) End", ["One.", "Two!", "Three?", "(Four.)", "End"]),
        ("As in Fig. 1, e.g. by J. Smith et al. Then.", 1),
        ("The value was 3.5 mg. It fell.", ["The value was 3.5 mg.", "It fell."]),
        ("About approx. five vs. six in vitro. Then more.", 2),
        ("Not E. coli var. alba but a. b.", 1),
        ("all in lower case. next one. and a third.", 3),
        ("Heading\nText goes on. End", ["Heading", "Text goes on.", "End"]),
        ("\u4e00\u3002\u4e8c\u3002", ["\u4e00\u3002", "\u4e8c\u3002"]),
        ("no end at all", 1),
        ("", 1),
    ],
)
def test_sentences(text, sentences):
    ends = sentence_ends(text)
    assert ends[-1] == len(text)
    found = [text[start:end].strip() for start, end in zip([0, *ends], ends)]
    assert (found if isinstance(sentences, list) else len(found)) == sentences


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="aB. !\n)\u3002?", max_size=60))
def test_sentence_ends_ascend_to_the_end(text):
    ends = sentence_ends(text)
    assert ends == sorted(set(ends)) and ends[-1] == len(text)


@pytest.mark.parametrize("text", ["a" * 500_000, "." * 500_000, " " * 500_000, ' ."' * 160_000])
def test_odd_texts_take_no_more_time_than_others(text):
    """Quadratic time would be hours."""
    assert sentence_ends(text)[-1] == len(text)
    assert len(clean_text(text, DataSettings())) <= len(text)


def test_duplicates_are_found_also_beyond_what_is_in_the_set(monkeypatch):
    monkeypatch.setattr(selection, "RECENT", 7)
    seen = SeenTexts()
    texts = [f"text number {i % 50}" for i in range(200)]
    new = [seen.add(text) for text in texts]
    assert new == [True] * 50 + [False] * 150 and len(seen) == 50
    assert not seen.add(" TEXT\n number  3 ")
    assert len(seen._recent) < 7 and seen._sorted.dtype == np.uint64


WORDS = [f"word{i}" for i in range(60)]


@pytest.mark.parametrize(
    "text, overlaps",
    [
        (WORDS[20:33], True),  # 13 words of the long one
        (WORDS[20:32] + ["other"] + WORDS[32:44], False),  # 12 in a row, twice
        (["x"] * 50 + WORDS[47:60] + ["y"] * 50, True),
        (
            ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            True,
        ),  # all of the short one
        (
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
            True,
        ),
        (["one", "two", "three", "four", "five", "six", "seven", "eight"], False),
        (["tiny", "text"], True),
        (["a", "tiny", "text"], False),
        ([], False),
    ],
)
def test_overlap(text, overlaps):
    texts = [" ".join(WORDS), "One two, three four (five) six-seven\neight NINE.", "Tiny text!"]
    known = EvaluationTexts(texts)
    assert known.count == 3
    assert known.overlap(", ".join(text).upper()) == overlaps


def test_overlap_with_as_many_words_as_asked():
    known = EvaluationTexts([" ".join(WORDS)], words=20)
    assert not known.overlap(" ".join(WORDS[:19])) and known.overlap(" ".join(WORDS[:20]))


def test_evaluation_texts_come_from_docs_and_corpora(tmp_path):
    doc = spacy.blank("en")(" ".join(WORDS[:20]))
    DocBin(docs=[doc]).to_disk(tmp_path / "test.spacy")
    title, abstract = " ".join(WORDS[20:25]), " ".join(WORDS[25:45])
    (tmp_path / "test.pubtator").write_text(f"1|t|{title}\n1|a|{abstract}\n\n")
    paths = [tmp_path / "test.spacy", tmp_path / "test.pubtator"]
    known = EvaluationTexts.read(paths, 13)
    assert known.count == 2 and known.problems == {}
    assert known.overlap(" ".join(WORDS[3:16])) and known.overlap(" ".join(WORDS[22:35]))
    with pytest.raises(ValueError, match="nope.spacy', which does not exist"):
        EvaluationTexts.read([tmp_path / "nope.spacy"], 13)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match="holds no text"):
        EvaluationTexts.read([tmp_path / "empty.jsonl"], 13)


def test_every_document_is_accounted_for():
    texts = ["long enough", " ", "short", "Long  ENOUGH", " ".join(WORDS[:13]), "another text"]
    documents = [Document(text, f"file:{i}") for i, text in enumerate(texts)]
    selection = Selection(DataSettings(min_characters=6), EvaluationTexts([" ".join(WORDS)]))
    assert list(selection.select(documents)) == ["long enough", "another text"]
    assert selection.report() == {
        "documents_read": 6,
        "documents_empty": 1,
        "documents_too_short": 1,
        "documents_duplicate": 1,
        "documents_other_side": 0,
        "documents_in_dev": 0,
        "documents_overlapping": 1,
        "documents_kept": 2,
        "examples": {
            "empty": ["file:1"],
            "too_short": ["file:2"],
            "duplicate": ["file:3"],
            "overlapping": ["file:4"],
        },
    }
    everything = Selection(DataSettings(deduplicate=False))
    assert len(list(everything.select(documents))) == 5


def test_a_share_is_held_out_and_nothing_is_on_both_sides():
    documents = [Document(f"text number {i % 900}", f"file:{i}") for i in range(1000)]
    for deduplicate, count in ((True, 900), (False, 1000)):
        settings = DataSettings(held_out=0.2, deduplicate=deduplicate)
        train = list(Selection(settings).select(documents))
        dev = list(Selection(settings, held_out=True).select(documents))
        assert len(train) + len(dev) == count and not set(train) & set(dev)
        assert 0.15 < len(dev) / count < 0.25
    selection = Selection(settings)
    list(selection.select(documents))
    assert selection.report()["documents_other_side"] == len(dev)


def test_reading_for_a_benchmark_follows_the_settings(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"abstract": "ka  <cit>"}\n{"abstract": "lo"}\n{"abstract": "lo"}\n[]\n')
    settings = DataSettings(
        text_field="abstract", on_error="skip", replace=[("<cit>", "mi")], held_out=0.5
    )
    assert list(read_selected([str(file)], settings)) == ["ka mi", "lo"]


def test_placeholders_and_headings_are_replaced():
    pairs = [
        (r"<dig>", "1"),
        (r"<cit>", ""),
        (r"(?m)^[A-Z]+(\.[A-Z]+)*:\s*\n", ""),
        (r"(b)c", r"\1"),
    ]
    settings = DataSettings(replace=pairs)
    text = "TITLE:\nAb  bc\n\nBODY.METHODS: \nWe saw <dig> <cit>\nnote: x"
    kept = Selection(settings).select([Document(text, "file")])
    assert list(kept) == ["Ab b\nWe saw 1 note: x"]
