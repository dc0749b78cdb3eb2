"""JSON lines, read in all their forms, written and read again, and bytes of any kind."""

import gzip
import json

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Span

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats.jsonl import read, write
from spacy_spanmed.doc.layers import set_layers
from spacy_spanmed.doc.relations import JSON_EXTENSIONS, Relation, set_concept_relation_tuples
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.formats.jsonl_sources import load, load_one


def test_our_own_form(tmp_path):
    value = {
        "id": "doc-1",
        "text": "Zinc and lead salts act on cells.",
        "layers": ["relations", "entities"],
        "spans": [
            {"start": 0, "end": 19, "label": "CHEMICAL", "id": "T1", "text": "Zinc salts",
             "fragments": [[0, 4], [14, 19]], "concepts": ["C1", "C2"], "info": {"note": [1]}},
            {"start": 27, "end": 32, "label": "CELL", "id": 2},
        ],
        "relations": [
            {"head": "T1", "tail": 2, "label": "ACTS", "negated": True, "id": "R1"},
            {"head": "C1", "tail": "C2", "label": "LIKE", "concepts": True, "info": {"a": None}},
        ],
        "passages": [{"name": "title", "start": 0, "end": 33, "info": {"x": 1}}],
        "meta": {"source": "made up"},
    }  # fmt: skip
    document = load_one(tmp_path, value)
    assert document == SourceDocument(
        id="doc-1",
        text=value["text"],
        mentions=[
            SourceMention(
                0, 19, "CHEMICAL", ["C1", "C2"], [(0, 4), (14, 19)], "T1", info={"note": [1]}
            ),
            SourceMention(27, 32, "CELL", id="2"),
        ],
        relations=[
            SourceRelation("T1", "2", "ACTS", negated=True, id="R1"),
            SourceRelation("C1", "C2", "LIKE", concepts=True, info={"a": None}),
        ],
        layers=["relations", "entities"],
        passages=[Passage("title", 0, 33, {"x": 1})],
        info={"source": "made up"},
    )
    assert document.mentions[0].text == "Zinc salts"
    assert document.mentions[1].place.endswith("file.jsonl:1, spans[1]")
    assert document.relations[1].place.endswith("file.jsonl:1, relations[1]")


def test_form_of_spacy(tmp_path):
    document = load_one(
        tmp_path,
        {
            "text": "Zinc acts on cells.",
            "entities": [[0, 4, "CHEMICAL"]],
            "spans": [{"start": 13, "end": 18, "label": "CELL", "kb_id": "C1"}],
        },
    )
    assert document.id == "file-1"
    assert document.layers == ["entities", "relations"]
    assert document.mentions == [
        SourceMention(13, 18, "CELL", ["C1"]),
        SourceMention(0, 4, "CHEMICAL"),
    ]


def test_form_of_a_doc(tmp_path):
    doc = spacy.blank("en")("Zinc acts on cells.")
    doc.ents = [Span(doc, 0, 1, "CHEMICAL")]
    doc.spans["spanmed"] = [Span(doc, 3, 4, "CELL", kb_id="C1,C%2C2")]
    doc.spans["empty"] = []
    document = load_one(tmp_path, doc.to_json())
    assert document.mentions == [
        SourceMention(0, 4, "CHEMICAL"),
        SourceMention(13, 18, "CELL", ["C1", "C,2"]),
    ]
    doc.spans["other"] = [doc[1:2]]
    with pytest.raises(CorpusError, match=r"file\.jsonl:1: .* read: other\. Name .* 'spanmed'"):
        load_one(tmp_path, doc.to_json())
    documents, problems = load(tmp_path, json.dumps(doc.to_json()), "skip")
    assert documents == [document] and sum(problems.counts.values()) == 1


def test_relations_of_a_doc(tmp_path):
    doc = spacy.blank("en")("Zinc acts on cells.")
    doc.ents = [Span(doc, 0, 1, "CHEMICAL", kb_id="C1")]
    doc._.relations = [Relation(doc.ents[0], Span(doc, 3, 4, "CELL"), "ACTS_ON", 0.5, True)]
    set_concept_relation_tuples(doc, [("C1", "C1", "SELF")])
    set_layers(doc, ["relations"])
    document = load_one(tmp_path, doc.to_json(underscore=JSON_EXTENSIONS))
    assert document.layers == ["relations"]
    zinc, cells = document.mentions
    assert (cells.start, cells.end, cells.label) == (13, 18, "CELL")
    assert document.relations == [
        SourceRelation(zinc.id, cells.id, "ACTS_ON", negated=True),
        SourceRelation("C1", "C1", "SELF", concepts=True),
    ]


@pytest.mark.parametrize(
    "name, value",
    [
        ("relation_tuples", [[0, 4, "A", 5, 9]]),
        ("relation_tuples", [[0, 4, "A", 5, 9, "B", None]]),
        ("relation_tuples", [[0, 4, "A", "5", 9, "B", "X"]]),
        ("relation_tuples", {"a": 1}),
        ("concept_relation_tuples", [["C1", 2, "X"]]),
        ("concept_relation_tuples", ["C1"]),
        ("concept_mentions", [["C1"]]),
        ("concept_mentions", [["C1", "x"]]),
        ("concept_mentions", [[1, []]]),
    ],
)
def test_unusable_relations_of_a_doc(tmp_path, name, value):
    line = {"text": "Zinc acts on cells.", "_": {name: value}}
    with pytest.raises(CorpusError, match=r"file\.jsonl:1"):
        load_one(tmp_path, line)
    (document,), problems = load(tmp_path, json.dumps(line), "skip")
    assert not document.relations and not document.mentions
    assert sum(problems.counts.values()) == 1


def test_deep_info(tmp_path):
    deep = []
    for _ in range(98):
        deep = [deep]
    span = {"start": 0, "end": 1, "label": "X", "info": {"a": deep}}
    assert load_one(tmp_path, {"text": "a", "spans": [span], "meta": {"a": deep}}).mentions
    span["info"]["a"] = [deep]
    with pytest.raises(CorpusError, match=r"spans\[0\]: 'info' holds .* more than 100 levels"):
        load_one(tmp_path, {"text": "a", "spans": [span]})
    with pytest.raises(CorpusError, match="'meta' holds .* more than 100 levels"):
        load_one(tmp_path, {"text": "a", "meta": span["info"]})


@pytest.mark.parametrize(
    "value, expected",
    [
        ({"id": "a", "meta": {"id": "b", "pmid": "c"}}, "a"),
        ({"id": 12}, "12"),
        ({"id": ""}, ""),
        ({"meta": {"id": "b", "pmid": "c"}}, "b"),
        ({"meta": {"pmid": 345}}, "345"),
        ({"id": None, "meta": {"pmid": [1]}}, "file-1"),
    ],
)
def test_ids(tmp_path, value, expected):
    document = load_one(tmp_path, {"text": "Zinc", **value})
    assert document.id == expected
    assert document.info == value.get("meta", {})


def test_relations_of_prodigy(tmp_path):
    zinc = {"start": 0, "end": 4, "label": "CHEMICAL", "token_start": 0, "token_end": 0}
    lead = {"start": 5, "end": 9, "label": "CHEMICAL", "token_start": 1, "token_end": 1}
    cells = {"start": 10, "end": 15, "label": "CELL", "token_start": 2, "token_end": 2}
    document = load_one(
        tmp_path,
        {
            "text": "Zinc lead cells",
            "tokens": [{"text": "Zinc", "start": 0, "end": 4, "id": 0}],
            "spans": [{**lead, "id": "T1"}, zinc],
            "relations": [
                {"head": 0, "child": 2, "head_span": zinc, "child_span": cells, "label": "ACTS"},
                {"head": 1, "child": 0, "head_span": lead, "child_span": zinc, "label": "LIKE"},
            ],
            "answer": "accept",
        },
    )
    assert document.mentions == [
        SourceMention(5, 9, "CHEMICAL", id="T1"),
        SourceMention(0, 4, "CHEMICAL", id="T2"),
        SourceMention(10, 15, "CELL", id="T3"),
    ]
    assert document.relations == [
        SourceRelation("T2", "T3", "ACTS"),
        SourceRelation("T1", "T2", "LIKE"),
    ]


def test_rejected_lines_are_legal_but_counted(tmp_path):
    data = '{"text": "a", "answer": "reject"}\n\n{"text": "b"}\n{"text": 1, "answer": "ignore"}\n'
    documents, problems = load(tmp_path, data, "raise")
    assert [document.text for document in documents] == ["b"]
    assert problems.counts == {"rejected in Prodigy": 2}
    with pytest.warns(UserWarning, match="2 x rejected in Prodigy .*file.jsonl:1"):
        problems.warn()


DEEP = '{"text": "a", "meta": ' + '{"a": [' * 20_000 + "]}" * 20_000 + "}"


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "not JSON"),
        ('{"text": "a"} {}', "not JSON"),
        ("[1]", "a list instead of"),
        ("null", "null instead of"),
        ('"text"', "a string instead of"),
        ("{}", "'text' is missing"),
        ('{"text": 1}', "'text' is a number"),
        ('{"text": null}', "'text' is null"),
        ('{"text": ["a"]}', "'text' is a list"),
        ('{"text": "a", "id": true}', "'id' is true or false"),
        ('{"text": "a", "meta": []}', "'meta' is a list"),
        ('{"text": "a", "layers": "entities"}', "'layers' is a string"),
        ('{"text": "a", "layers": ["links"]}', "unknown layer"),
        ('{"text": "a", "layers": [[]]}', "unknown layer"),
        ('{"text": "a", "meta": {"x": NaN}}', "NaN is not JSON"),
        ('{"text": "a", "meta": {"x": -Infinity}}', "-Infinity is not JSON"),
        ('{"text": "a", "meta": {"x": 1e999}}', "too large"),
        ('{"text": "a", "meta": {"x": ' + "9" * 5000 + "}}", "not JSON"),
        ('{"text": "a", "text": "b"}', "the key 'text' occurs twice"),
        ('{"text": "a", "meta": {"x": 1, "x": 1}}', "the key 'x' occurs twice"),
        ('{"text": "a\\ud800"}', "lone surrogate"),
        ('{"text": "a", "meta": {"\\udc00": 1}}', "lone surrogate"),
        (DEEP, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_lines_that_are_no_document(tmp_path, line, message):
    data = '{"text": "first"}\n' + line + '\n{"text": "last"}\n'
    with pytest.raises(CorpusError, match=rf"file\.jsonl:2: .*{message}"):
        load(tmp_path, data)
    documents, problems = load(tmp_path, data, "skip")
    assert [document.text for document in documents] == ["first", "last"]
    assert problems.counts == {"line that is no document": 1}


GOOD = {"start": 0, "end": 1, "label": "X"}


@pytest.mark.parametrize(
    "key, item",
    [
        ("spans", 1),
        ("spans", None),
        ("spans", [0, 1]),
        ("spans", [0, 1, None]),
        ("spans", {}),
        ("spans", {**GOOD, "start": "0"}),
        ("spans", {**GOOD, "start": True}),
        ("spans", {**GOOD, "start": 0.0}),
        ("spans", {**GOOD, "end": 2**63}),
        ("spans", {**GOOD, "end": None}),
        ("spans", {**GOOD, "label": 3}),
        ("spans", {**GOOD, "concepts": "C1"}),
        ("spans", {**GOOD, "concepts": [1]}),
        ("spans", {**GOOD, "kb_id": []}),
        ("spans", {**GOOD, "fragments": [[0]]}),
        ("spans", {**GOOD, "fragments": [[0, "1"]]}),
        ("spans", {**GOOD, "text": 5}),
        ("spans", {**GOOD, "info": []}),
        ("entities", ["0", 1, "X"]),
        ("relations", []),
        ("relations", {"head": "T1", "label": "L"}),
        ("relations", {"head": "T1", "tail": "T1"}),
        ("relations", {"head": "T1", "tail": {}, "label": "L"}),
        ("relations", {"head": "T1", "tail": "T1", "label": "L", "negated": 1}),
        ("relations", {"head": 0, "child": 0, "label": "L"}),
        ("relations", {"head_span": {**GOOD, "label": "Y"}, "child_span": {}, "label": "L"}),
        ("passages", {"name": "title", "start": 0}),
        ("passages", 3),
    ],
)
def test_unusable_annotation(tmp_path, key, item):
    good = {"spans": [{**GOOD, "id": "T1"}], "entities": [[0, 1, "X"]]}
    good["relations"] = [{"head": "T1", "tail": "T1", "label": "L"}]
    good["passages"] = [{"start": 0, "end": 1}]
    expected = load_one(tmp_path, {"text": "a", **good})
    data = json.dumps({"text": "a", **good, key: [item, *good[key]]})
    with pytest.raises(CorpusError, match=rf"file\.jsonl:1, {key}\[0\]: "):
        load(tmp_path, data)
    documents, problems = load(tmp_path, data, "skip")
    assert documents == [expected]
    assert sum(problems.counts.values()) == 1


def test_annotation_that_is_no_list(tmp_path):
    data = '{"text": "a", "spans": "y", "entities": null, "relations": {}, "passages": 1}'
    with pytest.raises(CorpusError, match="'spans' is a string"):
        load(tmp_path, data)
    (document,), problems = load(tmp_path, data, "skip")
    assert document == SourceDocument("file-1", "a")
    assert sum(problems.counts.values()) == 3


run_often = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(max_size=10)
offsets = st.integers(-(2**63), 2**63 - 1)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), texts, st.floats(allow_nan=False).filter(
            lambda x: abs(x) != float("inf")
        )
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
infos = st.dictionaries(st.one_of(texts, st.sampled_from(["id", "pmid"])), values, max_size=2)
mentions = st.builds(
    SourceMention,
    offsets,
    offsets,
    texts,
    concepts=st.lists(texts, max_size=3),
    fragments=st.lists(st.tuples(offsets, offsets), max_size=3),
    id=texts,
    text=st.one_of(st.none(), texts),
    info=infos,
)
relations = st.builds(
    SourceRelation,
    texts,
    texts,
    texts,
    concepts=st.booleans(),
    negated=st.booleans(),
    id=texts,
    info=infos,
)
documents_of_any_kind = st.builds(
    SourceDocument,
    texts,
    texts,
    mentions=st.lists(mentions, max_size=2),
    relations=st.lists(relations, max_size=2),
    layers=st.lists(st.sampled_from(["entities", "relations"]), max_size=2),
    passages=st.lists(st.builds(Passage, texts, offsets, offsets, infos), max_size=2),
    info=infos,
)


@given(documents=st.lists(documents_of_any_kind, max_size=3), packed=st.booleans())
@run_often
def test_every_document_survives(tmp_path, documents, packed):
    path = tmp_path / ("out.jsonl.gz" if packed else "out.jsonl")
    write(iter(documents), path)
    back = list(read(path, Problems()))
    assert back == documents
    assert [[m.text for m in d.mentions] for d in back] == [
        [m.text for m in d.mentions] for d in documents
    ]
    first = path.read_bytes()
    assert first[:2] == gzip.compress(b"")[:2] or not packed
    write(back, path)
    assert path.read_bytes() == first


def test_info_that_is_not_json(tmp_path):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in ({1, 2}, float("nan"), deep):
        with pytest.raises(CorpusError, match="JSON values only"):
            write([SourceDocument("1", "a", info={"x": value})], tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match="UTF-8"):
        write([SourceDocument("1", "a \ud800")], tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


@given(
    data=st.one_of(
        st.binary(max_size=200),
        values.map(lambda value: json.dumps({"text": "a", "spans": [value]}).encode()),
        values.map(lambda value: json.dumps(value).encode()),
    )
)
@run_often
def test_any_bytes(tmp_path, data):
    check_bytes(tmp_path, data)


@given(
    document=documents_of_any_kind,
    places=st.tuples(st.integers(0, 500), st.integers(0, 3)),
    damage=st.sampled_from([b"", b'"', b"{", b"[", b"1", b"null", b"\n", b"\\", b"\xff"]),
)
@run_often
def test_damaged_files(tmp_path, document, places, damage):
    write([document, SourceDocument("x", "last")], tmp_path / "file.jsonl")
    whole = (tmp_path / "file.jsonl").read_bytes()
    at, length = places
    check_bytes(tmp_path, whole[:at] + damage + whole[at + length :])


def check_bytes(tmp_path, data):
    try:
        load(tmp_path, data)
    except CorpusError as error:
        assert "file.jsonl" in str(error)
    try:
        documents, _ = load(tmp_path, data, "skip")
    except CorpusError:
        return
    write(documents, tmp_path / "out.jsonl")
    assert list(read(tmp_path / "out.jsonl", Problems())) == documents
