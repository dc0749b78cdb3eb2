import gzip
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.corpora.formats.pubtator import read, split_identifiers, write
from spacy_spanmed.util.problems import CorpusError, Problems

BARS = """\
101|t|Salts harm kidneys.
101|a|Lead and zinc salts cause nausea.
101\t0\t5\tSalts\tChemical\tC01
101\t11\t18\tkidneys\tOrgan\t-1
101\t20\t39\tLead and zinc salts\tChemical\tC02|C03\tLead salts|zinc salts
101\t46\t52\tnausea\tDisease
101\tCID\tC01\tD01
101\tCID\tC02\tD01

102|t|
102|a|

"""
COMMAS = """\
201|t|The CCR5 deletion protects.
201|a|
201\t4\t8\tCCR5\tGene\t11,22,33
201\t9\t17\tdeletion\tVariant\tc|DEL||32
201\tAssociation\tc|DEL||32\t11\tNovel
201\tAssociation\t11\t22\tNo\tmore
"""

run_often = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def put(tmp_path, data, name="file.txt"):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def load(tmp_path, data, on_error="raise", **kwargs):
    problems = Problems(on_error)
    return list(read(put(tmp_path, data), problems, **kwargs)), problems


def test_documents_with_bars(tmp_path):
    (first, second), _ = load(tmp_path, BARS)
    assert first == SourceDocument(
        id="101",
        text="Salts harm kidneys. Lead and zinc salts cause nausea.",
        mentions=[
            SourceMention(0, 5, "Chemical", ["C01"]),
            SourceMention(11, 18, "Organ", info={"identifiers": "-1"}),
            SourceMention(
                20,
                39,
                "Chemical",
                ["C02", "C03"],
                info={"id_separator": "|", "individual": ["Lead salts", "zinc salts"]},
            ),
            SourceMention(46, 52, "Disease"),
        ],
        relations=[
            SourceRelation("C01", "D01", "CID", concepts=True),
            SourceRelation("C02", "D01", "CID", concepts=True),
        ],
        passages=[Passage("title", 0, 19), Passage("abstract", 20, 53)],
    )
    assert [first.text[m.start : m.end] for m in first.mentions] == [m.text for m in first.mentions]
    assert first.place.endswith("file.txt:1")
    assert first.mentions[2].place.endswith("file.txt:5")
    assert first.relations[0].place.endswith("file.txt:7")
    assert first.layers == ["entities", "relations"]
    assert second == SourceDocument(
        id="102", text=" ", passages=[Passage("title", 0, 0), Passage("abstract", 1, 1)]
    )


def test_documents_with_commas_and_variants(tmp_path):
    (document,), _ = load(tmp_path, COMMAS)
    assert document.text == "The CCR5 deletion protects. "
    assert [m.concepts for m in document.mentions] == [["11", "22", "33"], ["c|DEL||32"]]
    assert document.relations == [
        SourceRelation(
            "c|DEL||32", "11", "Association", concepts=True, info={"columns": ["Novel"]}
        ),
        SourceRelation("11", "22", "Association", concepts=True, info={"columns": ["No", "more"]}),
    ]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("D001", ["D001"]),
        ("D001|D002|D001", ["D001", "D002", "D001"]),
        ("11820,351", ["11820", "351"]),
        (" CVCL_1, D001", ["CVCL_1", "D001"]),
        ("", []),
        ("-", []),
        ("-1", []),
        ("D001|-1", ["D001"]),
        ("MESH:D001,MESH:D002", ["MESH:D001", "MESH:D002"]),
        ("c|DEL||32", ["c|DEL||32"]),
        ("c|DEL|1314_1328|", ["c|DEL|1314_1328|"]),
        ("p|SUB|V|600|E,673", ["p|SUB|V|600|E", "673"]),
        ("|SUB|R||W", ["|SUB|R||W"]),
        ("tmVar:p|SUB|V|600|E;HGVS:p.V600E", ["tmVar:p|SUB|V|600|E;HGVS:p.V600E"]),
        ("1;2", ["1;2"]),
    ],
)
def test_identifiers(text, expected):
    assert split_identifiers(text) == expected


def test_another_separator_of_identifiers(tmp_path):
    data = "1|t|Zinc\n1|a|\n1\t0\t4\tZinc\tChemical\tA;B|C\n1\t0\t4\tZinc\tChemical\tA; B\n"
    documents, _ = load(tmp_path, data, id_separator=";")
    assert [m.concepts for m in documents[0].mentions] == [["A", "B|C"], ["A", "B"]]
    out = tmp_path / "out.txt"
    write(documents, out)
    assert out.read_text() == data + "\n"
    assert list(read(out, Problems(), id_separator=";")) == documents


@pytest.mark.parametrize("data", [BARS, COMMAS + "\n"])
def test_written_bytes_are_those_that_were_read(tmp_path, data):
    documents, _ = load(tmp_path, data)
    for name in ("out.txt", "out.txt.gz"):
        write(iter(documents), tmp_path / name)
    assert (tmp_path / "out.txt").read_bytes() == data.encode()
    assert gzip.decompress((tmp_path / "out.txt.gz").read_bytes()) == data.encode()
    assert list(read(tmp_path / "out.txt.gz", Problems())) == documents


def test_line_ends_and_missing_blank_lines(tmp_path):
    expected, _ = load(tmp_path, BARS)
    packed = "\ufeff" + BARS.replace("\n\n", "\n").replace("\n", "\r\n").rstrip()
    documents, _ = load(tmp_path, packed)
    assert documents == expected


HEAD = "7|t|Zinc salts\n7|a|They act.\n"


@pytest.mark.parametrize(
    "data, line, kind",
    [
        ("7|t|Zinc salts\n\n7|a|They act.\n", 1, "document without abstract line"),
        ("7|t|Zinc salts\n", 1, "document without abstract line"),
        ("7|t|Zinc salts\n8|a|They act.\n", 1, "document without abstract line"),
        ("7|a|They act.\n", 1, "abstract without title"),
        (HEAD + "7|a|They act.\n", 3, "abstract without title"),
        ("7\t0\t4\tZinc\tChemical\tC1\n" + HEAD, 1, "annotation without text"),
        (HEAD + "\n7\t0\t4\tZinc\tChemical\tC1\n", 4, "annotation without text"),
        (HEAD + "8\t0\t4\tZinc\tChemical\tC1\n", 3, "annotation of another document"),
        (HEAD + "7\t0\t4\tZinc\n", 3, "too few columns"),
        (HEAD + "7\tCID\tC1\n", 3, "too few columns"),
        (HEAD + "free text\n", 3, "too few columns"),
        (HEAD + "7\t0\tx\tZinc\tChemical\n", 3, "offsets that are no numbers"),
        (HEAD + "7\t-1\t4\tZinc\tChemical\n", 3, "offsets that are no numbers"),
        (HEAD + "7\t0.0\t4.0\tZinc\tChemical\n", 3, "offsets that are no numbers"),
        (HEAD + f"7\t0\t{'9' * 5000}\tZinc\tChemical\n", 3, "offsets that are no numbers"),
    ],
)
def test_problems(tmp_path, data, line, kind):
    with pytest.raises(CorpusError, match=rf"file\.txt:{line}: "):
        load(tmp_path, data)
    good = "9|t|Last\n9|a|one.\n9\t0\t4\tLast\tWord\n"
    documents, problems = load(tmp_path, data + "\n" + good, "skip")
    assert kind in problems.counts
    assert documents[-1].id == "9" and len(documents[-1].mentions) == 1
    assert not any(document.mentions for document in documents[:-1])


# ------------------------------------------------------------------- what can be said

words = st.text(alphabet=st.sampled_from("abcZ01 \u03b2\U0001d6fc.-\r\x85"), max_size=12)
lines = words.map(lambda text: text.rstrip("\r"))
names = st.text(alphabet=st.sampled_from("abcXYZ01:_- "), min_size=1, max_size=6).filter(str.strip)
identifiers = st.one_of(
    st.from_regex(r"\A[A-Z]{2,4}:?[0-9]{1,4}\Z"),
    st.sampled_from(["c|DEL||32", "p|SUB|V|600|E", "tmVar:p|SUB|V|600|E;HGVS:p.V600E"]),
)


@st.composite
def documents_of_pubtator(draw):
    title, abstract = draw(lines), draw(lines)
    text = f"{title} {abstract}"
    mentions = []
    for _ in range(draw(st.integers(0, 3))):
        concepts = draw(st.lists(identifiers, max_size=3))
        info = {}
        if draw(st.booleans()):
            info["individual"] = draw(st.lists(names, min_size=1, max_size=3))
        if not concepts:
            none = draw(st.sampled_from([None, "-", "-1", ""]))
            if none is not None or info:
                info["identifiers"] = none or ""
        elif (
            len(concepts) > 1 and not any("|" in name for name in concepts) and draw(st.booleans())
        ):
            info["id_separator"] = "|"
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, len(text)))
        mentions.append(SourceMention(start, end, draw(names), concepts, info=info))
    relations = []
    for _ in range(draw(st.integers(0, 3))):
        columns = draw(st.lists(names, max_size=2))
        info = {"columns": columns} if columns else {}
        label = "R" + draw(names)
        head, tail = draw(identifiers), draw(identifiers)
        relations.append(SourceRelation(head, tail, label, concepts=True, info=info))
    passages = [
        Passage("title", 0, len(title)),
        Passage("abstract", len(title) + 1, len(text)),
    ]
    return SourceDocument(
        draw(names), text, mentions=mentions, relations=relations, passages=passages
    )


@given(documents=st.lists(documents_of_pubtator(), max_size=3))
@run_often
def test_what_can_be_said_survives(tmp_path, documents):
    path = tmp_path / "out.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(documents, path)
    back = list(read(path, Problems()))
    assert back == documents
    first = path.read_bytes()
    write(back, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    "text, title, abstract",
    [
        ("First line.\nSecond\nline.", "First line.", "Second line."),
        ("First sentence. Second sentence.", "First sentence.", "Second sentence."),
        ("One\r\nTwo", "One", " Two"),
        ("No end", "No end", ""),
        ("", "", ""),
    ],
)
def test_texts_without_title_and_abstract(tmp_path, text, title, abstract):
    path = tmp_path / "out.txt"
    write([SourceDocument("1", text)], path)
    assert path.read_text() == f"1|t|{title}\n1|a|{abstract}\n\n"
    (document,) = read(path, Problems())
    assert document.text.rstrip() == text.replace("\r", " ").replace("\n", " ")


def test_changed_identifiers_are_written(tmp_path):
    (document, _), _ = load(tmp_path, BARS)
    document.mentions[1].concepts = ["U01"]
    write([document], tmp_path / "out.txt")
    assert "kidneys\tOrgan\tU01\n" in (tmp_path / "out.txt").read_text()


def test_many_carriage_returns(tmp_path):
    run = "\r" * 100_000  # takes minutes if every one of them is tried as the run's begin
    document = SourceDocument("1", f"a{run}b. c{run}\n{run}", [SourceMention(0, 1, "X")])
    write([document], tmp_path / "out.txt")
    (again,), _ = load(tmp_path, (tmp_path / "out.txt").read_bytes())
    assert len(again.text) == len(document.text)


def test_what_cannot_be_said_is_counted(tmp_path):
    document = SourceDocument(
        "1",
        "Zinc and lead salts.",
        mentions=[SourceMention(0, 19, "Chemical", fragments=[(0, 4), (14, 19)], id="T1")],
        relations=[
            SourceRelation("T1", "T1", "SAME"),
            SourceRelation("C1", "C2", "ACTS", concepts=True, negated=True),
        ],
    )
    with pytest.warns(UserWarning, match="1 fragments .*1 negations .*1 relations between"):
        write([document], tmp_path / "out.txt")
    (back,) = read(tmp_path / "out.txt", Problems())
    assert (len(back.mentions), len(back.relations)) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a|b"},
        {"id": "a\tb"},
        {"id": "a\nb"},
        {"mentions": [SourceMention(0, 4, "Chemi\tcal")]},
        {"mentions": [SourceMention(-1, 4, "Chemical")]},
        {"mentions": [SourceMention(0, 4, "Chemical", ["A,B"])]},
        {"mentions": [SourceMention(0, 4, "Chemical", ["AA|B"])]},
        {"mentions": [SourceMention(0, 4, "Chemical", ["-"])]},
        {"mentions": [SourceMention(0, 4, "Chemical", [" A"])]},
        {"relations": [SourceRelation("1", "2", "12", concepts=True)]},
        {"relations": [SourceRelation("1", "2\n", "ACTS", concepts=True)]},
    ],
)
def test_nothing_is_written_that_would_be_read_as_something_else(tmp_path, change):
    document = SourceDocument(**{"id": "1", "text": "Zinc", **change})
    with pytest.raises(CorpusError, match="PubTator can't express"):
        write([document], tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- any bytes


@given(data=st.binary(max_size=200))
@run_often
def test_any_bytes(tmp_path, data):
    check_bytes(tmp_path, data)


@given(data=st.data())
@run_often
def test_damaged_files(tmp_path, data):
    whole = (BARS + COMMAS).encode()
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    damage = data.draw(
        st.one_of(st.binary(max_size=6), st.sampled_from([b"\t", b"\n", b"|t|", b"\r\n\n"]))
    )
    check_bytes(tmp_path, whole[:a] + damage + whole[min(b, a + 40) :])


def check_bytes(tmp_path, data):
    try:
        load(tmp_path, data)
    except CorpusError as error:
        assert "file.txt" in str(error)
    try:
        documents, _ = load(tmp_path, data, "skip")
    except CorpusError:
        return
    try:
        write(documents, tmp_path / "out.txt")
    except CorpusError:
        return
    assert list(read(tmp_path / "out.txt", Problems())) == documents
