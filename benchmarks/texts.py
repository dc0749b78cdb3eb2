"""The texts that pipelines are timed on: abstracts and papers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from spacy_spanmed.corpora.docbin import is_docs
from spacy_spanmed.corpora.formats import detect_format
from spacy_spanmed.corpora.reading import iter_texts
from spacy_spanmed.pretraining.texts.reading import TextOptions
from spacy_spanmed.pretraining.texts.sources import read_texts as read_plain_texts
from spacy_spanmed.util.problems import CorpusError, Problems

PAPER_WORDS = 5000  # of a document made by joining abstracts
LONG_WORDS = 1000  # a text with at least so many counts as a paper
LOOKED_AT = 20  # texts read for each that is asked for, while one of the groups is not full


class Group(NamedTuple):
    """Texts of a kind.

    texts (list[str]): At least one.
    joined (bool): Whether they were made by joining abstracts.
    """

    texts: list[str]
    joined: bool

    @property
    def words(self) -> int:
        """RETURNS (int): Words of all texts, by whitespace."""
        return sum(len(text.split()) for text in self.texts)


def read_texts(path: Path) -> Iterator[str]:
    """Read texts without their annotation.

    path (Path): `.spacy` data, a corpus in any format that `spanmed convert` reads, or text that
        `spanmed pretrain` reads (.txt, .jsonl, papers in XML, .parquet ...). Of a .txt file each
        line is a text; in a folder each file is.
    YIELDS (str): The texts.
    RAISES (ValueError): If they can't be read; CorpusError is one.
    """
    if not path.exists():
        raise ValueError(
            f"No texts at '{path}': check the path given by --text, or fetch BC5CDR's "
            "(python -m spacy project assets)."
        )
    try:
        if not is_docs(path):
            detect_format(path)
    except CorpusError:
        options = TextOptions(txt_documents="file" if path.is_dir() else "line")
        yield from read_plain_texts([str(path)], options)
    else:
        for document in iter_texts(path, Problems()):
            yield document.text


def make_groups(texts: Iterable[str], count: int) -> dict[str, Group]:
    """Sort texts into abstracts and papers. Without papers they are made by joining abstracts to
    documents of PAPER_WORDS words; without abstracts there is only one group.

    texts (Iterable[str]): Those without words are left out. At most LOOKED_AT x count are read.
    count (int): Abstracts, at most. Papers: as many as it takes to have as many words, so that
        both groups last alike; `count` of them if there are no abstracts.
    RETURNS (dict[str, Group]): "abstracts" and "papers", those of them that there are.
    RAISES (ValueError): If no text has a word.
    """
    short: list[str] = []
    long: list[str] = []
    for text in islice(texts, LOOKED_AT * count):
        if len(text.split()) >= LONG_WORDS:
            long.append(text)
        elif text.strip():
            short.append(text)
        if len(short) >= count and len(long) >= count:
            break
    if not short and not long:
        raise ValueError("None of the texts has a word: give others with --text.")
    groups = {}
    papers = Group(long[:count], joined=False)
    if short:
        groups["abstracts"] = Group(short[:count], joined=False)
        while (
            len(papers.texts) > 1
            and Group(papers.texts[:-1], False).words >= groups["abstracts"].words
        ):
            papers.texts.pop()
    groups["papers"] = papers if long else Group(_join(short[:count]), joined=True)
    return groups


def _join(texts: Sequence[str]) -> list[str]:
    papers, parts, words = [], [], 0
    for text in texts:
        parts.append(text)
        words += len(text.split())
        if words >= PAPER_WORDS:
            papers.append("\n\n".join(parts))
            parts, words = [], 0
    return papers + ["\n\n".join(parts)] * bool(parts)
