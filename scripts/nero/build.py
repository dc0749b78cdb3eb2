"""From NERO's sentences to the files of a corpus: splits, Docs, pretraining texts."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from spacy.tokens import Doc, DocBin

from spacy_spanmed.corpora.alignment import Tokenize, make_gold_doc
from spacy_spanmed.corpora.convert import DEV, SPLITS, TRAIN, stable_hash
from spacy_spanmed.corpora.docbin import DOC_ATTRIBUTES
from spacy_spanmed.doc.layers import ENTITIES
from spacy_spanmed.util.files import write_atomically, write_text_atomically

from .sentences import SOURCE, AnnotatedText, Conversion
from .splits import assign_splits, cluster, near_duplicate_pairs, proportional

DEV_DOCS = 1200  # spaCy evaluates dev many times in a training: keep it small
TEST_DOCS = 2500
DEV_SHARE = 0.05  # of all Docs, at most: for files smaller than the published one
TEST_SHARE = 0.1


@dataclass
class Corpus:
    """NERO with its splits, before any file is written.

    conversion (Conversion): The texts and what became of the rows.
    clusters (list[int]): For each text its cluster (paper or near-duplicates).
    splits (list[str]): For each text "train", "dev" or "test".
    duplicates (int): Number of pairs of near-duplicates.
    """

    conversion: Conversion
    clusters: list[int]
    splits: list[str]
    duplicates: int

    @property
    def texts(self) -> list[AnnotatedText]:
        """RETURNS (list[AnnotatedText]): The texts, aligned with clusters and splits."""
        return self.conversion.texts

    def group(self, index: int) -> str:
        """RETURNS (str): The name of a text's cluster: the id of the cluster's first text."""
        return self.texts[self.clusters[index]].id


def split_corpus(conversion: Conversion, seed: int = 0) -> Corpus:
    """Find clusters and assign splits.

    conversion (Conversion): The texts.
    seed (int): Seed of the splits. Defaults to 0.
    RETURNS (Corpus): Texts, clusters and splits.
    """
    texts = conversion.texts
    pairs = near_duplicate_pairs([item.text for item in texts])
    papers: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(texts):
        for paper in item.papers:
            papers[paper].append(i)
    clusters = cluster(len(texts), [*papers.values(), *pairs])
    documents = sum(bool(item.layers) for item in texts)
    splits = assign_splits(
        clusters,
        [f"{'+'.join(t.layers)} by {t.annotator}" if t.layers else "" for t in texts],
        [item.source for item in texts],
        dev=min(DEV_DOCS, round(documents * DEV_SHARE)),
        test=min(TEST_DOCS, round(documents * TEST_SHARE)),
        seed=seed,
    )
    return Corpus(conversion, clusters, splits, len(pairs))


def select(corpus: Corpus, limit: int | None, seed: int = 0) -> list[int]:
    """Choose the texts that become Docs.

    corpus (Corpus): The whole corpus.
    limit (int | None): At most about this many, in the corpus's proportion of splits and
        layers, but at least two of each combination that exists. None for all.
    seed (int): Seed of the choice. Defaults to 0.
    RETURNS (list[int]): Positions in `corpus.texts`, ascending.
    """
    cells: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(corpus.texts):
        if item.layers:
            cells[f"{corpus.splits[i]} {'+'.join(item.layers)}"].append(i)
    if limit is None:
        return sorted(i for items in cells.values() for i in items)
    shares = proportional(limit, {name: len(items) for name, items in cells.items()})
    chosen = []
    for name, items in cells.items():
        items.sort(key=lambda i: (stable_hash(seed, corpus.texts[i].source), i))
        chosen.extend(items[: max(2, shares[name])])
    return sorted(chosen)


def make_docs(corpus: Corpus, indices: Iterable[int], tokenize: Tokenize) -> Iterator[Doc]:
    """Build the gold Docs.

    corpus (Corpus): The corpus.
    indices (Iterable[int]): Positions in `corpus.texts`.
    tokenize (Callable[[str], Doc]): The pipeline's tokenizer.
    YIELDS (Doc): A Doc for each position.
    """
    for i in indices:
        item = corpus.texts[i]
        # Of a statement only the arguments are marked. In training they are entities among what is
        # unknown; where it is scored, what isn't marked would count as wrong.
        labelled = [mention for mention in item.mentions if mention[2]]
        partial = bool(labelled) and ENTITIES not in item.layers and corpus.splits[i] == TRAIN
        layers = [ENTITIES, *item.layers] if partial else item.layers
        mentions = labelled if partial else item.mentions
        meta = {"id": item.id, "source": SOURCE, "annotator": item.annotator}
        meta["group"] = corpus.group(i)
        yield make_gold_doc(
            tokenize, item.text, mentions, item.relations, layers=layers, partial=partial, meta=meta
        )


def write_corpus(
    corpus: Corpus, output: Path, tokenize: Tokenize, *, limit: int | None = None, seed: int = 0
) -> dict[str, list[Doc]]:
    """Write train.spacy, dev.spacy, test.spacy, and texts to pretrain on.

    pretrain_dev.jsonl has the texts of the dev Docs; pretrain.jsonl those of the train Docs, and
    texts left out for their annotation, unless they share a cluster with dev or test.

    corpus (Corpus): The corpus.
    output (Path): The folder; made if it isn't there.
    tokenize (Callable[[str], Doc]): The pipeline's tokenizer.
    limit (int | None): Number of Docs of a small sample, beside which a tenth as many of the
        left-out texts are taken. Defaults to None: all.
    seed (int): Seed of the sample. Defaults to 0.
    RETURNS (dict[str, list[Doc]]): The Docs of each split.
    """
    output.mkdir(parents=True, exist_ok=True)
    chosen = select(corpus, limit, seed)
    docs: dict[str, list[Doc]] = {split: [] for split in SPLITS}
    shown = track(chosen, "Building Docs", console=Console(stderr=True))
    for i, doc in zip(shown, make_docs(corpus, chosen, tokenize)):
        docs[corpus.splits[i]].append(doc)
    for split, own in docs.items():
        # Shuffled, or else a training step would see one end of the alphabet.
        own.sort(key=lambda doc: (stable_hash(seed, doc.text), doc.text))
        data = DocBin(attrs=DOC_ATTRIBUTES, store_user_data=True, docs=own).to_bytes()
        write_atomically(output / f"{split}.spacy", data)
    left_out = [
        i for i, item in enumerate(corpus.texts) if not item.layers and corpus.splits[i] == TRAIN
    ]
    left_out.sort(key=lambda i: (stable_hash(seed, corpus.texts[i].source), i))
    chosen = sorted(chosen + left_out[: None if limit is None else math.ceil(limit / 10)])
    for split, name in ((TRAIN, "pretrain.jsonl"), (DEV, "pretrain_dev.jsonl")):
        items = (
            {"text": corpus.texts[i].text, "meta": {"document": corpus.group(i)}}
            for i in chosen
            if corpus.splits[i] == split
        )
        lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        write_text_atomically(output / name, lines)
    return docs
