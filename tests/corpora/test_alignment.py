import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_spanmed.corpora.alignment import (
    explain_mismatch,
    lost_mentions,
    make_gold_doc,
    split_tokens,
    trim_offsets,
)
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import get_relation_tuples
from spacy_spanmed.pipeline.tokenizer import create_tokenizer

NLP = spacy.blank("en")
TOKENIZE = create_tokenizer(NLP)

texts = st.text(
    alphabet=st.sampled_from("abcXYZ019 -/()+,.'\u03b1\u00df\U0001d6fc \n"), min_size=1, max_size=40
)


@st.composite
def text_and_mentions(draw):
    text = draw(texts.filter(str.strip))
    offset = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(offset, offset), max_size=6))
    mentions = [
        (a, b, draw(st.sampled_from(["A", "B"])))
        for a, b in map(sorted, pairs)
        if text[a:b].strip()
    ]
    return text, mentions


@given(text_and_mentions())
@settings(max_examples=200, deadline=None)
def test_every_mention_survives_exactly(case):
    text, mentions = case
    doc = make_gold_doc(TOKENIZE, text, mentions, layers=["entities"])
    assert doc.text == text
    expected = {(*trim_offsets(text, start, end), label) for start, end, label in mentions}
    assert set(get_mentions(doc)) == expected
    reference = [token.text for token in TOKENIZE(text)]
    assert "".join(token.text for token in doc) == "".join(reference)
    for ent in doc.ents:
        assert (ent.start_char, ent.end_char, ent.label_) in expected
    # Of each group of overlapping mentions at least one is in doc.ents.
    assert bool(doc.ents) == bool(mentions)


@given(texts, st.sets(st.integers(-2, 50), max_size=6))
@settings(max_examples=200, deadline=None)
def test_split_tokens_puts_a_token_edge_at_each_boundary(text, boundaries):
    doc = split_tokens(TOKENIZE(text), boundaries)
    assert doc.text == text
    edges = {token.idx for token in doc} | {token.idx + len(token) for token in doc}
    spaces = {token.idx + len(token) + 1 for token in doc if token.whitespace_}
    assert {b for b in boundaries if 0 < b < len(text)} <= edges | spaces


def test_unsplit_doc_is_returned_as_it_is():
    doc = TOKENIZE("p53 binds DNA")
    assert split_tokens(doc, [0, 3, 4, 13]) is doc


@pytest.mark.parametrize("start,end", [(-1, 3), (0, 99), (5, 3)])
def test_offsets_outside_are_refused(start, end):
    with pytest.raises(ValueError, match="lies outside its text of 13 characters"):
        make_gold_doc(TOKENIZE, "p53 binds DNA", [(start, end, "A")], layers=["entities"])


@pytest.mark.parametrize("start,end", [(4, 4), (3, 4)])
def test_empty_mentions_are_refused(start, end):
    with pytest.raises(ValueError, match="is empty"):
        make_gold_doc(TOKENIZE, "p53 binds DNA", [(start, end, "A")], layers=["entities"])


def test_relations_need_their_layer():
    relation = (0, 3, "A", 10, 13, "B", "BINDS", 1.0, False)
    with pytest.raises(ValueError, match="relations"):
        make_gold_doc(TOKENIZE, "p53 binds DNA", [], [relation], layers=["entities"])


def test_lossy_tokenizer_is_refused():
    with pytest.raises(ValueError, match="changes the text"):
        make_gold_doc(lambda text: TOKENIZE(text.upper()), "p53", layers=[])


def test_entities_layer_has_flat_ents_longest_first():
    mentions = [(0, 3, "GENE"), (0, 12, "REGION"), (4, 19, "OTHER")]
    doc = make_gold_doc(TOKENIZE, "p53 promoter region", mentions, layers=["entities"])
    # Equally long in tokens: the leftmost.
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("p53 promoter", "REGION")]
    assert len(doc.spans["spanmed"]) == 3


def test_sentence_without_entities_isnt_missing_annotation():
    doc = make_gold_doc(TOKENIZE, "Nothing here.", layers=["entities"])
    assert doc.has_annotation("ENT_IOB")
    assert get_layers(doc) == {"entities"}


def test_missing_layer_stays_missing_through_a_docbin():
    relation = (4, 6, "A", 0, 3, "B", "BINDS", 1.0, True)
    doc = make_gold_doc(
        TOKENIZE,
        "p53binds DNA",
        [(0, 3, "B"), (4, 6, "A")],
        [relation],
        layers=["relations"],
        meta={"id": "x", "source": "test", "annotator": "1", "group": "g"},
    )
    data = DocBin(attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE"], store_user_data=True, docs=[doc])
    [back] = DocBin().from_bytes(data.to_bytes()).get_docs(NLP.vocab)
    assert not back.has_annotation("ENT_IOB")
    assert get_layers(back) == {"relations"}
    assert [tuple(item) for item in get_relation_tuples(back)] == [relation]
    assert get_mentions(back) == [(0, 3, "B"), (4, 6, "A")]
    assert back.user_data["spanmed_meta"]["annotator"] == "1"
    assert back.text == "p53binds DNA"


def test_lost_mentions_are_counted_with_examples():
    doc = make_gold_doc(
        TOKENIZE, "the p53binds DNA", [(4, 7, "GENE"), (13, 16, "")], layers=["entities"]
    )
    result = lost_mentions([doc], TOKENIZE)
    assert (result.lost, result.total, result.share) == (1, 2, 0.5)
    assert result.examples == ["the [[p53]]binds DNA (GENE)"]
    assert lost_mentions([], TOKENIZE).share == 0.0


@pytest.mark.parametrize(
    "parts, given, expected",
    [
        ([(0, 6)], "Aspirin", "ends at character 7, so the end is 1 too low (ends are exclusive"),
        ([(0, 9)], "Aspirin", "ends at character 7, so the end is 2 too high. Correct the end"),
        ([(0, 3), (4, 7)], "Aspirin", "is there in one piece. Leave the fragments out"),
        ([(1, 8)], "Aspirin", "at character 0, so the offset is 1 too high"),
    ],
)
def test_the_end_is_named_if_it_is_wrong(parts, given, expected):
    assert expected in explain_mismatch("Aspirin works", parts, given)
