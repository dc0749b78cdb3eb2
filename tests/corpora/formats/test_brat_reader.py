import pytest

from spacy_spanmed.corpora.documents import SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats.brat_writer import write
from spacy_spanmed.util.problems import CorpusError
from tests.corpora.formats.brat_sources import ANNOTATION, TEXT, make, read_all


def test_read(tmp_path):
    make(tmp_path)
    (document,), _ = read_all(tmp_path)
    assert document.id == "a" and document.text == TEXT and "\r\n" in document.text
    events = [
        {
            "id": "E1",
            "negation": "A1",
            "attributes": [{"id": "A3", "name": "Confidence", "value": "quite low"}],
        },
        {"id": "E2", "type": "Block"},
        {"id": "E3"},
    ]
    gene = {
        "normalizations": [{"id": "N1", "concept": "Gene:7157", "text": "TP53"}],
        "notes": [{"id": "#1", "type": "AnnotatorNotes", "text": "the \tprotein"}],
    }
    assert document.mentions == [
        SourceMention(
            0, 21, "Chemical", fragments=[(0, 4), (16, 21)], id="T1",
            info={"attributes": [{"id": "A4", "name": "Rare"}]},
        ),
        SourceMention(9, 21, "Chemical", id="T2"),
        SourceMention(30, 35, "Blocking", id="T3", info={"events": events}),
        SourceMention(40, 43, "Gene", ["Gene:7157"], id="T4", info=gene),
        SourceMention(40, 48, "Gene", id="T5"),
    ]  # fmt: skip
    for mention in document.mentions:
        parts = mention.fragments or [(mention.start, mention.end)]
        assert " ".join(TEXT[start:end] for start, end in parts) == mention.text
    assert document.relations == [
        SourceRelation("T3", "T4", "Theme", negated=True, info={"event": "E1"}),
        SourceRelation("T3", "T5", "Theme", negated=True, info={"event": "E1", "role": "Theme2"}),
        SourceRelation("T3", "T1", "Cause", negated=True, info={"event": "E1"}),
        SourceRelation("T3", "T3", "Cause", info={"event": "E2", "argument": "E1"}),
        SourceRelation("T2", "T4", "ActsOn", negated=True, id="R1", info={"negation": "M2"}),
        SourceRelation(
            "T2", "T3", "Near", id="R2",
            info={"roles": ["Agent", "Patient"], "references": ["T2", "E1"]},
        ),
    ]  # fmt: skip
    assert document.info == {
        "groups": [["Equiv", "T4", "T5"]],
        "notes": [{"id": "#2", "type": "AnnotatorNotes", "text": "is it?", "target": "A3"}],
    }
    assert document.mentions[1].place == f"{tmp_path}/a.ann:2"
    assert document.relations[4].place == f"{tmp_path}/a.ann:9"


def test_write_gives_the_same_lines_back(tmp_path):
    make(tmp_path / "in")
    documents, _ = read_all(tmp_path / "in")
    write(documents, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_bytes() == TEXT.encode()
    written = (tmp_path / "out" / "a.ann").read_text()
    assert sorted(written.splitlines()) == sorted(ANNOTATION.splitlines())
    assert read_all(tmp_path / "out")[0] == documents


def test_one_file_and_bionlp(tmp_path):
    make(tmp_path, "a")
    make(tmp_path, "b", annotation="T1\tGene 40 43\tp53\n", suffix=".a1")
    events = "T2\tBlocking 30 35\tblock\nE1\tBlocking:T2 Theme:T1\nM1\tNegation E1\n"
    (tmp_path / "b.a2").write_text(events)
    for name in ("a.txt", "a.ann"):
        (document,), _ = read_all(tmp_path / name)
        assert document.id == "a" and len(document.mentions) == 5
    for name in ("b.txt", "b.a1", "b.a2"):
        (document,), _ = read_all(tmp_path / name)
        assert [mention.id for mention in document.mentions] == ["T1", "T2"]
        assert [(r.head, r.tail, r.negated) for r in document.relations] == [("T2", "T1", True)]
    assert document.relations[0].place == f"{tmp_path}/b.a2:2"


def test_folder_is_sorted_and_searched_below(tmp_path):
    for name in ("z", "b.c", "b", "my paper"):
        make(tmp_path, name, "x", "")
    make(tmp_path / "more", "a%2Fb", "x", "")
    (tmp_path / "notes.md").write_text("not of it")
    (tmp_path / ".hidden.txt").write_text("not of it")
    documents, _ = read_all(tmp_path)
    assert [d.id for d in documents] == ["b", "b.c", "my paper", "z", "more/a%2Fb"]


def test_nothing_there(tmp_path):
    with pytest.raises(CorpusError, match="no .txt and .ann files"):
        read_all(tmp_path)
    with pytest.raises(OSError):
        read_all(tmp_path / "missing.ann")


def test_partners(tmp_path):
    make(tmp_path, "c")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.ann").write_text("T1\tL 0 1\tt\n")
    with pytest.raises(CorpusError, match="a.txt: there is no a.ann beside it"):
        read_all(tmp_path)
    documents, problems = read_all(tmp_path, "skip")
    assert [d.id for d in documents] == ["c"]
    assert problems.counts == {"file without its partner": 2}
    assert "there is no b.txt" in problems.examples["file without its partner"][1]


def test_text_that_is_not_utf8(tmp_path):
    make(tmp_path, annotation="T1\tL 0 4\tCaf\u00e9\n")
    (tmp_path / "a.txt").write_bytes(b"Caf\xe9\r\nna\xc3\xafve")
    with pytest.raises(CorpusError, match="a.txt:1: byte 0xe9, number 4 of the line, is not UTF-8"):
        read_all(tmp_path)
    (document,), problems = read_all(tmp_path, "skip")
    assert document.text == "Caf\u00e9\r\nna\u00efve" and problems.counts == {"not UTF-8": 1}


def test_byte_order_marks(tmp_path):
    make(tmp_path, text="\ufeffZinc", annotation="\ufeffT1\tChemical 1 5\tZinc\n")
    (document,), _ = read_all(tmp_path)
    (mention,) = document.mentions  # brat counts the mark of the text
    assert document.text[mention.start : mention.end] == mention.text == "Zinc"


@pytest.mark.parametrize(
    "line, kind",
    [
        ("X1\tL 0 1\tx", "line of an unknown kind"),
        ("\tL 0 1\tx", "line of an unknown kind"),
        ("T9\tL 0 1", "line of a wrong form"),
        ("T9\tL 0\tx", "line of a wrong form"),
        ("T9\tL 0 -1\tx", "line of a wrong form"),
        ("T9\tL 0 \u0661\tx", "line of a wrong form"),
        ("T9\tL 0 1; 2\tx", "line of a wrong form"),
        ("T9", "line of a wrong form"),
        (f"T9\tL 0 {'9' * 5000}\tx", "line of a wrong form"),
        ("T1\tL 0 1\tx", "id used twice"),
        ("R1\tL Arg1:T1 Arg2:T2", "id used twice"),
        ("R9\tL Arg1:T1", "line of a wrong form"),
        ("R9\tL T1 T2", "line of a wrong form"),
        ("R9", "line of a wrong form"),
        ("R9\tL Arg1:T1 Arg2:T77", "reference to what isn't there"),
        ("E9\tBlocking", "line of a wrong form"),
        ("E9\tBlocking:T77 Theme:T1", "reference to what isn't there"),
        ("E9\tBlocking:T3 Theme:E77", "reference to what isn't there"),
        ("E9\tBlocking:T3 Theme", "line of a wrong form"),
        ("*\tEquiv T1", "line of a wrong form"),
        ("*\tEquiv T1 T77", "reference to what isn't there"),
        ("A9\tNegation", "line of a wrong form"),
        ("A9\tNegation R77", "reference to what isn't there"),
        ("N9\tReference T1", "line of a wrong form"),
        ("N9\tOther T1 x:1\ty", "line of a wrong form"),
        ("N9\tReference R1 x:1\ty", "reference to what isn't there"),
    ],
)
def test_problems(tmp_path, line, kind):
    make(tmp_path)
    expected, _ = read_all(tmp_path)
    make(tmp_path, annotation=ANNOTATION + line + "\n")
    with pytest.raises(CorpusError, match=r"a\.ann:19: "):
        read_all(tmp_path)
    (document,), problems = read_all(tmp_path, "skip")
    assert dict(problems.counts) == {kind: 1}
    if line.startswith("E9\tBlocking:T3"):  # the event is left, without this argument
        assert document.mentions[2].info["events"].pop() == {"id": "E9"}
    assert [document] == expected


def test_comments_are_no_problem(tmp_path):
    make(tmp_path)
    expected, _ = read_all(tmp_path)
    make(tmp_path, annotation=f"# by hand\n\n{ANNOTATION}#\n  \n")
    assert read_all(tmp_path)[0] == expected


def test_write_what_brat_cannot_express(tmp_path):
    document = SourceDocument(
        "a",
        "a b\nc",
        mentions=[
            SourceMention(0, 1, "two words", id="m 1", concepts=["D1", ""]),
            SourceMention(2, 5, "", id="T1"),
            SourceMention(2, 3, "L", id="T1"),
        ],
        relations=[
            SourceRelation("m 1", "T1", "is of", id="x", negated=True),
            SourceRelation("D1", "D1", "L", concepts=True),
            SourceRelation("T1", "T8", "L"),
        ],
    )
    expected = "1 relations between concepts, 1 relations of mentions that aren't there"
    with pytest.warns(UserWarning, match=expected):
        write([document], tmp_path / "out")
    assert (tmp_path / "out" / "a.ann").read_text().splitlines() == [
        "T2\ttwo_words 0 1\ta",
        "T1\t_ 2 5\tb c",
        "T3\tL 2 3\tb",
        "R1\tis_of Arg1:T2 Arg2:T1",
        "A1\tNegation R1",
        "N1\tReference T2 D1\ta",
    ]


def test_groups_of_another_form(tmp_path):
    mentions = [SourceMention(0, 1, "X", id="T1"), SourceMention(2, 3, "X", id="T2")]
    groups = [["Equiv", "T1", ["T2"], {}, "T2"], ["Equiv", 1, "T2"], [None], "T1"]
    document = SourceDocument("a", "a b", mentions, info={"groups": groups})
    write([document], tmp_path / "out")
    assert (tmp_path / "out" / "a.ann").read_text().splitlines()[2:] == ["*\tEquiv T1 T2"]


def test_changed_events(tmp_path):
    make(tmp_path / "in")
    (document,), _ = read_all(tmp_path / "in")
    document.relations[0].negated = False  # the others of E1 are still negated
    del document.mentions[4]  # T5
    with pytest.warns(UserWarning, match="1 relations of mentions that aren't there"):
        write([document], tmp_path / "out")
    (again,), _ = read_all(tmp_path / "out")
    assert [(r.head, r.tail, r.label, r.negated) for r in again.relations] == [
        ("T3", "T4", "Theme", False),
        ("T3", "T1", "Cause", True),
        ("T3", "T3", "Cause", False),
        ("T2", "T4", "ActsOn", True),
        ("T2", "T3", "Near", False),
    ]
    assert again.info["notes"] == document.info["notes"] and "groups" not in again.info


IDS = [
    "12345", "a b", "a/b", "../up", ".hidden", "%", "%41", "", "a%2Fb", "\u00e9", "\0", "a.txt",
    "CON", "x" * 300, "a b", "~",
]  # fmt: skip


def test_ids_come_back(tmp_path):
    write([SourceDocument(name, name) for name in IDS], tmp_path / "out")
    documents, _ = read_all(tmp_path / "out")
    assert all(path.parent == tmp_path / "out" for path in (tmp_path / "out").rglob("*"))
    ids = {d.id for d in documents}
    assert len(documents) == len(IDS)
    assert ids - set(IDS) == {"x" * 200, "a b~2"}


def test_write_atomically(tmp_path):
    def documents():
        yield SourceDocument("1", "a")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(documents(), tmp_path / "out")
    with pytest.raises(CorpusError, match="can't be written as UTF-8"):
        write([SourceDocument("1", "\ud800")], tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    write([SourceDocument("1", "a")], tmp_path / "out")
    with pytest.raises(CorpusError, match="there already"):
        write([SourceDocument("1", "b")], tmp_path / "out")
    with pytest.raises(CorpusError, match="there already"):
        write([SourceDocument("1", "b")], tmp_path / "out" / "1.txt")
    assert (tmp_path / "out" / "1.txt").read_text() == "a"
