"""BC5CDR and BioRED as published: counts, splits, alignment, and files that come back unchanged."""

import gzip
from collections import Counter

import pytest
import spacy

from spacy_spanmed.corpora.checks import check_documents
from spacy_spanmed.corpora.formats import pubtator
from spacy_spanmed.pipeline.tokenizer import create_tokenizer
from spacy_spanmed.util.problems import Problems
from tests import ROOT

ASSETS = ROOT / "assets"
# Abstracts, mentions, relations. BC5CDR: Li et al. 2016, doi 10.1093/database/baw068; BioRED: Luo
# et al. 2022, doi 10.1093/bib/bbac282 (mentions: 20,419 in all)
COUNTS = {
    "bc5cdr/CDR_TrainingSet.PubTator.txt.gz": (500, 9385, 1038),
    "bc5cdr/CDR_DevelopmentSet.PubTator.txt.gz": (500, 9591, 1012),
    "bc5cdr/CDR_TestSet.PubTator.txt.gz": (500, 9809, 1066),
    "biored/Train.PubTator": (400, 13351, 4178),
    "biored/Dev.PubTator": (100, 3533, 1162),
    "biored/Test.PubTator": (100, 3535, 1163),
}


def find(name):
    path = ASSETS / name
    if not path.exists():
        pytest.skip(f"needs {path.relative_to(ASSETS.parent)}: run `spacy project assets`")
    return path


def read(name):
    problems, facts = Problems("raise"), Counter()
    return list(check_documents(pubtator.read(find(name), problems), problems, facts))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    documents = read(name)
    mentions = sum(len(document.mentions) for document in documents)
    relations = sum(len(document.relations) for document in documents)
    assert (len(documents), mentions, relations) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_written_again_the_file_is_the_same(name, tmp_path):
    pubtator.write(pubtator.read(find(name), Problems("raise")), tmp_path / "again.txt")
    data = find(name).read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    assert (tmp_path / "again.txt").read_bytes() == data


@pytest.mark.parametrize("corpus", ["bc5cdr", "biored"])
def test_splits_share_no_document(corpus):
    splits = [read(name) for name in COUNTS if name.startswith(corpus)]
    for key in (lambda document: document.id, lambda document: document.text):
        seen = Counter(key(document) for split in splits for document in split)
        assert max(seen.values()) == 1


@pytest.mark.parametrize("corpus", ["bc5cdr", "biored"])
def test_the_tokenizer_loses_at_most_two_mentions_in_a_thousand(corpus):
    tokenize = create_tokenizer(spacy.blank("en"))
    lost = total = 0
    for name in COUNTS:
        for document in read(name) if name.startswith(corpus) else ():
            doc = tokenize(document.text)
            starts = {token.idx for token in doc}
            ends = {token.idx + len(token) for token in doc}
            total += len(document.mentions)
            lost += sum(m.start not in starts or m.end not in ends for m in document.mentions)
    assert total > 0 and lost / total <= 0.002
