"""BioC XML, read one document at a time.

lxml finds the documents and frees each when it is done; the library `bioc` reads them. Before that
the file's head is read with expat: entities can blow up a few bytes to gigabytes or name other
files, and no BioC file needs them, so a file that declares any, or has declarations of its own
in its DOCTYPE, is refused. `<!DOCTYPE collection SYSTEM "BioC.dtd">` is fine and never fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from bioc import biocxml
from lxml import etree

from ...util.problems import CorpusError, Problems
from ...util.text_files import open_bytes
from ..documents import SourceDocument
from .bioc_reader import IDENTIFIER_KEYS, from_bioc

_NUMBER = re.compile(r"\s*-?[0-9]{1,18}\s*")
_PARENTS = {
    "document": ("collection",),
    "passage": ("document",),
    "sentence": ("passage",),
    "annotation": ("document", "passage", "sentence"),
    "relation": ("document", "passage", "sentence"),
}
_ONCE = ("id", "offset", "text")  # what an element has at most one of

# Told a kind of problem, the element that has it, and a message
_Report = Callable[[str, etree._Element, str], None]


def read(path: Path, problems: Problems) -> Iterator[SourceDocument]:
    """Read a BioC XML file. There is no writer: write BioC JSON.

    path (Path): The file, plain or gzipped, in the encoding that it declares.
    problems (Problems): Told of what can't be used: documents without id, with markup in a text or
        a passage without offset, annotations without a location or with a bad one, relations
        without arguments; and of elements that aren't where BioC has them, or are there twice.
    YIELDS (SourceDocument): The documents; see `bioc_reader.from_bioc`. Their place is the line.
    RAISES (CorpusError): On a file that isn't well-formed XML, declares entities, or isn't BioC.
    RAISES (OSError): If the file can't be opened.
    """

    def report(kind: str, element: etree._Element, message: str) -> None:
        problems.add(kind, f"{path}:{element.sourceline}", message)

    _refuse_entities(path)
    with open_bytes(path) as file:
        elements = etree.iterparse(
            file,
            events=("end",),
            tag="document",
            remove_comments=True,
            remove_pis=True,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
        )
        try:
            for _, element in elements:
                parent = element.getparent()
                if element.getroottree().getroot().tag != "collection":
                    continue  # an error at the end
                if parent.tag != "collection":
                    _report_place(element, report)
                    continue
                if _check(element, report):
                    text = etree.tostring(element, encoding="unicode", with_tail=False)
                    document = biocxml.loads(f"<collection>{text}</collection>").documents[0]
                    yield from_bioc(document, f"{path}:{element.sourceline}", problems)
                # Free it, and what came before it.
                element.clear()
                while element.getprevious() is not None:
                    _report_lost(parent[0], report)
                    del parent[0]
        except etree.XMLSyntaxError as error:
            raise CorpusError(f"{path}: not well-formed XML: {error}. Fetch it again.") from None
        if elements.root is None or elements.root.tag != "collection":
            raise CorpusError(f"{path}: not BioC XML, whose outermost element is 'collection'.")
        for element in elements.root:
            _report_lost(element, report)


def _report_place(element: etree._Element, report: _Report) -> None:
    report(
        f"{element.tag} in the wrong place",
        element,
        f"a <{element.tag}> inside <{element.getparent().tag}>. It belongs inside "
        f"{' or '.join(f'<{name}>' for name in _PARENTS[element.tag])}.",
    )


def _report_lost(element: etree._Element, report: _Report) -> None:
    """Report annotation and texts beside the documents."""
    if element.tag in _PARENTS and element.tag != "document":
        _report_place(element, report)


class _Started(Exception):
    """The head of the file is over."""


def _refuse_entities(path: Path) -> None:
    parser = expat.ParserCreate()

    def see_doctype(
        name: str, system: str | None, public: str | None, has_declarations: bool
    ) -> None:
        if has_declarations:
            raise CorpusError(
                f"{path}:{parser.CurrentLineNumber}: the DOCTYPE declares entities or elements of "
                f"its own, which is refused as unsafe. Remove all between '[' and ']' in it; write "
                f"the characters that the entities stand for."
            )

    def stop(*_: object) -> None:
        raise _Started

    parser.StartDoctypeDeclHandler = see_doctype
    parser.StartElementHandler = stop
    try:
        with open_bytes(path) as file:
            parser.ParseFile(file)
    except _Started:
        pass
    except CorpusError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter: unknown encodings
        if "multi-byte" in str(error):
            raise CorpusError(
                f"{path}: encodings like the one that its first line declares aren't read here "
                f"({error}). Convert it to UTF-8, and declare that."
            ) from None
        raise CorpusError(f"{path}: not well-formed XML: {error}. Fetch it again.") from None


def _check(document: etree._Element, report: _Report) -> bool:
    """Complete what the library needs, and report what it can't read or would read only in part.

    RETURNS (bool): Whether the document can be used.
    """
    if document.find("id") is None:
        report("document without id", document, "the document has no <id>. Give it one.")
        return False
    for entity in document.iter(etree.Entity):
        message = f"{entity.text} is not defined. Write the character itself."
        report("unknown entity", entity.getparent(), message)
        return False
    for element in document.iter("id", "text", "infon", "offset", "passage", "sentence"):
        tag, parent = element.tag, element.getparent().tag
        if tag in ("passage", "sentence"):
            if parent not in _PARENTS[tag]:
                _report_place(element, report)
                return False
            if not _NUMBER.fullmatch(element.findtext("offset") or ""):
                message = f"the {tag} has no <offset> that is a whole number. Correct it."
                report(f"{tag} without offset", element, message)
                return False
        elif tag in _ONCE and next(element.itersiblings(tag, preceding=True), None) is not None:
            message = f"a second <{tag}> in one <{parent}>. Make one of them."
            report(f"{tag} given twice", element, message)
            return False
        elif len(element):
            report(
                "markup inside text",
                element,
                f"<{element[0].tag}> inside <{tag}>. Remove the markup, or write it with &lt; if "
                f"it belongs to the text.",
            )
            return False
    for element in list(document.iter("annotation", "relation")):
        wrong = _complete(element)
        if element.getparent().tag not in _PARENTS[element.tag]:
            _report_place(element, report)
        elif wrong:
            report(f"{element.tag} that can't be read", element, wrong)
        else:
            continue
        element.getparent().remove(element)
    for element in list(document.iter("infon")):
        _check_infon(element, report)
    return True


def _complete(element: etree._Element) -> str:
    """RETURNS (str): What is wrong with an annotation or relation; empty if it can be read."""
    if element.get("id") is None:
        element.set("id", "")
    for location in element.iter("location"):
        for name in ("offset", "length"):
            if not _NUMBER.fullmatch(location.get(name, "")):
                return f"its location has no {name} that is a whole number. Correct it."
    for node in element.iter("node"):
        if node.get("refid") is None:
            return "a node has no refid. Let it name an annotation."
        if node.get("role") is None:
            node.set("role", "")
    return ""


def _check_infon(infon: etree._Element, report: _Report) -> None:
    """Join identifiers given one by one: the library would keep only the last infon of a key."""
    key, parent = infon.get("key"), infon.getparent()
    if key is None:
        report("infon without key", infon, "the infon has no key. Give it one.")
        parent.remove(infon)
        return
    for earlier in infon.itersiblings("infon", preceding=True):
        if earlier.get("key") != key:
            continue
        if key.casefold() in IDENTIFIER_KEYS:
            earlier.text = ",".join(filter(None, (earlier.text, infon.text)))
        elif earlier.text != infon.text:
            message = f"a second infon {key!r} beside the first. Keep one of them."
            report("infon given twice", infon, message)
        parent.remove(infon)
        return
