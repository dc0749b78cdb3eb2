"""Corpus readers for `spacy train`, straight from source files: one a format.

    [corpora.train]
    @readers = "spanmed.PubTatorCorpus.v1"
    path = "CDR_TrainingSet.PubTator.txt.gz"

They give the same examples as `spanmed.Corpus.v1` over what `spanmed convert` writes. That is
faster, though, and prints a report: convert what is read often.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ..util.problems import RAISE, CorpusError, Problems
from .docs import try_make_doc
from .formats import detect_format
from .label_map import read_label_map
from .reading import find_layers, read_documents

Reader = Callable[[Language], Iterator[Example]]


def _register(name: str, *formats: str) -> Callable[..., Reader]:
    """Register a reader of these formats; if there are several, the source's beginning tells
    which it has."""

    @registry.readers(name)
    def create_corpus(
        path: Path,
        layers: list[str] | None = None,
        labels: Path | None = None,
        on_error: str = RAISE,
        limit: int = 0,
    ) -> Reader:
        """Make a corpus reader.

        path (Path): A file, or a folder of brat.
        layers (Optional[List[str]]): What is annotated, out of "entities" and "relations".
            Defaults to None: entities, and relations if there is any.
        labels (Optional[Path]): YAML file with other names for labels: see `label_map.py`.
            Defaults to None: they stay.
        on_error (str): What to do about annotation that can't be used: "raise" an error, or "skip"
            it and warn at the end. Defaults to "raise".
        limit (int): Read at most so many documents; 0 for all. Defaults to 0.
        RETURNS (Callable[[Language], Iterator[Example]]): The reader. The pipeline's tokenizer
            makes the predicted Docs, and, split where mentions begin or end inside a token, the
            gold ones. Examples come in the source's order, none of a text without tokens. It
            raises a CorpusError if the source can't be used.
        RAISES (ValueError): On another on_error, and if there is nothing at the path.
        """
        path = Path(path)
        if not path.exists():
            raise CorpusError(f"No corpus at {path}: give another path (--paths.train ...).")
        label_map = read_label_map(labels) if labels is not None else None
        Problems(on_error)  # refuses another value at once

        def read(nlp: Language) -> Iterator[Example]:
            nonlocal layers
            format = detect_format(path) if len(formats) > 1 else formats[0]
            if format not in formats:
                raise CorpusError(f"{path}: this is {format}, not {' or '.join(formats)}.")
            problems = Problems(on_error)
            if layers is None:  # remembered: a training reads its corpus many times
                layers = find_layers([path], format, label_map, problems)
            documents = read_documents(path, format, problems, layers, label_map)
            docs = (try_make_doc(nlp.tokenizer, document, problems) for document in documents)
            for doc in islice(filter(None, docs), limit if limit >= 1 else None):
                yield Example(nlp.make_doc(doc.text), doc)
            problems.warn()

        return read

    return create_corpus


create_pubtator_corpus = _register("spanmed.PubTatorCorpus.v1", "pubtator")
create_bioc_corpus = _register("spanmed.BioCCorpus.v1", "bioc-xml", "bioc-json")
create_brat_corpus = _register("spanmed.BratCorpus.v1", "brat")
create_conll_corpus = _register("spanmed.ConllCorpus.v1", "conll")
create_jsonl_corpus = _register("spanmed.JsonlCorpus.v1", "jsonl")
