"""PubTator: titles and abstracts with mentions and relations between concepts, as text lines.

    PMID|t|title
    PMID|a|abstract
    PMID<tab>start<tab>end<tab>text<tab>type[<tab>identifiers[<tab>individual mentions]]
    PMID<tab>type<tab>identifier<tab>identifier[<tab>further columns]

A blank line, or the next title, ends a document. Its text is title + " " + abstract, and both are
passages; either may be empty, but both lines must be there. A line is a mention if its second and
third columns are digits, else a relation.

Identifiers are separated by "," (BioRED) or "|" (BC5CDR). A variant's name holds bars
("c|DEL||32", "tmVar:p|SUB|V|600|E;HGVS:p.V600E") and is one identifier, so what begins like one is
not split at "|"; ";" never splits. "-1", "-" and nothing are no identifier. `id_separator` of
`read` overrules all that.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...util.files import write_text_atomically
from ...util.problems import CorpusError, Problems
from ...util.text_files import read_lines
from ..documents import Passage, SourceDocument, SourceMention, SourceRelation, get_strings

NO_IDENTIFIER = frozenset({"", "-", "-1"})
SEPARATOR = ","  # what the writer puts between identifiers unless the source had another

_PASSAGE = re.compile(r"([^|\t]*)\|([ta])\|(.*)", re.DOTALL)
_DIGITS = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*")  # what was meant as an offset
_VARIANT = re.compile(r"(\w+:)?([A-Za-z]\||[A-Za-z]*\|(SUB|DEL|INS|DUP|INDEL|FS|Allele)\|)")
_LINE_END = re.compile(r"(?<!\r)(?:\r*\n|\r+\Z)")  # the lookbehind: no run is tried twice
_CUT = re.compile(r"[\r\n]|(?<=[.?!]) ")  # where a text without passages is taken apart


def split_identifiers(text: str, separator: str | None = None) -> list[str]:
    """Take a list of identifiers apart.

    text (str): The list, as it is written.
    separator (Optional[str]): What stands between identifiers. Defaults to None: "," and, outside
        the names of variants, "|".
    RETURNS (List[str]): The identifiers, in order; white space around them is removed, as are
        "-1", "-" and empty ones.
    """
    if separator:
        parts = text.split(separator)
    else:
        pieces = (piece.strip() for piece in text.split(","))
        parts = [p for piece in pieces for p in _split_bars(piece)]
    return [part.strip() for part in parts if part.strip() not in NO_IDENTIFIER]


def _split_bars(piece: str) -> list[str]:
    return [piece] if _VARIANT.match(piece) else piece.split("|")


def read(
    path: Path, problems: Problems, id_separator: str | None = None
) -> Iterator[SourceDocument]:
    """Read a PubTator file, one document at a time.

    path (Path): The file, plain or gzipped.
    problems (Problems): Told of what can't be used. Skipped are single lines, and a document
        without abstract line as a whole.
    id_separator (Optional[str]): What stands between the identifiers of a mention. Defaults to
        None: see above.
    YIELDS (SourceDocument): The documents, with both layers. Relations are between concepts; their
        further columns are in `info["columns"]`. How a mention's identifiers are written is in its
        `info` unless they are joined by ",": "id_separator", or "identifiers" word for word;
        column 7 is "individual" (split at "|"), later columns are "columns".
    RAISES (CorpusError): See `Problems` and `read_lines`.
    RAISES (OSError): If the file can't be opened.
    """
    title: SourceDocument | None = None  # until the abstract comes
    document: SourceDocument | None = None
    for number, line in read_lines(path, problems):
        place = f"{path}:{number}"
        line = line.rstrip("\r")
        passage = _PASSAGE.fullmatch(line)
        if title and not (passage and passage[2] == "a" and passage[1] == title.id):
            _no_abstract(title, problems)
            title = None
        if not line.strip() or (passage and passage[2] == "t"):
            if document:
                yield document
            document = None
            if passage:
                title = SourceDocument(passage[1], passage[3], place=place)
        elif passage and title:
            document, title = title, None
            end = len(document.text)
            document.text += f" {passage[3]}"
            document.passages = [
                Passage("title", 0, end), Passage("abstract", end + 1, len(document.text))
            ]  # fmt: skip
        elif passage:
            problems.add(
                "abstract without title",
                place,
                f"an abstract line with no title line of the same id ({passage[1]!r}) right "
                f"before it. Add 'PMID|t|' and the title, or remove the line.",
            )
        elif document is None:
            problems.add(
                "annotation without text",
                place,
                "an annotation line without a title and an abstract line above it. Put them "
                "above it, without a blank line between.",
            )
        else:
            fault = _read_annotation(line.split("\t"), document, place, id_separator)
            if fault is not None:
                problems.add(fault[0], place, fault[1])
    if title:
        _no_abstract(title, problems)
    if document:
        yield document


def _no_abstract(title: SourceDocument, problems: Problems) -> None:
    problems.add(
        "document without abstract line",
        title.place,
        f"document {title.id!r} has no '{title.id}|a|' line after its title. Add one, empty if "
        f"there is no abstract.",
    )


def _read_annotation(
    columns: list[str], document: SourceDocument, place: str, separator: str | None
) -> tuple[str, str] | None:
    """RETURNS (Optional[Tuple[str, str]]): If the line can't be used, the kind of problem, and what
    is wrong."""
    if len(columns) < 4:
        return "too few columns", (
            f"{len(columns)} columns between tabs. A mention has at least 5 (id, start, end, text, "
            f"type), a relation 4 (id, type, identifier, identifier)."
        )
    if columns[0] != document.id:
        return "annotation of another document", (
            f"an annotation of {columns[0]!r} below the text of {document.id!r}. Move it to its "
            f"text, or correct the id."
        )
    if all(map(_DIGITS.fullmatch, columns[1:3])):
        if len(columns) < 5:
            needed = "It needs at least 5: id, start, end, text, type."
            return "too few columns", f"a mention of 4 columns. {needed}"
        document.mentions.append(_make_mention(columns, place, separator))
    elif _NUMBER.fullmatch(columns[1]):
        return "offsets that are no numbers", (
            f"offsets {columns[1][:30]!r} and {columns[2][:30]!r}. Both must be whole numbers, in "
            f"characters, from 0."
        )
    else:
        label, head, tail, *more = columns[1:]
        info = {"columns": more} if more else {}
        document.relations.append(
            SourceRelation(head, tail, label, concepts=True, info=info, place=place)
        )
    return None


def _make_mention(columns: list[str], place: str, separator: str | None) -> SourceMention:
    mention = SourceMention(
        int(columns[1]), int(columns[2]), columns[4], text=columns[3], place=place
    )
    if columns[5:]:
        written = columns[5]
        concepts = mention.concepts = split_identifiers(written, separator)
        if not separator and len(concepts) > 1 and written == "|".join(concepts):
            separator = "|"
        if separator:
            mention.info["id_separator"] = separator
        if not concepts or written != (separator or SEPARATOR).join(concepts):
            mention.info["identifiers"] = written
    if columns[6:]:
        mention.info["individual"] = columns[6].split("|")
    if columns[7:]:
        mention.info["columns"] = columns[7:]
    return mention


def write(documents: Iterable[SourceDocument], path: Path) -> None:
    """Write a PubTator file. What `read` has read comes back the same.

    Left out, with one warning that counts them: relations between mentions, "negated" and the
    fragments of discontinuous mentions (their whole extent is written). Also left out: ids of
    mentions and relations, passages other than one title and one abstract, layers, and `info` of
    documents. Line ends in texts become spaces, one for each character, so offsets stay. A text
    without these two passages is cut after its first line or sentence; if it has only one, that is
    the title, and a space follows it.

    documents (Iterable[SourceDocument]): The documents.
    path (Path): The file; gzipped if its name ends in ".gz".
    RAISES (CorpusError): On an id, label or identifier that would be read as something else.
    RAISES (OSError): If the file can't be written.
    """
    left_out: Counter = Counter()
    write_text_atomically(path, (_format(document, left_out) for document in documents))
    if left_out:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        warnings.warn(f"{path}: PubTator can't express {counts}.")


def _format(document: SourceDocument, left_out: Counter) -> str:
    name = document.id
    if re.search(r"[|\t\n]|\A\ufeff", name):
        raise _inexpressible(document, f"the id {name!r}")
    title, abstract = _title_and_abstract(document)
    lines = [f"{name}|t|{_one_line(title)}", f"{name}|a|{_one_line(abstract)}"]
    for mention in document.mentions:
        if mention.fragments:
            left_out["fragments of discontinuous mentions"] += 1
        lines.append(_format_mention(mention, document))
    for relation in document.relations:
        if not relation.concepts:
            left_out["relations between mentions"] += 1
            continue
        if relation.negated:
            left_out["negations of relations"] += 1
        further = get_strings(relation.info, "columns")
        columns = [relation.label, relation.head, relation.tail, *further]
        if _NUMBER.fullmatch(relation.label) or _breaks(name, columns):
            raise _inexpressible(document, f"the relation {columns}")
        lines.append("\t".join([name, *columns]))
    return "\n".join(lines) + "\n\n"


def _title_and_abstract(document: SourceDocument) -> tuple[str, str]:
    text = document.text
    if [passage.name for passage in document.passages] == ["title", "abstract"]:
        title, abstract = document.passages
        between = text[title.end : abstract.start]
        whole = (title.start, abstract.end) == (0, len(text))
        if whole and len(between) == 1 and between.isspace():
            return text[: title.end], text[abstract.start :]
    cut = _CUT.search(text)
    return (text[: cut.start()], text[cut.end() :]) if cut else (text, "")


def _format_mention(mention: SourceMention, document: SourceDocument) -> str:
    text = document.text[mention.start : mention.end] if mention.text is None else mention.text
    columns = [str(mention.start), str(mention.end), _one_line(text, "\t"), mention.label]
    identifiers = _join_identifiers(mention, document)
    individual = get_strings(mention.info, "individual")
    further = get_strings(mention.info, "columns")
    if identifiers is not None or individual or further:
        columns.append(identifiers or "")
    if individual or further:
        columns += ["|".join(individual), *further]
    if not all(map(_DIGITS.fullmatch, columns[:2])) or _breaks(document.id, columns):
        raise _inexpressible(document, f"the mention {columns}")
    return "\t".join([document.id, *columns])


def _join_identifiers(mention: SourceMention, document: SourceDocument) -> str | None:
    """RETURNS (Optional[str]): The column of identifiers; None: it isn't needed."""
    separator, written = mention.info.get("id_separator"), mention.info.get("identifiers")
    if not isinstance(separator, str):
        separator = None
    # Word for word, unless the identifiers were changed since.
    if isinstance(written, str) and split_identifiers(written, separator) == mention.concepts:
        return written
    if not mention.concepts:
        return None
    joined = (separator or SEPARATOR).join(mention.concepts)
    if split_identifiers(joined, separator) != mention.concepts:
        raise _inexpressible(document, f"the identifiers {mention.concepts}")
    return joined


def _one_line(text: str, also: str = "") -> str:
    text = _LINE_END.sub(lambda match: " " * len(match[0]), text)
    return text.replace(also, " ") if also else text


def _breaks(name: str, columns: list[str]) -> bool:
    line = "\t".join([name, *columns])
    more = line.count("\t") > len(columns) or "\n" in line or line.endswith("\r")
    return more or not line.strip()


def _inexpressible(document: SourceDocument, what: str) -> CorpusError:
    return CorpusError(
        f"{document.place or 'document'} ({document.id!r}): PubTator can't express {what}: it "
        f"would be read as something else. Rename it, or write another format, such as jsonl."
    )
