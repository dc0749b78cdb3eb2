"""Whatever a command may be given, as a stream of Docs, or of texts for a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..doc.layers import META_KEY
from ..util.problems import CorpusError, Problems
from ..util.text_files import file_stem, read_lines
from .alignment import Tokenize
from .docbin import is_docs, read_docs
from .docs import make_source_document, try_make_doc
from .formats.registry import AUTO, detect_format, get_reader, read_documents
from .source import SourceDocument

# What brat's reader stores of a document refers to the annotation, whatever file it has come to
# lie in: lists under these keys.
ANNOTATION_KEYS = ("groups", "notes")
LINES = "lines"  # plain text, a text a line
TEXTS = "texts"  # a folder of plain text, a text a file


def iter_docs(
    path: Path, tokenize: Tokenize, problems: Problems, format: str = AUTO
) -> Iterator[Doc]:
    """Read gold (or stored) Docs.

    path (Path): `.spacy` data, or a source in any format.
    tokenize (Callable[[str], Doc]): The tokenizer, for sources.
    problems (Problems): Told what of a source can't be used.
    format (str): See `formats.read_documents`. Defaults to "auto".
    YIELDS (Doc): The Docs.
    RAISES (CorpusError): If the data can't be used.
    RAISES (OSError): If it can't be opened.
    """
    if path.exists() and is_docs(path):
        yield from read_docs(path)
    else:
        for document in read_documents(path, format, problems):
            doc = try_make_doc(tokenize, document, problems)
            if doc is not None:
                yield doc


def iter_texts(path: Path, problems: Problems, format: str = AUTO) -> Iterator[SourceDocument]:
    """Read texts, without their annotation.

    path (Path): `.spacy` data; a source in any format; a plain text file with a text a line (blank
        lines are skipped); or a folder of .txt files, each a text.
    problems (Problems): Told what can't be used.
    format (str): A source's format. Defaults to "auto".
    YIELDS (SourceDocument): Text, id, passages, and info but for what it says of annotation; of a
        text file the id is its name, of a line the file's name, "-" and the line's number.
    RAISES (CorpusError): If the data can't be used.
    RAISES (OSError): If it can't be opened.
    """
    for document in _iter_sources(path, problems, format):
        document.mentions, document.relations = [], []
        document.info = {
            key: value
            for key, value in document.info.items()
            if not (key in ANNOTATION_KEYS and isinstance(value, list))
        }
        yield document


def _iter_sources(path: Path, problems: Problems, format: str) -> Iterator[SourceDocument]:
    if path.exists() and is_docs(path):
        yield from map(make_source_document, read_docs(path))
        return
    kind = _detect_texts(path) if format == AUTO else format
    if kind == LINES:
        for number, line in read_lines(path, problems):
            if line.strip():
                name = f"{file_stem(path)}-{number}"
                yield SourceDocument(name, line, place=f"{path}:{number}")
    elif kind == TEXTS:
        for file in sorted(path.rglob("*.txt")):
            lines = [line for _, line in read_lines(file, problems)]
            # with the folders below the given one: two of them may hold files of one name
            name = file.relative_to(path).with_suffix("").as_posix()
            yield SourceDocument(name, "\n".join(lines), place=str(file))
    else:
        yield from get_reader(kind)(path, problems)


def _detect_texts(path: Path) -> str:
    try:
        return detect_format(path)
    except CorpusError:
        if path.is_dir() and any(path.rglob("*.txt")):
            return TEXTS
        if path.name.lower().removesuffix(".gz").endswith(".txt"):
            return LINES
        raise


def predict(
    nlp: Language, documents: Iterator[SourceDocument], problems: Problems
) -> Iterator[tuple[Doc, SourceDocument]]:
    """Run a pipeline over texts, in a stream.

    nlp (Language): The pipeline.
    documents (Iterator[SourceDocument]): The texts.
    problems (Problems): Told of texts that are too long for the pipeline.
    YIELDS (Tuple[Doc, SourceDocument]): The Doc, which knows the id, and the text it is of.
    """

    def watch() -> Iterator[tuple[str, SourceDocument]]:
        for document in documents:
            if len(document.text) > nlp.max_length:
                problems.add(
                    "texts too long for the pipeline",
                    document.place,
                    f"The text has {len(document.text):,} characters, the pipeline takes "
                    f"{nlp.max_length:,}. Cut it.",
                )
                continue
            yield document.text, document

    for doc, document in nlp.pipe(watch(), as_tuples=True):
        doc.user_data[META_KEY] = {"id": document.id}
        yield doc, document


def name_doc(doc: Doc, number: int, taken: set[str]) -> str:
    """Make sure that a Doc has an id.

    doc (Doc): A Doc without an id gets its number, or the next one that is free.
    number (int): Its place in the corpus, from 1.
    taken (Set[str]): The ids of the Docs before it; its own is added.
    RETURNS (str): The id.
    """
    meta: dict | None = doc.user_data.get(META_KEY)
    name = str((meta or {}).get("id") or "")
    while not name:
        name = str(number) if str(number) not in taken else ""
        number += 1
    taken.add(name)
    doc.user_data[META_KEY] = {**(meta or {}), "id": name}
    return name
