"""What a corpus file says about one text, in the same form for every format.

Readers turn a file into a stream of SourceDocuments, `checks.py` compares their offsets with the
text, and `docs.py` turns them into gold Docs and back. Writers take SourceDocuments again.
All offsets are in characters (Unicode code points) of `SourceDocument.text`, ends exclusive.

The types of the fields are also those that `validation.check` holds JSON to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..doc.layers import LAYERS
from .validation import Flag, Info, Name, Offset

Offsets = tuple[Offset, Offset]


@dataclass
class SourceMention:
    """An annotated piece of text.

    start, end (int): Offsets; of a discontinuous mention, of its whole extent.
    label (str): Its type.
    concepts (List[str]): Identifiers of what it means (MeSH, NCBI Gene ...), in the source's
        order; several for a composite mention; empty if there is none.
    fragments (List[Tuple[int, int]]): Offsets of the parts of a discontinuous mention, at least
        two; empty for an ordinary mention.
    id (str): Its name in the source ("T1"), to which relations refer; empty if it has none.
    text (Optional[str]): The string that the source gives for it, to be compared with the text;
        for a discontinuous mention its fragments joined by one space. None: not given.
    info (Dict[str, Any]): What else the source says, as JSON values, for the writer.
    place (str): Where it was read, as "file:line" or the like, for messages.
    """

    start: Offset
    end: Offset
    label: str
    concepts: list[str] = field(default_factory=list)
    fragments: list[Offsets] = field(default_factory=list)
    id: Name = ""
    text: str | None = field(default=None, compare=False)
    info: Info = field(default_factory=dict)
    place: str = field(default="", compare=False)


@dataclass
class SourceRelation:
    """A relation between two mentions, or between two concepts of a document.

    head, tail (str): Ids of mentions (`SourceMention.id`), or identifiers of concepts.
    label (str): Its type.
    concepts (bool): Whether head and tail are concepts.
    negated (bool): Whether the text denies it.
    id (str): Its name in the source; empty if it has none.
    info (Dict[str, Any]): What else the source says, as JSON values, for the writer.
    place (str): Where it was read, for messages.
    """

    head: Name
    tail: Name
    label: str
    concepts: Flag = False
    negated: Flag = False
    id: Name = ""
    info: Info = field(default_factory=dict)
    place: str = field(default="", compare=False)


@dataclass
class Passage:
    """A part of the text, such as its title.

    name (str): "title", "abstract" ...; may be empty.
    start, end (int): Offsets.
    info (Dict[str, Any]): What else the source says, as JSON values, for the writer.
    """

    name: str
    start: Offset
    end: Offset
    info: Info = field(default_factory=dict)


@dataclass
class SourceDocument:
    """One text with its annotation.

    id (str): Its name in the source (a PubMed id, a file name).
    text (str): The text.
    mentions (List[SourceMention]), relations (List[SourceRelation]): In the source's order.
    layers (List[str]): Which layers the source annotates here, out of "entities" and "relations".
        One that is left out is unknown, not empty.
    passages (List[Passage]): Parts of the text, if the source tells them; else empty.
    info (Dict[str, Any]): What else the source says, as JSON values, for the writer.
    place (str): Where it was read, as "file:line" or the like, for messages.
    relates_concepts (Optional[bool]): Whether the source's relations are between concepts, which a
        document without relations doesn't show. None: not known.
    """

    id: str
    text: str
    mentions: list[SourceMention] = field(default_factory=list)
    relations: list[SourceRelation] = field(default_factory=list)
    layers: list[str] = field(default_factory=lambda: list(LAYERS))
    passages: list[Passage] = field(default_factory=list)
    info: Info = field(default_factory=dict)
    place: str = field(default="", compare=False)
    relates_concepts: bool | None = field(default=None, compare=False)


def get_strings(info: dict[str, Any], key: str, size: int | None = None) -> list[str]:
    """Look up an entry of `info` for a writer: other formats may use the key otherwise.

    info (Dict[str, Any]): Of a mention, relation and so on.
    key (str): The key.
    size (Optional[int]): How many strings there must be. Defaults to None: any number.
    RETURNS (List[str]): The entry, if it is such a list of strings; else an empty list.
    """
    value = info.get(key)
    if not isinstance(value, list) or (size is not None and len(value) != size):
        return []
    return value if all(isinstance(item, str) for item in value) else []
