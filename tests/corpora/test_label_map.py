"""Labels are renamed or left out as a YAML file says, and its mistakes are named."""

from collections import Counter

import pytest

from spacy_spanmed.corpora.documents import SourceRelation
from spacy_spanmed.corpora.label_map import map_labels, read_label_map
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.test_checks import document, mention


def write_map(tmp_path, text):
    path = tmp_path / "map.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_label_map(tmp_path):
    text = "entities:\n  GENE: PROTEIN\n  CHEM: null\nrelations:\n  INHIBITS: STOPS\n"
    label_map = read_label_map(write_map(tmp_path, text))
    doc = document(
        [
            mention("Aspirin", "CHEM", id="T1", concepts=["D1"]),
            mention("COX-1", id="T2", concepts=["1"]),
            mention("COX-2", id="T3", concepts=["2"]),
        ],
        [
            SourceRelation("T1", "T2", "INHIBITS"),
            SourceRelation("D1", "1", "INHIBITS", concepts=True),
            SourceRelation("T2", "T3", "INHIBITS"),
            SourceRelation("T2", "T3", "LIKE"),
        ],
    )
    facts = Counter()
    (mapped,) = map_labels([doc], label_map, Problems(), facts)
    assert [m.label for m in mapped.mentions] == ["PROTEIN", "PROTEIN"]
    assert [r.label for r in mapped.relations] == ["STOPS", "LIKE"]
    assert facts["mentions left out by the label map"] == 1
    assert facts["relations left out by the label map"] == 2


def test_strict_label_map(tmp_path):
    label_map = read_label_map(write_map(tmp_path, "entities: {CHEM: X}\nstrict: true\n"))
    with pytest.raises(CorpusError, match="f:2: The label 'GENE' isn't in the section entities"):
        list(map_labels([document([mention("COX-1")])], label_map, Problems(), Counter()))


@pytest.mark.parametrize(
    "text, match",
    [
        ("", "not a label map"),
        ("- a", "not a label map"),
        ("entities: [a]", "not a label map"),
        ("entitys:\n  A: B", "'entitys' is unknown"),
        ("path: x", "'path' is unknown"),
        (
            "entities:\n  A: 1",
            r"'entities\.A' is a number\. It must be a string\. .* quotes around",
        ),
        ("entities:\n  A: ''", r"'entities\.A' .* at least 1 character"),
        ("entities:\n  1: A", r"'entities\[1\]' is a number\. It must be a string"),
        ("strict: maybe", "'strict' is a string. It must be true or false"),
        ("entities: {A: B", "not valid YAML"),
        ("entities:\n  A: B\n  A: C", "not valid YAML"),
    ],
)
def test_bad_label_maps(tmp_path, text, match):
    with pytest.raises(CorpusError, match=match):
        read_label_map(write_map(tmp_path, text))


def test_missing_label_map(tmp_path):
    with pytest.raises(CorpusError, match="can't be read"):
        read_label_map(tmp_path / "none.yml")
