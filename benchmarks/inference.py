"""How fast a whole pipeline reads texts, beside the one a user would build today.

Both run in this process, one after the other, several times, over the same texts; the ratio is
taken within a round and its median over rounds, so that a machine whose speed drifts does not
decide. Words are what lies between whitespace: the two tokenizers don't count alike.

The stock pipeline is that of `stock/pipeline.py`: same encoder weights, in float32. Its relation
component gets the entities that ours found in the same text, since untrained `ner` would give it
too many or too few; the time that handing them over takes is taken off. Ours runs as it is, with
all its components.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from spacy.language import Language
from spacy.util import minibatch

from spacy_spanmed.encoder.shim import find_encoders

from .stock.pipeline import GIVEN_ENTITIES, build_stock_pipeline
from .stock.relations import MAX_LENGTH
from .texts import Group

PIPES = ("transformer", "span_ner", "relation_extractor")


def check_pipeline(nlp: Language) -> None:
    """RAISES (ValueError): If a pipeline has not all the components to be measured."""
    missing = [name for name in PIPES if name not in nlp.pipe_names]
    if missing:
        raise ValueError(
            f"The pipeline has no {' and no '.join(missing)}: give one with entities and relations "
            "by --model, such as en_spanmed, or train one (spacy project run all)."
        )


def run_benchmark(
    nlp: Language,
    groups: dict[str, Group],
    *,
    rounds: int = 3,
    precision: str = "auto",
    show: Any = print,
) -> dict[str, Any]:
    """Run both pipelines over all texts.

    nlp (Language): Ours. The precision of its encoder is changed.
    groups (dict[str, Group]): From `make_groups`.
    rounds (int): Defaults to 3. Before them both pipelines read all texts once.
    precision (str): Of our encoder: "auto" (the default: bfloat16 where that is faster),
        "float32" (what stock uses) or "bfloat16".
    show (Callable[[str], None]): Told what is done. Defaults to print.
    RETURNS (dict): "ratio" (ours to stock, words a second; the smaller of the groups' medians),
        "groups" (by name: "ours", "stock", "ratio", medians; "rounds"; what the texts are; "pairs"
        each side scored; "cut_pairs" of mentions that ours left out; "shares" of our components in
        the time, "stock_shares"), "settings".
    RAISES (ValueError): If our pipeline lacks a component, or a text is too long for it.
    """
    check_pipeline(nlp)
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
    show(
        "Building the stock pipeline around the same encoder; its relation component gets the "
        "entities that ours finds"
    )
    stock = build_stock_pipeline(nlp, entities.labels, relations.labels)
    figures = {}
    for name, group in groups.items():
        made = " (made by joining abstracts)" if group.joined else ""
        show(f"{name}: {len(group.texts):,} text(s){made}, {group.words:,} words; warming up")
        figures[name] = _measure(nlp, stock, name, group, rounds, show)
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
    nlp: Language, stock: Language, name: str, group: Group, rounds: int, show: Any
) -> dict[str, Any]:
    """RETURNS (dict): The figures of a group."""
    relations: Any = nlp.get_pipe("relation_extractor")
    given: Any = stock.get_pipe(GIVEN_ENTITIES)
    pairs = cut = stock_pairs = 0
    for doc in nlp.pipe(group.texts):
        given.entities[doc.text] = [(e.start_char, e.end_char, e.label_) for e in doc.ents]
        # Asked of the component, which stores only the pairs that are related
        pairs += len(relations._find_pairs(doc, relations._get_entities(doc)).pairs)
        cut += doc._.cut_pairs
    for doc in stock.pipe(group.texts):
        stock_pairs += len(doc._.rel)
    rows = []
    for number in range(1, rounds + 1):
        theirs = group.words / time_pipeline(stock, group.texts)
        ours = group.words / time_pipeline(nlp, group.texts)
        rows.append({"stock": theirs, "ours": ours, "ratio": ours / theirs})
        show(
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
