"""Baselines that any encoder has to beat: a dictionary, and the most frequent relation.

Both learn from counts alone, run in seconds, and are judged by the scorers of the real pipes.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from rich.console import Console
from rich.progress import Progress as ProgressBar
from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans

from spacy_spanmed.cli.evaluate import hash_data, load_pipeline, read_examples
from spacy_spanmed.doc.layers import ENTITIES, RELATIONS, get_layers
from spacy_spanmed.doc.mentions import Mention, get_mentions
from spacy_spanmed.doc.relations import RelationTuple, get_relation_tuples, set_relation_tuples
from spacy_spanmed.scoring.entities import score_entities
from spacy_spanmed.scoring.relations import score_relations

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GAPS = (0, 10, 30, 80)  # upper bounds of the distance buckets, in characters

Form = tuple[str, ...]
Feature = tuple[Any, ...]
Progress = Callable[[Iterable[Doc], str], Iterable[Doc]]


def _silent(docs: Iterable[Doc], description: str) -> Iterable[Doc]:
    return docs


@dataclass(frozen=True)
class Entry:
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
    """

    def __init__(self, nlp: Language, min_share: float = 0.5) -> None:
        """Create an empty dictionary.

        nlp (Language): Only its tokenizer is used.
        min_share (float): Threshold in [0, 1]. Defaults to 0.5; `tune` replaces it.
        """
        self.nlp = nlp
        self.min_share = min_share
        self.entries: dict[Form, Entry] = {}
        self._matcher = PhraseMatcher(nlp.vocab, attr="LOWER")

    def fit(self, docs: Iterable[Doc], progress: Progress = _silent) -> None:
        """Learn the forms. Calling it again starts afresh.

        docs (Iterable[Doc]): Gold Docs; those without the entities layer are passed over, and so
            are mentions that the tokenizer can't express.
        progress (Callable): Wraps an iterable of Docs, with a description. Defaults to none.
        """
        texts: list[Doc] = []
        labels: dict[Form, Counter] = defaultdict(Counter)
        annotated: Counter = Counter()
        patterns: dict[Form, Doc] = {}
        for reference in progress(docs, "Collecting forms"):
            if ENTITIES not in get_layers(reference):
                continue
            doc = self.nlp.make_doc(reference.text)
            texts.append(doc)
            places = set()
            for start, end, label in get_mentions(reference):
                span = doc.char_span(start, end)
                if span is None:
                    continue
                form = _form(span)
                labels[form][label] += 1
                if (start, end) not in places:  # one place may carry two labels
                    places.add((start, end))
                    annotated[form] += 1
                if form not in patterns:
                    patterns[form] = Doc(self.nlp.vocab, words=[token.text for token in span])
        self._matcher = PhraseMatcher(self.nlp.vocab, attr="LOWER")
        if patterns:
            self._matcher.add("form", list(patterns.values()))
        occurrences: Counter = Counter()
        for doc in progress(texts, "Counting occurrences"):
            occurrences.update(_form(span) for span in self._matcher(doc, as_spans=True))
        self.entries = {
            form: Entry(_most_frequent(counts), annotated[form] / occurrences[form])
            for form, counts in labels.items()
        }

    def tune(
        self, docs: Iterable[Doc], shares: Sequence[float] = SHARES, progress: Progress = _silent
    ) -> dict[float, float | None]:
        """Set `min_share` to the value with the highest micro F1, the highest such of several.

        docs (Iterable[Doc]): Gold Docs for development.
        shares (Sequence[float]): Values to try. Defaults to 0.1, 0.2 ... 0.9.
        progress (Callable): Wraps an iterable of Docs, with a description. Defaults to none.
        RETURNS (dict[float, float | None]): F1 for each value; None without any mention, and
            `min_share` then stays as it is.
        """
        scored = [doc for doc in docs if ENTITIES in get_layers(doc)]
        matched = []
        for reference in progress(scored, "Tuning the threshold"):
            doc = self.nlp.make_doc(reference.text)
            matched.append((Example(doc, reference), self._matches(doc)))
        results: dict[float, float | None] = {}
        for share in shares:
            for example, matches in matched:
                example.predicted.ents = self._select(matches, share)
            results[share] = score_entities(example for example, _ in matched)["ents_f"]
        measured = {share: f for share, f in results.items() if f is not None}
        if measured:
            self.min_share = max(measured, key=lambda share: (measured[share], share))
        return results

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.ents`.

        doc (Doc): A Doc made by the same tokenizer.
        RETURNS (Doc): The same Doc.
        """
        doc.ents = self._select(self._matches(doc), self.min_share)
        return doc

    def _matches(self, doc: Doc) -> list[tuple[Span, float]]:
        """All occurrences of all forms, with label, and the share of the form."""
        found = []
        for span in self._matcher(doc, as_spans=True):
            entry = self.entries[_form(span)]
            found.append((Span(doc, span.start, span.end, entry.label), entry.share))
        return found

    @staticmethod
    def _select(matches: list[tuple[Span, float]], min_share: float) -> list[Span]:
        return filter_spans([span for span, share in matches if share >= min_share])


def _form(span: Span) -> Form:
    return tuple(token.lower_ for token in span)


def _most_frequent(counts: Counter) -> str:
    """The label with the highest count, the first in the alphabet of several."""
    return min(counts, key=lambda label: (-counts[label], label))


class MajorityRelations:
    """Gives each ordered pair of mentions the label that most pairs like it have in training.

    Alike are pairs with the same two entity labels, in the same order in the text, and at about
    the same distance; for a combination never seen, the same order and distance. "No relation"
    takes part in the vote, and negation is never predicted.
    """

    def __init__(self) -> None:
        self._votes: dict[Feature, Counter] = {}

    def fit(self, docs: Iterable[Doc], progress: Progress = _silent) -> None:
        """Count the labels of all ordered pairs of mentions. Calling it again starts afresh.

        docs (Iterable[Doc]): Gold Docs; those without the relations layer are passed over.
        progress (Callable): Wraps an iterable of Docs, with a description. Defaults to none.
        """
        votes: dict[Feature, Counter] = defaultdict(Counter)
        for doc in progress(docs, "Counting relations"):
            if RELATIONS not in get_layers(doc):
                continue
            labels = defaultdict(set)
            for item in get_relation_tuples(doc):
                pair = (item.head_start, item.head_end, item.tail_start, item.tail_end)
                labels[pair].add(item.label)
            for head, tail in _pairs(get_mentions(doc)):
                found = labels.get((*head[:2], *tail[:2]), {None})
                for feature in _features(head, tail):
                    votes[feature].update(found)
        self._votes = dict(votes)

    def predict(self, mentions: Sequence[Mention]) -> list[RelationTuple]:
        """The relations between the mentions of one text.

        mentions (Sequence[Mention]): (start, end, label) in characters.
        RETURNS (list[RelationTuple]): The score is the label's share of the vote.
        """
        relations = []
        for head, tail in _pairs(mentions):
            counts = next((self._votes[f] for f in _features(head, tail) if f in self._votes), None)
            if counts is None:
                continue
            # Of equals, "none" (written as the empty string here) comes first.
            label = min(counts, key=lambda name: (-counts[name], name or ""))
            if label is not None:
                score = counts[label] / sum(counts.values())
                relations.append(RelationTuple(*head, *tail, label, score))
        return relations


def _pairs(mentions: Sequence[Mention]) -> Iterable[tuple[Mention, Mention]]:
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
    dictionary: DictionaryBaseline,
    relations: MajorityRelations,
    docs: Iterable[Doc],
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Score fitted baselines the way the real pipes are scored.

    dictionary (DictionaryBaseline): For the entities.
    relations (MajorityRelations): For the relations.
    docs (Iterable[Doc]): Gold Docs.
    progress (Callable): Wraps an iterable of Docs, with a description. Defaults to none.
    RETURNS (dict[str, Any]): The keys of `score_entities`, and those of `score_relations` with
        the prefixes "rel_gold" (gold mentions) and "rel" (mentions from the dictionary).
    """
    end_to_end, given_gold = [], []
    for reference in progress(docs, "Evaluating"):
        predicted = dictionary(dictionary.nlp.make_doc(reference.text))
        end_to_end.append(Example(predicted, reference))
        if RELATIONS in get_layers(reference):
            set_relation_tuples(predicted, relations.predict(get_mentions(predicted)))
            helped = dictionary.nlp.make_doc(reference.text)
            set_relation_tuples(helped, relations.predict(get_mentions(reference)))
            given_gold.append(Example(helped, reference))
    return {
        **score_entities(end_to_end),
        **score_relations(given_gold, prefix="rel_gold"),
        **score_relations(end_to_end),
    }


def run_baseline(
    data: Mapping[str, Path], tokenizer_from: str | None, console: Console
) -> dict[str, Any]:
    """Learn from train, tune on dev, score on test.

    data (Mapping[str, Path]): `.spacy` files or folders, by "train", "dev" and "test".
    tokenizer_from (str | None): Pipeline whose tokenizer to use. None: spaCy's English one.
    console (Console): Shows the progress.
    RETURNS (dict[str, Any]): As `score_baselines`, and "meta": what was read and found.
    RAISES (ValueError): If the data or the pipeline can't be read. Warns if train has no entities.
    """
    with console.status("Reading the data"):
        nlp = spacy.blank("en") if tokenizer_from is None else load_pipeline(tokenizer_from)
        docs = {
            split: [example.reference for example in read_examples(nlp, path)]
            for split, path in data.items()
        }
    if not any(ENTITIES in get_layers(doc) for doc in docs["train"]):
        warnings.warn(
            f"No document in '{data['train']}' carries the entities layer: the dictionary is empty."
        )
    words, relations = DictionaryBaseline(nlp), MajorityRelations()
    with ProgressBar(console=console, transient=True) as bar:

        def track(docs: Iterable[Doc], description: str) -> Iterable[Doc]:
            return bar.track(list(docs), description=description)

        words.fit(docs["train"], track)
        tuning = words.tune(docs["dev"], progress=track)
        relations.fit(docs["train"], track)
        scores = score_baselines(words, relations, docs["test"], track)
    meta = {
        "name": "dictionary",
        "tokenizer": tokenizer_from or "blank:en",
        "min_share": words.min_share,
        "dev_ents_f_by_min_share": {str(share): f for share, f in tuning.items()},
        "forms": len(words.entries),
        "data": {split: str(path) for split, path in data.items()},
        "data_sha256": {split: hash_data(path) for split, path in data.items()},
        "seed": None,  # nothing is drawn
    }
    return {**scores, "meta": meta}
