"""PubMed and PubMed Central XML: title, abstract and body as paragraphs.

Read with lxml, one citation or paper in memory at a time. Reference lists, tables, figures,
displayed formulas, footnotes and citation marks are left out: they are no running text. (The
library pubmed_parser was tried: it loses text in nested markup such as ``<i>p53<sup>+</sup></i>``,
keeps the paragraphs of tables, and refuses files with character entities such as ``&nbsp;``.)
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import BinaryIO

from ...util.problems import Problems
from .reading import Document, TextOptions

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


def read(
    file: BinaryIO, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read an XML file of PubMed citations or of papers in JATS, as PubMed Central has them.

    file (BinaryIO): The file.
    place (str): Its name.
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
    tags = [f"{{*}}{tag}" for tag in PARTS]
    elements = etree.iterparse(
        file,
        events=("end",),
        tag=tags,
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
            yield Document(_text(element, etree), f"{place}:{element.sourceline}")
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


def _text(document, etree) -> str:
    pieces: list[str] = []
    for path in PARTS[_name(document)]:
        for part in document.iterfind(path):
            pieces.append("\n")
            _walk(part, pieces, etree)
    paragraphs = []
    for paragraph in "".join(pieces).split("\n"):
        paragraph = _SPACE.sub(" ", _EMPTY_BRACKETS.sub("", paragraph))
        paragraph = _SPACE_BEFORE_STOP.sub("", paragraph).strip()
        if paragraph:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


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
