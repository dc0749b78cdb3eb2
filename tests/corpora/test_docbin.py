"""The reader yields what spaCy's yields; the labels are those of the Docs."""

import json

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Corpus

from spacy_spanmed.corpora.docbin import create_gold_corpus, write_labels
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import get_relation_tuples
from tests.conftest import TEXTS, make_reference


@pytest.fixture
def folder(tmp_path):
    nlp = spacy.blank("en")
    for i in range(2):
        docs = [make_reference(nlp, *item) for item in TEXTS]
        DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / f"{i}.spacy")
    return tmp_path


def test_same_as_spacy(folder):
    nlp = spacy.blank("en")
    ours, theirs = list(create_gold_corpus(folder)(nlp)), list(Corpus(folder)(nlp))
    assert len(ours) == len(theirs) == 2 * len(TEXTS)
    for one, other in zip(ours, theirs):
        for read in (get_layers, get_mentions, get_relation_tuples):
            assert read(one.reference) == read(other.reference)
        assert one.predicted.text == other.predicted.text
    assert "get_all" not in vars(srsly.msgpack_decoders)  # nothing is left changed


def test_limit_holds_over_files(folder):
    assert len(list(create_gold_corpus(folder, limit=6)(spacy.blank("en")))) == 6


def test_missing_corpus(tmp_path):
    with pytest.raises(ValueError, match="No corpus at"):
        create_gold_corpus(tmp_path / "none.spacy")


def test_labels(tmp_path):
    nlp = spacy.blank("en")
    write_labels([make_reference(nlp, *item) for item in TEXTS], tmp_path)
    assert json.loads((tmp_path / "span_ner.json").read_text()) == ["CELL", "CHEM", "GENE", "ORGAN"]
    relations = json.loads((tmp_path / "relation_extractor.json").read_text())
    assert relations == {
        "labels": ["BINDS", "INHIBITS"],
        "entity_labels": ["CELL", "CHEM", "GENE", "ORGAN"],
        "pair_types": [["CHEM", "GENE"], ["GENE", "GENE"]],
    }
