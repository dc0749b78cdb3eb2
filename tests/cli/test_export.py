"""`spanmed export`: gold and predicted Docs in other programs' formats."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span, SpanGroup
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.corpora.convert import convert
from spacy_spanmed.corpora.reading import iter_texts, name_doc, read_documents
from spacy_spanmed.doc.relations import RelationTuple, set_relation_tuples
from spacy_spanmed.util.problems import Problems
from tests.corpora.sources import PUBTATOR, write_sources

RUN = CliRunner()


@Language.component("test_export_finder")
def find(doc):
    """Stands for a trained pipeline: all "aspirin" is CHEM, and the first two are related."""
    group = [Span(doc, t.i, t.i + 1, label="CHEM") for t in doc if t.lower_ == "aspirin"]
    nested = [Span(doc, s.start, min(s.end + 1, len(doc)), label="OTHER") for s in group]
    scores = [0.75] * len(group) + [0.5] * len(nested)
    doc.spans["spanmed"] = SpanGroup(doc, spans=[*group, *nested], attrs={"scores": scores})
    doc.set_ents(group)
    head_and_tail = [x for s in group[:2] for x in (s.start_char, s.end_char, s.label_)]
    if len(group) > 1:
        set_relation_tuples(doc, [RelationTuple(*head_and_tail, "SAME", 0.25, True)])
    else:
        set_relation_tuples(doc, [])
    return doc


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def gold(paths, tmp_path_factory):
    path = tmp_path_factory.mktemp("gold") / "gold.spacy"
    convert([paths["pubtator"], paths["jsonl"]], path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    nlp = spacy.blank("en")
    nlp.add_pipe("test_export_finder")
    path = tmp_path_factory.mktemp("model")
    nlp.to_disk(path)
    return path


def run(*args):
    return RUN.invoke(app, ["export", *map(str, args)])


def export(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return Path(args[1])


def fails(*args, match):
    result = run(*args)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert re.search(match, line), line


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_gold_survives_the_way_there_and_back(paths, tmp_path):
    for format, name in (
        ("pubtator", "x.pubtator"),
        ("jsonl", "x.jsonl.gz"),
        ("bioc-json", "x.json"),
        ("brat", "folder"),
    ):
        original = list(read_documents(paths[format]))
        convert([paths[format]], tmp_path / f"{format}.spacy")
        output = tmp_path / name
        export(tmp_path / f"{format}.spacy", output, "--format", format)
        assert list(read_documents(output)) == original, format


def test_pubtator_comes_back_byte_for_byte(paths, gold, tmp_path):
    convert([paths["pubtator"]], tmp_path / "x.spacy")
    output = export(tmp_path / "x.spacy", tmp_path / "x.pubtator")
    assert output.read_text().strip() == PUBTATOR.strip()


def test_from_format_to_format(paths, tmp_path):
    output = export(paths["brat"], tmp_path / "x.jsonl")
    (document,) = read_documents(output)
    assert [(r.label, r.head, r.tail) for r in document.relations] == [("Treats", "T1", "T2")]


def test_tables_of_gold(gold, tmp_path):
    output = export(gold, tmp_path / "tables", "--format", "csv")
    entities, relations = (read_csv(output / f"{n}.csv") for n in ("entities", "relations"))
    assert list(entities[0].values()) == ["101", "0", "7", "Aspirin", "Chemical", "", "D001241"]
    assert len(entities) == 9
    assert {row["doc_id"] for row in entities} == {"101", "103", "9"}
    assert next(r for r in entities if r["start"] == "37")["concepts"] == "D006471,D006470"
    concept, mention = relations
    assert (concept["level"], concept["head_concepts"], concept["tail_concepts"]) == (
        "concept",
        "D001241",
        "D006471",
    )
    assert (concept["head_text"], concept["head_label"], concept["head_start"]) == (
        "Aspirin",
        "Chemical",
        "",
    )
    assert (mention["level"], mention["head_text"], mention["tail_text"]) == (
        "mention",
        "Cisplatin",
        "albumin",
    )
    assert (mention["tail_start"], mention["tail_concepts"]) == ("16", "213")
    assert sorted(path.name for path in output.iterdir()) == ["entities.csv", "relations.csv"]


def test_parquet_says_what_csv_says(gold, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    csv_folder = export(gold, tmp_path / "csv", "--format", "csv")
    folder = export(gold, tmp_path / "parquet", "--format", "parquet")
    for name in ("entities", "relations"):
        table = parquet.read_table(folder / f"{name}.parquet")
        rows = [
            {key: "" if value is None else str(value) for key, value in row.items()}
            for row in table.to_pylist()
        ]
        assert rows == read_csv(csv_folder / f"{name}.csv")
    assert str(table.schema.field("head_start").type) == "int64"


def test_predictions(model, tmp_path):
    source = tmp_path / "texts.txt"
    source.write_text("Aspirin is aspirin.\n\nNothing here.\n", encoding="utf-8")
    output = export(source, tmp_path / "found.jsonl", "--model", model)
    first, second = read_documents(output)
    assert (first.id, second.id) == ("texts-1", "texts-3")
    assert [(m.start, m.end, m.label) for m in first.mentions] == [(0, 7, "CHEM"), (11, 18, "CHEM")]
    assert [(r.label, r.negated) for r in first.relations] == [("SAME", True)]
    assert second.text == "Nothing here." and not second.mentions


def test_tables_of_predictions_have_scores(model, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("Aspirin\nis aspirin.\n", encoding="utf-8")
    output = export(tmp_path / "folder", tmp_path / "out", "--model", model, "--format", "csv")
    entities, relations = (read_csv(output / f"{n}.csv") for n in ("entities", "relations"))
    assert [(r["doc_id"], r["text"], r["score"]) for r in entities] == [
        ("a", "Aspirin", "0.75"),
        ("a", "aspirin", "0.75"),
    ]
    (relation,) = relations
    assert (relation["score"], relation["negated"], relation["label"]) == ("0.25", "True", "SAME")


@pytest.mark.parametrize("format", ["pubtator", "bioc-json", "brat", "jsonl"])
def test_files_of_one_name_in_two_folders_stay_apart(model, tmp_path, format):
    for folder in "xy":
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "1.txt").write_text(f"Aspirin is aspirin, {folder}.")
    output = export(tmp_path / "in", tmp_path / "out", "--model", model, "--format", format)
    found = {one.id: one.text.strip() for one in read_documents(output, format)}
    assert found == {"x/1": "Aspirin is aspirin, x.", "y/1": "Aspirin is aspirin, y."}


def test_stored_predictions_keep_their_scores(model, tmp_path):
    doc = spacy.load(model)("Aspirin is aspirin.")
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "found.spacy")
    output = export(tmp_path / "found.spacy", tmp_path / "out", "--format", "csv")
    entities = read_csv(output / "entities.csv")
    assert [(r["doc_id"], r["score"]) for r in entities] == [("1", "0.75"), ("1", "0.75")]


@pytest.mark.parametrize("format", ["pubtator", "bioc-json", "brat", "jsonl"])
def test_the_gold_annotation_does_not_leak_into_predictions(paths, model, tmp_path, format):
    original = list(read_documents(paths[format]))
    source = paths[format]
    output = export(source, tmp_path / "out", "--model", model, "--format", format)
    found = list(read_documents(output, format))
    assert [d.id for d in found] == [d.id for d in original]
    for one, other in zip(found, original):
        assert one.text == other.text
        assert {m.label for m in one.mentions} <= {"CHEM"}
        assert {r.label for r in one.relations} <= {"SAME"}
        assert [p.name for p in one.passages] == [p.name for p in other.passages]


def test_what_a_format_cannot_express_is_told(model, tmp_path):
    (tmp_path / "texts.txt").write_text("Aspirin is aspirin.\n")
    result = run(tmp_path / "texts.txt", tmp_path / "x.pubtator", "--model", model)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert re.match("Warning: .*can't express 1 relations between mentions", line)


def test_docs_can_be_predicted_again(gold, model, tmp_path):
    output = export(gold, tmp_path / "x.jsonl", "--model", model)
    first = next(read_documents(output))
    assert first.id == "101"
    assert {m.label for m in first.mentions} == {"CHEM"}
    lines = output.read_text().splitlines()
    assert json.loads(lines[-1])["meta"] == {"tags": ["a", "b"]}


def test_a_text_too_long_for_the_pipeline(model, tmp_path, monkeypatch):
    source = tmp_path / "texts.txt"
    source.write_text("Aspirin.\n" + "a " * 600_000 + "\n", encoding="utf-8")
    fails(source, tmp_path / "x.jsonl", "--model", model, match="texts.txt:2: .*1,000,000")
    result = run(source, tmp_path / "x.jsonl", "--model", model, "--on-error", "skip")
    assert result.exit_code == 0 and "1 x texts too long" in result.stderr
    assert len(list(read_documents(tmp_path / "x.jsonl"))) == 1


def test_errors_in_one_line(paths, gold, model, tmp_path, monkeypatch):
    fails(gold, tmp_path / "x.dat", match="the name doesn't tell the format")
    fails(gold, tmp_path / "x", "--format", "conll", match="Choose one of: pubtator, bioc-json")
    fails(tmp_path / "none", tmp_path / "x.jsonl", match="no such file")
    fails(tmp_path / "none", tmp_path / "x.jsonl", "--model", model, match="no such file")
    fails(gold, tmp_path / "x.jsonl", "--model", tmp_path / "no", match="Can't load the pipeline")
    (tmp_path / "file").write_text("")
    fails(gold, tmp_path / "file", "--format", "csv", match="Tables need a folder")
    (tmp_path / "text.txt").write_text("Plain text without a pipeline.")
    fails(tmp_path / "text.txt", tmp_path / "x.jsonl", match="neither its name nor its beginning")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    fails(gold, tmp_path / "t", "--format", "parquet", match=r"spacy_spanmed\[tables\]")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("suffix", ["spacy", "jsonl"])
def test_what_brat_says_of_a_document_does_not_leak_over_other_formats(model, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("Aspirin is aspirin.")
    (tmp_path / "in" / "a.ann").write_text(
        "T1\tDrug 0 7\tAspirin\nT2\tDrug 11 18\taspirin\n*\tEquiv T1 T2\n"
        "#1\tAnnotatorNotes A9\tsynonyms\n"
    )
    convert([tmp_path / "in"], tmp_path / "gold.spacy")
    assert run(tmp_path / "gold.spacy", tmp_path / "gold.jsonl").exit_code == 0
    assert "Equiv" in (tmp_path / "gold.jsonl").read_text()
    source = tmp_path / f"gold.{suffix}"
    result = run(source, tmp_path / "out", "--format", "brat", "--model", model)
    assert result.exit_code == 0, result.output
    found = (tmp_path / "out" / "a.ann").read_text()
    assert "CHEM" in found and "Equiv" not in found and "synonyms" not in found


def test_what_else_is_said_of_a_document_stays(tmp_path):
    meta = {"notes": "from 1998", "groups": ["x"], "year": 1998}
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": "Aspirin.", "meta": meta}))
    (document,) = iter_texts(tmp_path / "x.jsonl", Problems())
    assert document.info == {"notes": "from 1998", "year": 1998}


def test_made_up_ids_are_not_those_of_earlier_documents():
    nlp, taken = spacy.blank("en"), set()
    docs = [nlp("a") for _ in range(4)]
    docs[0].user_data["spanmed_meta"] = {"id": "2"}
    assert [name_doc(doc, i, taken) for i, doc in enumerate(docs, start=1)] == ["2", "3", "4", "5"]


def test_an_output_that_is_a_folder(paths, tmp_path):
    (tmp_path / "out.jsonl").mkdir()
    result = run(paths["pubtator"], tmp_path / "out.jsonl")
    assert result.exit_code == 1 and "out.jsonl: a folder. Choose another" in result.stderr
