"""Texts with marked arguments, and the classifier that reads one for each pair."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from spacy_spanmed.pipeline.relation_extractor.candidates import (
    Candidate,
    align_mentions,
    find_pairs,
)
from spacy_spanmed.pipeline.relation_extractor.marker_scorer import build_marker_scorer
from spacy_spanmed.pipeline.relation_extractor.markers import Marker, _Mark, write_row
from tests.conftest import TEXTS, make_examples, make_nlp, train

NLP = spacy.blank("en")


@pytest.fixture(scope="module")
def marked_letters(tiny_letters):
    """A pipeline that has learned TEXTS, with an encoder that reads them once a pair."""
    spacy.util.fix_random_seed(0)
    settings = {"@architectures": "spanmed.MarkerScorer.v1", "hidden_size": 16, "max_pieces": 64}
    nlp = make_nlp(tiny_letters, relation_model=settings)
    nlp.history = train(nlp, make_examples(nlp), steps=40)
    return nlp


def make_tokenizer():
    """RETURNS (str): One whose pieces are whole words."""
    words = [
        "[CLS]",
        "[SEP]",
        "[UNK]",
        "@",
        "#",
        "*",
        "^",
        "gene",
        "cell",
        "line",
        "drug",
        "aspirin",
        "inhibits",
        "cox",
        "in",
        "mice",
    ]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    tokenizer.enable_truncation(3)
    return tokenizer.to_str()


def read(marker, row):
    return " ".join(marker.tokenizer.id_to_token(piece) for piece in row)


def test_arguments_stand_between_markers_with_their_types():
    doc = NLP("Aspirin inhibits COX in mice")
    mentions = {(0, 7, "DRUG"): (), (17, 20, "GENE"): (), (24, 28, "CELL_LINE"): ()}
    pairs = find_pairs(align_mentions(doc, mentions), 99, 99)
    marker = Marker(make_tokenizer(), 64)
    found = marker.write([doc, NLP("")], [pairs, find_pairs([], 99, 99)])
    assert len(found.pieces) == 6
    row = pairs.arguments.index(((0, 7), (17, 20)))
    expected = "[CLS] @ * drug * aspirin @ inhibits # ^ gene ^ cox # in mice [SEP]"
    assert read(marker, found.pieces[row]) == expected
    row = pairs.arguments.index(((24, 28), (0, 7)))
    expected = "[CLS] # ^ drug ^ aspirin # inhibits cox in @ * cell line * mice @ [SEP]"
    assert read(marker, found.pieces[row]) == expected
    at = [read(marker, [r[p] for p in ps]) for r, ps in zip(found.pieces, found.places.tolist())]
    assert at == ["@ #"] * 6


def test_every_mention_of_a_concept_is_marked():
    doc = NLP("cox inhibits aspirin inhibits cox")
    mentions = {(0, 3, "GENE"): ("G",), (13, 20, "DRUG"): ("D",), (30, 33, "GENE"): ("G",)}
    pairs = find_pairs(
        align_mentions(doc, mentions, mentions), 99, 99, concepts=True, directed=False
    )
    marker = Marker(make_tokenizer(), 64)
    (row,) = marker.write([doc], [pairs]).pieces
    assert read(marker, row).count("gene") == 2 and read(marker, row).count("drug") == 1


@st.composite
def texts_with_marks(draw):
    tokens = draw(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=2))
    spans = st.integers(0, len(tokens) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(tokens)))
    )
    marks = draw(st.lists(spans, min_size=2, max_size=5, unique=True))
    made = [_Mark(*span, [100 + i, 50], [60]) for i, span in enumerate(marks)]
    return tokens, made, draw(st.integers(40, 80))


@given(texts_with_marks())
def test_rows_fit_and_places_are_those_of_the_pair(case):
    tokens, marks, limit = case
    row, begins = write_row(tokens, marks, (marks[0], marks[1]), limit)
    assert len(row) <= limit
    assert [row[place] for place in begins] == [100, 101]
    whole, _ = write_row(tokens, marks, (marks[0], marks[1]), 10**6)
    assert [piece for piece in whole if piece < 50] == sum(tokens, [])
    if len(whole) <= limit:
        assert row == whole
    else:  # in their order
        left = iter(whole)
        assert all(piece in left for piece in row)


def test_learns_and_is_saved(marked_letters, tmp_path):
    nlp = marked_letters
    scores = nlp.evaluate(make_examples(nlp))
    assert scores["rel_gold_micro_f"] == 1.0
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert loaded.evaluate(make_examples(loaded))["rel_gold_micro_f"] == 1.0
    pipe = loaded.get_pipe("relation_extractor")
    docs = [nlp(text) for text, *_ in TEXTS]
    mentions = [{(e.start_char, e.end_char, e.label_): () for e in doc.ents} for doc in docs]
    together = [scores.logits for _, scores in pipe.score_pairs(docs, mentions)]
    for doc, own, logits in zip(docs, mentions, together):
        ((_, alone),) = pipe.score_pairs([doc], [own])
        assert alone.logits == pytest.approx(logits, abs=0.05)  # bf16 where that is fast


def test_its_encoder_learns_and_new_labels_have_room(marked_letters):
    nlp = spacy.blank("en").from_config(marked_letters.config)
    nlp.from_bytes(marked_letters.to_bytes())
    pipe = nlp.get_pipe("relation_extractor")
    own = pipe.model.shims[0]._model.encoder
    shared = nlp.get_pipe("transformer").model.layers[0].shims[0]._model
    differ = [(a != b).any() for a, b in zip(own.parameters(), shared.parameters())]
    assert any(differ)
    pipe.add_label("TREATS")
    pipe._add_entity_labels(["NEW"])
    assert nlp.evaluate(make_examples(nlp))["rel_gold_micro_f"] == 1.0


def test_without_a_transformer_it_says_so():
    model = build_marker_scorer()
    model.set_dim("nO", 2)
    model.initialize()
    pairs = find_pairs([Candidate(i, i + 1, i, i + 1, "A") for i in (0, 1)], 9, 9)
    with pytest.raises(ValueError, match="no encoder.*nlp.initialize"):
        model.predict(([NLP("a b")], [pairs]))


@pytest.mark.parametrize("settings", [{"hidden_size": 0}, {"max_pieces": 8}, {"precision": "x"}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="hidden_size must|precision"):
        build_marker_scorer(**settings)
