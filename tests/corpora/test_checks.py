"""Offsets, ids and duplicates are checked in one place, and nothing is dropped in silence."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.checks import check_documents
from spacy_spanmed.corpora.documents import SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.label_map import LabelMap, map_labels
from spacy_spanmed.util.problems import CorpusError, Problems

TEXT = "Aspirin inhibits COX-1 and  COX-2."


def mention(string, label="GENE", text=TEXT, **more):
    start = text.index(string)
    more.setdefault("text", string)
    return SourceMention(start, start + len(string), label, place="f:2", **more)


def document(mentions=(), relations=(), id="1", text=TEXT):
    return SourceDocument(id, text, list(mentions), list(relations), place="f:1")


def check(*documents, on_error="raise"):
    facts, problems = Counter(), Problems(on_error)
    return list(check_documents(documents, problems, facts)), facts, problems


def fails(*documents, match):
    """The first problem is an error that names the place; skipped, it is counted."""
    with pytest.raises(CorpusError, match=match) as error:
        check(*documents)
    assert str(error.value).startswith("f:")
    kept, facts, problems = check(*documents, on_error="skip")
    assert sum(problems.counts.values()) == 1
    return kept, facts


def test_a_good_document_passes_unchanged():
    good = document(
        [mention("Aspirin", "CHEM", id="T1", concepts=["D1"]), mention("COX-1", id="T2")],
        [SourceRelation("T1", "T2", "INHIBITS")],
    )
    (kept,), facts, _ = check(good)
    assert kept == good
    assert facts["mentions in the source"] == facts["mentions kept"] == 2
    assert facts["mentions without identifier"] == 1


@pytest.mark.parametrize(
    "bad, match",
    [
        (SourceMention(30, 99, "GENE", place="f:2"), "outside the text of 34 characters"),
        (SourceMention(-1, 3, "GENE", place="f:2"), "outside the text"),
        (SourceMention(5, 3, "GENE", place="f:2"), "outside the text"),
        (SourceMention(3, 3, "GENE", place="f:2"), "nothing but white space"),
        (SourceMention(26, 28, "GENE", place="f:2"), "nothing but white space"),
        (mention("COX-1", ""), "no label"),
        (
            SourceMention(0, 7, "A", fragments=[(0, 3), (5, 6)], place="f:2"),
            "fragments from 0 to 6",
        ),
        (SourceMention(0, 7, "A", fragments=[(0, 3), (5, 99)], place="f:2"), "outside the text"),
    ],
)
def test_unusable_mentions(bad, match):
    (kept,), facts = fails(document([mention("Aspirin"), bad]), match=match)
    assert [m.start for m in kept.mentions] == [0]
    assert facts["mentions left out as unusable"] == 1


@pytest.mark.parametrize(
    "start, end, string, text, match",
    [
        (18, 23, "COX-1", TEXT, r"'OX-1 '.*'COX-1'.*character 17, so the offset is 1 too high"),
        (14, 19, "COX-1", TEXT, "character 17, so the offset is 3 too low"),
        (3, 8, "TGF-b", "α TGF-b here", "count bytes of UTF-8"),
        (3, 8, "TGF-b", "\U0001d6fc TGF-b here", "count UTF-16 units"),
        (2, 7, "TGF-b", "a\r\nTGF-b", "line end of two characters as one"),
        (3, 8, "TGF-b", "a\nTGF-b b", "line end of one character as two"),
        (0, 5, "other", "TGF-b", "Do text and offsets belong together"),
    ],
)
def test_another_string_is_explained(start, end, string, text, match):
    bad = SourceMention(start, end, "GENE", text=string, place="f:2")
    fails(document([bad], text=text), match=match)


def test_white_space_may_differ_from_the_given_string():
    text = "breast\n cancer and lung cancer"
    one = SourceMention(0, 14, "D", text="breast cancer")
    two = SourceMention(0, 30, "D", fragments=[(0, 6), (24, 30)], text="breast cancer")
    (kept,), facts, _ = check(document([one, two], text=text))
    assert len(kept.mentions) == 2
    assert facts["discontinuous mentions"] == 1
    assert facts["mentions that overlap another"] == 2


def test_ends_are_trimmed():
    padded = SourceMention(7, 28, "X", fragments=[(7, 16), (17, 28)])
    (kept,), facts, _ = check(document([padded]))
    assert (kept.mentions[0].start, kept.mentions[0].end) == (8, 26)
    assert kept.mentions[0].fragments == [(8, 16), (17, 26)]
    assert facts["mentions trimmed of white space"] == 1


def test_duplicate_mentions_are_merged_and_relations_follow():
    (kept,), facts, _ = check(
        document(
            [
                mention("COX-1", concepts=["1"], id="T1"),
                mention("COX-1", concepts=["1", "2"], id="T2"),
                mention("COX-1", "PROTEIN", id="T3"),
            ],
            [
                SourceRelation("T1", "T3", "IS"),
                SourceRelation("T2", "T3", "IS"),
                SourceRelation("T2", "T3", "IS", negated=True),
            ],
        )
    )
    assert [(m.id, m.concepts) for m in kept.mentions] == [("T1", ["1", "2"]), ("T3", [])]
    assert [(r.head, r.tail, r.negated) for r in kept.relations] == [
        ("T1", "T3", False),
        ("T1", "T3", True),
    ]
    assert facts["mentions merged into an equal one"] == 1
    assert facts["relations merged into an equal one"] == 1
    assert facts["composite mentions (several concepts)"] == 1


def test_merged_mentions_join_what_is_said_of_them():
    infos = [
        {"notes": [{"id": "#1"}], "x": 1},
        {"notes": [{"id": "#1"}, {"id": "#2"}], "events": [{"id": "E2"}], "x": 1},
        {"x": 2},
    ]
    mentions = [mention("COX-1", info=info) for info in infos]
    (kept,), facts, _ = check(document(mentions))
    assert [m.info for m in kept.mentions] == [
        {"notes": [{"id": "#1"}, {"id": "#2"}], "events": [{"id": "E2"}], "x": 1}
    ]
    assert infos[0] == {"notes": [{"id": "#1"}], "x": 1}
    assert facts["merged mentions with other info"] == 1


def test_parts_of_relations_of_more_than_two_mentions_are_not_merged():
    mentions = [mention(string, id=string) for string in ("Aspirin", "COX-1", "COX-2")]
    relations = [
        SourceRelation("Aspirin", tail, "STOPS", id=name, info={"node": [number, 2]})
        for name in ("R1", "R2")
        for number, tail in ((1, "COX-1"), (2, "COX-2"))
    ]
    (kept,), facts, _ = check(document(mentions, [*relations, *relations[:2]]))
    assert kept.relations == relations
    assert facts["relations merged into an equal one"] == 2


def test_an_event_may_be_anything():
    relation = SourceRelation("T1", "T1", "IS", info={"event": {"a": [1]}})
    (kept,), _, _ = check(document([mention("COX-1", id="T1")], [relation, relation]))
    assert kept.relations == [relation]


def test_what_is_no_identifier():
    mentions = [mention("Aspirin", concepts=["", "D1", "NIL"]), mention("COX-1", concepts=["NIL"])]
    (kept,), facts, _ = check(document(mentions))
    assert [m.concepts for m in kept.mentions] == [["D1"], []]
    assert facts["mentions without identifier"] == 1
    relation = SourceRelation("D1", "NIL", "STOPS", concepts=True, place="f:3")
    fails(document(mentions, [relation]), match="has the identifier 'NIL'")


def test_a_merged_mention_takes_over_an_id():
    (kept,), _, _ = check(
        document(
            [mention("COX-1"), mention("COX-1", id="T2"), mention("COX-2", id="T3")],
            [SourceRelation("T2", "T3", "IS")],
        )
    )
    assert kept.mentions[0].id == kept.relations[0].head == "T2"


@pytest.mark.parametrize(
    "relation, match",
    [
        (SourceRelation("T1", "T9", "BINDS", place="f:3"), "no mention that is kept with the id"),
        (SourceRelation("T1", "", "BINDS", place="f:3"), "no mention that is kept with the id"),
        (SourceRelation("D1", "D9", "BINDS", concepts=True, place="f:3"), "identifier 'D9'"),
        (SourceRelation("T1", "T2", "", place="f:3"), "no label"),
        (SourceRelation("T1", "T5", "BINDS", place="f:3"), "several mentions with"),
    ],
)
def test_unusable_relations(relation, match):
    mentions = [
        mention("Aspirin", id="T1", concepts=["D1"]),
        mention("inhibits", id="T2"),
        mention("COX-1", id="T5"),
        mention("COX-2", id="T5"),
    ]
    (kept,), facts = fails(document(mentions, [relation]), match=match)
    assert not kept.relations and len(kept.mentions) == 4
    assert facts["relations left out as unusable"] == 1


def test_a_relation_falls_with_its_mention():
    bad = SourceMention(0, 99, "GENE", id="T2", place="f:2")
    doc = document([mention("COX-1", id="T1"), bad], [SourceRelation("T1", "T2", "BINDS")])
    (kept,), _, problems = check(doc, on_error="skip")
    assert not kept.relations
    assert sum(problems.counts.values()) == 2


def test_relation_with_itself_is_legal():
    relation = SourceRelation("D1", "D1", "BINDS", concepts=True)
    (kept,), facts, _ = check(document([mention("COX-1", concepts=["D1"])], [relation]))
    assert kept.relations == [relation]
    assert facts["relations of something with itself"] == 1


def test_the_second_document_of_an_id_is_left_out():
    kept, facts = fails(document(), document([mention("COX-1")]), match="'1' comes a second time")
    assert len(kept) == 1
    assert facts["documents left out as unusable"] == facts["mentions left out as unusable"] == 1
    assert len(check(document(id=""), document(id=""))[0]) == 2  # ids that aren't given


@pytest.mark.parametrize("info", [{"a": "\ud800"}, {"a": 2**70}])
def test_values_that_cannot_be_stored(info):
    bad = document()
    bad.info = info
    fails(bad, match="can't be stored")
    fails(document(text="lone \ud800"), match="can't be stored")


# ----------------------------------------------------------------- nothing gets lost

small = st.integers(-1, 12)
ids = st.sampled_from(["", "T1", "T2", "T3"])
labels = st.sampled_from(["", "A", "B"])
mentions = st.builds(
    SourceMention,
    small,
    small,
    labels,
    st.lists(st.sampled_from("xyz"), max_size=2),
    st.lists(st.tuples(small, small), max_size=2),
    ids,
    st.none() | st.text("ab ", max_size=4),
)
relations = st.builds(SourceRelation, ids, ids | st.sampled_from("xyz"), labels, st.booleans())
documents = st.builds(
    SourceDocument,
    st.sampled_from("123"),
    st.text("ab \n", max_size=10),
    st.lists(mentions, max_size=6),
    st.lists(relations, max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(documents, max_size=4), st.booleans())
def test_what_comes_in_is_kept_or_merged_or_left_out(source, strict):
    given_numbers = {
        "documents": len(source),
        "mentions": sum(len(d.mentions) for d in source),
        "relations": sum(len(d.relations) for d in source),
    }
    facts, problems = Counter(), Problems("skip")
    label_map = LabelMap({"A": "C", "": None}, {"B": None}, strict=strict)
    mapped = map_labels(source, label_map, problems, facts)
    kept = list(check_documents(mapped, problems, facts))
    kept_numbers = {
        "documents": len(kept),
        "mentions": sum(len(d.mentions) for d in kept),
        "relations": sum(len(d.relations) for d in kept),
    }
    for what, number in given_numbers.items():
        fates = {
            name: n
            for name, n in facts.items()
            if name.startswith((f"{what} kept", f"{what} merged into", f"{what} left out"))
        }
        assert facts[f"{what} in the source"] == number == sum(fates.values())
        assert facts[f"{what} kept"] == kept_numbers[what]
    again = Counter()  # what was checked needs no second check
    assert list(check_documents(kept, Problems(), again)) == kept


# ------------------------------------------------------------------------- label map
