"""Read a corpus of gold Docs for training: spaCy's own reader, without its repeated look-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import srsly
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.util import registry


@registry.readers("spanmed.Corpus.v1")
def create_gold_corpus(
    path: Path, limit: int = 0, shuffle: bool = False
) -> Callable[[Language], Iterator[Example]]:
    """Corpus reader `spanmed.Corpus.v1`: `spacy.Corpus.v1` for Docs with spans and relations.

    Each such Doc holds three msgpack messages, and for each of them srsly asks all installed
    packages for their decoders, which takes longer than everything else. Here it asks once.
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

    def __call__(self, nlp: Language) -> Iterator[Example]:
        decoders = srsly.msgpack_decoders
        if decoders.entry_points:
            # The same decoders as before, but registered: nothing changes but the time it takes.
            for name, decoder in decoders.get_entry_points().items():
                decoders.register(name, func=decoder)
            decoders.entry_points = False
        yield from super().__call__(nlp)
