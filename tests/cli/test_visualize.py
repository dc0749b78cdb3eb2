"""`spanmed visualize`, the command."""

import re
from xml.etree import ElementTree

import pytest
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.visualize.views import make_view
from tests.conftest import TEXTS, make_reference
from tests.visualize.pages import BLANK, Page

RUN = CliRunner()


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    trained.to_disk(path)
    return path


@pytest.fixture(scope="module")
def gold(tmp_path_factory):
    path = tmp_path_factory.mktemp("gold") / "gold.spacy"
    docs = [make_reference(BLANK, *item) for item in TEXTS]
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    return path


def run(*args, **kwargs):
    return RUN.invoke(app, ["visualize", *map(str, args)], **kwargs)


def read(result, path):
    assert result.exit_code == 0, result.output
    return Page(path.read_text(encoding="utf-8"))


def fails(*args, match, **kwargs):
    result = run(*args, **kwargs)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert re.search(match, line), line


def test_text_file_and_standard_input(model, tmp_path):
    text = TEXTS[0][0]
    path, output = tmp_path / "my text.txt", tmp_path / "new" / "page.html"
    path.write_text(f"\ufeff{text}", encoding="utf-8")
    expected = {(0, 9, "CHEM", "Cisplatin"), (19, 22, "GENE", "p53")}
    inputs = ((text, None), (path, None), ("-", text))
    for source, given in inputs:
        page = read(run(source, "-o", output, "--model", model, input=given), output)
        assert page.texts() == [text]
        assert expected <= set(page.marks().values())
        assert [x[2] for x in page.relations()] == ["INHIBITS"]
        output.unlink()
    assert [text for _, text in page.find("h1")] == ["Entities and relations"]


def test_docs_with_gold_or_predicted_annotation(gold, model, trained, tmp_path):
    output = tmp_path / "page.html"
    result = run(gold, "-o", output, "--title", "Gold & more")
    page = read(result, output)
    assert page.texts() == [text for text, *_ in TEXTS]
    assert len(page.relations()) == 3 and page.find("h1") == [({}, "Gold & more")]
    assert "Left out" not in result.output and "4 documents" in result.output
    result = run(gold, "-o", output, "--limit", 1, "--model", model)
    page = read(result, output)
    assert "Left out: 3 documents (--limit 1)" in result.stderr
    (view,) = [make_view(doc) for doc in [trained(TEXTS[0][0])]]
    assert [m[:3] for m in sorted(page.marks().values())] == [m[:3] for m in view.marks]
    result = run(gold, "-o", output, "--limit", 3)
    assert "Left out: 1 document (--limit 3)" in result.stderr


def test_empty_text_needs_no_pipeline(tmp_path):
    output = tmp_path / "page.html"
    page = read(run("", "-o", output), output)
    assert [text for _, text in page.find("p", class_="empty")] == ["This document has no text."]


def test_long_texts_are_not_taken_for_paths(model, tmp_path):
    output = tmp_path / "page.html"
    text = "p53 binds and/or MDM2. " * 20  # longer than any file name
    assert read(run(text, "-o", output, "--model", model), output).texts() == [text]


def test_errors_say_what_to_do(gold, model, tmp_path):
    output = tmp_path / "page.html"
    options = ("-o", output)
    fails("no_such.txt", *options, match="no_such.txt: no such file.*standard input")
    fails("no_such.spacy", *options, match="no such file")
    fails("some/where", *options, match="no such file")
    fails(tmp_path, *options, match="a folder without .spacy files")
    fails("A text.", *options, "--model", "no_such_model", match="no_such_model.*make model")
    fails("A text.", "-o", tmp_path, "--model", model, match="a folder")
    (tmp_path / "x.pubtator").write_text("1|t|Zinc")
    fails(tmp_path / "x.pubtator", *options, match="spanmed convert")
    (tmp_path / "latin.txt").write_bytes("Müller".encode("latin-1"))
    fails(
        tmp_path / "latin.txt",
        *options,
        match="txt:1: byte 0xfc, number 2 of the line, is not UTF-8.*iconv",
    )
    (tmp_path / "broken.spacy").write_bytes(b"nothing")
    fails(tmp_path / "broken.spacy", *options, match="not valid .spacy data")
    doc = BLANK("Too short")
    doc.user_data["spanmed_relations"] = [(0, 3, "A", 50, 60, "B", "R")]
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "bad.spacy")
    fails(tmp_path / "bad.spacy", *options, match="bad.spacy: Relation.*within the text")
    assert not output.exists()
    before = gold.read_bytes()
    fails(gold, "-o", gold, match="also the input")
    assert gold.read_bytes() == before


def test_a_picture_of_one_document(model, gold, tmp_path):
    output = tmp_path / "found.svg"
    result = run(TEXTS[0][0], "-o", output, "--model", model)
    assert result.exit_code == 0, result.output
    root = ElementTree.fromstring(output.read_text(encoding="utf-8"))
    assert "INHIBITS" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    fails(gold, "-o", output, match="a picture shows one")
    assert run(gold, "-o", output, "--limit", 1).exit_code == 0
