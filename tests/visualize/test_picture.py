"""The picture of a Doc: well-formed, complete, and with room for all that is written."""

import re
from xml.etree import ElementTree

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Span

from spacy_spanmed.doc import (
    RelationTuple,
    set_concept_relation_tuples,
    set_layers,
    set_relation_tuples,
)
from spacy_spanmed.visualize import render_svg

SVG = "{http://www.w3.org/2000/svg}"
NLP = spacy.blank("en")
WORDS = ["a", "&", "<b>", "EGFR", "β-catenin", "中文", "metastasis", "\x01", '"quoted"', "it's"]


def make_doc(words, spans, relations):
    """spans (list): (start, end, label) in tokens. relations (list): (head, tail, label, negated)."""
    doc = spacy.tokens.Doc(NLP.vocab, words=words)
    mentions = [Span(doc, start, end, label=label) for start, end, label in spans]
    doc.spans["spanmed"] = mentions
    set_layers(doc, ["entities", "relations"])
    ends = [(span.start_char, span.end_char, span.label_) for span in mentions]
    set_relation_tuples(doc, [(*ends[h], *ends[t], x, 1.0, n) for h, t, x, n in relations])
    return doc


def read(doc):
    root = ElementTree.fromstring(render_svg(doc))
    texts = [(t.text, t) for t in root.iter(f"{SVG}text")]
    return root, texts


def get_captions(texts):
    return sorted(
        text for text, t in texts if t.get("fill") == "#1b1f24" and t.get("font-size") == "11"
    )


def get_extent(text):
    width, x = float(text.get("textLength")), float(text.get("x"))
    left = x - width / 2 if text.get("text-anchor") else x
    return left, left + width, float(text.get("y"))


def overlap(texts):
    boxes = sorted(get_extent(text) for text in texts)
    return [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
        if abs(a[2] - b[2]) < 8 and b[0] < a[1] - 0.2
    ]


def test_text_is_escaped_and_complete():
    doc = make_doc(["<script>", "&", '"x"', "]]>"], [(0, 1, "A<B")], [])
    root, texts = read(doc)
    assert [text for text, _ in texts if text != "A<B"] == ["<script>", "&", '"x"', "]]>"]
    assert root.find(f"{SVG}title").text == doc.text.strip()
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{name}" for name in ("svg", "title", "rect", "text", "path")
    }


def test_every_relation_is_drawn():
    doc = make_doc(
        ["EGF", "binds", "EGFR", "not", "MDM2"],
        [(0, 1, "GENE"), (2, 3, "GENE"), (4, 5, "GENE")],
        [(0, 1, "BINDS", False), (1, 0, "ACTIVATES", False), (0, 2, "BINDS", True)],
    )
    root, texts = read(doc)
    assert get_captions(texts) == ["ACTIVATES", "BINDS", "not BINDS"]
    lines = [path for path in root.iter(f"{SVG}path") if path.get("fill") == "none"]
    assert len(lines) == 3
    assert sum(path.get("stroke-dasharray") is not None for path in lines) == 1


def test_relations_between_concepts_without_a_mention_are_written():
    doc = make_doc(["none"], [], [])
    set_concept_relation_tuples(doc, [("D1", "D2", "CAUSES")])
    assert "D1 → CAUSES → D2" in [text for text, _ in read(doc)[1]]


def test_a_line_never_ends_inside_a_mention():
    doc = make_doc(["word"] * 60, [(15, 25, "LONG"), (40, 41, "X")], [(0, 1, "R", False)])
    root, texts = read(doc)
    assert len({t.get("y") for text, t in texts if text == "word"}) > 1
    box = next(
        r for r in root.iter(f"{SVG}rect") if float(r.get("width")) > 300 and r.get("stroke")
    )
    left, right = float(box.get("x")), float(box.get("x")) + float(box.get("width"))
    y = float(box.get("y"))
    inside = [t for text, t in texts if text == "word" and 0 < float(t.get("y")) - y < 24
              and left <= float(t.get("x")) <= right]  # fmt: skip
    assert len(inside) == 10


@st.composite
def docs(draw):
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60))
    starts = draw(st.lists(st.integers(0, len(words) - 1), max_size=8, unique=True))
    spans = [
        (
            s,
            min(s + draw(st.integers(1, 3)), len(words)),
            draw(st.sampled_from(["A", "LONG_LABEL"])),
        )
        for s in starts
    ]
    ends = st.integers(0, len(spans) - 1)
    relations = st.tuples(ends, ends, st.sampled_from(["R", "CORRELATES"]), st.booleans())
    return make_doc(words, spans, draw(st.lists(relations, max_size=12)) if spans else [])


@settings(max_examples=150, deadline=None)
@given(docs())
def test_nothing_written_overlaps_and_no_line_crosses_the_text(doc):
    root, texts = read(doc)
    relations = [RelationTuple(*item) for item in doc._.relation_tuples]
    wanted = {(r[:6], f"not {r.label}" if r.negated else r.label) for r in relations}
    assert set(get_captions(texts)) == {caption for _, caption in wanted}
    assert not overlap([t for _, t in texts])
    words = [get_extent(t) for _, t in texts if t.get("font-size") == "16"]
    for path in root.iter(f"{SVG}path"):
        if path.get("fill") != "none":
            continue
        points = [tuple(map(float, xy.split(","))) for xy in re.split("[ML]", path.get("d"))[1:]]
        for (x1, y1), (x2, y2) in zip(points, points[1:]):
            assert x1 == x2 or y1 == y2
            for left, right, y in words:
                apart = max(x1, x2) <= left or min(x1, x2) >= right
                assert apart or max(y1, y2) < y - 12 or min(y1, y2) > y
    width = float(root.get("viewBox").split()[0]) + float(root.get("viewBox").split()[2])
    assert all(right <= width + 0.2 for _, right, _ in map(get_extent, (t for _, t in texts)))


def test_only_a_doc_is_drawn():
    with pytest.raises(ValueError, match="Expected a Doc, not str"):
        render_svg("text")
