"""Reading a corpus: checked documents, Docs, or texts for a pipeline, from whatever holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..doc.layers import ENTITIES, LAYERS, META_KEY, RELATIONS
from ..util.problems import SKIP, CorpusError, Problems
from ..util.text_files import file_stem, read_lines
from .alignment import Tokenize
from .checks import RELATIONS as RELATION_FACTS
from .checks import UNUSABLE, check_documents, count_left_out
from .docbin import is_docs, read_docs
from .docs import make_source_document, try_make_doc
from .documents import SourceDocument, SourceRelation
from .formats import AUTO, Reader, detect_format, get_reader
from .label_map import LabelMap, map_labels

NOT_A_LAYER = "left out with their layer"
# What brat's reader stores of a document refers to the annotation, whatever file it has come to
# lie in: lists under these keys.
ANNOTATION_KEYS = ("groups", "notes")
LINES = "lines"  # plain text, a text a line
TEXTS = "texts"  # a folder of plain text, a text a file


def read_documents(
    sources: Path | Sequence[Path],
    format: str = AUTO,
    problems: Problems | None = None,
    layers: Sequence[str] | None = None,
    label_map: LabelMap | None = None,
    facts: Counter | None = None,
) -> Iterator[SourceDocument]:
    """Read and check sources: several are one corpus, so no id may come in two of them.

    sources (Path | Sequence[Path]): Files, or folders in brat's format, of any mixture of formats.
    format (str): One of FORMATS. Defaults to "auto": see `detect_format`.
    problems (Optional[Problems]): Told what can't be used. Defaults to None: it is an error.
    layers (Optional[Sequence[str]]): The layers that are annotated, out of "entities" and
        "relations". Defaults to None: see `find_layers`. A document that says itself that it has
        fewer keeps to that.
    label_map (Optional[LabelMap]): New names of labels. Defaults to None: they stay.
    facts (Optional[Counter]): Counts what is read and what becomes of it: see `checks.py`.
    RETURNS (Iterator[SourceDocument]): One document at a time.
    RAISES (CorpusError): At once on an unknown format or layer, and on reading.
    RAISES (OSError): If a source can't be opened.
    """
    paths = [sources] if isinstance(sources, Path) else sources
    problems = problems or Problems()
    facts = Counter() if facts is None else facts
    if layers is None:
        layers = find_layers(paths, format, label_map, problems)
    elif not layers or any(layer not in LAYERS for layer in layers):
        raise CorpusError(f"Unknown layers {list(layers)}. Known are: {', '.join(LAYERS)}.")
    readers = [_get_reader(path, format) for path in paths]
    related = RELATIONS in layers
    kinds = _relation_kinds(paths, format, label_map) if related else [None] * len(paths)

    def read_all() -> Iterator[SourceDocument]:
        for path, read, relates_concepts in zip(paths, readers, kinds):
            for document in read(path, problems):
                document.relates_concepts = relates_concepts
                yield document

    return _check(read_all(), layers, label_map, problems, facts)


def _get_reader(path: Path, format: str) -> Reader:
    return get_reader(detect_format(path) if format == AUTO else format)


def _check(
    documents: Iterable[SourceDocument],
    layers: Sequence[str],
    label_map: LabelMap | None,
    problems: Problems,
    facts: Counter,
) -> Iterator[SourceDocument]:
    if label_map is not None:
        documents = map_labels(documents, label_map, problems, facts)
    return check_documents(_limit_layers(documents, layers, facts), problems, facts)


def find_layers(
    paths: Sequence[Path],
    format: str = AUTO,
    label_map: LabelMap | None = None,
    problems: Problems | None = None,
) -> list[str]:
    """Tell which layers sources have. One without any relation says nothing about relations: that
    they are unknown, not that there are none.

    paths (Sequence[Path]): The sources, taken together. They are read up to the first relation.
    format (str), label_map (Optional[LabelMap]): See `read_documents`.
    problems (Optional[Problems]): Told of sources that have relations, but none that can be used.
        Defaults to None: nobody is told.
    RETURNS (List[str]): "entities", and "relations" if any document has one that can be used.
    RAISES (CorpusError): If a source can't be read, and see `problems`.
    """
    related = any(_find_relation(path, format, label_map, problems) for path in paths)
    return [ENTITIES, RELATIONS] if related else [ENTITIES]


def _relation_kinds(
    paths: Sequence[Path], format: str, label_map: LabelMap | None
) -> list[bool | None]:
    """RETURNS (List[Optional[bool]]): For each source whether its relations are between concepts.
    One without relations follows the others if they agree; else that isn't known (None)."""
    found = [_find_relation(path, format, label_map) for path in paths]
    kinds = [None if relation is None else relation.concepts for relation in found]
    known = set(kinds) - {None}
    common = known.pop() if len(known) == 1 else None
    return [common if kind is None else kind for kind in kinds]


def _find_relation(
    path: Path, format: str, label_map: LabelMap | None, problems: Problems | None = None
) -> SourceRelation | None:
    """RETURNS (Optional[SourceRelation]): The first relation of a source that can be used."""
    skipped, facts = Problems(SKIP), Counter[str]()
    documents = _get_reader(path, format)(path, skipped)
    for document in _check(documents, LAYERS, label_map, skipped, facts):
        if document.relations:
            return document.relations[0]
    unusable = facts[f"{RELATION_FACTS} {UNUSABLE}"]
    if unusable and problems is not None:  # else they would go in silence, with their layer
        # The first that speaks of relations, if any does: others lose theirs with a document
        kind = min(skipped.examples, key=lambda kind: not kind.startswith(RELATION_FACTS))
        problems.add(
            "sources without a usable relation",
            str(path),
            f"None of its {unusable:,} relations can be used. {skipped.examples[kind][0]}",
        )
    return None


def _limit_layers(
    documents: Iterable[SourceDocument], layers: Sequence[str], facts: Counter
) -> Iterator[SourceDocument]:
    for document in documents:
        document.layers = [layer for layer in document.layers if layer in layers]
        if RELATIONS not in document.layers and document.relations:
            count_left_out(facts, RELATION_FACTS, NOT_A_LAYER, len(document.relations))
            document.relations = []
        yield document


def iter_docs(
    path: Path, tokenize: Tokenize, problems: Problems, format: str = AUTO
) -> Iterator[Doc]:
    """Read gold (or stored) Docs.

    path (Path): `.spacy` data, or a source in any format.
    tokenize (Callable[[str], Doc]): The tokenizer, for sources.
    problems (Problems): Told what of a source can't be used.
    format (str): See `read_documents`. Defaults to "auto".
    YIELDS (Doc): The Docs.
    RAISES (CorpusError): If the data can't be used.
    RAISES (OSError): If it can't be opened.
    """
    if path.exists() and is_docs(path):
        yield from read_docs(path)
        return
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
