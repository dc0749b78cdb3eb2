"""JSON lines that are written and read again, and bytes of any kind."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats.jsonl import read, write
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.formats.jsonl_sources import load

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


# --------------------------------------------------------------------------- any bytes


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
