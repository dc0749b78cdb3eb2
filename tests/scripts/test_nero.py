"""Each policy on a tiny file."""

import random

import pytest

from scripts.nero import sentences as nero
from scripts.nero.rows import decode_line, read_rows
from spacy_spanmed.util.problems import CorpusError
from tests.scripts.nero_tsv import row_bytes, statement_bytes, write_tsv


@pytest.fixture
def convert(tmp_path):
    def run(*rows):
        path = write_tsv(tmp_path / "nero.tsv", rows)
        return nero.convert(read_rows(path), str(path))

    return run


def strings(item):
    return [(item.text[a:b], label) for a, b, label in item.mentions]


def triples(item):
    return [
        (item.text[r.head_start : r.head_end], r.label, item.text[r.tail_start : r.tail_end])
        for r in item.relations
    ]


def test_stray_bytes_and_white_space(tmp_path):
    path = write_tsv(
        tmp_path / "a.tsv", [row_bytes(1, b"1\xa01/2  \xce\xb1 years\r", "\u03b1 years\r")]
    )
    [row] = read_rows(path)
    assert row.text == "1 1/2 \u03b1 years"
    assert row.entity1 == "\u03b1 years"
    assert decode_line(b"TNF\xce \xc3\xa9") == "TNF\u00ce \u00e9"


def test_rows_that_differ_in_white_space_are_one_text(convert):
    result = convert(row_bytes(1, "A  b.\r", "A"), row_bytes(2, "A b.", " b "))
    assert [item.text for item in result.texts] == ["A b."]
    assert strings(result.texts[0]) == [("A", "GENE_PROTEIN"), ("b", "GENE_PROTEIN")]


def test_truncated_file_names_line(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [row_bytes(1, "A b.", "A"), b"2\t2\t100"])
    with pytest.raises(CorpusError, match=r"a\.tsv, line 3: 3 fields instead of 31"):
        list(read_rows(path))


def test_other_file_is_refused(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("hello\n")
    with pytest.raises(CorpusError, match="line 1: not the header"):
        list(read_rows(path))
    path.write_text("")
    with pytest.raises(CorpusError, match="line 1"):
        list(read_rows(path))
    with pytest.raises(CorpusError, match="can't be read"):
        list(read_rows(tmp_path / "missing.tsv"))


def test_bad_number_names_line(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [row_bytes(1, "A b.", "A", sdocId="x")])
    with pytest.raises(CorpusError, match="line 2: amId"):
        list(read_rows(path))


def test_unknown_class_names_line(convert):
    with pytest.raises(CorpusError, match="line 2: unknown semantic class 'Gizmo'"):
        convert(row_bytes(1, "A b.", "A", "Gizmo"))


def test_repeated_strings_follow_the_order_of_annotation(convert):
    text = "cell death in T cell lines and cell death"
    result = convert(
        row_bytes(1, text, "T cell lines", "Cell"), row_bytes(2, text, "cell death", "Process")
    )
    assert result.texts[0].mentions == [(14, 26, "CELL"), (31, 41, "PROCESS")]
    assert result.facts["other occurrences of a mention's string, left without annotation"] == 1


def test_same_mention_twice_is_kept_once(convert):
    result = convert(row_bytes(1, "A b.", "A", "GP"), row_bytes(2, "A b.", "A", "Chemical"))
    assert strings(result.texts[0]) == [("A", "GENE_PROTEIN")]
    assert result.fates == {nero.MENTION: 1, nero.MENTION_REPEATED: 1, nero.DENSE_SECOND: 0}


def test_singular_of_a_plural_becomes_the_whole_word(convert):
    result = convert(row_bytes(1, "Src kinases act", "Src kinase"))
    assert strings(result.texts[0]) == [("Src kinases", "GENE_PROTEIN")]


def test_nested_mentions_are_kept(convert):
    text = "p53 promoter"
    result = convert(row_bytes(1, text, text, "NucleicAcid"), row_bytes(2, text, "p53", "Gene"))
    assert strings(result.texts[0]) == [("p53", "GENE_PROTEIN"), (text, "NUCLEIC_ACID")]


@pytest.mark.parametrize(
    "entity,name,fate",
    [("human NC1", "Protein", nero.DENSE_NOT_VERBATIM), ("A", "n", nero.DENSE_UNREADABLE),
     ("A", "", nero.DENSE_UNREADABLE), ("", "Protein", nero.DENSE_NOT_VERBATIM)],
)  # fmt: skip
def test_a_lost_mention_leaves_the_sentence_without_entities(convert, entity, name, fate):
    text = "human and canine NC1 A b"
    result = convert(row_bytes(1, text, "b"), row_bytes(2, text, entity, name))
    [item] = result.texts
    assert (item.layers, item.mentions) == ([], [])
    assert result.fates[fate] == 2


def test_second_annotator_of_a_dense_sentence_is_left_out(convert):
    result = convert(
        row_bytes(1, "A b c.", "A"),
        row_bytes(2, "A b c.", "b", userId="7"),
        row_bytes(3, "A b c.", "c", userId="7"),
    )
    assert strings(result.texts[0]) == [("b", "GENE_PROTEIN"), ("c", "GENE_PROTEIN")]
    assert result.texts[0].annotator == "7"
    assert result.fates[nero.DENSE_SECOND] == 1


def test_layers_say_what_is_annotated(convert):
    result = convert(
        row_bytes(1, "A b.", "A"),
        statement_bytes(2, "C binds d.", "C", "bind", "d"),
        row_bytes(3, "E binds f with g.", "g"),
        statement_bytes(4, "E binds f with g.", "E", "bind", "f"),
    )
    layers = {item.text: item.layers for item in result.texts}
    assert layers == {
        "A b.": ["entities"],
        "C binds d.": ["relations"],
        "E binds f with g.": ["entities", "relations"],
    }
    both = next(item for item in result.texts if len(item.layers) == 2)
    assert strings(both) == [("g", "GENE_PROTEIN")]  # arguments aren't added to a full layer
    assert triples(both) == [("E", "BINDS", "f")]


def test_nearest_pair_is_meant(convert):
    text = "p53 was found. Later p53 bound MDM2, and Bax."
    [item] = convert(statement_bytes(1, text, "MDM2", "bind", "p53")).texts
    [relation] = item.relations
    assert (relation.head_start, relation.tail_start) == (21, 31)


def test_overlapping_pair_only_if_there_is_no_other(convert):
    [item] = convert(
        statement_bytes(1, "p53 promoter binds p53", "p53", "bind", "p53 promoter")
    ).texts
    assert triples(item) == [("p53 promoter", "BINDS", "p53")]
    [item] = convert(statement_bytes(1, "the p53 promoter", "p53", "is", "p53 promoter")).texts
    assert triples(item) == [("p53", "IS_A", "p53 promoter")]


@pytest.mark.parametrize(
    "action,expected,negated",
    [
        ("Does not bind", ("a", "BINDS", "b"), True),
        ("is inhibited by", ("b", "INHIBITS", "a"), False),
        ("inhibits", ("a", "INHIBITS", "b"), False),
        ("is a type of", ("a", "IS_A", "b"), False),
        ("is\\r\\n", ("a", "IS_A", "b"), False),
        ("contains", ("b", "PART_OF", "a"), False),
        ("lacks", ("b", "PART_OF", "a"), True),
        ("is not required for", ("b", "REQUIRES", "a"), True),
        ("is independent of", ("a", "REQUIRES", "b"), True),
        ("does not dissociate from", ("a", "BINDS", "b"), False),
        ("is expressed in", ("a", "LOCATED_IN", "b"), False),
        ("leads to", ("a", "CAUSES", "b"), False),
        ("is converted to", ("a", "CONVERTS", "b"), False),
        ("correlates with", ("a", "ASSOCIATED_WITH", "b"), False),
        ("is higher than", ("a", "OTHER", "b"), False),
    ],
)
def test_actions(convert, action, expected, negated):
    [item] = convert(statement_bytes(1, "a acts on b", "a", action, "b")).texts
    assert triples(item) == [expected]
    assert item.relations[0].negated is negated


def test_symmetric_relations_start_at_the_earlier_mention(convert):
    [item] = convert(statement_bytes(1, "a acts on b", "b", "bind", "a")).texts
    assert triples(item) == [("a", "BINDS", "b")]


def test_annotators_are_merged_by_majority(convert):
    text = "a acts on b and c"
    result = convert(
        statement_bytes(1, text, "a", "inhibits", "b", userId="7"),
        statement_bytes(2, text, "a", "activates", "b", userId="11"),
        statement_bytes(3, text, "a", "activates", "b", userId="13"),
        statement_bytes(4, text, "a", "inhibits", "c", userId="11"),
        statement_bytes(5, text, "a", "activates", "c", userId="6"),
    )
    assert triples(result.texts[0]) == [("a", "ACTIVATES", "b"), ("a", "ACTIVATES", "c")]
    assert result.fates[nero.RELATION] == 2
    assert result.fates[nero.RELATION_REPEATED] == 1
    assert result.fates[nero.RELATION_OUTVOTED] == 2
    assert result.facts["pairs whose annotators differ in label or negation"] == 2


def test_arguments_take_the_most_frequent_class_that_was_given(convert):
    text = "a acts on b and c"
    [item] = convert(
        statement_bytes(1, text, "a", "bind", "b", semantic_class_entity1="NULL"),
        statement_bytes(2, text, "a", "bind", "c", semantic_class_entity2="NULL",
                        semantic_class_entity1="Chemical"),
    ).texts  # fmt: skip
    assert strings(item) == [("a", "CHEMICAL"), ("b", "GENE_PROTEIN"), ("c", "")]


@pytest.mark.parametrize(
    "fields,fate",
    [
        ({"sdocId": "12"}, nero.TEST_ROW),
        ({"userId": "9"}, nero.TEST_ROW),
        ({"protein_domain_entity2": "domain\r\\n"}, nero.MALFORMED),
        ({"semantic_class_entity1": "warfarin"}, nero.MALFORMED),
        ({"entity2": "NULL"}, nero.MISSING),
        ({"entity2": "statement 4 & 5"}, nero.NESTED),
        ({"entity1": "Statement 1"}, nero.NESTED),
        ({"entity2": "a"}, nero.EQUAL),
        ({"actionType": ""}, nero.NO_ACTION),
        ({"entity2": "z"}, nero.NOT_VERBATIM),
    ],
)
def test_dropped_statements(convert, fields, fate):
    result = convert(
        statement_bytes(
            1,
            "a acts on b",
            fields.get("entity1", "a"),
            fields.get("actionType", "bind"),
            **{
                "entity2": "b",
                **{k: v for k, v in fields.items() if k not in ("entity1", "actionType")},
            },
        )
    )
    assert result.texts[0].layers == []
    assert result.fates == {fate: 1}


def test_singular_and_plural_of_one_word_are_no_pair(convert):
    result = convert(statement_bytes(1, "MAPKs act", "MAPK", "is", "MAPKs"))
    assert result.fates == {nero.EQUAL: 1}


def test_order_of_rows_doesnt_matter(tmp_path):
    text = "a acts on b and a acts on c"
    rows = [
        statement_bytes(i, text, "a", action, other, userId=user, procset="bind")
        for i, (action, other, user) in enumerate(
            [("bind", "b", "5"), ("inhibits", "b", "6"), ("bind", "c", "7"), ("is", "c", "5")]
        )
    ] + [row_bytes(9, text, "a"), row_bytes(10, text, "a", "Chemical"), row_bytes(11, text, "b")]
    results = []
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        path = write_tsv(tmp_path / "a.tsv", rows)
        results.append(nero.convert(read_rows(path), "a"))
    assert all(result == results[0] for result in results)


def test_ids_are_unique(convert):
    result = convert(row_bytes(1, "A b.", "A"), row_bytes(2, "A c.", "A"))
    assert [item.id for item in result.texts] == ["nero-100", "nero-100b"]
