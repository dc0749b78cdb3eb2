"""How fast a whole pipeline reads texts, beside the one a user would build today.

Both run in this process, one after the other, several times, over the same texts; the ratio is
taken within a round and its median over rounds, so that a machine whose speed drifts does not
decide. Words are what lies between whitespace: the two tokenizers don't count alike.

The stock pipeline is that of `stock_pipeline.py`: same encoder weights, in float32. Its relation
component gets the entities that ours found in the same text, since untrained `ner` would give it
too many or too few; the time that handing them over takes is taken off. Ours runs as it is, with
all its components.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.util import minibatch

from spacy_spanmed.cli.common import GpuId
from spacy_spanmed.cli.data import load_pipeline
from spacy_spanmed.corpora.docbin import is_docs
from spacy_spanmed.corpora.formats import detect_format
from spacy_spanmed.corpora.reading import iter_texts
from spacy_spanmed.encoder.cpu.machine import check_precision
from spacy_spanmed.encoder.shim import find_encoders
from spacy_spanmed.pipeline.relation_extractor.candidates import get_entities
from spacy_spanmed.pretraining.texts.reading import TextOptions
from spacy_spanmed.pretraining.texts.sources import read_texts as read_plain_texts
from spacy_spanmed.util.problems import CorpusError, Problems

from .common import Output, Rounds, errors, write_figures
from .stock_pipeline import GIVEN_ENTITIES, MAX_LENGTH, build_stock_pipeline

ABSTRACTS = Path("assets/bc5cdr/CDR_TestSet.PubTator.txt.gz")
SENTENCES = Path("corpus/test.spacy")
PIPES = ("transformer", "span_ner", "relation_extractor")
PAPER_WORDS = 5000  # of a document made by joining abstracts
LONG_WORDS = 1000  # a text with at least so many counts as a paper
LOOKED_AT = 20  # texts read for each that is asked for, while one of the groups is not full


@dataclass(frozen=True)
class Group:
    """Texts of a kind.

    texts (list[str]): At least one.
    joined (bool): Whether they were made by joining abstracts. Defaults to False.
    """

    texts: list[str]
    joined: bool = False

    @property
    def words(self) -> int:
        """RETURNS (int): Words of all texts, by whitespace."""
        return sum(len(text.split()) for text in self.texts)


def inference(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Our pipeline, by name or directory.")] = "en_spanmed",
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder: .spacy data, a corpus in any format, .txt with a text a line, "
            "JSON lines, papers in XML ... May be repeated, for abstracts and papers. Default: "
            "BC5CDR's test abstracts if they are in assets/, else the project's test set."
        ),
    ] = None,
    rounds: Rounds = 3,
    texts: Annotated[
        int, typer.Option(min=1, help="Abstracts, and as many words in papers.")
    ] = 100,
    precision: Annotated[
        str, typer.Option(help="Ours: float32, bfloat16 or auto. Stock is always float32.")
    ] = "auto",
    gpu_id: GpuId = -1,
    json: Output = None,
) -> None:
    """Time a whole pipeline and spaCy's stock pipes on the same texts and encoder weights.

    Stock: transformer with strided windows, ner, and the relation component of spaCy's tutorial,
    which gets the entities that ours found, so that both relate as many. Texts under 1,000 words
    are abstracts, others papers; without papers, abstracts are joined to documents of 5,000 words.

    Examples:

    python -m benchmarks inference --json inference.json

    python -m benchmarks inference --model training/model-best --text papers/ --texts 20

    python -m benchmarks inference --text abstracts.jsonl --text papers.tar.gz --json inference.json
    """
    with errors(json):
        check_precision(precision)
        places = text or [find_default()]
        groups = make_groups(chain.from_iterable(map(read_texts, places)), texts)
        typer.echo(f"Loading {model}")
        setup_gpu(gpu_id, silent=True)
        result = run_benchmark(load_pipeline(model), groups, rounds, precision)
        for name, group in result["groups"].items():
            typer.echo(
                f"{name}: ours {group['ours']:,.0f}, stock {group['stock']:,.0f} words/s: "
                f"{group['ratio']:.2f} x. Time of ours: "
                + ", ".join(f"{pipe} {share:.0%}" for pipe, share in group["shares"].items())
            )
        typer.echo(f"The smaller ratio: {result['ratio']:.2f} x")
        read = {"model": model, "text": [str(place) for place in places]}
        write_figures(json, {**result, **read}, context.obj)


def find_default() -> Path:
    """RETURNS (Path): BC5CDR's test abstracts; without them what `make model` tests on, which are
    single sentences, as a message says."""
    if ABSTRACTS.exists() or not SENTENCES.exists():
        return ABSTRACTS
    typer.echo(
        f"No {ABSTRACTS} (`python -m spacy project assets` fetches it): timed on the sentences of "
        f"{SENTENCES} instead."
    )
    return SENTENCES


def read_texts(path: Path) -> Iterator[str]:
    """Read texts without their annotation.

    path (Path): `.spacy` data, a corpus in any format that `spanmed convert` reads, or text that
        `spanmed pretrain` reads (.txt, .jsonl, papers in XML, .parquet ...). Of a .txt file each
        line is a text; in a folder each file is.
    YIELDS (str): The texts.
    RAISES (ValueError): If they can't be read; CorpusError is one.
    """
    if not path.exists():
        raise ValueError(
            f"No texts at '{path}': check the path given by --text, or fetch BC5CDR's "
            "(python -m spacy project assets)."
        )
    try:
        if not is_docs(path):
            detect_format(path)
    except CorpusError:
        options = TextOptions(txt_documents="file" if path.is_dir() else "line")
        yield from read_plain_texts([str(path)], options)
    else:
        yield from (document.text for document in iter_texts(path, Problems()))


def make_groups(texts: Iterable[str], count: int) -> dict[str, Group]:
    """Sort texts into abstracts and papers. Without papers they are made by joining abstracts to
    documents of PAPER_WORDS words; without abstracts there is only one group.

    texts (Iterable[str]): Those without words are left out. At most LOOKED_AT x count are read.
    count (int): Abstracts, at most. Papers: as many as it takes to have as many words, so that
        both groups last alike; `count` of them if there are no abstracts.
    RETURNS (dict[str, Group]): "abstracts" and "papers", those of them that there are.
    RAISES (ValueError): If no text has a word.
    """
    short: list[str] = []
    long: list[str] = []
    for text in islice(texts, LOOKED_AT * count):
        if text.strip():
            (long if len(text.split()) >= LONG_WORDS else short).append(text)
        if len(short) >= count and len(long) >= count:
            break
    if not short and not long:
        raise ValueError("None of the texts has a word: give others with --text.")
    papers = long[:count]
    if not short:
        return {"papers": Group(papers)}
    abstracts = Group(short[:count])
    while len(papers) > 1 and Group(papers[:-1]).words >= abstracts.words:
        papers.pop()
    joined = Group(papers) if long else Group(_join(abstracts.texts), joined=True)
    return {"abstracts": abstracts, "papers": joined}


def _join(texts: Sequence[str]) -> list[str]:
    papers: list[list[str]] = [[]]
    for text in texts:
        if sum(len(part.split()) for part in papers[-1]) >= PAPER_WORDS:
            papers.append([])
        papers[-1].append(text)
    return ["\n\n".join(parts) for parts in papers]


def run_benchmark(
    nlp: Language, groups: dict[str, Group], rounds: int, precision: str
) -> dict[str, Any]:
    """Run both pipelines over all texts.

    nlp (Language): Ours. The precision of its encoder is changed.
    groups (dict[str, Group]): From `make_groups`.
    rounds (int): Before them both pipelines read all texts once.
    precision (str): Of our encoder: "auto" (bfloat16 where that is faster), "float32" (what stock
        uses) or "bfloat16".
    RETURNS (dict): "ratio" (ours to stock, words a second; the smaller of the groups' medians),
        "groups" (by name: "ours", "stock", "ratio", medians; "rounds"; what the texts are; "pairs"
        each side scored; "cut_pairs" of mentions that ours left out; "shares" of our components in
        the time, "stock_shares"), "settings".
    RAISES (ValueError): If our pipeline lacks a component, or a text is too long for it.
    """
    missing = [name for name in PIPES if name not in nlp.pipe_names]
    if missing:
        raise ValueError(
            f"The pipeline has no {' and no '.join(missing)}: give one with entities and relations "
            "by --model, such as en_spanmed, or train one (spacy project run all)."
        )
    longest = max(len(text) for group in groups.values() for text in group.texts)
    if longest > nlp.max_length:
        raise ValueError(
            f"A text has {longest:,} characters, spaCy takes {nlp.max_length:,}: cut it, or give "
            "other texts with --text."
        )
    for encoder in find_encoders(nlp):
        encoder.precision = precision
        precision = encoder.computes_in()
    entities: Any = nlp.get_pipe("span_ner")
    relations: Any = nlp.get_pipe("relation_extractor")
    typer.echo(
        "Building the stock pipeline around the same encoder; its relation component gets the "
        "entities that ours finds"
    )
    stock = build_stock_pipeline(nlp, entities.labels, relations.labels)
    figures = {name: _measure(nlp, stock, name, group, rounds) for name, group in groups.items()}
    return {
        "ratio": min(figure["ratio"] for figure in figures.values()),
        "groups": figures,
        "settings": {
            "rounds": rounds,
            "threads": torch.get_num_threads(),
            "precision": precision,
            "stock_precision": "float32",
            "batch_size": nlp.batch_size,
            "stock_batch_size": stock.batch_size,
            "max_distance": relations.max_distance,
            "max_pairs": relations.max_pairs,
            "stock_max_length": MAX_LENGTH,
            "pipeline": list(nlp.pipe_names),
            "stock_pipeline": list(stock.pipe_names),
        },
    }


def _measure(
    nlp: Language, stock: Language, name: str, group: Group, rounds: int
) -> dict[str, Any]:
    """RETURNS (dict): The figures of a group."""
    made = " (made by joining abstracts)" if group.joined else ""
    typer.echo(f"{name}: {len(group.texts):,} text(s){made}, {group.words:,} words; warming up")
    relations: Any = nlp.get_pipe("relation_extractor")
    given: Any = stock.get_pipe(GIVEN_ENTITIES)
    pairs = cut = 0
    for doc in nlp.pipe(group.texts):
        given.entities[doc.text] = [(e.start_char, e.end_char, e.label_) for e in doc.ents]
        # Asked of the component, which stores only the pairs that are related
        pairs += len(relations._find_pairs(doc, get_entities(doc, relations.concepts)).pairs)
        cut += doc._.cut_pairs
    stock_pairs = sum(len(doc._.rel) for doc in stock.pipe(group.texts))
    rows = []
    for number in range(1, rounds + 1):
        theirs = group.words / time_pipeline(stock, group.texts)
        ours = group.words / time_pipeline(nlp, group.texts)
        rows.append({"stock": theirs, "ours": ours, "ratio": ours / theirs})
        typer.echo(
            f"{name}, round {number}: stock {theirs:,.0f}, ours {ours:,.0f} words/s: "
            f"{ours / theirs:.2f} x"
        )
    median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return {
        "ours": round(median["ours"], 1),
        "stock": round(median["stock"], 1),
        "ratio": round(median["ratio"], 3),
        "rounds": [{key: round(value, 3) for key, value in row.items()} for row in rows],
        "texts": len(group.texts),
        "words": group.words,
        "joined_abstracts": group.joined,
        "entities": sum(len(given.entities[text]) for text in group.texts),
        "pairs": {"ours": pairs, "stock": stock_pairs},
        "cut_pairs": cut,
        "shares": time_shares(nlp, group.texts),
        "stock_shares": time_shares(stock, group.texts),
    }


def time_pipeline(nlp: Language, texts: Sequence[str]) -> float:
    """RETURNS (float): Seconds to read all texts, without those of handing over entities."""
    given: Any = nlp.get_pipe(GIVEN_ENTITIES) if GIVEN_ENTITIES in nlp.pipe_names else None
    before = given.seconds if given else 0.0
    start = time.perf_counter()
    for _ in nlp.pipe(texts):
        pass
    seconds = time.perf_counter() - start
    return seconds - (given.seconds - before if given else 0.0)


def time_shares(nlp: Language, texts: Sequence[str]) -> dict[str, float]:
    """Run a pipeline's components one after the other over each batch.

    RETURNS (dict[str, float]): By component, "tokenizer" too, its share of the time of all.
    """
    seconds = dict.fromkeys(["tokenizer", *nlp.pipe_names], 0.0)
    for batch in minibatch(texts, nlp.batch_size):
        start = time.perf_counter()
        docs = [nlp.make_doc(text) for text in batch]
        seconds["tokenizer"] += time.perf_counter() - start
        for name, pipe in nlp.pipeline:
            start = time.perf_counter()
            if hasattr(pipe, "pipe"):
                docs = list(pipe.pipe(docs, batch_size=nlp.batch_size))
            else:
                docs = [pipe(doc) for doc in docs]
            seconds[name] += time.perf_counter() - start
    seconds.pop(GIVEN_ENTITIES, None)
    total = sum(seconds.values())
    return {name: round(value / total, 4) for name, value in seconds.items()}
