"""Short gold Docs joined to longer ones, so that a corpus of sentences trains a pipeline for papers.

Whoever sees only single sentences in training finds less in each sentence of an abstract: the
encoder, the marks at the mentions and the pairs' attention have never met that many others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ..doc.layers import RELATIONS, get_layers, set_layers
from ..doc.relations import get_relation_tuples, has_concept_relations, set_relation_tuples

Reader = Callable[[Language], Iterable[Example]]


@registry.readers("spanmed.JoinedCorpus.v1")
def create_joined_corpus(
    corpus: Reader,
    share: float = 0.5,
    longest: int = 8,
    relations: int = 1,
    seed: int = 0,
) -> Reader:
    """Corpus reader `spanmed.JoinedCorpus.v1`: the Docs of another, some of them joined.

    corpus (Callable[[Language], Iterable[Example]]): Another reader. All its examples are held in
        memory.
    share (float): Share of Docs that become part of a longer one, 0 to 1. Defaults to 0.5.
    longest (int): Docs that are joined, at most; from 2 on, each number alike. Defaults to 8.
    relations (int): How often a Doc with the layer "relations" comes, each time joined with others:
        they are learned more slowly than entities. Defaults to 1.
    seed (int): Which ones. Docs with other layers, or with relations between concepts, aren't
        joined. Defaults to 0.
    RAISES (ValueError): If share, longest or relations is out of range.
    """
    if not 0 <= share <= 1 or longest < 2 or relations < 1:
        raise ValueError(
            "share must be 0 to 1, longest at least 2 and relations at least 1, not "
            f"{share}, {longest} and {relations}."
        )

    def read(nlp: Language) -> Iterator[Example]:
        generator = random.Random(seed)
        groups: dict[frozenset[str], list[Example]] = {}
        for example in corpus(nlp):
            groups.setdefault(get_layers(example.reference), []).append(example)
        for layers in sorted(groups, key=sorted):
            for _ in range(relations if RELATIONS in layers else 1):
                yield from _join_some(groups[layers], share, longest, generator)

    return read


def _join_some(
    examples: Iterable[Example], share: float, longest: int, generator: random.Random
) -> Iterator[Example]:
    some = []
    for example in examples:
        if has_concept_relations(example.reference) or generator.random() >= share:
            yield example
        else:
            some.append(example)
    generator.shuffle(some)
    while some:
        size = generator.randint(2, longest)
        yield _join_examples(some[:size])
        del some[:size]


def _join_examples(examples: Sequence[Example]) -> Example:
    if len(examples) == 1:
        return examples[0]
    reference = join_docs([eg.reference for eg in examples])
    words = [token.text for token in reference]
    spaces = [bool(token.whitespace_) for token in reference]
    return Example(Doc(reference.vocab, words=words, spaces=spaces), reference)


def join_docs(docs: Sequence[Doc]) -> Doc:
    """Join gold Docs with the same layers, a space between them.

    docs (Sequence[Doc]): None empty, with relations between mentions only.
    RETURNS (Doc): Their tokens, entities, spans and relations; not what else the Docs carry.
    """
    whole = Doc.from_docs(list(docs), ensure_whitespace=True, exclude=["user_data"])  # type: ignore[call-arg]
    assert whole is not None
    tuples, offset = [], 0
    for doc in docs:
        for item in get_relation_tuples(doc):
            moved = {
                field: getattr(item, field) + offset
                for field in ("head_start", "head_end", "tail_start", "tail_end")
            }
            tuples.append(item._replace(**moved))
        offset += len(doc.text) + (not doc[-1].whitespace_)
    layers = get_layers(docs[0])
    set_layers(whole, layers)
    if tuples:
        set_relation_tuples(whole, tuples)
    return whole
