"""Baselines that any encoder has to beat: a dictionary, and the most frequent relation.

Both learn from counts alone, run in seconds, and are judged by the scorers of the real pipes.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import spacy
import typer
from rich.console import Console
from rich.progress import track
from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans

from spacy_spanmed.cli.data import hash_data, load_pipeline, read_examples
from spacy_spanmed.doc.layers import ENTITIES, RELATIONS, get_layers
from spacy_spanmed.doc.mentions import Mention, get_mentions
from spacy_spanmed.doc.relations import RelationTuple, get_relation_tuples, set_relation_tuples
from spacy_spanmed.scoring.entities import score_entities
from spacy_spanmed.scoring.relations import score_relations
from spacy_spanmed.scoring.tables import print_scores
from spacy_spanmed.util.files import write_json

from .common import errors, now

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GAPS = (0, 10, 30, 80)  # upper bounds of the distance buckets, in characters

Form = tuple[str, ...]
Feature = tuple[Any, ...]


def dictionary(
    context: typer.Context,
    train: Annotated[Path, typer.Option(help="Data to learn from (.spacy file or directory).")],
    dev: Annotated[Path, typer.Option(help="Data to tune the threshold on.")],
    test: Annotated[Path, typer.Option(help="Data to evaluate on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores.")
    ] = None,
    tokenizer_from: Annotated[
        str | None,
        typer.Option(help="Pipeline whose tokenizer to use. Default: spaCy's English one."),
    ] = None,
    per_type: Annotated[
        bool, typer.Option("--per-type/--brief", help="Print a row for each label, or only totals.")
    ] = True,
) -> None:
    """Look up the training mentions, and relate them by majority vote.

    Example: python -m benchmarks baseline dictionary --train corpus/train.spacy --dev corpus/dev.spacy
    --test corpus/test.spacy --output metrics/baseline_dictionary.json
    """
    data = {"train": train, "dev": dev, "test": test}
    console = Console(stderr=True)

    def show(split: str, description: str) -> Iterable[Doc]:
        return track(docs[split], description, console=console, transient=True)

    with errors(output):
        with console.status("Reading the data"):
            nlp = load_pipeline(tokenizer_from) if tokenizer_from else spacy.blank("en")
            docs = {
                split: [example.reference for example in read_examples(nlp, path)]
                for split, path in data.items()
            }
        if not any(ENTITIES in get_layers(doc) for doc in docs["train"]):
            warnings.warn(
                f"No document in '{train}' carries the entities layer: the dictionary is empty."
            )
        words, relations = DictionaryBaseline(nlp), MajorityRelations()
        words.fit(show("train", "Collecting forms"))
        tuning = words.tune(show("dev", "Tuning the threshold"))
        relations.fit(show("train", "Counting relations"))
        scores = score_baselines(words, relations, show("test", "Evaluating"))
        meta = {
            "name": "dictionary",
            "tokenizer": tokenizer_from or "blank:en",
            "min_share": words.min_share,
            "dev_ents_f_by_min_share": {str(share): f for share, f in tuning.items()},
            "forms": len(words.entries),
            "data": {split: str(path) for split, path in data.items()},
            "data_sha256": {split: hash_data(path) for split, path in data.items()},
            "seed": None,  # nothing is drawn
            "commit": context.obj,
            "date": now(),
        }
        print_scores(Console(), scores, per_type=per_type)
        typer.echo(f"{len(words.entries):,} forms, annotated in at least {words.min_share:.0%}")
        if output is not None:
            write_json(output, {**scores, "meta": meta})
            typer.echo(f"Saved the scores to {output}")


class Entry(NamedTuple):
    """What the training data says about one surface form.

    label (str): The label it carries most often.
    share (float): The part of its occurrences that are annotated, in (0, 1].
    """

    label: str
    share: float


class DictionaryBaseline:
    """Finds the surface forms of the training mentions again.

    A form is a sequence of lower-cased tokens. It is used if at least `min_share` of its
    occurrences in the training texts are annotated; it then gets its most frequent label. Of
    overlapping matches the longest wins, then the leftmost.

    nlp (Language): Only its tokenizer is used.
    min_share (float): Threshold in [0, 1]. Defaults to 0.5; `tune` replaces it.
    """

    def __init__(self, nlp: Language, min_share: float = 0.5) -> None:
        self.nlp = nlp
        self.min_share = min_share
        self.entries: dict[Form, Entry] = {}
        self._matcher = PhraseMatcher(nlp.vocab, attr="LOWER")

    def fit(self, docs: Iterable[Doc]) -> None:
        """Learn the forms. Calling it again starts afresh.

        docs (Iterable[Doc]): Gold Docs; those without the entities layer are passed over, and so
            are mentions that the tokenizer can't express.
        """
        texts: list[Doc] = []
        labels: dict[Form, Counter] = defaultdict(Counter)
        annotated: Counter = Counter()
        for reference in docs:
            if ENTITIES not in get_layers(reference):
                continue
            doc = self.nlp.make_doc(reference.text)
            texts.append(doc)
            places = {}  # one place may carry two labels
            for start, end, label in get_mentions(reference):
                span = doc.char_span(start, end)
                if span is not None:
                    places[start, end] = form = _form(span)
                    labels[form][label] += 1
            annotated.update(places.values())
        self._matcher = PhraseMatcher(self.nlp.vocab, attr="LOWER")
        if labels:
            self._matcher.add("form", [Doc(self.nlp.vocab, words=list(form)) for form in labels])
        occurrences: Counter = Counter()
        for doc in texts:
            occurrences.update(map(_form, self._matcher(doc, as_spans=True)))
        self.entries = {
            # The label with the highest count, the first in the alphabet of several
            form: Entry(
                min(counts, key=lambda label: (-counts[label], label)),
                annotated[form] / occurrences[form],
            )
            for form, counts in labels.items()
        }

    def tune(
        self, docs: Iterable[Doc], shares: Sequence[float] = SHARES
    ) -> dict[float, float | None]:
        """Set `min_share` to the value with the highest micro F1, the highest such of several.

        docs (Iterable[Doc]): Gold Docs for development.
        shares (Sequence[float]): Values to try. Defaults to 0.1, 0.2 ... 0.9.
        RETURNS (dict[float, float | None]): F1 for each value; None without any mention, and
            `min_share` then stays as it is.
        """
        matched = []
        for reference in docs:
            if ENTITIES in get_layers(reference):
                doc = self.nlp.make_doc(reference.text)
                matched.append((Example(doc, reference), self._matches(doc)))
        results: dict[float, float | None] = {}
        for share in shares:
            for example, matches in matched:
                example.predicted.ents = _select(matches, share)
            results[share] = score_entities(example for example, _ in matched)["ents_f"]
        measured = [(f, share) for share, f in results.items() if f is not None]
        if measured:
            self.min_share = max(measured)[1]
        return results

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.ents`.

        doc (Doc): A Doc made by the same tokenizer.
        RETURNS (Doc): The same Doc.
        """
        doc.ents = _select(self._matches(doc), self.min_share)
        return doc

    def _matches(self, doc: Doc) -> list[tuple[Span, float]]:
        """All occurrences of all forms, with label, and the share of the form."""
        found = []
        for span in self._matcher(doc, as_spans=True):
            entry = self.entries[_form(span)]
            found.append((Span(doc, span.start, span.end, entry.label), entry.share))
        return found


def _select(matches: list[tuple[Span, float]], min_share: float) -> list[Span]:
    return filter_spans([span for span, share in matches if share >= min_share])


def _form(span: Span) -> Form:
    return tuple(token.lower_ for token in span)


class MajorityRelations:
    """Gives each ordered pair of mentions the label that most pairs like it have in training.

    Alike are pairs with the same two entity labels, in the same order in the text, and at about
    the same distance; for a combination never seen, the same order and distance. "No relation"
    takes part in the vote, and negation is never predicted.
    """

    def __init__(self) -> None:
        self._votes: dict[Feature, Counter] = {}

    def fit(self, docs: Iterable[Doc]) -> None:
        """Count the labels of all ordered pairs of mentions. Calling it again starts afresh.

        docs (Iterable[Doc]): Gold Docs; those without the relations layer are passed over.
        """
        self._votes = defaultdict(Counter)
        for doc in docs:
            if RELATIONS not in get_layers(doc):
                continue
            labels = defaultdict(set)
            for item in get_relation_tuples(doc):
                labels[item.head_start, item.head_end, item.tail_start, item.tail_end].add(
                    item.label
                )
            for head, tail in _pairs(get_mentions(doc)):
                for feature in _features(head, tail):
                    self._votes[feature].update(labels.get((*head[:2], *tail[:2]), {""}))

    def predict(self, mentions: Sequence[Mention]) -> list[RelationTuple]:
        """The relations between the mentions of one text.

        mentions (Sequence[Mention]): (start, end, label) in characters.
        RETURNS (list[RelationTuple]): The score is the label's share of the vote.
        """
        relations = []
        for head, tail in _pairs(mentions):
            features = _features(head, tail)
            counts = next((self._votes[f] for f in features if f in self._votes), Counter({"": 1}))
            # Of equals, "none" (the empty string here) comes first.
            label = min(counts, key=lambda name: (-counts[name], name))
            if label:
                score = counts[label] / sum(counts.values())
                relations.append(RelationTuple(*head, *tail, label, score))
        return relations


def _pairs(mentions: Sequence[Mention]) -> Iterator[tuple[Mention, Mention]]:
    return ((head, tail) for head in mentions for tail in mentions if head[:2] != tail[:2])


def _features(head: Mention, tail: Mention) -> tuple[Feature, Feature]:
    """The description of an ordered pair, and the coarser one to fall back on."""
    first, second = sorted((head, tail))
    gap = second[0] - first[1]
    # Overlapping mentions have a negative gap and a bucket of their own.
    bucket = -1 if gap < 0 else sum(gap > bound for bound in GAPS)
    coarse = (bucket, head is first)
    return (head[2], tail[2], *coarse), coarse


def score_baselines(
    words: DictionaryBaseline, relations: MajorityRelations, docs: Iterable[Doc]
) -> dict[str, Any]:
    """Score fitted baselines the way the real pipes are scored.

    words (DictionaryBaseline): For the entities. relations (MajorityRelations): For the relations.
    docs (Iterable[Doc]): Gold Docs.
    RETURNS (dict[str, Any]): The keys of `score_entities`, and those of `score_relations` with
        the prefixes "rel_gold" (gold mentions) and "rel" (mentions from the dictionary).
    """
    end_to_end, given_gold = [], []
    for reference in docs:
        predicted = words(words.nlp.make_doc(reference.text))
        end_to_end.append(Example(predicted, reference))
        if RELATIONS in get_layers(reference):
            set_relation_tuples(predicted, relations.predict(get_mentions(predicted)))
            helped = words.nlp.make_doc(reference.text)
            set_relation_tuples(helped, relations.predict(get_mentions(reference)))
            given_gold.append(Example(helped, reference))
    return {
        **score_entities(end_to_end),
        **score_relations(given_gold, prefix="rel_gold"),
        **score_relations(end_to_end),
    }
