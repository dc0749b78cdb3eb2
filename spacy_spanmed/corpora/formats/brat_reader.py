"""brat standoff: a folder of texts (.txt) and their annotation (.ann; BioNLP's .a1 and .a2, too).

    T1<tab>Label 0 5;8 12<tab>text           mention; several fragments make it discontinuous
    R1<tab>Label Arg1:T1 Arg2:T2             relation; info["roles"], ["references"] if others
    *<tab>Equiv T1 T2                        document info["groups"]: ["Equiv", "T1", "T2"]
    E1<tab>Type:T3 Theme:T1 Cause:E2         event: its trigger's info["events"], and relations
    A1<tab>Negation R1  (M1 likewise)        negates a relation, or an event's; info["negation"]
    A2<tab>Confidence T1 high                info["attributes"] of T, R or event
    N1<tab>Reference T1 MeSH:D001<tab>text   concept; id and text in info["normalizations"]
    #1<tab>AnnotatorNotes T1<tab>text        info["notes"] of T, R or event, else of the document

Each argument of an event is a relation from the mention of its trigger to that of the argument (of
its trigger, if that is an event), with the role as label, without the number that brat gives
repeated roles ("Theme2"). Its `info` tells the "event", and "role" and "argument" if they differ.

Offsets are in characters of the .txt, decoded as UTF-8 and otherwise as it is: both characters of
a CRLF count, as does a byte order mark. A document's id is the path below the folder without
suffix; names that the writer percent-encoded are decoded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...util.problems import CorpusError, Problems
from ...util.text_files import decode, read_lines
from ..documents import Offsets, SourceDocument, SourceMention, SourceRelation
from .brat_writer import ANNOTATION, NEGATION, REFERENCE, ROLE, ROLES, TEXT, beside, decode_name

BIONLP = (".a1", ".a2")

_MENTION = re.compile(r"(\S+) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)", re.ASCII)
_ARGUMENT = re.compile(r"(\S+):([^\s:]+)")
_EXAMPLES = {
    "T": "T1<tab>Label 0 5<tab>text",
    "R": "R1<tab>Label Arg1:T1 Arg2:T2",
    "E": "E1<tab>Type:T1 Role:T2",
    "*": "*<tab>Equiv T1 T2",
    "A": "A1<tab>Name T1 value",
    "M": "M1<tab>Name E1",
    "N": "N1<tab>Reference T1 DB:identifier<tab>text",
}

_Line = tuple[str, str, str, str | None]  # place, id, second and third column


def read(path: Path, problems: Problems) -> Iterator[SourceDocument]:
    """Read brat standoff, one document at a time.

    path (Path): A folder, with all below it, in the order of names; or one .txt, .ann, .a1 or .a2
        file, whose partner lies beside it.
    problems (Problems): Told of what can't be used: a file without partner, lines of a wrong form,
        ids used twice, references to what isn't there, text that isn't UTF-8.
    YIELDS (SourceDocument): The documents, with both layers; see above.
    RAISES (CorpusError): If there is no such file in the folder. See also `Problems`.
    RAISES (OSError): If a file can't be read.
    """
    path = Path(path)
    found = False
    for stem, name in _find(path):
        found = True
        text_path = beside(stem, TEXT)
        suffixes = [ANNOTATION] if beside(stem, ANNOTATION).is_file() else BIONLP
        annotations = [beside(stem, s) for s in suffixes if beside(stem, s).is_file()]
        if not text_path.is_file() or not annotations:
            there = annotations[0] if annotations else text_path
            missing = stem.name + (TEXT if annotations else ANNOTATION)
            problems.add(
                "file without its partner",
                str(there),
                f"there is no {missing} beside it. Add it (an empty {ANNOTATION}, if nothing is "
                f"annotated), or remove this file.",
            )
            continue
        document = SourceDocument(
            id=decode_name(name), text=_read_text(text_path, problems), place=str(annotations[0])
        )
        lines = [line for file in annotations for line in _read_columns(file, problems)]
        _Annotation(document, problems).read(lines)
        yield document
    if not found:
        raise CorpusError(f"{path}: no {TEXT} and {ANNOTATION} files there. Name their folder.")


def _find(path: Path) -> Iterator[tuple[Path, str]]:
    """YIELDS (Tuple[Path, str]): Paths without suffix, and below the given folder."""
    suffixes = (TEXT, ANNOTATION, *BIONLP)
    if not path.is_dir():
        path.stat()  # the error of a file that isn't there
        if path.suffix in suffixes:
            yield path.with_suffix(""), path.stem
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        stems = {os.path.splitext(file)[0] for file in files if file.endswith(suffixes)}
        for stem in sorted(stem for stem in stems if not stem.startswith(".")):
            below = (Path(folder) / stem).relative_to(path)
            yield Path(folder) / stem, below.as_posix()


def _read_text(path: Path, problems: Problems) -> str:
    lines = enumerate(path.read_bytes().split(b"\n"), start=1)
    return "\n".join(decode(line, str(path), problems, number) for number, line in lines)


def _read_columns(path: Path, problems: Problems) -> Iterator[_Line]:
    for number, line in read_lines(path, problems):
        if line.strip():
            # A carriage return within a line can't be written back: it counts as a space
            name, _, rest = line.replace("\r", " ").partition("\t")
            second, tab, third = rest.partition("\t")
            yield f"{path}:{number}", name.strip(), second.strip(" "), third if tab else None


class _Annotation:
    """Puts the lines of one text into its document.

    document (SourceDocument): With its text only.
    problems (Problems): See `read`.
    """

    def __init__(self, document: SourceDocument, problems: Problems):
        self._document, self._problems = document, problems
        self._mentions: dict[str, SourceMention] = {}
        self._triggers: dict[str, str] = {}  # of events
        self._relations: dict[str, list[SourceRelation]] = {}  # of R and E
        self._infos: dict[str, dict[str, Any]] = {}  # where to put what is said about T, R, E

    def read(self, lines: list[_Line]) -> None:
        lines = list(self._drop_repeated(lines))
        for kinds in (  # references may go forward, so one kind after the other
            {"T": self._read_mention},
            {"E": self._read_trigger},
            {"E": self._read_event, "R": self._read_relation, "*": self._read_group},
            {"A": self._read_attribute, "M": self._read_attribute, "N": self._read_concept},
            {"#": self._read_note},
        ):
            for line in lines:
                if line[1][0] in kinds:
                    kinds[line[1][0]](*line)
        for mention in self._document.mentions:
            if "events" in mention.info:
                mention.info["events"].sort(key=lambda event: (len(event["id"]), event["id"]))

    def _drop_repeated(self, lines: list[_Line]) -> Iterator[_Line]:
        known = set()
        for line in lines:
            place, name = line[:2]
            if not name.startswith(("#", *_EXAMPLES)):
                self._problems.add(
                    "line of an unknown kind",
                    place,
                    f"it begins with {name[:20]!r}. Known are {', '.join(_EXAMPLES)} and #, then a "
                    f"number and a tab.",
                )
            elif name in known:
                self._problems.add(
                    "id used twice", place, f"{name!r} is already above. Give it another number."
                )
            else:
                if name not in ("*", "#"):
                    known.add(name)
                yield line

    def _bad(self, place: str, name: str) -> None:
        self._problems.add(
            "line of a wrong form", place, f"not of the form {_EXAMPLES[name[0]]!r}. Correct it."
        )

    def _unknown(self, place: str, reference: str) -> None:
        self._problems.add(
            "reference to what isn't there",
            place,
            f"there is no usable {reference[:40]!r}. Add or correct it, or remove this line.",
        )

    def _read_mention(self, place: str, name: str, body: str, text: str | None) -> None:
        match = _MENTION.fullmatch(body)
        if not match or text is None:
            return self._bad(place, name)
        pairs = (part.split(" ") for part in match[2].split(";"))
        parts: list[Offsets] = [(int(start), int(end)) for start, end in pairs]
        mention = SourceMention(
            min(parts)[0],
            max(end for _, end in parts),
            match[1],
            fragments=parts if len(parts) > 1 else [],
            id=name,
            text=text,
            place=place,
        )
        self._document.mentions.append(mention)
        self._mentions[name], self._infos[name] = mention, mention.info

    def _resolve(self, place: str, reference: str) -> str | None:
        """RETURNS (Optional[str]): The id of the mention, or of the event's trigger."""
        found = self._triggers.get(reference, reference)
        if found in self._mentions:
            return found
        self._unknown(place, reference)
        return None

    def _read_trigger(self, place: str, name: str, body: str, _: str | None) -> None:
        match = _ARGUMENT.fullmatch(body.split(" ")[0])
        if not match:
            return self._bad(place, name)
        if match[2] not in self._mentions:
            return self._unknown(place, match[2])
        trigger = self._mentions[match[2]]
        event = {"id": name} if match[1] == trigger.label else {"id": name, "type": match[1]}
        trigger.info.setdefault("events", []).append(event)
        self._triggers[name], self._infos[name], self._relations[name] = match[2], event, []

    def _read_event(self, place: str, name: str, body: str, _: str | None) -> None:
        for argument in filter(None, body.split(" ")[1:]) if name in self._triggers else ():
            match = _ARGUMENT.fullmatch(argument)
            if not match:
                self._bad(place, name)
                continue
            tail = self._resolve(place, match[2])
            if tail is None:
                continue
            role = ROLE.fullmatch(match[1])
            label = role[1] if role else match[1]
            info = {"event": name}
            if label != match[1]:
                info["role"] = match[1]
            if tail != match[2]:
                info["argument"] = match[2]
            relation = SourceRelation(self._triggers[name], tail, label, info=info, place=place)
            self._add_relation(name, relation)

    def _add_relation(self, name: str, relation: SourceRelation) -> None:
        self._document.relations.append(relation)
        self._relations.setdefault(name, []).append(relation)

    def _read_relation(self, place: str, name: str, body: str, _: str | None) -> None:
        label, *arguments = filter(None, body.split(" ")) if body else [""]
        pairs = [match.groups() for match in map(_ARGUMENT.fullmatch, arguments) if match]
        if len(pairs) != 2 or len(arguments) != 2:
            return self._bad(place, name)
        if (pairs[0][0], pairs[1][0]) == ROLES[::-1]:
            pairs.reverse()
        roles, references = map(list, zip(*pairs))
        head, tail = (self._resolve(place, reference) for reference in references)
        if head is None or tail is None:
            return
        relation = SourceRelation(head, tail, label, id=name, place=place)
        if tuple(roles) != ROLES:
            relation.info["roles"] = roles
        if references != [head, tail]:
            relation.info["references"] = references
        self._add_relation(name, relation)
        self._infos[name] = relation.info

    def _read_group(self, place: str, name: str, body: str, _: str | None) -> None:
        parts = [part for part in body.split(" ") if part]
        if len(parts) < 3:
            return self._bad(place, name)
        for reference in parts[1:]:
            if reference not in self._mentions:
                return self._unknown(place, reference)
        self._document.info.setdefault("groups", []).append(parts)

    def _read_attribute(self, place: str, name: str, body: str, _: str | None) -> None:
        label, target, *value = body.split(" ", 2) if " " in body else ["", ""]
        if not target:
            return self._bad(place, name)
        if target not in self._infos:
            return self._unknown(place, target)
        info = self._infos[target]
        if label == NEGATION and not value and target in self._relations and "negation" not in info:
            info["negation"] = name
            for relation in self._relations[target]:
                relation.negated = True
            return
        attribute = {"id": name, "name": label}
        if value:
            attribute["value"] = value[0]
        info.setdefault("attributes", []).append(attribute)

    def _read_concept(self, place: str, name: str, body: str, text: str | None) -> None:
        parts = body.split(" ", 2)
        if len(parts) != 3 or parts[0] != REFERENCE:
            return self._bad(place, name)
        mention = self._mentions.get(parts[1])
        if mention is None:
            return self._unknown(place, parts[1])
        mention.concepts.append(parts[2])
        entry = {"id": name, "concept": parts[2], "text": text or ""}
        mention.info.setdefault("normalizations", []).append(entry)

    def _read_note(self, place: str, name: str, body: str, text: str | None) -> None:
        parts = body.split(" ")
        if len(parts) != 2:
            return  # a comment
        note = {"id": name, "type": parts[0], "text": text or ""}
        info = self._infos.get(parts[1])
        if info is None:
            info = self._document.info
            note["target"] = parts[1]
        info.setdefault("notes", []).append(note)
