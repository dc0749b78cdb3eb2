"""Map a source's labels to one's own, as a YAML file says:

entities:
  Chemical: CHEMICAL
  SpecificDisease: DISEASE
  Modifier: null          # left out, and so are the relations that need it
relations:
  CID: CAUSES
strict: true              # a label that isn't listed is an error; else it stays as it is
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import srsly
from pydantic import ConfigDict, Field

from ..util.problems import CorpusError, Problems
from .checks import MENTIONS, RELATIONS, UNUSABLE, count_left_out, split_composite
from .documents import SourceDocument, SourceRelation
from .validation import Flag, Unusable, check

UNMAPPED = "left out by the label map"
FORM = (
    'Expected "entities:" and "relations:", each with lines like "Chemical: CHEMICAL" or "Chemical: '
    'null", with quotes around labels that YAML takes for something else, and "strict: true" or '
    '"strict: false".'
)

Label = Annotated[str, Field(min_length=1)]


@dataclass
class LabelMap:
    """What becomes of each label.

    entities, relations (Dict[str, Optional[str]]): Source label to label; None leaves it out.
    strict (bool): Whether an unlisted label is a problem. Defaults to False: it stays.
    path (str): The file, for messages.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    entities: dict[str, Label | None] = field(default_factory=dict)
    relations: dict[str, Label | None] = field(default_factory=dict)
    strict: Flag = False
    path: str = field(default="label map", init=False)


def read_label_map(path: Path) -> LabelMap:
    """Read a label map.

    path (Path): A YAML file: see above.
    RETURNS (LabelMap): The map.
    RAISES (CorpusError): If the file can't be read or says something else.
    """
    try:
        data = srsly.yaml_loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{path}: can't be read ({reason}). Give a label map in YAML.") from None
    except Exception as error:  # whatever the YAML parser raises
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path}: not valid YAML ({reason}).") from None
    if isinstance(data, dict):  # a section may be empty
        data = {key: value for key, value in data.items() if value is not None}
    try:
        label_map = check(LabelMap, data)
    except Unusable as error:
        raise CorpusError(f"{path}: not a label map: {error} {FORM}") from None
    label_map.path = str(path)
    return label_map


def map_labels(
    documents: Iterable[SourceDocument], labels: LabelMap, problems: Problems, facts: Counter
) -> Iterator[SourceDocument]:
    """Rename labels and leave out what the map drops.

    documents (Iterable[SourceDocument]): As a reader gives them.
    labels (LabelMap): The map.
    problems (Problems): Told of unlisted labels if the map is strict.
    facts (Counter): Counts what is left out. A relation is left out with the mention it needs,
        and a relation between concepts with the last mention of one of them.
    YIELDS (SourceDocument): The documents, with new labels.
    RAISES (CorpusError): On an unlisted label under a strict map, unless problems are skipped.
    """

    def look_up(section: str, label: str, place: str) -> tuple[str | None, str]:
        """RETURNS (Tuple[Optional[str], str]): The new label, or why there is none."""
        known: dict[str, str | None] = getattr(labels, section)
        if label in known or not labels.strict:
            return known.get(label, label), UNMAPPED
        problems.add(
            "labels that the map doesn't list",
            place,
            f"The label {label!r} isn't in the section {section} of {labels.path}. Add a line for "
            "it, with null to leave it out, or set strict to false.",
        )
        return None, UNUSABLE

    for document in documents:
        mentions, dropped = [], []
        for mention in document.mentions:
            label, why = look_up("entities", mention.label, mention.place or document.place)
            if label is None:
                count_left_out(facts, MENTIONS, why)
                dropped.append(mention)
            else:
                mentions.append(replace(mention, label=label))
        lost_ids = {m.id for m in dropped} - {m.id for m in mentions}
        lost_concepts = {name for m in dropped for name in m.concepts}
        lost_concepts -= {name for m in mentions for name in m.concepts}
        relations: list[SourceRelation] = []
        for relation in document.relations:
            label, why = look_up("relations", relation.label, relation.place or document.place)
            lost: Any = lost_concepts if relation.concepts else lost_ids
            needed = {relation.head, relation.tail}
            if relation.concepts:  # an argument may join several: see `checks.py`
                needed |= {part for end in needed for part in split_composite(end)}
            if label is None or needed & lost:
                count_left_out(facts, RELATIONS, why)
            else:
                relations.append(replace(relation, label=label))
        yield replace(document, mentions=mentions, relations=relations)
