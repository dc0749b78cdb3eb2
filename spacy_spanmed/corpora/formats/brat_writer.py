"""Writing brat standoff. See `brat_reader.py` for what its lines mean and where they are kept."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ...util.problems import CorpusError
from ..documents import SourceDocument, SourceMention, SourceRelation, get_strings

TEXT, ANNOTATION = ".txt", ".ann"
NEGATION, REFERENCE = "Negation", "Reference"
ROLES = ("Arg1", "Arg2")
ROLE = re.compile(r"(.*?[^0-9])[0-9]*", re.DOTALL)  # of an event: the role, and a number
MAX_NAME = 200  # bytes of a file name, of the 255 that file systems allow


def beside(stem: Path, suffix: str) -> Path:
    """RETURNS (Path): The file of that suffix; the stem itself may hold dots."""
    return stem.with_name(stem.name + suffix)


def write(documents: Iterable[SourceDocument], path: Path) -> None:
    """Write a folder of .txt and .ann files, one pair a document, whole or not at all.

    Files are named by the documents' ids, percent-encoded, so that ids come back on reading; ids
    too long for a file name are cut, ids used twice numbered ("paper~2").

    Reading gives the same mentions, fragments, concepts, relations between mentions, negations and
    what brat's own lines left in `info`. Mentions, relations and so on whose ids aren't brat's
    ("T1", "R1") or are used twice get such ids; what was read once comes back exactly. White space
    in labels, roles and types becomes "_", an empty one "_", line ends in notes a space.
    Left out are layers, passages, other `info`, empty concepts, and, with one warning that counts
    them, relations between concepts or of mentions that aren't there.

    documents (Iterable[SourceDocument]): The documents.
    path (Path): The folder. It may be there if it is empty.
    RAISES (CorpusError): If it holds anything or is a file, or on texts that UTF-8 can't express.
    RAISES (OSError): If it can't be written.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CorpusError(f"{path}: there already. Name a new or an empty folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    left_out: Counter = Counter()
    try:
        temporary.mkdir()
        for document in documents:
            stem = _find_free(temporary, document.id)
            for suffix, text in (
                (TEXT, document.text),
                (ANNOTATION, "".join(f"{line}\n" for line in _Lines(document, left_out).format())),
            ):
                try:
                    beside(stem, suffix).write_bytes(text.encode("utf8"))
                except UnicodeEncodeError as error:
                    raise CorpusError(
                        f"{document.id!r}: character {text[error.start]!a} can't be written as "
                        f"UTF-8. Remove it."
                    ) from None
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if left_out:
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(left_out.items()))
        warnings.warn(f"{path}: brat can't express {counts}.")


def _find_free(folder: Path, name: str) -> Path:
    encoded = _encode_name(name)[:MAX_NAME]
    stem, number = folder / encoded, 1
    while beside(stem, TEXT).exists():
        number += 1
        stem = folder / f"{encoded}~{number}"
    return stem


def _encode_name(name: str) -> str:
    encoded = quote(name, safe="", errors="backslashreplace")
    if encoded.startswith("."):  # would be hidden
        encoded = "%2E" + encoded[1:]
    return encoded or "%"


def decode_name(name: str) -> str:
    """RETURNS (str): The id of a file's name; the name itself if the writer wouldn't give it."""
    if name == "%":
        return ""
    name = os.fsencode(name).decode("utf8", "replace")
    decoded = unquote(name, errors="replace")
    return decoded if _encode_name(decoded) == name else name


class _Lines:
    """Writes the lines of one document.

    document (SourceDocument): The document.
    left_out (Counter): Counts what can't be expressed.
    """

    def __init__(self, document: SourceDocument, left_out: Counter):
        self._document, self._left_out = document, left_out
        # Lines to come at the end, by prefixes of their ids: the id it had, and the rest of it
        self._remarks: dict[str, list[tuple[str, str]]] = {"AM": [], "N": [], "#": []}
        names = _assign("T", [mention.id for mention in document.mentions])
        self._mentions = dict(zip(names, document.mentions))
        self._ids: dict[str, str] = {}  # ids that the document uses, and those written
        for name, mention in self._mentions.items():
            self._ids.setdefault(mention.id, name)
        self._ids.pop("", None)
        self._events = self._find_events()

    def format(self) -> Iterator[str]:
        """YIELDS (str): The lines, without line ends."""
        for name, mention in self._mentions.items():
            yield self._format_mention(name, mention)
        yield from self._format_relations()
        for group in _items(self._document.info, "groups", list):
            label, *names = [name for name in group if isinstance(name, str)] or [""]
            known = [self._ids[name] for name in names if name in self._ids]
            if len(known) > 1:
                yield "\t".join(("*", " ".join([_word(label), *known])))
        for note in _items(self._document.info, "notes", dict):
            self._add_note(note, _word(note.get("target", "")))
        for prefixes, items in self._remarks.items():
            names = _assign(prefixes, [name for name, _ in items])
            for name, (_, rest) in zip(names, items):
                yield f"{name}\t{rest}"

    def _find_events(self) -> dict[str, dict[str, Any]]:
        """RETURNS (Dict[str, Dict]): Of each event its "trigger", "relations" and "entry"."""
        events: dict[str, dict[str, Any]] = {}
        for name, mention in self._mentions.items():
            for entry in _items(mention.info, "events", dict):
                key = str(entry.get("id"))
                if re.fullmatch("E[0-9]+", key) and key not in events:
                    events[key] = {"trigger": name, "entry": entry, "relations": []}
        broken: set[str] = set()
        for relation in self._document.relations:
            key = relation.info.get("event", "")
            if not isinstance(key, str) or key not in events or relation.concepts:
                continue
            event = events[key]
            if self._ids.get(relation.head) != event["trigger"]:
                broken.add(key)
            elif relation.tail in self._ids:
                event["relations"].append(relation)
                if relation.negated != event["relations"][0].negated:
                    broken.add(key)
        for key in broken:  # changed since it was read: no one event can say that any more
            del events[key]
        return events

    def _format_mention(self, name: str, mention: SourceMention) -> str:
        parts = mention.fragments or [(mention.start, mention.end)]
        text = self._document.text
        covered = " ".join(text[max(0, start) : max(0, end)] for start, end in parts)
        covered = re.sub(r"[\t\r\n]", " ", covered)
        entries = list(_items(mention.info, "normalizations", dict))
        for concept in filter(None, mention.concepts):
            entry: dict[str, Any] = next((e for e in entries if e.get("concept") == concept), {})
            if entry:
                entries.remove(entry)
            text = _one_line(entry.get("text", covered))
            self._add("N", entry, f"{REFERENCE} {name} {_one_line(concept)}\t{text}")
        self._add_remarks(mention.info, name)
        offsets = ";".join(f"{start} {end}" for start, end in parts)
        return f"{name}\t{_word(mention.label)} {offsets}\t{covered}"

    def _format_relations(self) -> Iterator[str]:
        plain: list[SourceRelation] = []
        order: list[Any] = []  # names of events, and relations, as the document has them
        seen = set()
        for relation in self._document.relations:
            event = relation.info.get("event")
            if relation.concepts:
                self._left_out["relations between concepts"] += 1
            elif relation.head not in self._ids or relation.tail not in self._ids:
                self._left_out["relations of mentions that aren't there"] += 1
            elif not isinstance(event, str) or event not in self._events:
                plain.append(relation)
                order.append(relation)
            elif event not in seen:
                seen.add(event)
                order.append(event)
        order += [event for event in self._events if event not in seen]
        names = iter(_assign("R", [relation.id for relation in plain]))
        for item in order:
            yield (
                self._format_event(item, **self._events[item])
                if isinstance(item, str)
                else self._format_relation(next(names), item)
            )

    def _format_event(
        self, name: str, trigger: str, entry: dict[str, Any], relations: list[SourceRelation]
    ) -> str:
        words = [f"{_word(entry.get('type', self._mentions[trigger].label))}:{trigger}"]
        for relation in relations:
            role = relation.info.get("role")
            match = ROLE.fullmatch(role) if isinstance(role, str) else None
            role = role if match and match[1] == relation.label else relation.label
            words.append(
                f"{_word(role)}:{self._refer(relation.info.get('argument'), relation.tail)}"
            )
        negated = relations[0].negated if relations else "negation" in entry
        self._add_remarks(entry, name, negated)
        return f"{name}\t{' '.join(words)}"

    def _format_relation(self, name: str, relation: SourceRelation) -> str:
        roles = get_strings(relation.info, "roles", 2) or ROLES
        references = get_strings(relation.info, "references", 2) or ("", "")
        words = [_word(relation.label)] + [
            f"{_word(role)}:{self._refer(reference, end)}"
            for role, reference, end in zip(roles, references, (relation.head, relation.tail))
        ]
        self._add_remarks(relation.info, name, relation.negated)
        return f"{name}\t{' '.join(words)}"

    def _refer(self, reference: Any, mention: str) -> str:
        """RETURNS (str): The mention, or the event by which the source referred to it."""
        name = self._ids[mention]
        if isinstance(reference, str) and reference in self._events:
            return reference if self._events[reference]["trigger"] == name else name
        return name

    def _add_remarks(self, info: dict[str, Any], name: str, negated: bool = False) -> None:
        if negated:
            self._add("AM", {"id": info.get("negation", "")}, f"{NEGATION} {name}")
        for item in _items(info, "attributes", dict):
            words = [_word(item.get("name", "")), name]
            if "value" in item:
                words.append(_one_line(item["value"]))
            self._add("AM", item, " ".join(words))
        for note in _items(info, "notes", dict):
            self._add_note(note, name)

    def _add_note(self, note: dict[str, Any], target: str) -> None:
        text = _one_line(note.get("text", ""))
        self._add("#", note, f"{_word(note.get('type', ''))} {target}\t{text}")

    def _add(self, prefixes: str, item: dict[str, Any], rest: str) -> None:
        self._remarks[prefixes].append((str(item.get("id", "")), rest))


def _assign(prefixes: str, wanted: list[str]) -> list[str]:
    """RETURNS (List[str]): The wanted ids where they are brat's and new, else free ones."""
    used: set[str] = set()
    result: list[str] = []
    for name in wanted:
        good = bool(re.fullmatch(f"[{prefixes}][0-9]+", name)) and name not in used
        result.append(name if good else "")
        used.add(result[-1])
    names = (f"{prefixes[0]}{number}" for number in count(1))
    free = (name for name in names if name not in used)
    return [name or next(free) for name in result]


def _items(info: dict[str, Any], key: str, kind: type) -> Iterator[Any]:
    """YIELDS: What a list in `info` holds of a kind: other formats may use the key otherwise."""
    value = info.get(key)
    return (item for item in (value if isinstance(value, list) else ()) if isinstance(item, kind))


def _word(value: Any) -> str:
    return re.sub(r"[ \t\r\n]+", "_", str(value)) or "_"


def _one_line(value: Any) -> str:
    return re.sub(r"[\r\n]", " ", str(value))
