import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_spanmed.corpora.formats.conll import read
from spacy_spanmed.util.problems import CorpusError, Problems

run_often = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load(tmp_path, data, on_error="raise"):
    path = tmp_path / "some.dev.conll"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    problems = Problems(on_error)
    return list(read(path, problems)), problems


def entities(document):
    return [(document.text[m.start : m.end], m.label) for m in document.mentions]


def tagged(tmp_path, tags, on_error="raise"):
    """The entities of tokens "a", "b", "c" ... with these tags."""
    lines = [f"{token}\t{tag}\n" for token, tag in zip("abcdefgh", tags.split())]
    (document,), _ = load(tmp_path, "".join(lines), on_error)
    return entities(document)


def test_each_sentence_is_a_document(tmp_path):
    data = "\ufeffZinc\tB-Chemical\r\nsalts\tI-Chemical\r\nact\tO\r\n\t\r\n\r\nThey\tO\r\nstop\tO"
    (first, second), _ = load(tmp_path, data)
    assert (first.id, second.id) == ("some.dev-1", "some.dev-2")
    assert first.text == "Zinc salts act"
    assert entities(first) == [("Zinc salts", "Chemical")]
    assert first.layers == ["entities"]
    assert first.info == {"sentences": [0], "tokens": [[0, 4], [5, 10], [11, 14]]}
    assert first.place.endswith("some.dev.conll:1")
    assert second.text == "They stop"
    assert second.place.endswith("some.dev.conll:6")


def test_documents_of_several_sentences(tmp_path):
    data = """\
-DOCSTART- -X- O O

Zinc NN B-NP B-Chemical
acts VB O O

Zinc NN B-NP I-Chemical
stops VB O O

-DOCSTART- -X- O O

-DOCSTART- -X- O O
# NN O O
"""
    (first, second), _ = load(tmp_path, data)
    assert first.text == "Zinc acts\nZinc stops"
    assert first.info["sentences"] == [0, 10]
    assert [(m.start, m.end, m.place[-2:]) for m in first.mentions] == [
        (0, 4, ":3"),
        (10, 14, ":6"),
    ]
    assert (second.id, second.text) == ("some.dev-2", "#")


def test_no_entity_reaches_over_the_end_of_a_sentence(tmp_path):
    (document,), _ = load(tmp_path, "-DOCSTART- O\na B-X\n\nb I-X\n")
    assert entities(document) == [("a", "X"), ("b", "X")]


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("B-X I-X O B-X B-X", ["a b", "d", "e"]),  # IOB2
        ("I-X I-X B-X I-X O I-X", ["a b", "c d", "f"]),  # IOB1
        ("I-X I-Y I-X", ["a", "b", "c"]),
        ("B-X L-X U-X B-X I-X L-X I-X", ["a b", "c", "d e f", "g"]),  # BILOU
        ("B-X E-X S-X S-X B-X I-X E-X O", ["a b", "c", "d", "e f g"]),  # BIOES
        ("B I O B", ["a b", "d"]),
        ("B-cell-line I-cell-line", ["a b"]),
        ("O O", []),
    ],
)
def test_schemes(tmp_path, tags, expected):
    assert [text for text, _ in tagged(tmp_path, tags)] == expected


def test_types(tmp_path):
    assert tagged(tmp_path, "B-cell-line I-X B") == [
        ("a", "cell-line"),
        ("b", "X"),
        ("c", "ENTITY"),
    ]


def test_comments_and_tokens_that_begin_with_a_number_sign(tmp_path):
    data = "# text = Zinc acts\n#\tO\n# O\nZinc\tB-X\n#zinc\tB-X\n#1 B-X\n"
    (document,), _ = load(tmp_path, data)
    assert document.text == "# Zinc #zinc"
    data = "# a comment\n# O\nZinc B-X\n# O\n# a I-X\n#zinc B-X\n#\n"
    (document,), _ = load(tmp_path, data)
    assert document.text == "# Zinc # #zinc"


def test_other_white_space_belongs_to_tokens(tmp_path):
    (document,), _ = load(tmp_path, "a\u00a0b O\n\u00a0\tO\nc d\tB-X \n")
    assert document.text == "a\u00a0b \u00a0 c d"
    assert entities(document) == [("c d", "X")]


@pytest.mark.parametrize(
    "data, kind, text, expected",
    [
        ("a\tB-X\nb\n", "token without tag", "a b", ["a"]),
        ("a\tB-X\n\tI-X\nb\tI-X\n", "line without token", "a b", ["a b"]),
        ("a\tB-X\nb\tX\nc\tB-X\n", "unknown tag", "a b c", ["a", "c"]),
        ("a\tB-X\nb\tB-\n", "unknown tag", "a b", ["a"]),
        ("a\tB-X\nb\tb-X\n", "unknown tag", "a b", ["a"]),
        ("a\tB-X\nb\tL-Y\n", "entity that ends before it starts", "a b", ["a"]),
        ("a\tO\nb\tE-Y\n", "entity that ends before it starts", "a b", []),
    ],
)
def test_problems(tmp_path, data, kind, text, expected):
    with pytest.raises(CorpusError, match=r"some\.dev\.conll:2: "):
        load(tmp_path, data)
    (document,), problems = load(tmp_path, data, "skip")
    assert problems.counts == {kind: 1}
    assert document.text == text
    assert [mention for mention, _ in entities(document)] == expected


tokens = st.text(alphabet=st.sampled_from("ab#\u00a0\u03b2\U0001d6fc-"), min_size=1, max_size=4)
sentences = st.lists(st.tuples(tokens, st.sampled_from("ABO")), min_size=1, max_size=6)


@given(documents=st.lists(st.lists(sentences, min_size=1, max_size=3), min_size=1, max_size=3))
@run_often
def test_tokens_and_entities_are_found_at_their_offsets(tmp_path, documents):
    lines, expected = [], []
    for document in documents:
        lines.append("-DOCSTART-\tO")
        expected.append([])
        for sentence in document:
            for token, label in sentence:  # each token an entity of its own, or outside
                lines.append(f"{token}\t{'O' if label == 'O' else 'B-' + label}")
                if label != "O":
                    expected[-1].append((token, label))
            lines.append("")
    found, _ = load(tmp_path, "\n".join(lines))
    assert [entities(document) for document in found] == expected
    for document, source in zip(found, documents):
        texts = [document.text[a:b] for a, b in document.info["tokens"]]
        assert texts == [token for sentence in source for token, _ in sentence]
        assert document.text == "\n".join(" ".join(t for t, _ in s) for s in source)


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="aBIOLE-# \t\n\r", max_size=60).map(str.encode),
    )
)
@run_often
def test_any_bytes(tmp_path, data):
    try:
        load(tmp_path, data)
    except CorpusError as error:
        assert "some.dev.conll" in str(error)
    try:
        documents, _ = load(tmp_path, data, "skip")
    except CorpusError:
        return
    for document in documents:
        assert document.text and all(text for text, _ in entities(document))
