import gzip
from pathlib import Path

import pytest

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats import bioc_xml
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.formats.bioc_sources import XML, read_json, read_xml

STRAY = '<annotation id="T9"><location offset="0" length="4"/></annotation>'


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
