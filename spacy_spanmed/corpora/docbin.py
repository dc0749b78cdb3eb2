"""Corpora of Docs on disk: one `.spacy` file, or, if there are many, a folder of them.

spaCy's readers take either. A file is read and written as a whole, so its size bounds the memory
that a corpus needs. For training there is spaCy's own reader, without its repeated look-ups, and
the labels of a corpus, with which `spacy train` need not read all of it before it starts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus, Example
from spacy.training.corpus import FILE_TYPE
from spacy.util import registry
from spacy.vocab import Vocab

from ..doc.gold import collect_labels as collect_relation_labels
from ..doc.layers import ENTITIES, get_layers
from ..doc.mentions import get_mentions
from ..util.files import write_atomically, write_json
from ..util.problems import CorpusError

DOC_ATTRIBUTES = ["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE"]
SOURCE_ATTRIBUTES = [*DOC_ATTRIBUTES, "ENT_KB_ID"]
SHARD_SIZE = 5000  # documents
SHARD_NAME = re.compile(rf"\d{{5,}}\{FILE_TYPE}")
_CHUNK = 100  # Docs unpacked at a time


class ShardWriter:
    """Writes Docs to a file, or, once there are more than fit into a shard, to a folder of files
    00000.spacy, 00001.spacy ... Nothing is at the path before `commit`.

    path (Path): Where to write; its name ends in ".spacy". What an earlier run wrote there is
        replaced, a folder with other files in it isn't.
    shard_size (int): Documents a file, at least 1. Defaults to 5000.
    attrs (Sequence[str]): The DocBin's attributes.
    RAISES (CorpusError): If the path can't be used.
    """

    def __init__(
        self,
        path: Path,
        shard_size: int = SHARD_SIZE,
        attrs: Sequence[str] = tuple(SOURCE_ATTRIBUTES),
    ):
        if path.suffix != FILE_TYPE:
            raise CorpusError(f"{path}: the output's name must end in {FILE_TYPE}.")
        if path.is_dir() and not all(SHARD_NAME.fullmatch(item.name) for item in path.iterdir()):
            raise CorpusError(
                f"{path}: a folder that holds more than shards of a corpus. Choose another output."
            )
        self.path, self.shard_size = path, shard_size
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.count = 0
        self._encoders = srsly.msgpack_encoders.get_all()
        self._shards = 0
        self._new_bin = partial(DocBin, attrs=list(attrs), store_user_data=True)
        self._bin = self._new_bin()

    def add(self, doc: Doc) -> None:
        """Add a Doc, which may be dropped afterwards. RAISES (OSError): If a shard can't be
        written."""
        if len(self._bin) == self.shard_size:
            self._write_shard()
        with looked_up(srsly.msgpack_encoders, self._encoders):
            self._bin.add(doc)
        self.count += 1

    def _write_shard(self) -> None:
        name = f"{self._shards:05}{FILE_TYPE}"
        write_atomically(self.temporary / name, self._bin.to_bytes())
        self._shards += 1
        self._bin = self._new_bin()

    def commit(self) -> None:
        """Write what is left and put the corpus into its place."""
        if len(self._bin) or not self._shards:
            self._write_shard()
        new, old = self.temporary, self.path.with_name(f".{self.path.name}.{os.getpid()}.old")
        if self._shards == 1:
            new = self.temporary / f"{0:05}{FILE_TYPE}"
        if self.path.exists() and (self.path.is_dir() or new.is_dir()):
            os.replace(self.path, old)  # a folder can't be replaced in one step
        os.replace(new, self.path)
        _remove(old)
        self.discard()

    def discard(self) -> None:
        """Remove what was written so far, unless it was committed."""
        _remove(self.temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_docs(path: Path) -> bool:
    """RETURNS (bool): Whether a path is a `.spacy` file or a folder that has one in it."""
    if path.is_dir():
        return next(path.rglob(f"*{FILE_TYPE}"), None) is not None
    return path.suffix == FILE_TYPE


def read_docs(path: Path) -> Iterator[Doc]:
    """Read Docs, one file in memory at a time. Each file's have a vocabulary of their own, so that
    it doesn't grow.

    path (Path): A `.spacy` file or a folder of them.
    YIELDS (Doc): The Docs, files in the order of their names.
    RAISES (CorpusError): If a file isn't valid.
    RAISES (OSError): If it can't be opened.
    """
    decoders = srsly.msgpack_decoders.get_all()
    files = sorted(path.rglob(f"*{FILE_TYPE}")) if path.is_dir() else [path]
    for file in files:
        data = file.read_bytes()
        try:
            docs: Any = DocBin().from_bytes(data).get_docs(Vocab())
            del data
            while True:
                with looked_up(srsly.msgpack_decoders, decoders):
                    chunk = list(islice(docs, _CHUNK))
                if not chunk:
                    break
                yield from chunk
        except Exception as error:  # zlib, msgpack and spaCy each raise their own
            raise CorpusError(
                f"{file}: not valid {FILE_TYPE} data ({type(error).__name__}: "
                f"{' '.join(str(error).split())}). Write it again."
            ) from error


@contextmanager
def looked_up(registry: Any, functions: dict[str, Any]) -> Iterator[None]:
    """Have srsly take its encoders or decoders from memory. It asks the registry for each message,
    three a Doc, and that searches all entry points: slower than everything else together."""
    if "get_all" in vars(registry):
        yield
        return
    registry.get_all = lambda: functions  # on the instance: the class's method comes back below
    try:
        yield
    finally:
        del registry.get_all


@registry.readers("spanmed.Corpus.v1")
def create_gold_corpus(
    path: Path, limit: int = 0, shuffle: bool = False
) -> Callable[[Language], Iterator[Example]]:
    """Corpus reader `spanmed.Corpus.v1`: `spacy.Corpus.v1` for Docs with spans and relations.

    Each such Doc holds three msgpack messages, and for each of them srsly searches the global
    registry for decoders, which takes longer than all the rest. Here it searches once a file.
    Documents are never cut (`max_length`), since that loses relations.

    path (Path): A `.spacy` file or a directory of them.
    limit (int): Read at most so many Docs; 0 for all. Defaults to 0.
    shuffle (bool): Read all Docs first and shuffle them. Defaults to False.
    RAISES (ValueError): If there is nothing at the path.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(
            f"No corpus at {path}: build it first (spacy project run corpus), or give another "
            "path (--paths.train, --paths.dev)."
        )
    return GoldCorpus(path, limit=limit, shuffle=shuffle)


class GoldCorpus(Corpus):
    """See `create_gold_corpus`."""

    def read_docbin(self, vocab: Vocab, locs: Iterable[str | Path]) -> Iterator[Doc]:
        """Yield the Docs of `.spacy` files, one whole file in memory at a time."""
        docs = (doc for loc in locs if Path(loc).suffix == FILE_TYPE for doc in _unpack(loc, vocab))
        yield from islice(filter(len, docs), self.limit if self.limit >= 1 else None)


def _unpack(path: str | Path, vocab: Vocab) -> list[Doc]:
    doc_bin = DocBin().from_disk(path)
    with looked_up(srsly.msgpack_decoders, srsly.msgpack_decoders.get_all()):
        return list(doc_bin.get_docs(vocab))


def collect_labels(docs: Iterable[Doc]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): For each pipe what its `initialize` takes as `labels`."""
    entities: set[str] = set()

    def watch() -> Iterable[Doc]:
        for doc in docs:
            if ENTITIES in get_layers(doc):
                entities.update(label for _, _, label in get_mentions(doc))
            yield doc

    relations = collect_relation_labels(watch())
    return {"span_ner": sorted(entities), "relation_extractor": relations}


def write_labels(docs: Iterable[Doc], folder: Path) -> None:
    """Write one JSON file a pipe, named after it, in the form of `spacy init labels`.

    docs (Iterable[Doc]): The training Docs. folder (Path): Made if it isn't there.
    """
    for pipe, labels in collect_labels(docs).items():
        write_json(folder / f"{pipe}.json", labels)
