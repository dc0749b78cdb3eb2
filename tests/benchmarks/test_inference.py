import json
import math

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from thinc.api import Model, reduce_mean
from typer.testing import CliRunner

from benchmarks import inference
from benchmarks.cli import app
from benchmarks.inference import PAPER_WORDS, make_groups, read_texts
from benchmarks.stock_pipeline import (
    GIVEN_ENTITIES,
    StockRelations,
    build_stock_pair_scorer,
    build_stock_pipeline,
)
from spacy_spanmed.encoder.cpu.machine import resolve_precision
from tests.conftest import TEXTS

LINES = [item[0] for item in TEXTS]


def run(*args):
    return CliRunner().invoke(app, ["inference", *map(str, args)])


@pytest.fixture
def model(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*LINES, "  "]), encoding="utf8")
    return path


def token_numbers():
    """Stands for a transformer: a token's vector is (its number, 1)."""

    def forward(model, docs, is_train):
        rows = [np.array([(token.i, 1) for token in doc], dtype="f") for doc in docs]
        return rows, lambda gradient: []

    return Model("numbers", forward)


def make_relations(max_length, labels=("BINDS", "INHIBITS")):
    pipe = StockRelations(
        spacy.blank("en").vocab,
        build_stock_pair_scorer(token_numbers(), reduce_mean()),
        labels=labels,
        max_length=max_length,
    )
    doc = make_doc(pipe.vocab, (0, 1), (2, 3))
    pipe.initialize(lambda: [spacy.training.Example(doc, doc)])
    return pipe


def make_doc(vocab, *entities):
    doc = Doc(vocab, words=[f"w{i}" for i in range(12)])
    doc.set_ents([Span(doc, start, end, "GENE") for start, end in entities])
    return doc


def test_each_ordered_pair_is_scored_once():
    pipe = make_relations(max_length=5)
    output = pipe.model.get_ref("output")
    output.set_param("W", np.array([[0.1, 0, -0.2, 0.3], [0, 1, 0.5, 0]], dtype="f"))
    output.set_param("b", np.array([0.25, -1], dtype="f"))
    docs = [make_doc(pipe.vocab, (0, 1), (2, 5), (9, 10)), make_doc(pipe.vocab, (4, 5), (6, 7))]
    pairs, scores = pipe.predict(docs)
    assert [len(found) for found in pairs] == [2, 2]  # 9 is further than 5 from 2, and from 0
    assert scores.shape == (4, 2)
    for doc in pipe.pipe(iter(docs), batch_size=2):
        pass
    means = {0: 0.0, 2: 3.0, 4: 4.0, 6: 6.0}  # of the token numbers
    for doc, keys in zip(docs, ([(0, 2), (2, 0)], [(4, 6), (6, 4)])):
        assert list(doc._.rel) == keys
        for head, tail in keys:
            binds = 0.1 * means[head] - 0.2 * means[tail] + 0.3 + 0.25
            inhibits = 1 + 0.5 * means[tail] - 1
            expected = [1 / (1 + math.exp(-x)) for x in (binds, inhibits)]
            scored = doc._.rel[(head, tail)]
            assert list(scored) == ["BINDS", "INHIBITS"]
            assert list(scored.values()) == pytest.approx(expected, rel=1e-5)


def test_docs_without_pairs_get_no_scores():
    pipe = make_relations(max_length=5)
    docs = [
        make_doc(pipe.vocab),
        make_doc(pipe.vocab, (0, 2)),
        make_doc(pipe.vocab, (0, 1), (9, 10)),
    ]
    assert [doc._.rel for doc in pipe.pipe(docs)] == [{}, {}, {}]
    mixed = [docs[0], make_doc(pipe.vocab, (0, 1), (1, 2))]
    assert [len(doc._.rel) for doc in pipe.pipe(mixed)] == [0, 2]


def test_stock_has_our_encoder_and_takes_given_entities(trained):
    stock = build_stock_pipeline(trained, ["CHEM", "GENE"], ["BINDS"])
    ours = trained.get_pipe("transformer").model.transformer.state_dict()
    theirs = stock.get_pipe("transformer").model.transformer.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert set(stock.get_pipe("ner").labels) == {"CHEM", "GENE"}
    given = stock.get_pipe(GIVEN_ENTITIES)
    text = LINES[0]
    given.entities[text] = [(0, 9, "CHEM"), (19, 22, "GENE"), (26, 28, "CHEM")]  # "re" of "renal"
    doc = stock(text)
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("Cisplatin", "CHEM"), ("p53", "GENE"), ("renal", "CHEM")
    ]  # fmt: skip
    assert doc._.rel.keys() == {(0, 2), (0, 4), (2, 0), (2, 4), (4, 0), (4, 2)}
    assert given.seconds > 0


def test_groups_of_texts():
    short, long = "one two three", "word " * 1200
    groups = make_groups([short, " \n", long] * 10, 4)
    assert groups["abstracts"].texts == [short] * 4 and groups["abstracts"].words == 12
    assert groups["papers"].texts == [long] and not groups["papers"].joined
    assert make_groups([long] * 3, 2).keys() == {"papers"}
    assert len(make_groups([long] * 3, 2)["papers"].texts) == 2
    texts = [f"a{i} " * 700 for i in range(20)]
    papers = make_groups(texts, 20)["papers"]
    assert papers.joined and len(papers.texts) == 3
    assert " ".join(papers.texts).split() == " ".join(texts).split()
    assert all(len(text.split()) >= PAPER_WORDS for text in papers.texts[:-1])


def test_texts_of_any_kind(trained, lines, tmp_path):
    assert list(read_texts(lines)) == LINES
    docs = DocBin(docs=[trained.make_doc(text) for text in LINES])
    docs.to_disk(tmp_path / "docs.spacy")
    assert list(read_texts(tmp_path / "docs.spacy")) == LINES
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.txt").write_text("\n".join(LINES), encoding="utf8")
    assert list(read_texts(tmp_path / "papers")) == ["\n".join(LINES)]


def test_abstracts_and_papers_from_two_places(model, lines, tmp_path):
    paper = " ".join(LINES * 100)
    (tmp_path / "papers.txt").write_text(paper, encoding="utf8")
    record = tmp_path / "record.json"
    result = run(
        "--model", model, "--text", lines, "--text", tmp_path / "papers.txt", "--rounds", 1,
        "--json", record,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    figures = json.loads(record.read_text())
    assert figures["text"] == [str(lines), str(tmp_path / "papers.txt")]
    groups = figures["groups"]
    assert groups["abstracts"]["texts"] == len(LINES)
    assert groups["papers"]["texts"] == 1 and not groups["papers"]["joined_abstracts"]
    assert groups["papers"]["words"] == len(paper.split())


def test_bench_inference(model, lines, tmp_path, monkeypatch):
    read = []
    measure = inference.time_pipeline

    def watch(nlp, texts):
        read.append(("ner" in nlp.pipe_names, list(texts)))
        return measure(nlp, texts)

    monkeypatch.setattr(inference, "time_pipeline", watch)
    record = tmp_path / "record.json"
    result = run("--model", model, "--text", lines, "--rounds", 2, "--texts", 3, "--json", record)
    assert result.exit_code == 0, result.output
    joined = ["\n\n".join(LINES[:3])]
    assert (
        read == [(True, LINES[:3]), (False, LINES[:3])] * 2 + [(True, joined), (False, joined)] * 2
    )
    figures = json.loads(record.read_text())
    groups = figures["groups"]
    assert list(groups) == ["abstracts", "papers"]
    assert figures["ratio"] == min(group["ratio"] for group in groups.values())
    assert [group["joined_abstracts"] for group in groups.values()] == [False, True]
    assert (
        figures["settings"]["precision"] == resolve_precision("auto", "cpu")
        and "spacy-transformers" in figures["versions"]
    )
    for group in groups.values():
        ratios = [row["ours"] / row["stock"] for row in group["rounds"]]
        assert len(ratios) == 2 and group["ratio"] == pytest.approx(np.median(ratios), abs=2e-3)
        assert group["words"] == sum(len(text.split()) for text in LINES[:3])
        assert group["entities"] > 3 and group["pairs"]["ours"] == group["pairs"]["stock"] > 3
        assert {"tokenizer", "transformer", "span_ner", "relation_extractor"} < set(group["shares"])
        for shares in (group["shares"], group["stock_shares"]):
            assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        assert GIVEN_ENTITIES not in group["stock_shares"]
    assert "made by joining abstracts" in result.output
    assert "gets the entities that ours finds" in result.output
    assert f"The smaller ratio: {figures['ratio']:.2f} x" in result.output


def test_handing_over_entities_is_not_timed(trained, monkeypatch):
    stock = build_stock_pipeline(trained, ["CHEM"], ["BINDS"])
    given = stock.get_pipe(GIVEN_ENTITIES)
    clock = iter(range(0, 1000, 10))
    before = given.seconds
    monkeypatch.setattr(inference.time, "perf_counter", lambda: float(next(clock)))
    # Four readings of the clock, 10 s apart: one before, two around the entities, one after
    assert inference.time_pipeline(stock, LINES[:1]) == 30 - 10
    assert given.seconds - before == 10


def test_errors_in_one_line(model, lines, tmp_path):
    blank, long = tmp_path / "blank.txt", tmp_path / "long.txt"
    blank.write_text("\n  \n", encoding="utf8")
    long.write_text("word " * 300_000, encoding="utf8")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "other")
    for arguments, message in (
        (("--text", tmp_path / "none"), "No texts at"),
        (("--text", blank), "None of the texts has a word"),
        (("--text", long), "spaCy takes 1,000,000"),
        (("--text", lines, "--precision", "half"), "precision must be auto, float32 or"),
        (("--text", lines, "--model", "en_none"), "Can't load the pipeline 'en_none'"),
        (("--text", lines, "--model", tmp_path / "other"), "no transformer and no span_ner"),
    ):
        result = run("--model", model, *arguments)
        assert result.exit_code == 1, arguments
        assert message in result.output and "Traceback" not in result.output
        assert result.output.count("Error:") == 1


def test_default_texts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert inference.find_default() == inference.ABSTRACTS  # whose absence is then an error
    inference.SENTENCES.parent.mkdir()
    inference.SENTENCES.touch()
    assert inference.find_default() == inference.SENTENCES
    assert "project assets" in capsys.readouterr().out
    inference.ABSTRACTS.parent.mkdir(parents=True)
    inference.ABSTRACTS.touch()
    assert inference.find_default() == inference.ABSTRACTS
