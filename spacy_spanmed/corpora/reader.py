"""Read a corpus of gold Docs for training: spaCy's own reader, without its repeated look-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterable, Iterator, Union

import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus, Example
from spacy.training.corpus import FILE_TYPE
from spacy.util import registry
from spacy.vocab import Vocab

from .shards import looked_up


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

    def read_docbin(self, vocab: Vocab, locs: Iterable[Union[str, Path]]) -> Iterator[Doc]:
        """Yield the Docs of `.spacy` files, one whole file in memory at a time."""
        count = 0
        for loc in locs:
            if Path(loc).suffix != FILE_TYPE:
                continue
            doc_bin = DocBin().from_disk(loc)
            with looked_up(srsly.msgpack_decoders, srsly.msgpack_decoders.get_all()):
                docs = list(doc_bin.get_docs(vocab))
            for doc in docs:
                if len(doc):
                    yield doc
                    count += 1
                    if self.limit >= 1 and count >= self.limit:
                        return
