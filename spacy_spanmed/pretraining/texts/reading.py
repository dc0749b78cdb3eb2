"""Readers of one stream each: plain text, JSON lines, and the XML of PubMed and PubMed Central.

XML is read with lxml, one citation or paper in memory at a time, to title, abstract and body as
paragraphs. Reference lists, tables, figures, displayed formulas, footnotes and citation marks are
left out: they are no running text. (The library pubmed_parser was tried: it loses text in nested
markup such as ``<i>p53<sup>+</sup></i>``, keeps the paragraphs of tables, and refuses files with
character entities such as ``&nbsp;``.)
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from ...util.problems import RAISE, Problems
from ...util.text_files import BOM, MAX_LINE, decode, iter_lines

MAX_DOCUMENT = MAX_LINE  # bytes: a document is held in memory as a whole
BINARY, TOO_LONG, NO_TEXT = "binary", "too long", "no text"


class Document(NamedTuple):
    """A text before it is cleaned.

    text (str): The text, perhaps blank.
    place (str): "file", "file:line" or what comes closest, for messages.
    """

    text: str
    place: str


class TextOptions(NamedTuple):
    """How files are read; see the [data] section of the config.

    text_field (str): Key or column of the text in JSON lines, Parquet and datasets.
    txt_documents (str): What a document is in a .txt file: "file", "line" or "paragraph".
    """

    text_field: str = "text"
    txt_documents: str = "file"


class TextProblems(Problems):
    """Texts that can't be read: an error, or left out and counted; lines that are not UTF-8 are
    counted and kept, decoded as Latin-1.

    on_error (str): "raise" or "skip".
    """

    def __init__(self, on_error: str = RAISE):
        super().__init__(
            on_error,
            "(Or leave out such texts, and read bytes that are not UTF-8 as Latin-1, counted in "
            'the record: data.on_error = "skip".)',
        )


def read_json_lines(
    file: io.BufferedReader, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a file with an object like ``{"text": "..."}`` a line.

    file (BufferedReader): The file, UTF-8.
    place (str): Its name.
    options (TextOptions): ``text_field`` is the key of the text.
    problems (Problems): Told of lines that are no such object.
    YIELDS (Document): Blank lines are skipped.
    """
    field = options.text_field
    for number, line in _text_lines(file, place, problems):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[field]
            wrong = None if isinstance(text, str) else f'"{field}" is no string'
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong is None:
            yield Document(text, f"{place}:{number}")
        else:
            problems.add(
                NO_TEXT,
                f"{place}:{number}",
                f'expected a JSON object like {{"{field}": "..."}} ({wrong}). The key is set by '
                "data.text_field.",
            )


def read_plain(
    file: io.BufferedReader, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a text file: a document is the whole file, a line, or what lies between blank lines.

    file, place: See :func:`read_json_lines`.
    options (TextOptions): ``txt_documents`` says what a document is.
    problems (Problems): Told of what is not text, and of documents over 50 million bytes.
    YIELDS (Document): Blank lines are no documents.
    """
    if options.txt_documents == "line":
        for number, line in _text_lines(file, place, problems):
            if line.strip():
                yield Document(line, f"{place}:{number}")
    elif options.txt_documents == "paragraph":
        yield from _read_paragraphs(file, place, problems)
    elif not _is_binary(file, place, problems):
        data = file.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            _report_long(place, problems)
        else:
            yield Document(decode(data.removeprefix(BOM), place, problems), place)


def _read_paragraphs(file: io.BufferedReader, place: str, problems: Problems) -> Iterator[Document]:
    lines: list[str] = []
    first, size = 1, 0
    for number, line in chain(_text_lines(file, place, problems), [(0, "")]):
        if line.strip():
            if not size:
                first = number
            size += len(line) + 1
            if size <= MAX_DOCUMENT:
                lines.append(line)
            continue
        if size > MAX_DOCUMENT:
            _report_long(f"{place}:{first}", problems)
        elif lines:
            yield Document("\n".join(lines), f"{place}:{first}")
        lines, size = [], 0


def _report_long(place: str, problems: Problems) -> None:
    problems.add(
        TOO_LONG,
        place,
        f"more than {MAX_DOCUMENT:,} bytes as one document. Say where documents end in .txt files, "
        'data.txt_documents = "line" or "paragraph", or split the file.',
    )


def _text_lines(
    file: io.BufferedReader, place: str, problems: Problems
) -> Iterator[tuple[int, str]]:
    """The lines of a file, as ``iter_lines`` gives them; none if it is binary."""
    if not _is_binary(file, place, problems):
        yield from iter_lines(file, place, problems)


def _is_binary(file: io.BufferedReader, place: str, problems: Problems) -> bool:
    """Whether there are zero bytes at the beginning of a file, as in UTF-16 and in no text."""
    if b"\0" not in file.peek():
        return False
    problems.add(BINARY, place, "holds zero bytes, so it is no UTF-8 text.")
    return True


NOT_XML, NO_PAPER = "damaged XML", "XML without papers"

# What a document is, and the paths of its parts in the order of reading. "{*}": any namespace.
PARTS = {
    "PubmedArticle": (
        "{*}MedlineCitation/{*}Article/{*}ArticleTitle",
        "{*}MedlineCitation/{*}Article/{*}Abstract/{*}AbstractText",
    ),
    "article": (
        "{*}front/{*}article-meta/{*}title-group/{*}article-title",
        "{*}front/{*}article-meta/{*}abstract",
        "{*}body",
    ),
}
_LEFT_OUT = """
ref-list table-wrap table-wrap-group table fig fig-group disp-formula disp-formula-group
tex-math annotation supplementary-material media graphic inline-graphic fn fn-group object-id
label
"""
LEFT_OUT = frozenset(_LEFT_OUT.split())
_BLOCKS = """
article-title ArticleTitle AbstractText title p sec list list-item def-list def-item disp-quote
boxed-text verse-group statement speech
"""
BLOCKS = frozenset(_BLOCKS.split())
_SPACE = re.compile(r"\s+")
# What is left of "[1, 2]" or "(3-5)" without the marks, and the space before a full stop.
_EMPTY_BRACKETS = re.compile(r"\s*[\[(][\s,;\u2013-]*[\])]")
_SPACE_BEFORE_STOP = re.compile(r"\s+(?=[.,;:](?:\s|$))")


def read_papers(
    file: BinaryIO, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read an XML file of PubMed citations or of papers in JATS, as PubMed Central has them.

    file, place: See :func:`read_json_lines`.
    options (TextOptions): Not used: the form of these files is fixed.
    problems (Problems): Told of files that are not well-formed, declare entities, or hold neither
        citations nor papers.
    YIELDS (Document): Paragraphs are separated by blank lines. The place names the line.
    RAISES (ValueError): lxml is missing.
    """
    try:
        from lxml import etree
    except ImportError:
        raise ValueError(
            f"{place}: reading XML needs lxml: pip install 'spacy_spanmed[papers]'"
        ) from None
    elements = etree.iterparse(
        file,
        tag=[f"{{*}}{tag}" for tag in PARTS],
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
    )
    found = False
    try:
        for _, element in elements:
            found = True
            declared = element.getroottree().docinfo.internalDTD
            if declared is not None and next(declared.iterentities(), None) is not None:
                problems.add(
                    NOT_XML,
                    place,
                    "the DOCTYPE declares entities, which is refused as unsafe. Remove all between "
                    "'[' and ']' in it.",
                )
                return
            yield Document(_paper_text(element, etree), f"{place}:{element.sourceline}")
            element.clear()  # and free what came before it
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        problems.add(NOT_XML, place, f"not well-formed XML: {error}. Fetch it again.")
        return
    if not found:
        problems.add(
            NO_PAPER,
            place,
            "XML without <PubmedArticle> or <article>: only PubMed and PubMed Central XML can be "
            "read. Convert other texts to .txt or .jsonl.",
        )


def _paper_text(document, etree) -> str:
    pieces: list[str] = []
    for path in PARTS[_name(document)]:
        for part in document.iterfind(path):
            pieces.append("\n")
            _walk(part, pieces, etree)
    paragraphs = (_EMPTY_BRACKETS.sub("", paragraph) for paragraph in "".join(pieces).split("\n"))
    cleaned = (_SPACE_BEFORE_STOP.sub("", _SPACE.sub(" ", p)).strip() for p in paragraphs)
    return "\n\n".join(filter(None, cleaned))


def _walk(element, pieces: list[str], etree) -> None:
    """Add the text in an element. A line feed in ``pieces`` is the border of a paragraph."""
    name = _name(element)
    if name in LEFT_OUT or (name == "xref" and element.get("ref-type") == "bibr"):
        return
    border = "\n" if name in BLOCKS else " " if name == "break" else ""
    pieces.append(border)
    pieces.append((element.text or "").replace("\n", " "))
    for child in element:
        if child.tag is etree.Entity:
            pieces.append(html.unescape(child.text))
        elif isinstance(child.tag, str):
            _walk(child, pieces, etree)
        pieces.append((child.tail or "").replace("\n", " "))
    pieces.append(border)


def _name(element) -> str:
    return element.tag.rpartition("}")[2]
