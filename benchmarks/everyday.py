"""How well a pipeline reads everyday sentences: those of `tests/data/everyday.jsonl`.

Sixty sentences in the style of abstracts, annotated by hand in words that belong to no corpus
("chemical", "treats"), which the labels of each corpus are translated into. No pipeline may be
trained on them.
"""

from __future__ import annotations

import json as json_format
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.tokens import Doc

from spacy_spanmed.cli.data import load_pipeline
from spacy_spanmed.doc import get_relation_tuples
from spacy_spanmed.util.tables import Table, print_tables

from .common import Output, errors, write_figures

SENTENCES = Path("tests/data/everyday.jsonl")

# What the labels of NERO, BC5CDR and BioRED mean
TYPES = {
    "anatomy": {"ANATOMY"},
    "cell": {"CELL", "CellLine"},
    "cell_component": {"CELL_COMPONENT"},
    "chemical": {"CHEMICAL", "Chemical", "ChemicalEntity"},
    "disease": {"DISEASE_FINDING", "Disease", "DiseaseOrPhenotypicFeature"},
    "gene": {"GENE_PROTEIN", "GeneOrGeneProduct"},
    "organism": {"ORGANISM", "OrganismTaxon"},
    "procedure": {"MED_PROCEDURE"},
}
RELATIONS = {
    "activates": {"ACTIVATES", "Positive_Correlation"},
    "binds": {"BINDS", "Bind"},
    "causes": {"CAUSES", "CID", "Positive_Correlation"},
    "inhibits": {"INHIBITS", "Negative_Correlation"},
    "is_a": {"IS_A"},
    "located_in": {"LOCATED_IN"},
    "part_of": {"PART_OF"},
    "treats": {"INHIBITS", "Negative_Correlation"},
}
UNDIRECTED = {"binds"}


class Sentence(NamedTuple):
    """kind (str). text (str). entities (set): (start, end, type) in characters. relations (set):
    (offsets of head, offsets of tail, relation, negated)."""

    kind: str
    text: str
    entities: set[tuple[int, int, str]]
    relations: set[tuple[Any, Any, str, bool]]


def everyday(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Pipeline, by name or directory.")] = "en_spanmed",
    sentences: Annotated[Path, typer.Option(help="JSON lines; see `read_sentences`.")] = SENTENCES,
    json: Output = None,
) -> None:
    """Score a pipeline, end to end, on sentences written by hand, by kind of statement.

    Example: python -m benchmarks everyday --model en_spanmed --json everyday.json
    """
    with errors(json):
        scores = score_everyday(load_pipeline(model), read_sentences(sentences))
        tables = [to_table(found, what.capitalize()) for what, found in scores.items()]
        print_tables(Console(), tables)
        figures = {
            what: {
                kind: {**score.to_dict(), "support": score.tp + score.fn}
                for kind, score in found.items()
            }
            for what, found in scores.items()
        }
        write_figures(json, {"model": model, **figures}, context.obj)


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """Read annotated sentences.

    path (Path): JSON lines with "kind", "text", "entities" ([string, type]; the first place of the
        string counts) and "relations" ([head, tail, relation], and true if the text denies it).
    RETURNS (list[Sentence]): In their order.
    RAISES (ValueError): Naming the line of a string that isn't in its text, or of an unknown word.
    """
    sentences = []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), start=1):
        item = json_format.loads(line)
        places = {}
        for name, type_ in item["entities"]:
            start = item["text"].find(name)
            if start < 0 or type_ not in TYPES:
                raise ValueError(
                    f"{path}:{number}: {name!r} ({type_}) is not in the text, or of no type."
                )
            places[name] = (start, start + len(name), type_)
        relations = set()
        for head, tail, relation, *negated in item["relations"]:
            if relation not in RELATIONS or head not in places or tail not in places:
                raise ValueError(
                    f"{path}:{number}: {head!r} {relation} {tail!r} is no relation here."
                )
            relations.add((places[head][:2], places[tail][:2], relation, bool(negated)))
        sentences.append(Sentence(item["kind"], item["text"], set(places.values()), relations))
    return sentences


def score_everyday(nlp: Language, sentences: Iterable[Sentence]) -> dict[str, dict[str, PRFScore]]:
    """Score a pipeline, end to end.

    nlp (Language): With `span_ner`, or any pipe that sets entities, and `relation_extractor`.
    sentences (Iterable[Sentence]): The sentences.
    RETURNS (dict): "entities" and "relations", each by kind of sentence, and "all". What the labels
        of the pipeline can't express is not asked for. A label that means several words ("INHIBITS":
        inhibits, treats) is right if one of them is. Offsets must be exact, negation too.
    """
    labels = {label for found in nlp.pipe_labels.values() for label in found}
    types = {name for name, known in TYPES.items() if known & labels}
    words = {name for name, known in RELATIONS.items() if known & labels}
    scores: dict[str, dict[str, PRFScore]] = {
        "entities": defaultdict(PRFScore),
        "relations": defaultdict(PRFScore),
    }
    for sentence in sentences:
        doc = nlp(sentence.text)
        gold = {item for item in sentence.entities if item[2] in types}
        found = {
            (ent.start_char, ent.end_char, name)
            for ent in doc.ents
            for name in types
            if ent.label_ in TYPES[name]
        }
        related = {item for item in sentence.relations if item[2] in words}
        for key in (sentence.kind, "all"):
            scores["entities"][key].score_set(found, gold)
            _count(scores["relations"][key], doc, related)
    return scores


def _count(score: PRFScore, doc: Doc, gold: set[tuple[Any, Any, str, bool]]) -> None:
    """Count relations: each predicted one matches at most one of gold."""
    left = set(gold)
    for item in get_relation_tuples(doc):
        matches = [
            (head, tail, word, negated)
            for head, tail, word, negated in left
            if item.label in RELATIONS[word] and item.negated == negated
            if (item[:2], item[3:5]) == (head, tail)
            or (word in UNDIRECTED and (item[3:5], item[:2]) == (head, tail))
        ]
        if matches:
            left.discard(matches[0])
            score.tp += 1
        else:
            score.fp += 1
    score.fn += len(left)


def to_table(scores: dict[str, PRFScore], title: str) -> Table:
    """RETURNS (Table): A row a kind, and all below."""
    rows = [
        (kind, score.precision, score.recall, score.fscore, score.tp + score.fn)
        for kind, score in scores.items()
    ]
    rows.sort(key=lambda row: row[0] == "all")
    return Table(title, ("", "P", "R", "F", "Support"), rows[:-1], rows[-1:])
