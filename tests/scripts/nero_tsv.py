"""Tiny files in NERO's format."""

from scripts.nero.rows import COLUMNS


def row_bytes(number, text, entity1, class1="GP", **fields):
    """One row; fields are named as in the file, and `raw` bytes replace the text."""
    values = dict.fromkeys(COLUMNS, "")
    values.update(
        amId=str(number),
        assignedId=str(number),
        sdocId="100",
        userId="5",
        entity1=entity1,
        semantic_class_entity1=class1,
        pmid="NULL",
        sentenceText=text,
        procset="manualset3",
    )
    values.update(fields)
    return b"\t".join(v if isinstance(v, bytes) else v.encode() for v in values.values())


def statement_bytes(number, text, entity1, action, entity2, **fields):
    """One row of a statement set."""
    defaults = {
        "actionType": action,
        "entity2": entity2,
        "semantic_class_entity2": "GP",
        "procset": "bind",
    }
    return row_bytes(number, text, entity1, **{**defaults, **fields})


def write_tsv(path, rows):
    """Write a file and return its path."""
    path.write_bytes(b"".join(line + b"\n" for line in ["\t".join(COLUMNS).encode(), *rows]))
    return path
