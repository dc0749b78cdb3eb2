import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.util.problems import CorpusError
from tests.corpora.formats.bioc_sources import GOOD, XML, read_json, read_xml, round_trip

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


@pytest.fixture
def file(tmp_path):
    return tmp_path / "corpus"


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
