"""Sources in any format become gold Docs on disk, with a report of what became of everything.

Which split a document goes into (train, dev, test) is told by a hash of a seed and its text alone,
so it depends neither on chance nor on the order and choice of the sources.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy

from ..pipeline.tokenizer import create_tokenizer
from ..util.files import write_json
from ..util.problems import CorpusError, Problems
from .alignment import Tokenize
from .checks import KEPT, UNUSABLE, count_document
from .docbin import SHARD_SIZE, ShardWriter, read_docs, write_labels
from .docs import try_make_doc
from .documents import SourceDocument
from .formats import AUTO, detect_format
from .label_map import LabelMap
from .reading import find_layers, read_documents
from .report import Description

TRAIN, DEV, TEST = "train", "dev", "test"
SPLITS = (TRAIN, DEV, TEST)
ALL = "all"
# A vocabulary keeps every word it has seen, so a long run gets a new one now and then.
VOCABULARY_LIFETIME = 20_000  # documents

Progress = Callable[[int], None]  # documents done


def convert(
    sources: Sequence[Path],
    output: Path,
    *,
    format: str = AUTO,
    labels: LabelMap | None = None,
    layers: Sequence[str] | None = None,
    problems: Problems | None = None,
    split: Mapping[str, float] | None = None,
    seed: int = 0,
    shard_size: int = SHARD_SIZE,
    labels_out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert sources to `.spacy` data; one document and one shard in memory at a time.

    sources (Sequence[Path]): Files or brat folders, of any mixture of formats.
    output (Path): A name ending in ".spacy": a file, or a folder if the corpus has more than one
        shard. With `split` a folder of such, and of no others. They appear when all is done.
    format, layers: See `reading.read_documents`.
    labels (Optional[LabelMap]): New names of labels. Defaults to None: they stay.
    problems (Optional[Problems]): Defaults to None: the first problem is an error.
    split (Optional[Mapping[str, float]]): Names and shares, which add up to 1: see `parse_split`.
        Defaults to None: no splits.
    seed (int): Another seed, other splits. Defaults to 0.
    shard_size (int): Documents a file. Defaults to 5000.
    labels_out (Optional[Path]): Folder for the labels that `spacy train` can take instead of
        reading the corpus first; of the split "train" if there is one. Defaults to None.
    progress (Optional[Callable[[int], None]]): Told the number of documents done, after each.
    RETURNS (Dict[str, Any]): The report, which also lies beside the output: "sources", "layers",
        "seed", "facts", "problems" and "examples" of them, "splits" (see `report.describe`).
    RAISES (CorpusError): If a source can't be used, or holds no documents, or if the output can't
        be used.
    RAISES (OSError): If something can't be opened or written.
    """
    problems = problems or Problems()
    paths = {ALL: output} if split is None else {n: output / f"{n}.spacy" for n in split}
    if split is not None:
        _check_folder(output, {path.name for path in paths.values()})
    formats = [detect_format(path) if format == AUTO else format for path in sources]
    layers = list(layers) if layers is not None else find_layers(sources, format, labels, problems)
    facts: Counter = Counter()
    documents = read_documents(sources, format, problems, layers, labels, facts)
    writers = {name: ShardWriter(path, shard_size) for name, path in paths.items()}
    counts = {name: Description() for name in paths}
    try:
        for done, (document, doc) in enumerate(_make_docs(documents, problems, facts), start=1):
            name = ALL if split is None else choose_split(document, split, seed)
            writers[name].add(doc)
            counts[name].add(doc)
            if progress is not None:
                progress(done)
        if not any(writer.count for writer in writers.values()):
            raise CorpusError(
                f"No document to write in {', '.join(map(str, sources))}. Check the format "
                f"({', '.join(dict.fromkeys(formats))}) and what was left out."
            )
        for writer in writers.values():
            writer.commit()
    finally:
        for writer in writers.values():
            writer.discard()
    if labels_out is not None:
        training = [paths[TRAIN]] if TRAIN in paths else paths.values()
        write_labels((doc for path in training for doc in read_docs(path)), labels_out)
    report = {
        "sources": [{"path": str(p), "format": f} for p, f in zip(sources, formats)],
        "layers": layers,
        "seed": seed,
        "facts": {name: number for name, number in facts.items() if number},
        "problems": dict(problems.counts),
        "examples": problems.examples,
        "splits": {name: count.to_dict() for name, count in counts.items()},
    }
    write_json(report_path(output), report)
    return report


def report_path(output: Path) -> Path:
    """RETURNS (Path): Where the report of an output lies: corpus.report.json beside
    corpus.spacy."""
    if output.name in ("", ".."):  # such as the current folder
        output = output.resolve()
    return output.parent / f"{output.name.removesuffix('.spacy')}.report.json"


def _check_folder(folder: Path, names: set[str]) -> None:
    """Make sure that a folder of splits won't hold another run's split, which has texts of this
    run's. RAISES (CorpusError): If it does."""
    others = {path.name for path in folder.glob("*.spacy")} - names if folder.is_dir() else ()
    if others:
        raise CorpusError(
            f"{folder}: it already holds {', '.join(sorted(others))}, which this run doesn't write "
            "and which may have the same texts. Remove that, or choose another output."
        )


def _make_docs(
    documents: Iterable[SourceDocument], problems: Problems, facts: Counter
) -> Iterator[tuple[SourceDocument, Any]]:
    seen: set[int] = set()
    for i, document in enumerate(documents):
        if i % VOCABULARY_LIFETIME == 0:
            tokenize: Tokenize = create_tokenizer(spacy.blank("en"))
        doc = try_make_doc(tokenize, document, problems)
        if doc is None:
            count_document(facts, document, KEPT, -1)
            count_document(facts, document, UNUSABLE)
            continue
        key = hash_text(0, document.text)
        facts["documents with the text of an earlier one"] += key in seen
        seen.add(key)
        yield document, doc


def stable_hash(seed: int, key: str) -> int:
    """RETURNS (int): A number from 0 to 2^64 - 1 that depends on seed and key alone."""
    digest = hashlib.blake2b(f"{seed}\t{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def hash_text(seed: int, text: str) -> int:
    """RETURNS (int): As `stable_hash`, of a text without regard to white space."""
    return stable_hash(seed, " ".join(text.split()))


def parse_split(text: str) -> dict[str, float]:
    """Read what --split says.

    text (str): Names and shares: "train=0.8,dev=0.1,test=0.1".
    RETURNS (Dict[str, float]): Name to share.
    RAISES (CorpusError): If it has another form, or the shares don't add up to 1.
    """
    form = 'Expected names and shares that add up to 1: "train=0.8,dev=0.1,test=0.1".'
    shares: dict[str, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z][\w-]*)\s*=\s*(\d*\.?\d+)\s*", part)
        if not match or match[1] in shares:
            raise CorpusError(f"{part.strip()!r} in --split {text}: {form}")
        shares[match[1]] = float(match[2])
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise CorpusError(f"--split {text} adds up to {sum(shares.values()):g}. {form}")
    return shares


def choose_split(document: SourceDocument, split: Mapping[str, float], seed: int) -> str:
    """RETURNS (str): The split of a document: by a hash of the seed and its text without regard to
    white space, hence the same in every order and for every choice of sources. Equal texts come
    into the same split, whatever their ids."""
    place = hash_text(seed, document.text) / 2**64
    for name, share in split.items():
        place -= share
        if place < 0:
            return name
    return name  # the shares add up to a little less than 1
