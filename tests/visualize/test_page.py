"""The page of `spanmed visualize`."""

import base64
import hashlib
import re
import time
from importlib.resources import files

import pytest

from spacy_spanmed import visualize
from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.visualize.page import render_html
from spacy_spanmed.visualize.views import find_nearest, make_view
from tests import ROOT
from tests.visualize.pages import (
    BLANK,
    EMOJI,
    NESTED,
    RIGHT_TO_LEFT,
    TAGS,
    Page,
    check_faithful,
    locate,
    make_doc,
)


@pytest.mark.parametrize(
    "text, mentions",
    [
        (EMOJI, locate(EMOJI, ("p53", "GENE"), ("MDM2", "GENE"), ("“renal” cells", "CELL"))),
        (RIGHT_TO_LEFT, locate(RIGHT_TO_LEFT, ("النزيف", "DIS"), ("Aspirin", "CHEM"))),
        # Nested, crossing, twice the same extent, and inside a piece of a crossing one
        (NESTED, [(4, 20, "A"), (10, 35, "B"), (10, 14, "C"), (10, 14, "D"), (15, 26, "E")]),
        ("Line one\n  line\ttwo & <b>three</b>\n\nend", [(0, 15, "A"), (29, 34, "B")]),
        ("p53", [(0, 3, "GENE")]),
        ("Nothing.", []),
    ],
)
def test_text_and_mentions_are_there(text, mentions):
    doc = make_doc(text, mentions)
    page = Page(render_html(doc))
    check_faithful(doc, page)
    assert len(page.marks()) == len(mentions)
    labels = sorted(label for _, _, label in mentions)
    assert sorted(text for _, text in page.find("bdi")) == labels  # each label once


def test_right_to_left_text_has_its_direction():
    page = Page(render_html(make_doc(RIGHT_TO_LEFT)))
    ((attributes, _),) = page.find("div", class_="text")
    assert attributes["dir"] == "auto" and "style" not in attributes  # displaCy's own says ltr


def test_relations_are_rows_with_links():
    text = "p53 binds MDM2. Aspirin does not bind MDM2 or p53."
    p53, aspirin = locate(text, ("p53", "GENE"), ("Aspirin", "CHEM"))
    mdm2, later = (10, 14, "GENE"), (38, 42, "GENE")
    relations = [(*aspirin, *later, "BINDS", 0.25, True), (*p53, *mdm2, "BINDS", 0.875, False)]
    page = Page(render_html(make_doc(text, [p53, mdm2, aspirin, later], relations)))
    first, second = page.relations()  # by place
    assert first == ((*p53, "p53"), (*mdm2, "MDM2"), "BINDS", False)
    assert second == ((*aspirin, "Aspirin"), (*later, "MDM2"), "BINDS", True)
    rows = [text for attributes, text in page.find("tr") if "data-heads" in attributes]
    assert rows == ["p53 GENEBINDSMDM2 GENE0.88", "Aspirin CHEMnot BINDSMDM2 GENE0.25"]
    ids = {attributes.get("id") for attributes, _ in page.find("mark")}
    links = {attributes["href"][1:] for attributes, _ in page.find("a")}
    assert links == ids - {None}


def test_arguments_that_are_no_mentions_are_marked():
    doc = BLANK("Aspirin helps patients.")
    set_relation_tuples(doc, [(0, 7, "CHEM", 14, 22, "", "HELPS")])
    page = Page(render_html(doc))
    assert page.relations() == [
        ((0, 7, "CHEM", "Aspirin"), (14, 22, "", "patients"), "HELPS", False)
    ]


def test_concepts_join_their_nearest_mentions_and_list_all():
    text = "Zinc is a metal. Zinc salts made rats ill. Illness passed. Copper is not."
    zinc, ill = [(0, 4, "C"), (17, 21, "C")], [(38, 41, "D"), (43, 50, "D")]
    kb_ids = {zinc[0]: "M1", zinc[1]: "M1", ill[0]: "M2,M3", ill[1]: "M2"}
    relations = [("M2", "M1", "CID", 0.5, True), ("M1", "M9", "CID")]
    doc = make_doc(text, kb_ids, kb_ids=kb_ids, concept_relations=relations)
    page = Page(render_html(doc))
    assert page.relations() == [
        ((*zinc[0], "Zinc"), None, "CID", False),  # M9 has no mention
        ((*ill[0], "ill"), (*zinc[1], "Zinc"), "CID", True),
    ]
    row = next(a for a, _ in page.find("tr") if a.get("data-negated") == "yes")
    marks = page.marks()
    assert [marks[x][:3] for x in row["data-heads"].split()] == ill
    assert [marks[x][:3] for x in row["data-tails"].split()] == zinc[::-1]
    assert [text for _, text in page.find("summary")] == ["2 mentions"] * 3
    assert "M9" in "".join(text for _, text in page.find("td"))


def test_predicted_concept_relations_come_once():
    text = "Zinc was given. Zinc made rats ill."
    zinc, ill = [(0, 4, "C"), (16, 20, "C")], (31, 34, "D")
    kb_ids = {zinc[0]: "M1", zinc[1]: "M1", ill: "M2"}
    doc = make_doc(text, kb_ids, kb_ids=kb_ids, concept_relations=[("M1", "M2", "CID", 0.7)])
    set_relation_tuples(doc, [(*zinc[0], *ill, "CID", 0.7), (*zinc[0], *zinc[1], "SAME", 0.7)])
    found = Page(render_html(doc)).relations()
    # The pair that the pipeline chose, though it isn't the nearest
    assert [x[:3] for x in found] == [
        ((*zinc[0], "Zinc"), (*zinc[1], "Zinc"), "SAME"),
        ((*zinc[0], "Zinc"), (*ill, "ill"), "CID"),
    ]


def test_nearest_pair():
    a, b, c = (0, 4, "X"), (10, 14, "X"), (16, 20, "Y")
    assert find_nearest([a, b], [c]) == (b, c)
    assert find_nearest([c], [a, b]) == (c, b)
    assert find_nearest([b], [a, b]) == (b, a)  # not with itself
    assert find_nearest([b], [b]) == (b, b)
    assert find_nearest([], [b]) == (None, b) and find_nearest([], []) == (None, None)


EVIL = "\"'><i x=</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)>&"


def test_everything_is_escaped():
    text = f"Say {EVIL} again"
    mentions = [(4, 4 + len(EVIL), EVIL), (len(text) - 5, len(text), "{evil}")]
    doc = make_doc(
        text,
        mentions,
        kb_ids={mentions[0]: EVIL.replace(",", ""), mentions[1]: "{0}"},
        concept_relations=[(EVIL, "{0}", EVIL)],
        meta={"id": EVIL},
    )
    other = make_doc(text, mentions, [(*mentions[0], *mentions[1], EVIL)])
    page = Page(render_html([doc, other], title=EVIL))
    assert {tag for tag, _, _ in page.elements} <= TAGS
    assert len(page.find("script")) == 1
    names = {name for _, attributes, _ in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "srcset")]
    assert page.find("title") == [({}, EVIL)]
    assert page.find("h2")[0][1] == EVIL
    assert page.texts() == [text, text]
    assert [x[2] for x in page.relations()] == [EVIL, EVIL]


def test_what_html_has_no_place_for():
    doc = BLANK("a\x00b\x0b c\rd\r\ne")
    (text,) = Page(render_html(doc)).texts()
    assert text == "a\ufffdb\ufffd c\nd \ne" and len(text) == len(doc.text)


def test_page_needs_nothing_else():
    doc = make_doc("p53 binds MDM2.", [(0, 3, "GENE"), (10, 14, "GENE")])
    html = render_html(doc)
    page = Page(html)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|<link|\ssrc=", html)
    ((_, script),) = page.find("script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for a, _ in page.find("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none';") and f"script-src 'sha256-{digest}'" in policy
    parts = {x.name for x in files(visualize).iterdir() if not x.name.endswith((".py", "__"))}
    assert parts == {"page.css", "page.js", "routes.js"}
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^spacy_spanmed = \[.*"\*\*/\*\.css", "\*\*/\*\.js"', settings, re.M)


def test_unknown_is_not_none():
    texts = {
        (): "entities not annotated · relations not annotated",
        ("entities",): "0 entities · relations not annotated",
        ("entities", "relations"): "0 entities · 0 relations",
    }
    for layers, expected in texts.items():
        page = Page(render_html(make_doc("Nothing.", layers=layers)))
        assert page.find("p", class_="quiet")[-1][1] == expected


def test_empty_pages_say_so():
    assert "no text" in render_html(BLANK("")) and "no text" in render_html(BLANK(" \n "))
    assert "no documents" in render_html([])


def test_lines_are_shown_while_they_are_few():
    text = "p53 " * 30
    mentions = [(i * 4, i * 4 + 3, "GENE") for i in range(30)]
    for count in (12, 13):
        relations = [(*mentions[i], *mentions[i + 1], "BINDS") for i in range(count)]
        page = Page(render_html(make_doc(text, mentions, relations)))
        ((attributes, _),) = page.find("input", class_="all")
        assert ("checked" in attributes) == (count == 12)


def test_legend_counts_labels():
    text = "p53 binds MDM2 and zinc"
    mentions = [(0, 3, "GENE"), (10, 14, "GENE"), (19, 23, "CHEM")]
    doc = make_doc(text, mentions, [(*mentions[0], *mentions[1], "BINDS")])
    ((_, legend),) = Page(render_html([doc, doc])).find("section", class_="legend")
    assert re.sub(r"\s+", " ", legend).startswith(" Entities GENE 4 CHEM 2 Relations BINDS 2")


def test_nested_candidates_of_predictions():
    doc = BLANK("renal cell cancer")
    doc.spans["spanmed"] = [doc[0:3], doc[0:2]]
    doc.spans["spanmed"].attrs["scores"] = [0.75, 0.5]
    doc.set_ents([doc.char_span(0, 17, label="DIS")])
    doc.spans["spanmed"] = [doc.ents[0], doc.char_span(0, 10, label="CELL")]
    doc.spans["spanmed"].attrs["scores"] = [0.75, 0.5]
    assert [m[2:] for m in make_view(doc).marks] == [("DIS", "", 0.75)]
    assert [m.label for m in make_view(doc, nested=True).marks] == ["DIS", "CELL"]
    gold = make_doc("renal cell cancer", [(0, 17, "DIS"), (0, 10, "CELL")])
    assert len(make_view(gold).marks) == 2 and len(make_view(gold, nested=False).marks) == 1


def test_only_docs():
    with pytest.raises(ValueError, match="Expected Docs, not str"):
        render_html(["a text"])


def test_thousands_of_entities():
    text = "p53 " * 2000
    mentions = [(i * 4, i * 4 + 3, "GENE") for i in range(2000)]
    relations = [(*mentions[i], *mentions[-i - 1], "BINDS") for i in range(500)]
    doc = make_doc(text, mentions, relations)
    begin = time.process_time()
    html = render_html(doc)
    assert time.process_time() - begin < 5  # takes about 0.1
    page = Page(html)
    assert len(page.marks()) == 2000 and len(page.relations()) == 500
    deep = make_doc("p " * 2000, [(0, 2 * i + 1, "GENE") for i in range(1, 2000)])
    assert render_html(deep).count("<mark") == 1999  # deeper than Python's stack
