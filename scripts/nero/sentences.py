"""NERO's rows become annotated sentences: policies for what annotators left open.

Dense sets (manualset2, manualset3) annotate all entities of a sentence; the other sets annotate
statements between two arguments and nothing else. One sentence text becomes one
`AnnotatedText`, and every row of the file meets exactly one fate, which is counted.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from spacy_spanmed.doc.layers import ENTITIES, RELATIONS
from spacy_spanmed.doc.mentions import Mention
from spacy_spanmed.doc.relations import RelationTuple
from spacy_spanmed.util.problems import CorpusError

from .occurrences import Offsets, candidate_occurrences, nearest_pair, place_in_order
from .rows import NeroRow
from .short_forms import split_short_form
from .spacing import restore_spacing
from .tables import SYMMETRIC, UNKNOWN, UNREADABLE, load_entity_table, read_action

SOURCE = "nero"
DENSE_SETS = frozenset({"manualset2", "manualset3"})
TEST_SENTENCE = 12  # "asd", "testing"
TEST_ANNOTATOR = "9"

# The fates of rows, in the order in which they are decided.
MENTION = "mention kept"
MENTION_REPEATED = "mention dropped: repeats one at the same place"
DENSE_SECOND = "mention dropped: another annotator's version of the sentence is used"
DENSE_UNREADABLE = "mention dropped: a class in its sentence can't be read"
DENSE_NOT_VERBATIM = "mention dropped: a mention of its sentence isn't there verbatim"
RELATION = "relation kept"
RELATION_REPEATED = "relation merged: same arguments and label as a kept one"
RELATION_OUTVOTED = "relation merged: same arguments as a kept one, other label"
TEST_ROW = "statement dropped: test row of the annotation tool"
MALFORMED = "statement dropped: shifted or cut columns"
MISSING = "statement dropped: an argument is missing"
NESTED = "statement dropped: an argument is another statement"
EQUAL = "statement dropped: both arguments are the same"
NO_ACTION = "statement dropped: no action"
NOT_VERBATIM = "statement dropped: an argument isn't in the sentence verbatim"

SHORT_FORMS = "mentions added: a short form that was one with its long form"

_NESTED_ARGUMENT = re.compile(r"statements?\s*\d+(\s*(&|and|,)\s*\d+)*", re.IGNORECASE)


@dataclass
class AnnotatedText:
    """A sentence (in the topic_* sets an abstract) with its annotation.

    id (str): "nero-" and the lowest sentence identifier in the file.
    source (str): The text as the file has it, with white space normalised.
    text (str): The text with natural spacing, to which all offsets belong.
    annotator (str): The annotator of its first layer; the one with most rows, if several.
    papers (set[str]): PubMed identifiers of the papers it comes from, if known.
    layers (list[str]): The annotation layers; without any, it is just text.
    mentions (list[Mention]): With the layer "entities" all its mentions, else the arguments.
    relations (list[RelationTuple]): Statements between arguments.
    """

    id: str
    source: str
    text: str
    annotator: str
    papers: set[str]
    layers: list[str] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    relations: list[RelationTuple] = field(default_factory=list)


@dataclass
class Conversion:
    """Everything that came of the file.

    texts (list[AnnotatedText]): One for each distinct text of the file, sorted, with and without
        annotation.
    fates (Counter): Fate to number of rows; the total is the number of rows in the file.
    facts (Counter): Further counts, named in words.
    """

    texts: list[AnnotatedText] = field(default_factory=list)
    fates: Counter = field(default_factory=Counter)
    facts: Counter = field(default_factory=Counter)


class _Vote(NamedTuple):
    """A row's say on a pair of arguments, each with its class's label, and on their relation."""

    head: tuple[Offsets, str]
    tail: tuple[Offsets, str]
    label: str
    negated: bool
    annotator: str


def convert(rows: Iterable[NeroRow], source: str) -> Conversion:
    """Convert rows to annotated texts. The result doesn't depend on the rows' order.

    rows (Iterable[NeroRow]): All rows of the file.
    source (str): The file's name, for messages.
    RETURNS (Conversion): Texts and counts.
    RAISES (CorpusError): If a semantic class isn't in the table.
    """
    classes = load_entity_table()
    dense: dict[str, list[NeroRow]] = defaultdict(list)
    stated: dict[str, list[NeroRow]] = defaultdict(list)
    for row in rows:
        for name in (row.class1, row.class2):
            if name not in classes:
                raise CorpusError(
                    f"{source}, line {row.line}: unknown semantic class {name!r}. Add a line for "
                    "it to scripts/nero/nero_entities.tsv."
                )
        (dense if row.procset in DENSE_SETS else stated)[row.text].append(row)
    result = Conversion()
    result.facts["distinct texts"] = len(dense.keys() | stated.keys())
    result.facts["texts in both kinds of sets"] = len(dense.keys() & stated.keys())
    ids: Counter = Counter()
    for text in sorted(dense.keys() | stated.keys()):
        own = dense[text] + stated[text]
        name = f"{SOURCE}-{min(row.sentence for row in own)}"
        ids[name] += 1
        annotated = AnnotatedText(
            # A few sentence identifiers stand for two texts; the later ones get a letter.
            id=name if ids[name] == 1 else name + chr(ord("a") + ids[name] - 1),
            source=text,
            text=text,
            annotator=_main_annotator(dense[text] or stated[text]),
            papers={row.paper for row in own if row.paper},
        )
        if dense[text]:
            _add_mentions(annotated, sorted(dense[text], key=_row_key), result)
        if stated[text]:
            votes = _read_statements(sorted(stated[text], key=_row_key), result.fates)
            _add_relations(annotated, votes, result)
        _split_short_forms(annotated, result.facts)
        _restore_spacing(annotated, result.facts)
        result.texts.append(annotated)
    return result


def _label(name: str) -> str:
    return load_entity_table()[name].label


def _row_key(row: NeroRow) -> tuple[int, int, int]:
    return (_annotator_key(row.annotator), row.order, row.number)


def _annotator_key(annotator: str) -> int:
    return int(annotator) if annotator.isdigit() else 10**9


def _main_annotator(rows: list[NeroRow]) -> str:
    counts = Counter(row.annotator for row in rows)
    return min(counts, key=lambda name: (-counts[name], _annotator_key(name), name))


def _add_mentions(annotated: AnnotatedText, rows: list[NeroRow], result: Conversion) -> None:
    """Add the layer "entities", or leave the sentence without it if one mention can't be had:
    what isn't annotated would be taken for "no entity"."""
    fates, facts = result.fates, result.facts
    own = [row for row in rows if row.annotator == annotated.annotator]
    fates[DENSE_SECOND] += len(rows) - len(own)
    facts["sentences of the dense sets"] += 1
    if any(_label(row.class1) in (UNKNOWN, UNREADABLE) for row in own):
        fates[DENSE_UNREADABLE] += len(own)
        facts["dense sentences left out: unreadable class"] += 1
        return
    missing = sum(not row.entity1 or row.entity1 not in annotated.text for row in own)
    if missing:
        fates[DENSE_NOT_VERBATIM] += len(own)
        facts["dense sentences left out: mention not verbatim"] += 1
        facts["mentions that aren't verbatim in their sentence"] += missing
        return
    places = place_in_order(annotated.text, [row.entity1 for row in own])
    mentions: dict[Offsets, str] = {}
    for row, place in zip(own, places):
        if place is None:
            fates[MENTION_REPEATED] += 1
            continue
        fates[MENTION] += 1
        mentions[place] = _label(row.class1)
    for string in {row.entity1 for row in own}:
        for place in candidate_occurrences(annotated.text, string):
            if not any(a <= place[0] and place[1] <= b for a, b in mentions):
                facts["other occurrences of a mention's string, left without annotation"] += 1
    annotated.layers.append(ENTITIES)
    annotated.mentions = sorted((start, end, label) for (start, end), label in mentions.items())


def _split_short_forms(annotated: AnnotatedText, facts: Counter) -> None:
    """Make "long form ( SHORT )" two mentions where all entities are marked. An argument of a
    relation stays as it is."""
    if ENTITIES not in annotated.layers:
        return
    arguments = {ends for item in annotated.relations for ends in (item[:2], item[3:5])}
    mentions = set(annotated.mentions)
    for mention in annotated.mentions:
        start, end, label = mention
        forms = split_short_form(annotated.text[start:end])
        if forms and (start, end) not in arguments:
            mentions.remove(mention)
            mentions |= {(start + a, start + b, label) for a, b in forms}
    facts[SHORT_FORMS] += len(mentions) - len(annotated.mentions)
    annotated.mentions = sorted(mentions)


def _restore_spacing(annotated: AnnotatedText, facts: Counter) -> None:
    text, move = (restored := restore_spacing(annotated.text)).text, restored.move
    facts["texts whose spacing was restored"] += text != annotated.text
    annotated.text = text
    annotated.mentions = [(*move(start, end), label) for start, end, label in annotated.mentions]
    relations = []
    for item in annotated.relations:
        (start, end), (tail_start, tail_end) = move(*item[:2]), move(*item[3:5])
        moved = item._replace(head_start=start, head_end=end)
        relations.append(moved._replace(tail_start=tail_start, tail_end=tail_end))
    annotated.relations = relations


def _read_statements(rows: list[NeroRow], fates: Counter) -> list[_Vote]:
    """Drop the statements that can't be used, locate the arguments of the others."""
    votes = []
    for row in rows:
        if row.sentence == TEST_SENTENCE or row.annotator == TEST_ANNOTATOR:
            fates[TEST_ROW] += 1
        elif row.malformed or UNREADABLE in (_label(row.class1), _label(row.class2)):
            fates[MALFORMED] += 1
        elif not row.entity1 or not row.entity2:
            fates[MISSING] += 1
        elif _NESTED_ARGUMENT.fullmatch(row.entity1) or _NESTED_ARGUMENT.fullmatch(row.entity2):
            fates[NESTED] += 1
        elif row.entity1 == row.entity2:
            fates[EQUAL] += 1
        elif not row.action:
            fates[NO_ACTION] += 1
        elif (pair := nearest_pair(row.text, row.entity1, row.entity2)) is None:
            fates[NOT_VERBATIM] += 1
        elif pair[0] == pair[1]:  # "MAPK" and "MAPKs"
            fates[EQUAL] += 1
        else:
            pattern, negated = read_action(row.action)
            head, tail = (pair[0], _label(row.class1)), (pair[1], _label(row.class2))
            if pattern.inverse or (pattern.label in SYMMETRIC and tail < head):
                head, tail = tail, head
            votes.append(_Vote(head, tail, pattern.label, negated, row.annotator))
    return votes


def _add_relations(annotated: AnnotatedText, votes: list[_Vote], result: Conversion) -> None:
    """Add the layer "relations": the union of all annotators' pairs, one label for each."""
    fates, facts = result.fates, result.facts
    facts["sentences of the statement sets"] += 1
    if not votes:
        facts["statement sentences left out: no usable statement"] += 1
        return
    labels = _argument_labels(votes)
    pairs: dict[tuple[Offsets, Offsets], list[_Vote]] = defaultdict(list)
    for vote in votes:
        pairs[vote.head[0], vote.tail[0]].append(vote)
    for (head, tail), own in sorted(pairs.items()):
        # Votes are sorted by annotator: in a tie the lowest annotator's first row decides.
        counts = Counter((vote.label, vote.negated) for vote in own)
        (label, negated), agreeing = counts.most_common(1)[0]
        fates[RELATION] += 1
        fates[RELATION_REPEATED] += agreeing - 1
        fates[RELATION_OUTVOTED] += len(own) - agreeing
        if len({vote.annotator for vote in own}) > 1:
            facts["pairs with several annotators"] += 1
            facts["pairs whose annotators differ in label or negation"] += len(counts) > 1
        annotated.relations.append(
            RelationTuple(*head, labels[head], *tail, labels[tail], label, 1.0, negated)
        )
    annotated.layers.append(RELATIONS)
    if ENTITIES in annotated.layers:
        known = {(start, end) for start, end, _ in annotated.mentions}
        facts["arguments in sentences with entities"] += len(labels)
        facts["arguments that aren't among their sentence's mentions"] += len(labels.keys() - known)
    else:
        annotated.mentions = sorted((start, end, label) for (start, end), label in labels.items())
    facts["arguments"] += len(labels)
    facts["arguments without a class"] += sum(not label for label in labels.values())


def _argument_labels(votes: list[_Vote]) -> dict[Offsets, str]:
    """One label for each argument: the most frequent one, empty only if nobody gave a class."""
    counts: dict[Offsets, Counter] = defaultdict(Counter)
    for vote in votes:
        for offsets, label in (vote.head, vote.tail):
            counts[offsets][label] += 1
    return {
        offsets: max(own, key=lambda label: (label != UNKNOWN, own[label]))
        for offsets, own in counts.items()
    }
