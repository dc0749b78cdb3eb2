from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import spacy
import typer
from click.testing import Result
from rich.console import Console
from spacy.cli.evaluate import evaluate as spacy_evaluate
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_spanmed.cli.common import CONTEXT_SETTINGS
from spacy_spanmed.cli.data import hash_data, read_examples
from spacy_spanmed.cli.evaluate import evaluate, evaluate_examples
from spacy_spanmed.doc.layers import get_layers, set_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.scoring.entities import score_entities
from spacy_spanmed.scoring.relations import score_relations
from spacy_spanmed.scoring.tables import print_scores
from spacy_spanmed.util.files import write_json

NLP = spacy.blank("en")
app = typer.Typer()
app.command(context_settings=CONTEXT_SETTINGS)(evaluate)


@Language.factory("spanmed_test_first_and_last", default_config={"label": "GENE"})
class FirstAndLast:
    """Calls the first and the last token GENE and says that they bind."""

    def __init__(self, nlp: Language, name: str, label: str) -> None:
        self.labels = (label, "BINDS")

    def __call__(self, doc: Doc) -> Doc:
        last = len(doc) - 1
        doc.ents = [Span(doc, 0, 1, self.labels[0]), Span(doc, last, last + 1, "GENE")]
        a, b = doc.ents
        set_relation_tuples(
            doc, [(a.start_char, a.end_char, "GENE", b.start_char, b.end_char, "GENE", "BINDS")]
        )
        return doc

    def score(self, examples: list[Example], **kwargs: Any) -> dict[str, Any]:
        return {
            **score_entities(examples),
            **score_relations(examples),
            **score_relations(examples, prefix="rel_gold"),
        }

    def to_disk(self, path: Path, exclude: tuple[str, ...] = ()) -> None:
        pass

    def from_disk(self, path: Path, exclude: tuple[str, ...] = ()) -> FirstAndLast:
        return self


def gold_docs() -> list[Doc]:
    docs = []
    for text, label, relation in [
        ("p53 binds MDM2", "GENE", "BINDS"),
        ("aspirin causes bleeding", "CHEMICAL", "CAUSES"),
    ]:
        doc = NLP.make_doc(text)
        doc.ents = [Span(doc, 0, 1, label), Span(doc, 2, 3, "GENE")]
        (a, b, _), (c, d, _) = get_mentions(doc)
        set_relation_tuples(doc, [(a, b, label, c, d, "GENE", relation)])
        set_layers(doc, ["entities", "relations"])
        docs.append(doc)
    return docs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("spanmed_test_first_and_last")
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "test.spacy"
    DocBin(docs=gold_docs(), store_user_data=True).to_disk(path)
    return path


def call(*args: Any) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "120"})


def test_prints_tables_and_writes_the_scores_of_spacy_evaluate(model: Path, data: Path) -> None:
    output = data.parent / "new" / "metrics.json"
    result = call(model, data, "--output", output)
    assert result.exit_code == 0, result.output
    for part in ("Entities (2 documents)", "CHEMICAL", "end to end", "given the gold",
                 "cannot express: 0.00%", "words/s", "micro without BINDS"):  # fmt: skip
        assert part in result.output, part
    assert "unknown to the pipeline" in result.output
    assert "CHEMICAL (1)" in result.output
    assert "CAUSES (1)" in result.output
    written = json.loads(output.read_text("utf8"))
    meta = written.pop("meta")
    expected = spacy_evaluate(str(model), data)
    written.pop("speed"), expected.pop("speed")
    assert written == expected
    assert written["ents_f"] == 0.75
    assert written["rel_micro_f"] == 0.5
    assert meta["name"] == "en_pipeline"
    assert meta["version"] == "0.0.0"
    assert meta["data_sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert meta["date"].endswith("+00:00")
    assert "seed" in meta and "commit" in meta


def test_settings_can_be_overridden(model: Path, data: Path) -> None:
    output, setting = data.parent / "metrics.json", "components.spanmed_test_first_and_last.label"
    assert call(model, data, "--output", output, f"--{setting}", "CHEMICAL").exit_code == 0
    written = json.loads(output.read_text("utf8"))
    assert written["ents_per_type"]["CHEMICAL"]["r"] == 1.0
    assert written["meta"]["overrides"] == {setting: "CHEMICAL"}
    assert written["meta"]["precision"] == []  # no encoder
    result = call(model, data, "--components.span_ner.threshold", "0.5")
    assert result.exit_code == 1 and "Can't load the pipeline" in result.output
    assert "components -> span_ner -> threshold" in result.output


def test_brief_leaves_labels_out(model: Path, data: Path) -> None:
    result = call(model, data, "--brief")
    assert result.exit_code == 0
    table = result.output[result.output.index("Entities (") :]
    assert "CHEMICAL" not in table
    assert "micro" in table


def test_directory_of_shards_equals_one_file(model: Path, data: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for i, doc in enumerate(gold_docs()):
        DocBin(docs=[doc], store_user_data=True).to_disk(shards / f"{i}.spacy")
    nlp = spacy.load(model)
    one, many = read_examples(nlp, data), read_examples(nlp, shards)
    assert [eg.text for eg in one] == [eg.text for eg in many]
    scores = [evaluate_examples(nlp, examples) for examples in (one, many)]
    for score in scores:
        score.pop("speed")
    assert scores[0] == scores[1]
    before = hash_data(shards)
    (shards / "0.spacy").rename(shards / "9.spacy")
    assert hash_data(shards) != before


def test_evaluation_restores_the_pipeline(model: Path, data: Path) -> None:
    nlp = spacy.load(model)
    evaluate_examples(nlp, read_examples(nlp, data), console=Console(quiet=True))
    assert "pipe" not in vars(nlp)
    assert [doc.text for doc in nlp.pipe(["a b"])] == ["a b"]


def one_line_error(*args: Any) -> str:
    result = call(*args)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_errors_are_one_line(model: Path, data: Path, tmp_path: Path) -> None:
    assert "no_such_model" in one_line_error("no_such_model", data)
    assert "No such file" in one_line_error(model, tmp_path / "missing.spacy")
    text = tmp_path / "test.txt"
    text.write_text("p53")
    assert "not a .spacy file" in one_line_error(model, text)
    (tmp_path / "empty").mkdir()
    assert "No documents" in one_line_error(model, tmp_path / "empty")
    broken = tmp_path / "broken.spacy"
    broken.write_bytes(data.read_bytes()[:50])
    assert "broken.spacy" in one_line_error(model, broken)


def test_data_without_any_layer_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.spacy"
    DocBin(docs=[NLP.make_doc("p53 binds MDM2")]).to_disk(path)
    assert "store_user_data" in one_line_error(model, path)


def test_layer_lost_with_the_user_data(tmp_path: Path) -> None:
    docs = gold_docs()
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    (example, _) = read_examples(NLP, tmp_path)
    assert get_layers(example.reference) == {"entities"}


def test_stock_scores_are_printed_too(data: Path, tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "GENE", "pattern": "p53"}])
    nlp.to_disk(tmp_path / "ruler")
    result = call(tmp_path / "ruler", data)
    assert result.exit_code == 0, result.output
    assert "GENE" in result.output
    assert "knows none of the 2 gold relation labels (BINDS, CAUSES)" in result.output


def test_scores_of_nothing_print_nothing() -> None:
    file = io.StringIO()
    print_scores(Console(file=file), {**score_entities([]), **score_relations([])})
    assert file.getvalue() == ""
    row = {"p": 0.5, "r": 0.25, "f": 1 / 3, "support": 4}
    print_scores(Console(file=file), {"ents_f": 0.5, "ents_per_type": {"[red]A": row}})
    assert "50.00" in file.getvalue()
    assert "[red]A" in file.getvalue()  # labels are not markup


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"é": None, "b": [1.5]})
    assert json.loads(path.read_text("utf8")) == {"é": None, "b": [1.5]}
    with pytest.raises(ValueError):
        write_json(path, {"f": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"f": object()})
    assert json.loads(path.read_text("utf8"))["b"] == [1.5]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
