"""A relation's sentences, and whether they state a fact."""

import pytest
import spacy

from spacy_spanmed.doc.relations import Relation


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


def relate(doc, head, tail):
    ends = [doc.text.index(name) for name in (head, tail)]
    spans = [doc.char_span(i, i + len(s), label="X") for i, s in zip(ends, (head, tail))]
    return Relation(*spans, "CAUSES")


@pytest.mark.parametrize(
    ("text", "speculative"),
    [
        ("Aspirin causes asthma.", False),
        ("Aspirin may cause asthma.", True),
        ("Whether aspirin helps in asthma is unknown.".replace("aspirin", "Aspirin"), True),
        ("Aspirin is being tested in asthma.", True),
        ("We examined Aspirin in patients with asthma.", True),
        ("It has been hypothesized that Aspirin might cause asthma.", True),
        ("In May 2010 Aspirin caused asthma.".replace("May", "may"), False),
        ("Aspirin causes asthma, but ibuprofen may not.", False),
        ("Ibuprofen may help; Aspirin causes asthma.", False),
        ("Aspirin was given. It could be that asthma follows.", True),
        ("Aspirin causes asthma. Ibuprofen may, too.", False),
        ("Mayo reported that Aspirin causes asthma.", False),
    ],
)
def test_speculation(nlp, text, speculative):
    assert relate(nlp(text), "Aspirin", "asthma").speculative is speculative


def test_sentences(nlp):
    doc = nlp("Aspirin was given. Nobody coughed. Then asthma came. It went.")
    relation = relate(doc, "Aspirin", "asthma")
    assert [s.text for s in relation.sents] == ["Aspirin was given.", "Then asthma came."]
    swapped = relation._replace(head=relation.tail, tail=relation.head)
    assert swapped.sents == relation.sents
    whole = spacy.blank("en")("Aspirin causes asthma. So it is.")
    assert relate(whole, "Aspirin", "asthma").sents == [whole[:]]
