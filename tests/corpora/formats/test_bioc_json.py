import json
import tracemalloc

import pytest

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats import bioc_json
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.formats.bioc_sources import GOOD, annotation, passage, read_json, round_trip


@pytest.fixture
def file(tmp_path):
    return tmp_path / "corpus"


def test_json_as_of_pubtator3(file):
    role = {"identifier": "MESH:D001", "type": "Chemical", "name": "Zinc"}
    value = {
        "PubTator3": [
            {
                "_id": "7|None",
                "id": "7",
                "infons": {},
                "pmid": 7,
                "passages": [
                    passage("Zinc heals.", 0, infons={"type": "title"}, annotations=[
                        {"id": "2", "infons": {"type": "Chemical", "identifier": "MESH:D001",
                                               "valid": True, "normalized": ["D001"]},
                         "text": "Zinc", "locations": [{"offset": 0, "length": 4}]},
                    ]),
                    passage("So does c.12A>G.", 12, annotations=[
                        {"id": "3", "infons": {"type": "Variant", "identifier": "c|SUB|A|12|G"},
                         "text": "c.12A>G", "locations": [{"offset": 20, "length": 7}]},
                    ]),
                ],
                "relations": [
                    {"id": "R1", "infons": {"score": "0.99", "type": "Positive_Correlation",
                                            "role1": role, "role2": {"identifier": 12}},
                     "nodes": [{"refid": "0", "role": "0,1"}, {"refid": "1", "role": "1,0"}]},
                ],
                "relations_display": [],
            }
        ]
    }  # fmt: skip
    (document,), _ = read_json(file, value)
    assert document.text == "Zinc heals. So does c.12A>G."
    assert [(m.start, m.end, m.concepts) for m in document.mentions] == [
        (0, 4, ["MESH:D001"]), (20, 27, ["c|SUB|A|12|G"]),
    ]  # fmt: skip
    assert document.mentions[0].info == {"valid": True, "normalized": ["D001"]}
    (relation,) = document.relations
    assert (relation.head, relation.tail, relation.concepts) == ("MESH:D001", "12", True)
    assert relation.info["role1"] == role
    assert "document 1 (7)" in document.place
    assert round_trip(file, [document]) == [document]


def test_json_sentences_and_document_level(file):
    value = {"documents": [{
        "id": 5,
        "passages": [
            {"offset": 10, "infons": {"type": "title"}, "sentences": [
                {"offset": 10, "text": "One.", "infons": {"n": "1"}, "annotations": [
                    annotation(10, 3, id="T1")]},
                {"offset": 16, "text": "Two.", "relations": [
                    {"id": "R", "infons": {"type": "X"}, "nodes": [
                        {"refid": "T1", "role": "head"}, {"refid": "T2", "role": "tail"}]}],
                 "annotations": [annotation(16, 3, id="T2"), annotation(16, 3, id="T1")]},
            ]},
            passage("Three four.", 21),
        ],
        "annotations": [annotation(21, 5, id="T4"), annotation(16, 9, id="T5")],
    }]}  # fmt: skip
    # In the second sentence T1 is its own annotation.
    (document,), _ = read_json(file, value)
    assert document.id == "5"
    assert document.text == "One.\nTwo. Three four."
    assert document.passages == [
        Passage("title", 0, 9, {"offset": 10, "sentences": [
            {"start": 0, "end": 4, "infons": {"n": "1"}}, {"start": 5, "end": 9}]}),
        Passage("", 10, 21),
    ]  # fmt: skip
    found = [(m.id, document.text[m.start : m.end]) for m in document.mentions]
    assert found == [
        ("T1", "One"), ("T2", "Two"), ("T1#2", "Two"), ("T5", "Two. Thre"), ("T4", "Three"),
    ]  # fmt: skip
    assert [(r.head, r.tail) for r in document.relations] == [("T1#2", "T2")]
    assert round_trip(file, [document]) == [document]


def test_json_ambiguous_reference(file):
    nodes = [{"refid": "a", "role": ""}, {"refid": "b", "role": ""}]
    annotations = [annotation(0, 1, id="a"), annotation(1, 1, id="a"), annotation(2, 1, id="b")]
    value = [{"id": "1", "passages": [passage("abc", annotations=annotations)],
              "relations": [{"nodes": nodes}]}]  # fmt: skip
    with pytest.raises(CorpusError, match="2 annotations have the id 'a'"):
        read_json(file, value)
    (document,), problems = read_json(file, value, "skip")
    assert problems.counts == {"ambiguous reference": 1} and not document.relations


def test_json_events(file):
    roles = {"a": "Trigger", "b": "Theme", "c": "Cause"}
    nodes = [{"refid": name, "role": role} for name, role in roles.items()]
    value = {"documents": [{
        "id": "1",
        "passages": [passage("a b c", annotations=[
            annotation(0, 1, id="a"), annotation(2, 1, id="b"), annotation(4, 1, id="c")])],
        "relations": [
            {"id": "E", "infons": {"type": "Binding", "negated": "true"}, "nodes": nodes}],
    }]}  # fmt: skip
    (document,), _ = read_json(file, value)
    assert [(r.head, r.tail, r.label, r.negated, r.info) for r in document.relations] == [
        ("a", "b", "Binding", True, {"roles": ["Trigger", "Theme"], "node": [1, 2]}),
        ("a", "c", "Binding", True, {"roles": ["Trigger", "Cause"], "node": [2, 2]}),
    ]
    assert round_trip(file, [document]) == [document]
    (written,) = json.loads(file.read_text())["documents"]
    (relation,) = written["relations"]
    assert relation["nodes"] == nodes
    # Without its second half it is a relation of two.
    document.relations.pop()
    assert round_trip(file, [document]) == [document]


@pytest.mark.parametrize(
    "infons, concepts",
    [
        ({"identifier": "11820,351"}, ["11820", "351"]),
        ({"identifier": "c|DEL||32"}, ["c|DEL||32"]),
        ({"identifier": "-"}, []),
        ({"NCBI Gene": 7157}, ["7157"]),
        ({"MESH": "D001|D002", "Identifier": "D002"}, ["D001", "D002"]),
        ({"identifier": ["a,b", "c"]}, ["a,b", "c"]),
        ({"identifier": None}, []),
        ({"identifier": True}, []),
    ],
)
def test_identifiers(file, infons, concepts):
    item = {"infons": {"type": "Gene", **infons}, "locations": [{"offset": 0, "length": 1}]}
    value = {"documents": [{"id": "1", "passages": [passage("a", annotations=[item])]}]}
    (document,), _ = read_json(file, value)
    assert document.mentions[0].concepts == concepts
    assert round_trip(file, [document]) == [document]
    (written,) = json.loads(file.read_text())["documents"]
    assert written["passages"][0]["annotations"][0]["infons"] == item["infons"]


@pytest.mark.parametrize(
    "change, kind",
    [
        (lambda d: 3, "document of the wrong form"),
        (lambda d: {**d, "id": None}, "document of the wrong form"),
        (lambda d: {**d, "id": True}, "document of the wrong form"),
        (lambda d: {**d, "passages": {}}, "document of the wrong form"),
        (lambda d: {**d, "infons": []}, "document of the wrong form"),
        (lambda d: {**d, "passages": [passage(5)]}, "document of the wrong form"),
        (lambda d: {**d, "passages": [passage("a", "0")]}, "document of the wrong form"),
        (lambda d: {**d, "passages": [passage("a", True)]}, "document of the wrong form"),
        (lambda d: {**d, "annotations": [7]}, "annotation of the wrong form"),
        (lambda d: {**d, "annotations": [annotation("0", 1)]}, "annotation of the wrong form"),
        (lambda d: {**d, "annotations": [annotation(0, 2**62)]}, "annotation of the wrong form"),
        (lambda d: {**d, "relations": [{"nodes": [1, 2]}]}, "relation of the wrong form"),
        (lambda d: {**d, "relations": [{"nodes": []}]}, "relation without two arguments"),
    ],
)
def test_json_problems(file, change, kind):
    value = {"documents": [change(GOOD), {**GOOD, "id": "2"}]}
    with pytest.raises(CorpusError, match="corpus, document 1"):
        read_json(file, value)
    documents, problems = read_json(file, value, "skip")
    assert dict(problems.counts) == {kind: 1}
    assert [d.id for d in documents] == (["2"] if kind.startswith("document") else ["1", "2"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b'{"documents": [{"id": "1", "passages": []}',
        b'{"documents": [{"id": NaN}]}',
        b'{"documents": [{"id": 99999999999999999999999}]}',
        b'{"documents": [1e999]}',
        b'{"documents": [' + b"[" * 200_000,
        b'{"x": ' * 200_000,
        b'{"documents": []} x',
        b'{"documents": [], "documents": []}',
        b'{"documents": ["\xff"]}',
    ],
)
def test_not_json(file, data):
    for on_error in ("raise", "skip"):
        with pytest.raises(CorpusError, match="corpus: "):
            read_json(file, data, on_error)


def test_json_repeated_keys(file):
    data = b"""{"documents": [{"id": "1", "passages": [], "infons": {"a": 1, "a": 2}},
        {"id": "2", "passages": [], "infons": {"a": 1, "b": {"a": 1}}}]}"""
    with pytest.raises(CorpusError, match="document 1: the key 'a' occurs twice"):
        read_json(file, data)
    documents, problems = read_json(file, data, "skip")
    assert [d.id for d in documents] == ["2"]
    assert problems.counts == {"document of the wrong form": 1}


def test_json_byte_order_mark_and_empty(file):
    assert read_json(file, b'\xef\xbb\xbf{"documents": []}')[0] == []
    assert read_json(file, b"[]")[0] == []


def test_json_memory_is_constant(file):
    one = json.dumps({**GOOD, "passages": [passage("word " * 2000)]})
    peaks = []
    for count in (20, 400):
        file.write_text('{"documents": [' + ",".join([one] * count) + "]}")
        tracemalloc.start()
        assert sum(1 for _ in bioc_json.read(file, Problems())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


def test_write_leaves_nothing_behind(file):
    def documents():
        yield SourceDocument("1", "a")
        raise RuntimeError

    file.write_text("old")
    with pytest.raises(RuntimeError):
        bioc_json.write(documents(), file)
    with pytest.raises(CorpusError, match="can't express the info of '2'"):
        bioc_json.write([SourceDocument("2", "a", info={"x": float("nan")})], file)
    assert file.read_text() == "old" and list(file.parent.iterdir()) == [file]


def test_write_passages_that_are_not_the_text(file):
    document = SourceDocument("1", "Ab cd ef", passages=[Passage("x", 0, 2), Passage("y", 6, 8)])
    document.mentions = [SourceMention(3, 5, "L")]
    (again,) = round_trip(file, [document])
    assert again == SourceDocument("1", "Ab cd ef", document.mentions)


def test_write_info_of_another_form(file):
    sentences = [{"start": 0, "end": "x"}, 1, {"start": 0, "end": 2, "infons": [1]}]
    document = SourceDocument("1", "Ab cd", passages=[Passage("x", 0, 5)])
    document.passages[0].info = {"sentences": sentences, "infons": [1]}
    document.mentions = [SourceMention(0, 2, "L", id="T1"), SourceMention(3, 5, "L", id="T2")]
    document.relations = [SourceRelation("T1", "T2", "R", info={"node": [1, 10**12]})]
    (again,) = round_trip(file, [document])
    assert again.passages[0].info == {"sentences": [{"start": 0, "end": 2}]}
    assert again.relations == document.relations
