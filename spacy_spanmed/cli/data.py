"""What commands read: pipelines, and `.spacy` data to judge them on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.corpus import walk_corpus
from spacy.util import load_model
from thinc.api import ConfigValidationError

from ..doc.layers import get_layers
from ..util.provenance import file_sha256


def load_pipeline(model: str, overrides: Mapping[str, Any] = {}) -> Language:
    """Load a pipeline by name or path.

    model (str): Name of an installed package, or a directory.
    overrides (Mapping[str, Any]): Settings by dotted key, in place of those in its config.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): With one line that says what is wrong.
    """
    try:
        return load_model(model, config=dict(overrides))
    except ConfigValidationError as error:  # says on its further lines which settings are wrong
        reason = " ".join(str(error).split())
        raise ValueError(f"Can't load the pipeline '{model}': {reason}") from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(f"Can't load the pipeline '{model}': {reason}") from error


def read_examples(nlp: Language, data: Path) -> list[Example]:
    """Read what `spacy.Corpus` would, but say which file is broken.

    nlp (Language): Its tokenizer makes the predicted Docs.
    data (Path): A `.spacy` file, or a directory searched for them.
    RETURNS (List[Example]): In the order of the sorted paths.
    RAISES (ValueError): If there is nothing to read, a file is invalid, or no Doc carries an
        annotation layer.
    """
    if not data.exists():
        raise ValueError(f"No such file or directory: '{data}'")
    if data.is_file() and data.suffix != ".spacy":
        raise ValueError(f"'{data}' is not a .spacy file. Convert it first: `spanmed convert`.")
    examples: list[Example] = []
    for path in _data_files(data):
        try:
            examples.extend(Corpus(path)(nlp))
        except Exception as error:  # zlib, msgpack and spaCy each raise their own
            raise ValueError(
                f"'{path}' is not valid .spacy data ({type(error).__name__}: {error})"
            ) from error
    if not examples:
        raise ValueError(f"No documents in '{data}'")
    if not any(get_layers(example.reference) for example in examples):
        raise ValueError(
            f"None of the {len(examples)} documents in '{data}' carries entity or relation "
            "annotation. Was the DocBin written with store_user_data=True?"
        )
    return examples


def hash_data(data: Path) -> str:
    """sha256 of a file, or, for a directory, of the names and hashes of its `.spacy` files.

    data (Path): A file or a directory.
    RETURNS (str): Hexadecimal digest.
    """
    if data.is_file():
        return file_sha256(data)
    lines = [f"{path.relative_to(data)} {hash_data(path)}\n" for path in _data_files(data)]
    return hashlib.sha256("".join(lines).encode("utf8")).hexdigest()


def _data_files(data: Path) -> list[Path]:
    if data.is_file():
        return [data]
    if not any(data.rglob("*.spacy")):  # spaCy would warn about it on top of our own error
        return []
    return [Path(path) for path in walk_corpus(data, ".spacy")]
