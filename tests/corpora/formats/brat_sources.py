"""A brat corpus made by hand, and its reader: for the tests of reading and of round trips."""

from spacy_spanmed.corpora.formats.brat_reader import read
from spacy_spanmed.util.problems import Problems

TEXT = "Zinc and copper salts\r\ndo not block the p53 gene."
ANNOTATION = """\
T1\tChemical 0 4;16 21\tZinc salts
T2\tChemical 9 21\tcopper salts
T3\tBlocking 30 35\tblock
T4\tGene 40 43\tp53
T5\tGene 40 48\tp53 gene
E1\tBlocking:T3 Theme:T4 Theme2:T5 Cause:T1
E2\tBlock:T3 Cause:E1
E3\tBlocking:T3
R1\tActsOn Arg1:T2 Arg2:T4
R2\tNear Agent:T2 Patient:E1
*\tEquiv T4 T5
A1\tNegation E1
M2\tNegation R1
A3\tConfidence E1 quite low
A4\tRare T1
N1\tReference T4 Gene:7157\tTP53
#1\tAnnotatorNotes T4\tthe \tprotein
#2\tAnnotatorNotes A3\tis it?
"""


def make(folder, name="a", text=TEXT, annotation=ANNOTATION, suffix=".ann"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(text.encode("utf8"))
    (folder / f"{name}{suffix}").write_bytes(annotation.encode("utf8"))


def read_all(path, on_error="raise"):
    problems = Problems(on_error)
    return list(read(path, problems)), problems
