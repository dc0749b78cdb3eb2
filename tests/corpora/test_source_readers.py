"""Training from a source file is training from what it converts to."""

import pytest
import spacy

from spacy_spanmed.corpora.convert import convert
from spacy_spanmed.corpora.docbin import create_gold_corpus
from spacy_spanmed.corpora.label_map import read_label_map
from spacy_spanmed.corpora.source_readers import (
    create_bioc_corpus,
    create_brat_corpus,
    create_conll_corpus,
    create_jsonl_corpus,
    create_pubtator_corpus,
)
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.doc.relations import (
    get_concept_relation_tuples,
    get_relation_tuples,
    has_concept_relations,
)
from spacy_spanmed.util.problems import CorpusError
from tests.corpora.sources import PUBTATOR, write_sources

READERS = {
    "pubtator": ("PubTatorCorpus", create_pubtator_corpus),
    "bioc-xml": ("BioCCorpus", create_bioc_corpus),
    "bioc-json": ("BioCCorpus", create_bioc_corpus),
    "brat": ("BratCorpus", create_brat_corpus),
    "conll": ("ConllCorpus", create_conll_corpus),
    "jsonl": ("JsonlCorpus", create_jsonl_corpus),
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def nlp():
    tokenizer = {"@tokenizers": "spanmed.BiomedicalTokenizer.v1"}
    return spacy.blank("en", config={"nlp": {"tokenizer": tokenizer}})


def spans(items):
    return [(s.start, s.end, s.label_, s.kb_id_) for s in items]


def content(example):
    gold = example.reference
    return (
        [token.text_with_ws for token in example.predicted],
        [token.text_with_ws for token in gold],
        [(token.ent_iob_, token.ent_type_, token.ent_kb_id_) for token in gold],
        spans(gold.ents),
        spans(gold.spans["spanmed"]),
        get_layers(gold),
        get_relation_tuples(gold),
        get_concept_relation_tuples(gold),
        has_concept_relations(gold),
        gold.user_data["spanmed_meta"],
    )


@pytest.mark.parametrize("format", READERS)
def test_same_examples_as_from_the_converted_file(paths, tmp_path, nlp, format):
    name, create = READERS[format]
    convert([paths[format]], tmp_path / "x.spacy")
    ours = [content(eg) for eg in create(paths[format])(nlp)]
    assert ours == [content(eg) for eg in create_gold_corpus(tmp_path / "x.spacy")(nlp)]
    assert ours
    assert spacy.registry.readers.get(f"spanmed.{name}.v1") is create


def test_settings(paths, tmp_path, nlp):
    (tmp_path / "map.yml").write_text("entities: {Chemical: DRUG}\n")
    reader = create_pubtator_corpus(
        paths["pubtator"], layers=["entities"], labels=tmp_path / "map.yml", limit=1
    )
    for _ in range(2):  # a training reads it again and again
        (example,) = reader(nlp)
        assert {ent.label_ for ent in example.reference.ents} == {"DRUG", "Disease"}
        assert get_layers(example.reference) == {"entities"}
    convert(
        [paths["pubtator"]],
        tmp_path / "x.spacy",
        layers=["entities"],
        labels=read_label_map(tmp_path / "map.yml"),
    )
    (converted,) = create_gold_corpus(tmp_path / "x.spacy", limit=1)(nlp)
    assert content(converted) == content(example)


def test_what_is_skipped_is_told(tmp_path, nlp):
    path = tmp_path / "bad.pubtator"
    path.write_text(PUBTATOR.replace("12\t28\tgastric", "13\t29\tgastric"), encoding="utf-8")
    with pytest.raises(CorpusError, match="bad.pubtator:4"):
        list(create_pubtator_corpus(path)(nlp))
    with pytest.warns(UserWarning, match="1 x another string than the source gives"):
        assert len(list(create_pubtator_corpus(path, on_error="skip")(nlp))) == 3


def test_bad_settings(paths, tmp_path, nlp):
    with pytest.raises(CorpusError, match="No corpus at"):
        create_brat_corpus(tmp_path / "none")
    with pytest.raises(ValueError, match="on_error"):
        create_brat_corpus(paths["brat"], on_error="ignore")
    with pytest.raises(CorpusError, match="this is pubtator, not bioc-xml or bioc-json"):
        list(create_bioc_corpus(paths["pubtator"])(nlp))


def test_in_a_config(paths, nlp):
    block = {"train": {"@readers": "spanmed.PubTatorCorpus.v1", "path": str(paths["pubtator"])}}
    reader = spacy.util.registry.resolve(block)["train"]
    assert len(list(reader(nlp))) == 3
