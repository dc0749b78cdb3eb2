"""Formats are told apart, and their readers and writers found."""

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora import formats
from spacy_spanmed.corpora.formats import (
    FORMATS,
    detect_format,
    get_reader,
    get_writer,
)
from spacy_spanmed.corpora.reading import read_documents
from spacy_spanmed.util.problems import CorpusError
from tests.corpora.sources import CONLL, PUBTATOR, pack, write_sources


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_detected_and_read(paths, format):
    path = paths[format]
    assert detect_format(path) == format
    facts = Counter()
    documents = list(read_documents(path, facts=facts))
    assert documents
    assert facts["mentions kept"] == sum(len(d.mentions) for d in documents) > 0
    for document in documents:
        for mention in document.mentions:
            assert document.text[mention.start : mention.end].lower().strip()


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "brat"])
def test_the_beginning_tells_the_format_of_a_packed_file(paths, format):
    packed = pack(paths[format])
    assert detect_format(packed) == format
    texts = [d.text for d in read_documents(paths[format])]
    assert [d.text for d in read_documents(packed)] == texts


@pytest.mark.parametrize(
    "name, content, format",
    [
        ("x.txt", PUBTATOR, "pubtator"),
        ("x.txt", "\ufeff\n" + PUBTATOR, "pubtator"),
        ("x.annotated", CONLL, "conll"),
        ("x", "-DOCSTART- -X- O\n\n" + CONLL, "conll"),
        ("x.json", '{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ("x.json", '{"spans": [], "text": "' + "a" * 100_000 + '"}\n', "jsonl"),
        ("x.json", '{\n "date": "",\n "documents": []}', "bioc-json"),
        ("x.json", '{"PubTator3": [{"id": "1"}]}', "bioc-json"),
        ("corpus.pubtator.gz", "not even packed", "pubtator"),
    ],
)
def test_detection(tmp_path, name, content, format):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert detect_format(tmp_path / name) == format


@pytest.mark.parametrize(
    "content", ["", "\n\n", "A plain text.\nOf two lines.", "{}", "[1]", "<html></html>", "\0\1\2"]
)
def test_an_unknown_format_lists_the_choices(tmp_path, content):
    path = tmp_path / "x.dat"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match="--format: pubtator, bioc-xml"):
        detect_format(path)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_detection_takes_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "x.bin"
    path.write_bytes(content)
    try:
        assert detect_format(path) in FORMATS
    except CorpusError:
        pass


def test_nothing_there(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        detect_format(tmp_path / "none")
    with pytest.raises(CorpusError, match="a folder without .ann files"):
        detect_format(tmp_path)


def test_brat_by_its_text(paths):
    assert detect_format(paths["brat"] / "a.txt") == "brat"
    (document,) = read_documents(paths["brat"] / "a.txt")
    assert len(document.mentions) == 2


def test_unknown_formats():
    with pytest.raises(CorpusError, match="Choose one of: pubtator"):
        get_reader("word")
    with pytest.raises(CorpusError, match="'conll' can't be written. Choose one of: pubtator"):
        get_writer("conll")


def test_a_missing_package(monkeypatch):
    for name in ("bioc", "ijson", f"{formats.__package__}.bioc_json"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "ijson", None)
    monkeypatch.setitem(sys.modules, "bioc", None)
    with pytest.raises(CorpusError, match=r"pip install 'spacy_spanmed\[corpora\]'"):
        get_reader("bioc-json")
