import warnings

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.documents import SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats.brat_writer import write
from spacy_spanmed.util.problems import CorpusError
from tests.corpora.formats.brat_sources import ANNOTATION, make, read_all

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VISIBLE = st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"])
LABELS = st.text(VISIBLE, min_size=1, max_size=5)


@st.composite
def source_documents(draw):
    text = draw(TEXTS)
    offset = st.integers(0, len(text))
    mentions = []
    for _ in range(draw(st.integers(0, 4))):
        offsets = st.tuples(offset, offset).map(sorted).map(tuple)
        parts = draw(st.lists(offsets, min_size=1, max_size=3))
        mentions.append(
            SourceMention(
                min(a for a, _ in parts),
                max(b for _, b in parts),
                draw(LABELS),
                draw(st.lists(LABELS, max_size=2)),
                parts if len(parts) > 1 else [],
                f"m{len(mentions)}" if draw(st.booleans()) else f"T{len(mentions) + 2}",
                info=draw(st.sampled_from([{}, {"attributes": [{"name": "Rare"}]}, {"x": 1}])),
            )
        )
    ids = [mention.id for mention in mentions]
    relations = [
        SourceRelation(
            draw(st.sampled_from(ids)),
            draw(st.sampled_from(ids)),
            draw(LABELS),
            negated=draw(st.booleans()),
            id=draw(st.sampled_from(["", "R2", "x"])),
            info=draw(
                st.sampled_from([{}, {"roles": ["Of", "By"]}, {"event": "E1"}, {"event": 1}])
            ),
        )
        for _ in range(draw(st.integers(0, 3)) if ids else 0)
    ]
    return SourceDocument(draw(TEXTS), text, mentions, relations)


def said(document):
    """What brat can say of a document, without ids and without what only brat says."""
    mentions = {mention.id: i for i, mention in enumerate(document.mentions)}
    return (
        document.text,
        [(m.start, m.end, m.label, m.concepts, m.fragments) for m in document.mentions],
        [(mentions[r.head], mentions[r.tail], r.label, r.negated) for r in document.relations],
    )


FAST = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FAST
@given(document=source_documents())
def test_round_trip(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("brat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write([document], folder / "1")
    (once,), _ = read_all(folder / "1")
    assert once.id == document.id and said(once) == said(document)
    # What was read is in brat's form, and comes back exactly.
    write([once], folder / "2")
    (twice,), _ = read_all(folder / "2")
    assert twice == once


@FAST
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(ANNOTATION)),
            st.integers(0, 6),
            st.sampled_from("\t \nTERAMN#*:;159\r\x0b\x85\u2028") | st.text(max_size=3),
        ),
        max_size=6,
    ),
    on_error=st.sampled_from(["raise", "skip"]),
)
@example(changes=[], on_error="raise")
@example(changes=[(210, 0, "\r")], on_error="raise")
@example(changes=[(210, 0, "\r")], on_error="skip")
def test_damaged_annotation(tmp_path_factory, changes, on_error):
    annotation = ANNOTATION
    for position, removed, new in changes:
        annotation = annotation[:position] + new + annotation[position + removed :]
    folder = tmp_path_factory.mktemp("brat")
    make(folder / "in", annotation=annotation.encode("utf8", "replace").decode())
    try:
        documents, _ = read_all(folder / "in", on_error)
    except CorpusError:
        return
    write(documents, folder / "out")
    assert [said(d) for d in read_all(folder / "out")[0]] == [said(d) for d in documents]


@FAST
@given(data=st.binary(max_size=60), name=st.sampled_from(["a.txt", "a.ann"]))
def test_random_bytes(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("brat")
    make(folder)
    (folder / name).write_bytes(data)
    try:
        read_all(folder, "skip")
    except CorpusError as error:  # what looks like gzip and isn't can't be skipped by lines
        assert data[:2] == b"\x1f\x8b" and "a.ann: the gzip file is damaged" in str(error)
