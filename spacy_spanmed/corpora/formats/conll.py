"""CoNLL: a token with its tag a line, as in CoNLL 2003 and WNUT 2017. Reading only.

Columns are separated by tabs, or by white space in a line without tab; the first is the token, the
last its tag. A blank line ends a sentence. A "-DOCSTART-" line starts a document; up to the first
one, each sentence is a document of its own. The text is made up: tokens joined by one space,
sentences by one line end.

Tags are "O", or a prefix, "-" and the entity's type. A type that is not given ("B", "I") is
"ENTITY". IOB1, IOB2, BILOU and BIOES are read by one rule:

- B starts an entity, U and S start one that ends here.
- I continues the entity before it if that is of the same type, else it starts one (as in IOB1).
- L and E end the entity before them, which must be of the same type; else they are a problem.

A line without tab that begins with "#" is a comment if other token lines have tabs or another
number of columns, or if its last column is no tag; so "# O" can be a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...util.problems import Problems
from ...util.text_files import file_stem, read_lines
from ..documents import SourceDocument, SourceMention

DOCUMENT_START = "-DOCSTART-"
UNNAMED = "ENTITY"  # the type of tags that have none
OUTSIDE = "O"

_TAG = re.compile(r"([BILEUS])(?:-(.+))?", re.DOTALL)
_SPACES = re.compile(r"[ \f\v\r]+")


def read(path: Path, problems: Problems) -> Iterator[SourceDocument]:
    """Read a CoNLL file, one document at a time.

    path (Path): The file, plain or gzipped.
    problems (Problems): Told of what can't be used. A token without a usable tag is kept when it
        is to be skipped, and counts as outside; a line without token is left out.
    YIELDS (SourceDocument): The documents that have tokens, with the layer "entities" alone. Their
        id is the file's name without suffix, "-", and a number from 1. In `info`, "sentences" are
        the offsets at which sentences start, and "tokens" the offsets of tokens as [start, end].
    RAISES (CorpusError): See `Problems` and `read_lines`.
    RAISES (OSError): If the file can't be opened.
    """
    stem, count = file_stem(path), 1
    builder = _Builder(f"{stem}-{count}", problems)
    whole_documents = False
    width = 0  # columns of the first token line, negative if tabs are between them
    for number, line in read_lines(path, problems):
        columns = _columns(line)
        blank, start = not line.strip(), columns[0] == DOCUMENT_START
        if builder.tokens and (start or (blank and not whole_documents)):
            yield builder.finish()
            count += 1
            builder = _Builder(f"{stem}-{count}", problems)
        if start:
            whole_documents = True
        elif blank:
            builder.end_sentence()
        elif not _is_comment(line, columns, width):
            width = width or (-len(columns) if "\t" in line else len(columns))
            builder.add(columns, f"{path}:{number}")
    if builder.tokens:
        yield builder.finish()


def _columns(line: str) -> list[str]:
    if "\t" in line:
        return [column.strip(" \r") for column in line.split("\t")]
    return _SPACES.split(line.strip(" \f\v\r"))


def _is_tag(text: str) -> bool:
    return text == OUTSIDE or bool(_TAG.fullmatch(text))


def _is_comment(line: str, columns: list[str], width: int) -> bool:
    if not line.startswith("#") or "\t" in line:
        return False
    return not _is_tag(columns[-1]) or len(columns) == 1 or width not in (0, len(columns))


class _Builder:
    """A document that grows token by token."""

    def __init__(self, name: str, problems: Problems):
        self.tokens: list[list[int]] = []
        self._sentences: list[int] = []
        info = {"sentences": self._sentences, "tokens": self.tokens}
        self._document = SourceDocument(name, "", layers=["entities"], info=info)
        self._problems = problems
        self._parts: list[str] = []
        self._separator = ""  # between the tokens so far and the next
        self._open: SourceMention | None = None  # the entity that the next tag may continue

    def end_sentence(self) -> None:
        """Let the next token start a sentence, and no entity reach over the end of this one."""
        self._separator, self._open = "\n" if self.tokens else "", None

    def add(self, columns: list[str], place: str) -> None:
        """Append the token of a line, given its columns and place."""
        token, tag = columns[0], columns[-1]
        if not token:
            self._problems.add(
                "line without token",
                place,
                "the first column is empty. Put the token there, or make the line blank to end "
                "the sentence.",
            )
            return
        if len(columns) < 2:
            self._problems.add(
                "token without tag",
                place,
                f"only one column, {token[:40]!r}. Add the tag as last column, after a tab.",
            )
            tag = OUTSIDE
        self._document.place = self._document.place or place
        start = len(self._separator) + (self.tokens[-1][1] if self.tokens else 0)
        if self._separator != " ":
            self._sentences.append(start)
        self._parts.append(self._separator + token)
        self._separator = " "
        self.tokens.append([start, start + len(token)])
        self._open = self._tag(tag, start, start + len(token), place)

    def finish(self) -> SourceDocument:
        """RETURNS (SourceDocument): The document."""
        self._document.text = "".join(self._parts)
        return self._document

    def _tag(self, tag: str, start: int, end: int, place: str) -> SourceMention | None:
        """RETURNS (Optional[SourceMention]): The entity that the next tag may continue."""
        match = _TAG.fullmatch(tag)
        if tag == OUTSIDE:
            return None
        if not match:
            self._problems.add(
                "unknown tag",
                place,
                f"{tag[:40]!r} is no tag. Expected is 'O', or one of B, I, L, E, U and S with "
                f"'-' and a type, such as 'B-Disease', in the last column.",
            )
            return None
        prefix, label, mention = match[1], match[2] or UNNAMED, self._open
        if prefix in "ILE" and mention is not None and mention.label == label:
            mention.end = end
        elif prefix in "LE":
            self._problems.add(
                "entity that ends before it starts",
                place,
                f"the tag {tag[:40]!r} doesn't follow an entity of its type. Start the entity "
                f"with 'B-', or use 'U-' or 'S-' for a single token.",
            )
            return None
        else:
            mention = SourceMention(start, end, label, place=place)
            self._document.mentions.append(mention)
        return mention if prefix in "BI" else None
