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
    stem, count = file_stem(path), 0
    builder = _Builder(problems)
    whole_documents = False
    width = 0  # columns of the first token line, negative if tabs are between them
    for number, line in read_lines(path, problems):
        place = f"{path}:{number}"
        columns = _columns(line)
        blank, start = not line.strip(), columns[0] == DOCUMENT_START
        if builder.tokens and (start or (blank and not whole_documents)):
            count += 1
            yield builder.finish(f"{stem}-{count}")
            builder = _Builder(problems)
        if start:
            whole_documents = True
        elif blank:
            builder.end_sentence()
        elif not _is_comment(line, columns, width):
            width = width or (-len(columns) if "\t" in line else len(columns))
            builder.add(columns, place)
    if builder.tokens:
        yield builder.finish(f"{stem}-{count + 1}")


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
    """A document that grows token by token.

    problems (Problems): Told of what can't be used.
    """

    def __init__(self, problems: Problems):
        self.problems = problems
        self.tokens: list[list[int]] = []
        self.sentences: list[int] = []
        self.mentions: list[SourceMention] = []
        self.place = ""
        self._parts: list[str] = []
        self._length = 0
        self._in_sentence = False
        self._open: SourceMention | None = None  # the entity that the next tag may continue

    def end_sentence(self) -> None:
        """Let the next token start a sentence, and no entity reach over the end of this one."""
        self._in_sentence, self._open = False, None

    def add(self, columns: list[str], place: str) -> None:
        """Append a token.

        columns (List[str]): The columns of its line.
        place (str): The line.
        """
        token, tag = columns[0], columns[-1]
        if not token:
            self.problems.add(
                "line without token",
                place,
                "the first column is empty. Put the token there, or make the line blank to end "
                "the sentence.",
            )
            return
        if len(columns) < 2:
            self.problems.add(
                "token without tag",
                place,
                f"only one column, {token[:40]!r}. Add the tag as last column, after a tab.",
            )
            tag = OUTSIDE
        start, end = self._append(token, place)
        self._tag(tag, start, end, place)

    def _append(self, token: str, place: str) -> list[int]:
        if self._parts:
            self._parts.append(" " if self._in_sentence else "\n")
            self._length += 1
        self.place = self.place or place
        if not self._in_sentence:
            self.sentences.append(self._length)
        self._in_sentence = True
        self._parts.append(token)
        self.tokens.append([self._length, self._length + len(token)])
        self._length += len(token)
        return self.tokens[-1]

    def _tag(self, tag: str, start: int, end: int, place: str) -> None:
        match = _TAG.fullmatch(tag)
        before, self._open = self._open, None
        if not match:
            if tag != OUTSIDE:
                self.problems.add(
                    "unknown tag",
                    place,
                    f"{tag[:40]!r} is no tag. Expected is 'O', or one of B, I, L, E, U and S with "
                    f"'-' and a type, such as 'B-Disease', in the last column.",
                )
            return
        prefix, label = match[1], match[2] or UNNAMED
        if prefix in "ILE" and before is not None and before.label == label:
            before.end = end
        elif prefix in "LE":
            self.problems.add(
                "entity that ends before it starts",
                place,
                f"the tag {tag[:40]!r} doesn't follow an entity of its type. Start the entity "
                f"with 'B-', or use 'U-' or 'S-' for a single token.",
            )
            return
        else:
            before = SourceMention(start, end, label, place=place)
            self.mentions.append(before)
        self._open = before if prefix in "BI" else None

    def finish(self, name: str) -> SourceDocument:
        """RETURNS (SourceDocument): The document, under this id."""
        return SourceDocument(
            id=name,
            text="".join(self._parts),
            mentions=self.mentions,
            layers=["entities"],
            info={"sentences": self.sentences, "tokens": self.tokens},
            place=self.place,
        )
