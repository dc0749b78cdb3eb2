"""Sources of any format are read through one door, and know their layers."""

import json
import os
from collections import Counter

import pytest
import spacy

from spacy_spanmed.corpora.label_map import LabelMap
from spacy_spanmed.corpora.reading import find_layers, iter_docs, read_documents
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.sources import write_sources


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


def test_a_source_without_relations_leaves_them_unknown(paths):
    assert find_layers([paths["conll"]]) == ["entities"]
    assert find_layers([paths["bioc-xml"]]) == ["entities"]
    assert find_layers([paths["bioc-xml"], paths["brat"]]) == ["entities", "relations"]
    (document,) = read_documents(paths["bioc-xml"])
    assert document.layers == ["entities"]
    (document,) = read_documents(paths["bioc-xml"], layers=["entities", "relations"])
    assert document.layers == ["entities", "relations"]
    # CoNLL can't say anything about relations, whoever claims it
    assert {*next(read_documents(paths["conll"], layers=["relations", "entities"])).layers} == {
        "entities"
    }


def test_a_label_map_without_relations_leaves_them_unknown(paths):
    label_map = LabelMap(relations={"Treats": None})
    assert find_layers([paths["brat"]], label_map=label_map) == ["entities"]


def test_relations_of_a_layer_that_is_not_wanted_are_counted(paths):
    facts = Counter()
    documents = list(read_documents(paths["pubtator"], layers=["entities"], facts=facts))
    assert not any(document.relations for document in documents)
    assert facts["relations left out with their layer"] == facts["relations in the source"] == 1


def test_unknown_layers(paths):
    for layers in ([], ["entity"]):
        with pytest.raises(CorpusError, match="Unknown layers"):
            read_documents(paths["pubtator"], layers=layers)


def test_an_id_in_two_sources(paths):
    with pytest.raises(CorpusError, match="'101' comes a second time"):
        list(read_documents([paths["pubtator"]] * 2))
    problems = Problems("skip")
    assert len(list(read_documents([paths["pubtator"]] * 2, problems=problems))) == 3
    assert problems.counts == {"document id used before": 3}


def test_what_relations_connect_is_told_of_each_source(paths):
    sources = [paths["pubtator"], paths["brat"]]
    for order in (sources, sources[::-1]):
        found = {document.id: document.relates_concepts for document in read_documents(order)}
        assert found["101"] is found["102"] is True
        assert [value for name, value in found.items() if not name.startswith("10")] == [False]


def test_relations_that_cannot_be_used_do_not_make_a_layer(tmp_path):
    path = tmp_path / "x.jsonl"
    spans = [{"start": 0, "end": 5, "label": "ORGAN", "id": "T1"}]
    for tail, layers, expected in (
        ("T1", ["entities", "relations"], ["entities", "relations"]),
        ("T1", ["entities"], ["entities"]),
        ("T9", ["entities", "relations"], ["entities"]),
    ):
        relations = [{"head": "T1", "tail": tail, "label": "IN"}]
        item = {"id": "1", "text": "Heart", "spans": spans, "relations": relations}
        path.write_text(json.dumps({**item, "layers": layers}))
        assert find_layers([path]) == expected
    with pytest.raises(CorpusError, match=r"None of its 1 relations can be used.*the id 'T9'"):
        list(read_documents(path))
    problems = Problems("skip")
    (document,) = read_documents(path, problems=problems)
    assert (document.layers, document.relations) == (["entities"], [])
    assert problems.counts == {"sources without a usable relation": 1}


def test_a_pipe_is_refused_rather_than_read_in_part(tmp_path):
    for name in ("x", "x.pubtator"):
        path = tmp_path / name
        os.mkfifo(path)
        with pytest.raises(CorpusError, match="a pipe can't be read twice: save it to a file"):
            list(read_documents(path))


def test_docs_of_a_failing_tokenizer_are_skipped(paths):
    problems = Problems("skip")
    assert not list(iter_docs(paths["pubtator"], lambda text: spacy.blank("en")("a"), problems))
    assert problems.counts == {"documents that can't become Docs": 3}
