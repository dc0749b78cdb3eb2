"""Files of JSON lines for tests, read as they are written."""

import json

from spacy_spanmed.corpora.formats.jsonl import read
from spacy_spanmed.util.problems import Problems


def load(tmp_path, data, on_error="raise"):
    path = tmp_path / "file.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    problems = Problems(on_error)
    return list(read(path, problems)), problems


def load_one(tmp_path, value):
    (document,), _ = load(tmp_path, json.dumps(value))
    return document
