"""The linear pattern finds what scispaCy's own finds, in Docs of any length."""

import time

import spacy
from scispacy.abbreviation import AbbreviationDetector
from spacy.tokens import Doc

TEXT = (
    "Spinal and bulbar muscular atrophy (SBMA) is caused by the androgen receptor (AR). SBMA and "
    "AR (both rare) were seen in acquired immune deficiency syndrome (AIDS). MLL (mixed lineage "
    "leukaemia) too (see Fig. 2 and the table below it, which has more rows than ten)."
)


def test_same_as_scispacy():
    nlp = spacy.blank("en")
    ours = nlp.add_pipe("spanmed_abbreviations")
    theirs = AbbreviationDetector(nlp, make_serializable=True)
    key = ("short_text", "long_text", "short_start")

    def found(detector):
        return sorted(
            tuple(item[k] for k in key) for item in detector(nlp.make_doc(TEXT))._.abbreviations
        )

    assert found(ours) == found(theirs)
    assert len(found(ours)) >= 5


def test_serializable_and_linear():
    nlp = spacy.blank("en")
    nlp.add_pipe("spanmed_abbreviations")
    start = time.perf_counter()
    doc = nlp(" ".join(["The androgen receptor (AR) binds DNA ."] * 4_000))
    assert time.perf_counter() - start < 20
    assert len(doc) > 30_000
    assert len(doc._.abbreviations) == 4_000
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert again._.abbreviations[0]["long_text"] == "androgen receptor"


def test_no_warning_without_abbreviations(recwarn):
    nlp = spacy.blank("en")
    nlp.add_pipe("spanmed_abbreviations")
    nlp("Nothing here (really).")
    assert not recwarn.list
