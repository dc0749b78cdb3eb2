"""The published file: tables, sums, and no leakage between splits."""

import re
from collections import Counter, defaultdict
from importlib.resources import files
from itertools import combinations

import pytest
import spacy

from scripts.nero.build import DEV_DOCS, TEST_DOCS, make_docs, select, split_corpus
from scripts.nero.rows import find_nero_file, read_rows
from scripts.nero.sentences import DENSE_SETS, MENTION, RELATION, SHORT_FORMS, convert
from scripts.nero.tables import (
    SYMMETRIC,
    UNKNOWN,
    UNREADABLE,
    load_entity_table,
    load_relation_table,
    normalize_action,
    read_action,
)
from spacy_spanmed.corpora.alignment import lost_mentions
from spacy_spanmed.corpora.convert import SPLITS
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.pipeline.tokenizer import create_tokenizer

pytest.importorskip("NERO", reason="pip install NERO-nlp")
ROWS = 217_564


@pytest.fixture(scope="module")
def rows():
    return list(read_rows(find_nero_file()))


@pytest.fixture(scope="module")
def corpus(rows):
    return split_corpus(convert(rows, "NERO"))


def test_fates_add_up_to_the_file(corpus, rows):
    assert len(rows) == ROWS
    assert sum(corpus.conversion.fates.values()) == ROWS
    mentions = sum(len(t.mentions) for t in corpus.texts if "entities" in t.layers)
    relations = sum(len(t.relations) for t in corpus.texts)
    added = corpus.conversion.facts[SHORT_FORMS]
    assert added > 1700
    assert corpus.conversion.fates[MENTION] + added == mentions
    assert corpus.conversion.fates[RELATION] == relations


def test_entity_table_counts_equal_the_files(rows):
    dense = Counter(row.class1 for row in rows if row.procset in DENSE_SETS)
    arguments = Counter(
        name for row in rows if row.procset not in DENSE_SETS for name in (row.class1, row.class2)
    )
    table = load_entity_table()
    assert {name: c.dense_rows for name, c in table.items() if c.dense_rows} == dense
    assert {name: c.arguments for name, c in table.items() if c.arguments} == arguments
    lines = files("scripts.nero").joinpath("nero_entities.tsv").read_text("utf8").splitlines()
    assert len(table) == sum(not line.startswith("#") for line in lines) - 1  # no class twice
    assert len({c.label for c in table.values()} - {UNKNOWN, UNREADABLE}) == 17


def test_relation_table_counts_equal_the_files(rows):
    negation, *patterns = load_relation_table()
    lines, negated = Counter(), 0
    actions = defaultdict(set)
    for row in rows:
        if row.procset not in DENSE_SETS:
            action = read_action(row.action)
            lines[action.pattern] += 1
            negated += action.negated
            actions[action.pattern].add(normalize_action(row.action))
    for item in patterns:
        assert (item.rows, item.actions) == (lines[item], len(actions[item])), item.pattern
    assert len(patterns) == len(set(patterns))
    assert (negation.label, negation.rows) == ("(negated)", negated)
    labels = {item.label for item in patterns}
    assert len(labels) == 12
    assert labels >= SYMMETRIC


def test_split_sizes_layers_and_annotators(corpus):
    counts = Counter(s for s, t in zip(corpus.splits, corpus.texts) if t.layers)
    assert abs(counts["dev"] - DEV_DOCS) <= 10
    assert abs(counts["test"] - TEST_DOCS) <= 10
    shares = defaultdict(Counter)
    for split, item in zip(corpus.splits, corpus.texts):
        if item.layers:
            shares["+".join(item.layers), item.annotator][split] += 1
    for counter in shares.values():
        if counter.total() > 200:
            assert counter["test"] / counter.total() == pytest.approx(0.078, abs=0.02)
            assert counter["dev"] / counter.total() == pytest.approx(0.0375, abs=0.02)


def test_no_paper_is_in_two_splits(corpus, rows):
    split_of = {item.source: split for item, split in zip(corpus.texts, corpus.splits)}
    papers = defaultdict(set)
    for row in rows:
        if row.paper:
            papers[row.paper].add(split_of[row.text])
    assert len(papers) > 8000
    assert {len(splits) for splits in papers.values()} == {1}


def test_no_near_duplicate_is_in_two_splits(corpus):
    """An independent check, with other means: every held-out text is compared by words with the
    texts of other splits that share one of its four rarest words and two others."""
    words = [set(re.findall(r"[a-z0-9]+", item.text.lower())) for item in corpus.texts]
    frequency = Counter(word for own in words for word in own)
    holders = defaultdict(list)
    for i, own in enumerate(words):
        for word in own:
            if frequency[word] <= 150:
                holders[word].append(i)
    worst = 0.0
    for i, split in enumerate(corpus.splits):
        if split == "train":
            continue
        rare = sorted(words[i], key=lambda w: (frequency[w], w))[:4]
        shared = {j for w in rare for j in holders[w] if corpus.splits[j] != split}
        for j in shared:
            if len(words[j]) < 0.7 * len(words[i]) or len(words[i]) < 0.7 * len(words[j]):
                continue
            if len(words[i] & words[j]) < 3:
                continue
            a, b = characters(corpus.texts[i].text), characters(corpus.texts[j].text)
            worst = max(worst, len(a & b) / len(a | b))
    assert 0.2 < worst < 0.7


def characters(text):
    text = "".join(c for c in text.lower() if c.isalnum()).ljust(5)
    return {text[i : i + 5] for i in range(len(text) - 4)}


def test_no_held_out_sentence_lies_in_another_splits_text(corpus):
    joined = {split: [] for split in SPLITS}
    for item, split in zip(corpus.texts, corpus.splits):
        joined[split].append("".join(c for c in item.text.lower() if c.isalnum()))
    assert not any(set(joined[a]) & set(joined[b]) for a, b in combinations(SPLITS, 2))
    everything = {split: "\n".join(texts) for split, texts in joined.items()}
    for split in ("dev", "test"):
        others = [everything[other] for other in SPLITS if other != split]
        # 24 characters are 20 shingles: what's shorter may recur ("Materials and methods").
        long = [text for text in joined[split] if len(text) >= 24]
        for text in long[::25]:  # a sample, for time
            assert not any(text in other for other in others), text


def test_docs_express_every_mention_and_few_are_lost_to_the_tokenizer(corpus):
    tokenize = create_tokenizer(spacy.blank("en"))
    chosen = select(corpus, 1500)
    docs = list(make_docs(corpus, chosen, tokenize))
    for i, doc in zip(chosen, docs):
        item = corpus.texts[i]
        assert doc.text == item.text
        marked = any(label for _, _, label in item.mentions)
        partial = corpus.splits[i] == "train" and "entities" not in item.layers and marked
        assert get_mentions(doc) == sorted({m for m in item.mentions if m[2] or not partial})
        assert get_layers(doc) == {*item.layers, *(["entities"] if partial else [])}
        assert doc.has_annotation("ENT_IOB") == ("entities" in get_layers(doc))
        # Of a statement's sentence only the arguments are known, and only in training
        if "entities" in get_layers(doc):
            unknown = {t.i for t in doc if t.ent_iob == 0}
            others = {t.i for t in doc} - {t.i for ent in doc.ents for t in ent}
            assert unknown == (others if partial else set())
    dense = [doc for i, doc in zip(chosen, docs) if "entities" in corpus.texts[i].layers]
    assert lost_mentions(dense, tokenize).share < 0.002
    assert lost_mentions(docs, tokenize).share < 0.005
