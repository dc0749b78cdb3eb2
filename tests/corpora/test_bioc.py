import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora import bioc_json, bioc_xml
from spacy_spanmed.corpora.errors import CorpusError
from spacy_spanmed.corpora.problems import Problems
from spacy_spanmed.corpora.source import Passage, SourceDocument, SourceMention, SourceRelation

STRAY = '<annotation id="T9"><location offset="0" length="4"/></annotation>'
DOCTYPE = '<!DOCTYPE collection SYSTEM "BioC.dtd">'
XML = """\
<?xml version="1.0" encoding="UTF-8"?>
%s
<collection>
  <source>by hand</source><date>2020</date><key>none.key</key>
  <document>
    <id>11</id>
    <infon key="journal">Notes</infon>
    <passage>
      <infon key="type">title</infon>
      <infon key="section">front</infon>
      <offset>0</offset>
      <text>Zinc &amp; gut<!-- a comment --> pain</text>
      <annotation id="T1">
        <infon key="type">Chemical</infon>
        <infon key="MESH">D001|D002</infon>
        <location offset="0" length="4"/>
        <text>Zinc</text>
      </annotation>
    </passage>
    <passage>
      <infon key="type">abstract</infon>
      <offset>100</offset>
      <text>Gut and liver pain follow.</text>
      <annotation id="T2">
        <infon key="type">Disease</infon>
        <infon key="identifier">D003,D004</infon>
        <infon key="note">sure</infon>
        <location offset="100" length="3"/>
        <location offset="114" length="4"/>
        <text>Gut pain</text>
      </annotation>
      <relation id="R1">
        <infon key="type">CAUSES</infon>
        <node refid="T1" role="Chemical"/>
        <node refid="T2" role="Disease"/>
      </relation>
    </passage>
    <relation id="R2">
      <infon key="relation">CID</infon>
      <infon key="Chemical">D001</infon>
      <infon key="Disease">D003</infon>
    </relation>
    <relation id="R3">
      <infon key="entity1">D001</infon>
      <infon key="entity2">D004</infon>
      <infon key="type">Association</infon>
      <infon key="novel">Novel</infon>
    </relation>
  </document>
</collection>
""" % DOCTYPE  # fmt: skip


def read_xml(path, text, on_error="raise"):
    data = text if isinstance(text, bytes) else text.encode("utf8")
    path.write_bytes(data)
    problems = Problems(on_error)
    return list(bioc_xml.read(path, problems)), problems


def read_json(path, value, on_error="raise"):
    if not isinstance(value, bytes):
        value = json.dumps(value).encode()
    path.write_bytes(value)
    problems = Problems(on_error)
    return list(bioc_json.read(path, problems)), problems


@pytest.fixture
def file(tmp_path):
    return tmp_path / "corpus"


def test_xml(file):
    (document,), _ = read_xml(file, XML)
    text = "Zinc & gut pain\nGut and liver pain follow."
    assert document == SourceDocument(
        id="11",
        text=text,
        mentions=[
            SourceMention(
                0, 4, "Chemical", ["D001", "D002"], id="T1", info={"MESH": "D001|D002"}
            ),
            SourceMention(
                16, 34, "Disease", ["D003", "D004"], [(16, 19), (30, 34)], "T2",
                info={"note": "sure"},
            ),
        ],
        relations=[
            SourceRelation("T1", "T2", "CAUSES", id="R1", info={"roles": ["Chemical", "Disease"]}),
            SourceRelation("D001", "D003", "CID", concepts=True, id="R2"),
            SourceRelation("D001", "D004", "Association", True, id="R3", info={"novel": "Novel"}),
        ],
        passages=[
            Passage("title", 0, 15, {"infons": {"section": "front"}}),
            Passage("abstract", 16, 42, {"offset": 100}),
        ],
        info={"journal": "Notes"},
    )  # fmt: skip
    assert document.place == f"{file}:5"
    assert document.mentions[1].place == f"{file}:5, annotation 'T2'"
    assert [mention.text for mention in document.mentions] == ["Zinc", "Gut pain"]
    assert " ".join(text[a:b] for a, b in document.mentions[1].fragments) == "Gut pain"


def test_xml_gzipped_and_in_another_encoding(file):
    text = XML.replace("UTF-8", "ISO-8859-1").replace("Notes", "Caf\u00e9")
    file.write_bytes(gzip.compress(text.encode("latin-1")))
    (document,) = bioc_xml.read(file, Problems())
    assert document.info == {"journal": "Caf\u00e9"}


def test_xml_in_an_encoding_that_is_not_read(file):
    file.write_bytes(XML.replace("UTF-8", "GBK").encode("gbk"))
    with pytest.raises(CorpusError, match="Convert it to UTF-8"):
        list(bioc_xml.read(file, Problems()))


@pytest.mark.parametrize(
    "declarations",
    [
        '[<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]',
        '[<!ENTITY a SYSTEM "file:///etc/hostname">]',
        '[<!ENTITY % a SYSTEM "other.dtd"> %a;]',
        "[<!ELEMENT collection ANY>]",
        "[]",
    ],
)
def test_xml_with_declarations_is_refused(file, declarations):
    text = XML.replace('"BioC.dtd">', f'"BioC.dtd" {declarations}>').replace("Notes", "&a;")
    for on_error in ("raise", "skip"):
        with pytest.raises(CorpusError, match="corpus:2: the DOCTYPE declares"):
            read_xml(file, text, on_error)


def test_xml_external_dtd_is_not_read(file):
    (file.parent / "BioC.dtd").write_text('<!ENTITY a "from outside">')
    documents, problems = read_xml(file, XML.replace("Notes", "&a;"), "skip")
    assert documents == [] and problems.counts == {"unknown entity": 1}


def test_xml_memory_is_constant(file):
    body = XML.partition("<document>")[2].partition("</document>")[0]
    sizes = []
    for count in (50, 3000):
        with file.open("w") as out:
            out.write("<collection>")
            for _ in range(count):
                out.write(f"<document>{body}</document>\n")
            out.write("</collection>")
        before = _resident()
        assert sum(1 for _ in bioc_xml.read(file, Problems())) == count
        sizes.append(_resident() - before)
    assert sizes[1] < file.stat().st_size * 2  # a tree of the whole takes some 10 times the file


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    "old, new, kind, kept",
    [
        ("<id>11</id>", "", "document without id", None),
        ("<offset>100</offset>", "<offset>x</offset>", "passage without offset", None),
        ("Gut and", "<b>Gut</b> and", "markup inside text", None),
        ('length="3"', 'length="3.5"', "annotation that can't be read", (1, 3)),
        ('<location offset="0" length="4"/>', "", "annotation without location", (1, 3)),
        ('refid="T1" ', "", "relation that can't be read", (2, 2)),
        ('<infon key="Chemical">D001</infon>', "", "relation without two arguments", (2, 2)),
        ("<infon key=\"note\">", "<infon>", "infon without key", (2, 3)),
        ("<key>", "<key>", None, (2, 3)),
        (
            '<infon key="note">sure</infon>',
            '<infon key="note">sure</infon><infon key="note">no</infon>',
            "infon given twice",
            (2, 3),
        ),
        ("<key>", f"{STRAY}<key>", "annotation in the wrong place", (2, 3)),
        ("</document>", f"</document>{STRAY}", "annotation in the wrong place", (2, 3)),
        ("</document>", f"<x>{STRAY}</x></document>", "annotation in the wrong place", (2, 3)),
        ("<text>Gut pain", f"{STRAY}<text>Gut pain", "annotation in the wrong place", (2, 3)),
        ("<source>", "<x><document/></x><source>", "document in the wrong place", (2, 3)),
        ("</id>", "</id><x><passage/></x>", "passage in the wrong place", None),
        ("<text>Gut and", "<text>a</text><text>Gut and", "text given twice", None),
        ("</id>", "</id><id>12</id>", "id given twice", None),
    ],
)  # fmt: skip
def test_xml_problems(file, old, new, kind, kept):
    assert old in XML
    if kind:
        with pytest.raises(CorpusError, match=r"corpus:\d+.*: "):
            read_xml(file, XML.replace(old, new))
    documents, problems = read_xml(file, XML.replace(old, new), "skip")
    assert dict(problems.counts) == ({kind: 1} if kind else {})
    assert [(len(d.mentions), len(d.relations)) for d in documents] == ([kept] if kept else [])


def test_xml_identifiers_one_by_one(file):
    text = XML.replace(
        '<infon key="identifier">D003,D004</infon>',
        '<infon key="identifier">D003</infon><infon key="identifier">D004</infon>',
    )
    (document,), _ = read_xml(file, text)
    assert document.mentions[1].concepts == ["D003", "D004"]


@pytest.mark.parametrize("cut", [0, 1, 30, 200, 700, len(XML) - 5])
def test_xml_cut_short(file, cut):
    for on_error in ("raise", "skip"):
        with pytest.raises(CorpusError, match="corpus: not well-formed XML"):
            read_xml(file, XML[:cut], on_error)


def test_not_bioc(file):
    with pytest.raises(CorpusError, match="not BioC XML"):
        read_xml(file, "<html><document><id>1</id></document></html>")
    with pytest.raises(CorpusError, match="not BioC JSON"):
        read_json(file, {"texts": []})
    with pytest.raises(OSError):
        list(bioc_xml.read(file.parent / "missing.xml", Problems()))


# ------------------------------------------------------------------------------ JSON


def passage(text, offset=0, **more):
    return {"offset": offset, "text": text, **more}


def annotation(offset, length, label="Gene", **more):
    return {"infons": {"type": label}, "locations": [{"offset": offset, "length": length}], **more}


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


GOOD = {"id": "1", "passages": [passage("a b", annotations=[annotation(0, 1, id="a")])]}


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


# -------------------------------------------------------------------------- hypothesis

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | WORDS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
# Keys that mean something in BioC are not kept.
INFOS = st.dictionaries(WORDS.map(lambda word: f"k{word}"), VALUES, max_size=2)


@st.composite
def source_documents(draw):
    passages, text, end = [], "", 0
    for number in range(draw(st.integers(0, 3))):
        own = draw(WORDS)
        separator, info = "", {}
        if number:
            separator = draw(st.sampled_from(" \n"))
            gap = draw(st.sampled_from([0, 1] if separator == " " else [2, 7, -3]))
            if gap != (1 if separator == " " else 2):
                info["offset"] = end + gap
            end += gap
        elif draw(st.booleans()):
            end = info["offset"] = 9
        infons = draw(INFOS)
        if infons:
            info["infons"] = infons
        start = len(text) + len(separator)
        if own and draw(st.booleans()):
            info["sentences"] = [{"start": start, "end": start + len(own)}]
        passages.append(Passage(draw(WORDS), start, start + len(own), info))
        text += separator + own
        end += len(own)
    if len(passages) == 1 and passages == [Passage("", 0, len(text))]:
        passages = []
    if not passages:
        text = draw(WORDS)
    mentions = []
    names = draw(st.lists(WORDS, max_size=4, unique=True))
    for name in names:
        offsets = (
            st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted).map(tuple)
        )
        parts = draw(st.lists(offsets, min_size=1, max_size=3))
        mentions.append(
            SourceMention(
                min(a for a, _ in parts),
                max(b for _, b in parts),
                draw(WORDS),
                draw(st.lists(WORDS | st.sampled_from(["D1", "c|DEL||3", "a,b"]), max_size=3)),
                parts if len(parts) > 1 else [],
                name,
                info=draw(INFOS),
            )
        )
    mentions.sort(key=lambda m: sum(p.start <= m.start for p in passages))
    named = [name for name in names if name]
    relations = []
    for _ in range(draw(st.integers(0, 3)) if named else 0):
        concepts = draw(st.booleans())
        ends = WORDS if concepts else st.sampled_from(named)
        relation = SourceRelation(
            draw(ends),
            draw(ends),
            draw(WORDS),
            concepts,
            draw(st.booleans()),
            draw(WORDS),
            draw(INFOS),
        )
        if not concepts and draw(st.booleans()):
            relation.info["roles"] = [draw(WORDS), draw(WORDS)]
        relations.append(relation)
    return SourceDocument(
        draw(WORDS), text, mentions, relations, passages=passages, info=draw(INFOS)
    )  # fmt: skip


def round_trip(path, documents):
    bioc_json.write(documents, path)
    return list(bioc_json.read(path, Problems()))


FAST = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FAST
@given(st.lists(source_documents(), max_size=3))
def test_round_trip(file, documents):
    assert round_trip(file, documents) == documents


def _mutate(data, changes):
    data = bytearray(data)
    for position, replaced, new in changes:
        position %= len(data) + 1
        data[position : position + replaced] = new
    return bytes(data)


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.integers(0, 6),
        st.binary(max_size=3)
        | st.sampled_from([b'"', b"<", b">", b"&", b"{", b"[", b"]", b"null", b"-1", b"9" * 5000]),
    ),
    max_size=4,
)


@FAST
@given(CHANGES, st.sampled_from(["raise", "skip"]))
@example([(0, 100_000, b"\xff\xfe<")], "raise")
def test_damaged_xml(file, changes, on_error):
    _only_corpus_errors(read_xml, file, _mutate(XML.encode(), changes), on_error)


@FAST
@given(CHANGES, st.sampled_from(["raise", "skip"]))
def test_damaged_json(file, changes, on_error):
    value = {"documents": [{**GOOD, "relations": [{"id": "R", "infons": {}, "nodes": [
        {"refid": "a", "role": "x"}, {"refid": "a", "role": "y"}]}]}]}  # fmt: skip
    _only_corpus_errors(read_json, file, _mutate(json.dumps(value).encode(), changes), on_error)


@FAST
@given(st.binary(max_size=60), st.sampled_from([read_xml, read_json]))
def test_random_bytes(file, data, read):
    _only_corpus_errors(read, file, data, "skip")


def _only_corpus_errors(read, file, data, on_error):
    try:
        read(file, data, on_error)
    except CorpusError:
        pass
