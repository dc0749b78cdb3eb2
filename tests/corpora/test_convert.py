"""`spanmed convert` and `spanmed lost`: from any format to files that spaCy trains on."""

import json
import os
import re

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.training import Corpus
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.corpora import convert as module
from spacy_spanmed.corpora import docs as source_docs
from spacy_spanmed.corpora.convert import convert, parse_split
from spacy_spanmed.corpora.docbin import ShardWriter, read_docs
from spacy_spanmed.corpora.report import tables
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.doc.relations import get_concept_relation_tuples, get_relation_tuples
from spacy_spanmed.util.problems import CorpusError, Problems
from tests.corpora.sources import PUBTATOR, write_sources

RUN = CliRunner()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


def read(path):
    return list(read_docs(path))


def run(*args):
    return RUN.invoke(app, [str(arg) for arg in args])


def fails(*args, match):
    result = run(*args)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert re.search(match, line), line
    assert "Traceback" not in result.output


def write_many(path, number):
    blocks = []
    for i in range(number):
        blocks.append(f"{i}|t|Aspirin {i} helps.\n{i}|a|\n{i}\t0\t7\tAspirin\tChemical\tD1\n")
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def test_pubtator(paths, tmp_path):
    output = tmp_path / "train.spacy"
    result = run("convert", paths["pubtator"], output, "--labels-out", tmp_path / "labels")
    assert result.exit_code == 0, result.output
    docs = read(output)
    assert [doc.user_data["spanmed_meta"]["id"] for doc in docs] == ["101", "102", "103"]
    first = docs[0]
    assert [(e.text, e.label_, e.kb_id_) for e in first.ents][:2] == [
        ("Aspirin", "Chemical", "D001241"),
        ("gastric bleeding", "Disease", "D006471"),
    ]
    assert len(first.spans["spanmed"]) == 5 == len(first.ents) + 1  # one is nested
    assert [tuple(r[:3]) for r in get_concept_relation_tuples(first)] == [
        ("D001241", "D006471", "CID")
    ]
    assert all(get_layers(doc) == {"entities", "relations"} for doc in docs)
    assert docs[2].ents[0].text == "5-HT"  # which the tokenizer alone can't express
    report = json.loads((tmp_path / "train.report.json").read_text())
    assert report["facts"]["mentions in the source"] == report["facts"]["mentions kept"] == 7
    assert report["splits"]["all"]["concept_relations"] == {"CID": 1}
    assert json.loads((tmp_path / "labels" / "span_ner.json").read_text()) == [
        "Chemical",
        "Disease",
    ]
    assert "What became of the annotation" in result.output and "Chemical" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "labels",
        "train.report.json",
        "train.spacy",
    ]


def test_all_formats_at_once(paths, tmp_path):
    output = tmp_path / "all.spacy"
    bioc = {"bioc-xml"}  # has the document that is in BioC JSON too
    sources = [path for format, path in paths.items() if format not in bioc]
    report = convert(sources, output)
    assert report["splits"]["all"]["documents"] == len(read(output)) == 8
    assert report["splits"]["all"]["relations"] == {"BINDS": 1, "Treats": 1}
    brat = next(doc for doc in read(output) if doc.text.startswith("Aspirin stops"))
    assert [(r.label, r.head_label) for r in get_relation_tuples(brat)] == [("Treats", "Chemical")]
    assert [table.title for table in tables(report)][0] == "What became of the annotation"


def test_spacy_reads_a_file_and_shards(tmp_path):
    source = write_many(tmp_path / "many.pubtator", 25)
    convert([source], tmp_path / "one.spacy", shard_size=25)
    convert([source], tmp_path / "many.spacy", shard_size=10)
    assert (tmp_path / "one.spacy").is_file()
    names = sorted(path.name for path in (tmp_path / "many.spacy").iterdir())
    assert names == ["00000.spacy", "00001.spacy", "00002.spacy"]
    nlp = spacy.blank("en")
    one, many = (
        [eg.reference.text for eg in Corpus(tmp_path / f"{name}.spacy")(nlp)]
        for name in ("one", "many")
    )
    assert one == many and len(one) == 25
    # Either can take the other's place
    convert([source], tmp_path / "one.spacy", shard_size=10)
    convert([source], tmp_path / "many.spacy")
    assert (tmp_path / "one.spacy").is_dir() and (tmp_path / "many.spacy").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_new_vocabulary_now_and_then_changes_nothing(tmp_path, monkeypatch):
    source = write_many(tmp_path / "many.pubtator", 9)
    convert([source], tmp_path / "a.spacy")
    monkeypatch.setattr(module, "VOCABULARY_LIFETIME", 2)
    convert([source], tmp_path / "b.spacy")
    assert (tmp_path / "a.spacy").read_bytes() == (tmp_path / "b.spacy").read_bytes()


def test_splits_are_by_document_and_independent_of_order(tmp_path):
    source = write_many(tmp_path / "many.pubtator", 60)
    output = tmp_path / "corpus"
    result = run("convert", source, output, "--split", "train=0.5,dev=0.5", "--seed", "1")
    assert result.exit_code == 0, result.output
    splits = {
        name: {doc.text for doc in read(output / f"{name}.spacy")} for name in ("train", "dev")
    }
    assert not splits["train"] & splits["dev"]
    assert len(splits["train"]) + len(splits["dev"]) == 60
    assert 15 < len(splits["train"]) < 45
    blocks = source.read_text().split("\n\n")
    source.write_text("\n\n".join(block.strip() for block in reversed(blocks)) + "\n")
    convert([source], tmp_path / "again", split=parse_split("train=0.5,dev=0.5"), seed=1)
    assert {doc.text for doc in read(tmp_path / "again" / "dev.spacy")} == splits["dev"]
    convert([source], tmp_path / "other", split=parse_split("train=0.5,dev=0.5"), seed=2)
    assert {doc.text for doc in read(tmp_path / "other" / "dev.spacy")} != splits["dev"]


def test_an_empty_split_is_a_valid_file(tmp_path):
    source = write_many(tmp_path / "many.pubtator", 3)
    convert([source], tmp_path / "out", split={"train": 1.0, "dev": 0.0})
    assert read(tmp_path / "out" / "dev.spacy") == []
    assert len(DocBin().from_disk(tmp_path / "out" / "dev.spacy")) == 0


def test_problems_stop_or_are_counted(tmp_path):
    source = tmp_path / "bad.pubtator"
    source.write_text(PUBTATOR.replace("12\t28\tgastric", "13\t29\tgastric"), encoding="utf-8")
    output = tmp_path / "out.spacy"
    fails("convert", source, output, match=r"bad.pubtator:4: .*1 too high.*on_error=skip")
    assert not output.exists() and len(list(tmp_path.iterdir())) == 1
    result = run("convert", source, output, "--on-error", "skip")
    assert result.exit_code == 0
    report = json.loads((tmp_path / "out.report.json").read_text())
    assert report["facts"]["mentions left out as unusable"] == 1
    assert report["problems"] == {"another string than the source gives": 1}
    assert "Problems, left out" in result.output


def test_label_map_and_layers(paths, tmp_path):
    (tmp_path / "map.yml").write_text("entities:\n  Chemical: DRUG\n  Disease: null\n")
    output = tmp_path / "out.spacy"
    result = run("convert", paths["pubtator"], output, "--labels", tmp_path / "map.yml")
    assert result.exit_code == 0, result.output
    assert "they count as unknown" in result.output
    docs = read(output)
    assert {ent.label_ for doc in docs for ent in doc.ents} == {"DRUG"}
    assert all(get_layers(doc) == {"entities"} for doc in docs)


def test_a_failing_tokenizer_is_a_problem(paths, tmp_path, monkeypatch):
    def refuse(tokenize, document):
        raise ValueError("The tokenizer changes the text.")

    monkeypatch.setattr(source_docs, "make_doc", refuse)
    problems = Problems("skip")
    with pytest.raises(CorpusError, match="No document to write"):
        convert([paths["pubtator"]], tmp_path / "out.spacy", problems=problems)
    assert problems.counts == {"documents that can't become Docs": 3}
    assert not list(tmp_path.iterdir())


def test_errors_in_one_line(paths, tmp_path):
    source, output = paths["pubtator"], tmp_path / "out.spacy"
    fails("convert", tmp_path / "none.txt", output, match="no such file")
    fails("convert", source, tmp_path / "out", match=r"must end in \.spacy")
    fails("convert", source, match="Name a source and, after it, the output")
    fails("convert", source, output, "--format", "word", match="Choose one of: pubtator")
    fails("convert", source, output, "--layers", "entity", match="Unknown layers")
    fails("convert", source, output, "--on-error", "ignore", match="--on-error must be")
    fails("convert", source, output, "--labels", tmp_path / "no.yml", match="can't be read")
    (tmp_path / "full.spacy").mkdir()
    (tmp_path / "full.spacy" / "thesis.txt").write_text("")
    fails("convert", source, tmp_path / "full.spacy", match="holds more than shards")
    (tmp_path / "file").write_text("")
    fails("convert", source, tmp_path / "file" / "x.spacy", match="Check the path")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_sources_give_docs_or_corpus_errors(paths, tmp_path_factory, data):
    format = data.draw(st.sampled_from(["pubtator", "conll", "jsonl", "bioc-xml", "bioc-json"]))
    content = bytearray(paths[format].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 3))
        new = data.draw(
            st.sampled_from([b"", b"\t", b"\n", b"-", b"9", b'"', b"\xff", b"\0", b"T1"])
        )
        content[place : place + length] = new
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "x").write_bytes(content)
    try:
        report = convert(
            [folder / "x"], folder / "x.spacy", format=format, problems=Problems("skip")
        )
    except CorpusError:
        return
    assert report["splits"]["all"]["documents"] == len(read(folder / "x.spacy"))
    tables(report)


def test_a_full_disk(paths, tmp_path, monkeypatch):
    def write(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ShardWriter, "_write_shard", write)
    output = tmp_path / "out.spacy"
    fails("convert", paths["pubtator"], output, match=r"No space left on device\. Free some space")
    assert not list(tmp_path.iterdir())


def test_damaged_data(tmp_path):
    (tmp_path / "x.spacy").write_bytes(b"not a DocBin")
    fails("lost", tmp_path / "x.spacy", match="x.spacy: not valid .spacy data")


def test_lost(paths, tmp_path):
    result = run("lost", paths["pubtator"])
    assert result.exit_code == 0
    assert "1 of 7 gold mentions (14.29%)" in result.output
    assert "[[5-HT]]6 receptors" in result.output
    convert([paths["pubtator"]], tmp_path / "x.spacy")
    again = run("lost", tmp_path / "x.spacy", "--examples", "0")
    assert "1 of 7" in again.output and "[[" not in again.output
    spacy.blank("en").to_disk(tmp_path / "model")
    result = run("lost", paths["pubtator"], "--model", tmp_path / "model")
    assert result.exit_code == 0 and "of 7 gold mentions" in result.output
    fails("lost", paths["pubtator"], "--model", tmp_path / "none", match="Can't load the pipeline")


@pytest.mark.parametrize("command", ["convert", "export", "lost"])
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0 and f"Example: spanmed {command}" in result.output


def test_equal_texts_are_counted_and_in_one_split(tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    texts = [f"Aspirin {i} helps." for i in range(30)]
    first.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    second.write_text("".join(json.dumps({"text": f"{text} \n"}) + "\n" for text in texts))
    output = tmp_path / "out"
    report = convert([first, second], output, split={"train": 0.5, "test": 0.5})
    assert report["facts"]["documents with the text of an earlier one"] == 30
    train, test = (
        {doc.text.strip() for doc in read(output / f"{name}.spacy")} for name in ("train", "test")
    )
    assert train and test and not train & test
    assert ("documents with the text of an earlier one", 30) in [
        row for table in tables(report) for row in table.rows
    ]


def test_splits_of_an_earlier_run_are_not_left_beside_new_ones(tmp_path):
    source, output = write_many(tmp_path / "many.pubtator", 3), tmp_path / "out"
    convert([source], output, split={"train": 0.5, "test": 0.5})
    convert([source], output, split={"train": 0.4, "test": 0.6})
    fails("convert", source, output, "--split", "train=1", match="already holds test.spacy")
    assert (output / "test.spacy").exists()


def test_the_report_of_the_current_folder_lies_beside_it(tmp_path, monkeypatch):
    source, output = write_many(tmp_path / "many.pubtator", 3), tmp_path / "out"
    output.mkdir()
    monkeypatch.chdir(output)
    result = run("convert", source, ".", "--split", "train=1")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.report.json").exists() and (output / "train.spacy").exists()


def test_file_names_that_are_not_utf8(tmp_path):
    source = tmp_path / os.fsdecode(b"caf\xe9.pubtator")
    try:
        source.write_text(PUBTATOR + "104|t|\n104|a|\n104\t0\t1\tx\tY\n", encoding="utf-8")
    except OSError:
        pytest.skip("This file system has no such names.")
    for name in ("out.spacy", os.fsdecode(b"\xe9.spacy")):
        result = run("convert", source, tmp_path / name, "--on-error", "skip")
        assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out.report.json").read_text(encoding="utf-8"))
    assert report["sources"][0]["path"] == str(source)


@pytest.mark.parametrize("text", ["train", "train=0.8", "train=x,dev=1", "a=0.5,a=0.5", "", "a=2"])
def test_bad_splits(text):
    with pytest.raises(CorpusError, match="Expected names and shares"):
        parse_split(text)
