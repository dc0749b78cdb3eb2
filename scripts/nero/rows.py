"""Reading NERO's rows from the file inside its wheel, without importing the wheel's code.

The file is UTF-8 with stray Latin-1 bytes, its lines end in LF, and most of its texts end in a
CR. Policy: a line is what stands between two LFs; a byte that isn't UTF-8 is the Latin-1
character of that number; every run of white space (CR and no-break space included) is one space;
fields are trimmed, and those other than the text also lose escaped line ends ("is\r\n").
"""

from __future__ import annotations

import codecs
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spacy_spanmed.util.problems import CorpusError

DISTRIBUTION = "NERO-nlp"
PACKAGE = "NERO"
FILE_NAME = "annotation_results.txt"
COLUMNS = (
    "amId", "assignedId", "sdocId", "userId", "editorUserId", "indexActionMentionId",
    "external_id", "dbActionMentionId", "entity1", "semantic_class_entity1", "modifier_entity1",
    "actionType", "semantic_class_actionType", "modifier_actionType", "protein_domain_entity1",
    "gene_region_entity1", "entity2", "semantic_class_entity2", "modifier_entity2",
    "protein_domain_entity2", "gene_region_entity2", "topic", "statement_context", "negative",
    "certainty_level", "derived_certainty_level", "applied_rule", "indexSentenceId", "pmid",
    "sentenceText", "procset",
)  # fmt: skip

# The fields that are read, and those in which an escape shows that a row is cut.
_USED = (
    "amId", "assignedId", "sdocId", "userId", "entity1", "semantic_class_entity1", "actionType",
    "entity2", "semantic_class_entity2", "protein_domain_entity1", "gene_region_entity1",
    "protein_domain_entity2", "gene_region_entity2", "pmid", "procset",
)  # fmt: skip
_ESCAPES = re.compile(r"(?:\\[nrt]|\s)+$")


class NeroRow(NamedTuple):
    """A row: one mention (dense sets) or one statement about two arguments (statement sets).

    line (int): Its line in the file, from 1; the header is line 1.
    number (int): The annotation's identifier ("amId").
    order (int): Its place among the annotations of the sentence ("assignedId"), from 1.
    sentence (int): The sentence's identifier ("sdocId").
    annotator (str): The annotator ("userId").
    entity1, class1 (str): First argument, or the mention, and its semantic class.
    action (str): The action string.
    entity2, class2 (str): Second argument.
    paper (str): PubMed identifier, empty where there is none.
    text (str): The sentence, with white space normalised.
    procset (str): The set the row belongs to.
    malformed (bool): Whether an escaped line end or tab shows that columns are shifted or cut.
    """

    line: int
    number: int
    order: int
    sentence: int
    annotator: str
    entity1: str
    class1: str
    action: str
    entity2: str
    class2: str
    paper: str
    text: str
    procset: str
    malformed: bool


def find_nero_file() -> Path:
    """Locate the file of annotations inside the installed wheel.

    RETURNS (Path): The file.
    RAISES (CorpusError): If the wheel isn't installed or lacks the file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / FILE_NAME
        if path.is_file():
            return path
    raise CorpusError(
        f"The NERO corpus isn't installed. Run `pip install {DISTRIBUTION}`, or name its "
        f"{FILE_NAME} with --tsv."
    )


def decode_line(line: bytes) -> str:
    """RETURNS (str): The line decoded as UTF-8, stray bytes as Latin-1 characters."""
    return line.decode("utf-8", "stray_latin_1")


def _decode_stray(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("stray_latin_1", _decode_stray)


def normalize_space(text: str) -> str:
    """RETURNS (str): The text trimmed, each run of white space replaced by one space."""
    return " ".join(text.split())


def read_rows(path: Path) -> Iterator[NeroRow]:
    """Read the rows of the file.

    path (Path): A file in NERO's format, with its header.
    YIELDS (NeroRow): The rows, in the file's order.
    RAISES (CorpusError): Naming file and line, if the file is missing or not NERO's, or if a row
        has another number of fields than the header (a download that broke off).
    """
    remedy = f"Reinstall it with `pip install --force-reinstall {DISTRIBUTION}`."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: can't be read ({error.strerror}).") from None
    header, *lines = data.removesuffix(b"\n").split(b"\n")
    if tuple(decode_line(header).strip().split("\t")) != COLUMNS:
        raise CorpusError(f"{path}, line 1: not the header of NERO's {FILE_NAME}. {remedy}")
    for i, line in enumerate(lines, start=2):
        fields = decode_line(line).split("\t")
        if len(fields) != len(COLUMNS):
            raise CorpusError(
                f"{path}, line {i}: {len(fields)} fields instead of {len(COLUMNS)}. The file is "
                f"truncated or damaged. {remedy}"
            )
        yield _parse(dict(zip(COLUMNS, fields)), i, path)


def _parse(fields: dict[str, str], line: int, path: Path) -> NeroRow:
    values, malformed = {}, False
    for name in _USED:
        value = fields[name].strip()
        if "\\" in value:
            stripped = _ESCAPES.sub("", value)
            # The field of an action may end in an escaped line end and still be whole.
            malformed |= stripped != value and name != "actionType"
            value = stripped
        values[name] = "" if value in ("NULL", "null") else normalize_space(value)
    try:
        number, order, sentence = (int(values[k]) for k in ("amId", "assignedId", "sdocId"))
    except ValueError:
        raise CorpusError(
            f"{path}, line {line}: amId, assignedId and sdocId must be whole numbers."
        ) from None
    return NeroRow(
        line, number, order, sentence, values["userId"],
        values["entity1"], values["semantic_class_entity1"], values["actionType"],
        values["entity2"], values["semantic_class_entity2"],
        values["pmid"], normalize_space(fields["sentenceText"]), values["procset"], malformed,
    )  # fmt: skip
