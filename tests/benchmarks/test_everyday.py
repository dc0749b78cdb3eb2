"""The everyday sentences themselves, and how they are counted."""

import json

import pytest
import spacy
from spacy.tokens import Span

from benchmarks.everyday import SENTENCES, read_sentences, score_everyday, to_table
from spacy_spanmed.doc import set_relation_tuples
from tests import ROOT


def test_sixty_sentences_of_twelve_kinds():
    sentences = read_sentences(ROOT / SENTENCES)
    kinds = [sentence.kind for sentence in sentences]
    assert len(sentences) == 60 and len({sentence.text for sentence in sentences}) == 60
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(kinds, 5)
    assert len(set(kinds)) == 12
    assert all(sentence.relations for sentence in sentences)
    denied = [any(r[3] for r in s.relations) for s in sentences]
    assert denied == [s.kind == "negation" for s in sentences]


def test_unusable_lines_are_named(tmp_path):
    path = tmp_path / "x.jsonl"
    line = {"kind": "x", "text": "A b", "entities": [["c", "gene"]], "relations": []}
    path.write_text(json.dumps(line))
    with pytest.raises(ValueError, match="x.jsonl:1: 'c'"):
        read_sentences(path)
    line = {**line, "entities": [["A", "gene"]], "relations": [["A", "b", "binds"]]}
    path.write_text(json.dumps(line))
    with pytest.raises(ValueError, match="x.jsonl:1: 'A' binds 'b'"):
        read_sentences(path)


@pytest.fixture
def sentences(tmp_path):
    path = tmp_path / "x.jsonl"
    entities = [["GRB2", "gene"], ["SOS1", "gene"], ["cell", "cell"]]
    lines = [
        {"kind": "one", "text": "GRB2 binds SOS1 in a cell.", "entities": entities,
         "relations": [["GRB2", "SOS1", "binds"]]},
        {"kind": "two", "text": "GRB2 does not inhibit SOS1.", "entities": entities[:2],
         "relations": [["GRB2", "SOS1", "inhibits", True]]},
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)))
    return read_sentences(path)


def make_nlp(name, relations):
    """A pipeline that knows genes and finds the given relations in every text."""
    nlp = spacy.blank("en")

    @spacy.Language.component(name)
    def find(doc):
        doc.set_ents(
            [Span(doc, t.i, t.i + 1, "GENE_PROTEIN") for t in doc if t.text in ("GRB2", "SOS1")]
        )
        places = {ent.text: (ent.start_char, ent.end_char, ent.label_) for ent in doc.ents}
        set_relation_tuples(doc, [(*places[a], *places[b], *rest) for a, b, *rest in relations])
        return doc

    nlp.add_pipe(name)
    return nlp


def test_counts(sentences, monkeypatch):
    labels = {"x": ["GENE_PROTEIN", "BINDS", "INHIBITS"]}
    monkeypatch.setattr(spacy.Language, "pipe_labels", property(lambda self: labels))
    # Undirected: the order of BINDS doesn't matter; that of INHIBITS does, and so does negation
    nlp = make_nlp(
        "everyday_right",
        [("SOS1", "GRB2", "BINDS", 0.9, False), ("GRB2", "SOS1", "INHIBITS", 0.8, True)],
    )
    scores = score_everyday(nlp, sentences)
    assert scores["entities"]["all"].fscore == 1.0  # cells have no label here
    found = scores["relations"]["all"]
    assert (found.tp, found.fp, found.fn) == (2, 2, 0)
    table = to_table(scores["relations"], "Relations")
    assert table.rows[0] == ("one", 0.5, 1.0, pytest.approx(2 / 3), 1)
    assert table.summary[0][0] == "all"
    nlp = make_nlp(
        "everyday_wrong",
        [("SOS1", "GRB2", "INHIBITS", 0.8, True), ("GRB2", "SOS1", "INHIBITS", 0.8, False)],
    )
    assert score_everyday(nlp, sentences)["relations"]["two"].tp == 0
