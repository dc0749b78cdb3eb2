"""Short forms take evidence from their long forms."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from spacy_spanmed.doc.concepts import get_abbreviations
from spacy_spanmed.pipeline.span_ner.decoding import pool_abbreviations, softmax
from tests.pipeline.span_ner.test_decoding_repeats import make_scores

KEY = ("._.", "abbreviations", None, None)  # where `doc._.abbreviations` is


def form(short, long):
    names = ("short_start", "short_end", "long_start", "long_end")
    return dict(zip(names, (*short, *long)))


def pool(texts, probabilities, forms, weight=1.0):
    """forms: for each Doc its abbreviations. RETURNS: Probabilities before and after, by span."""
    docs, scores, keys = make_scores(texts, probabilities)
    for doc, found in zip(docs, forms):
        doc.user_data[KEY] = found
    before, own = scores.logits.copy(), scores.logits
    pool_abbreviations(scores, docs, weight)
    assert np.array_equal(before, own)  # the model's own array
    return tuple(dict(zip(keys, softmax(x).round(4).tolist())) for x in (before, scores.logits))


def test_a_short_form_takes_the_label_of_its_long_form():
    text = "liver failure ( LF ) and LF"
    found = [form((3, 4), (0, 2)), form((6, 7), (0, 2))]
    before, after = pool([text], {(0, 0, 1): [0.0, 0.9], (0, 3, 0): [0.6, 0]}, [found], 0.5)
    assert after[0, 3, 0] == pytest.approx([0.25, 0.3, 0.45], abs=1e-3)
    assert after[0, 6, 0] == pytest.approx([0.55, 0.0, 0.45], abs=1e-3)
    assert {key for key in after if after[key] != before[key]} == {(0, 3, 0), (0, 6, 0)}


def test_mentions_that_end_with_the_long_form_count():
    text = "acute liver failure in LF"
    spans = {(0, 1, 1): [0.5, 0.0], (0, 0, 2): [0.3, 0.0]}
    # The letters say "liver failure", the mention may begin before it, or behind its first word
    _, after = pool([text], {**spans, (0, 2, 0): [0.0, 0.1]}, [[form((4, 5), (1, 3))]])
    assert after[0, 4, 0] == pytest.approx([0.1, 0.8, 0.1], abs=1e-3)
    # More than certain is certain
    _, after = pool([text], {**spans, (0, 2, 0): [0.8, 0.0]}, [[form((4, 5), (1, 3))]])
    assert after[0, 4, 0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-3)


def test_no_long_form_that_is_an_entity_speaks_against_one():
    _, after = pool(["long form ( LF )"], {(0, 3, 0): [0.8, 0.0]}, [[form((3, 4), (0, 2))]], 0.75)
    assert after[0, 3, 0][1] == pytest.approx(0.2, abs=1e-3)


def test_each_document_has_its_own():
    texts = ["", "a b and B", "B"]
    forms = [[], [form((3, 4), (0, 2))], []]
    before, after = pool(texts, {(1, 0, 1): [0.9, 0.0], (2, 0, 0): [0.2, 0.0]}, forms)
    assert {key for key in after if after[key] != before[key]} == {(1, 3, 0)}


def test_a_short_form_that_is_too_wide_for_a_span_is_left_alone():
    before, after = pool(["a b c d e f"], {(0, 0, 1): [0.9, 0.0]}, [[form((2, 6), (0, 2))]])
    assert after == before


def test_without_abbreviations_or_weight_nothing_moves():
    probabilities = {(0, 0, 1): [0.9, 0.0]}
    for forms, weight in (([[]], 1.0), ([[form((3, 4), (0, 2))]], 0.0)):
        before, after = pool(["a b ( AB )"], probabilities, forms, weight)
        assert after == before


def test_both_kinds_of_the_detector_are_read():
    from scispacy.abbreviation import AbbreviationDetector

    nlp = spacy.blank("en")
    text = "Spinal and bulbar muscular atrophy (SBMA) is rare. SBMA is rare."
    found = []
    for serializable in (True, False):
        doc = AbbreviationDetector(nlp, make_serializable=serializable)(nlp.make_doc(text))
        found.append(sorted(get_abbreviations(doc)))
    assert found[0] == found[1] and len(found[0]) == 2
    assert all(doc[slice(*short)].text == "SBMA" for short, _ in found[0])
    assert {doc[slice(*long)].text for _, long in found[0]} == {text[:34]}
    assert list(get_abbreviations(Doc(nlp.vocab, words=["none"]))) == []


@pytest.mark.parametrize("setting", ["pool_repeats", "pool_abbreviations"])
def test_weights_are_checked(setting):
    with pytest.raises(ValueError, match=f"{setting} must be 0 to 1"):
        spacy.blank("en").add_pipe("span_ner", config={setting: 1.5})
