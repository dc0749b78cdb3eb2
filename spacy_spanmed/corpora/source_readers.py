"""Corpus readers for `spacy train`, straight from source files: one a format.

    [corpora.train]
    @readers = "spanmed.PubTatorCorpus.v1"
    path = "CDR_TrainingSet.PubTator.txt.gz"

They give the same examples as `spanmed.Corpus.v1` over what `spanmed convert` writes. That is
faster, though, and prints a report: convert what is read often.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ..util.problems import RAISE, CorpusError, Problems
from .docs import try_make_doc
from .formats.registry import detect_format
from .label_map import read_label_map
from .reading import find_layers, read_documents

Reader = Callable[[Language], Iterator[Example]]


class SourceCorpus:
    """Reads examples from a source.

    path (Path): A file, or a folder of brat.
    formats (Sequence[str]): The formats it may have; if several, its beginning tells which.
    layers (Optional[List[str]]): What is annotated, out of "entities" and "relations". Defaults to
        None: entities, and relations if there is any.
    labels (Optional[Path]): YAML file with other names for labels: see `label_map.py`. Defaults to
        None: they stay.
    on_error (str): What to do about annotation that can't be used: "raise" an error, or "skip" it
        and warn at the end. Defaults to "raise".
    limit (int): Read at most so many documents; 0 for all. Defaults to 0.
    RAISES (ValueError): On another on_error, and if there is nothing at the path.
    """

    def __init__(
        self,
        path: Path,
        formats: Sequence[str],
        layers: list[str] | None = None,
        labels: Path | None = None,
        on_error: str = RAISE,
        limit: int = 0,
    ):
        self.path = Path(path)
        if not self.path.exists():
            raise CorpusError(f"No corpus at {path}: give another path (--paths.train ...).")
        self.formats = tuple(formats)
        self.layers = layers
        self.label_map = read_label_map(labels) if labels is not None else None
        self.on_error = Problems(on_error).on_error
        self.limit = limit

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the source.

        nlp (Language): Its tokenizer makes the predicted Docs, and, split where mentions begin or
            end inside a token, the gold ones.
        YIELDS (Example): The examples, in the source's order. A text without tokens gives none.
        RAISES (CorpusError): If the source can't be used.
        """
        format = self.formats[0]
        if len(self.formats) > 1:
            format = detect_format(self.path)
            if format not in self.formats:
                names = " or ".join(self.formats)
                raise CorpusError(f"{self.path}: this is {format}, not {names}.")
        problems = Problems(self.on_error)
        if self.layers is None:  # remembered: a training reads its corpus many times
            self.layers = find_layers([self.path], format, self.label_map, problems)
        count = 0
        documents = read_documents(self.path, format, problems, self.layers, self.label_map)
        for document in documents:
            reference = try_make_doc(nlp.tokenizer, document, problems)
            if reference is None or not len(reference):
                continue
            yield Example(nlp.make_doc(reference.text), reference)
            count += 1
            if 1 <= self.limit <= count:
                break
        problems.warn()


def _register(name: str, formats: Sequence[str]) -> Callable[..., Reader]:
    @registry.readers(name)
    def create_corpus(
        path: Path,
        layers: list[str] | None = None,
        labels: Path | None = None,
        on_error: str = RAISE,
        limit: int = 0,
    ) -> Reader:
        """A corpus reader. See SourceCorpus for the settings."""
        return SourceCorpus(path, formats, layers, labels, on_error, limit)

    return create_corpus


create_pubtator_corpus = _register("spanmed.PubTatorCorpus.v1", ["pubtator"])
create_bioc_corpus = _register("spanmed.BioCCorpus.v1", ["bioc-xml", "bioc-json"])
create_brat_corpus = _register("spanmed.BratCorpus.v1", ["brat"])
create_conll_corpus = _register("spanmed.ConllCorpus.v1", ["conll"])
create_jsonl_corpus = _register("spanmed.JsonlCorpus.v1", ["jsonl"])
