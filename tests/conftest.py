"""A tiny pipeline that trains in seconds, and gold Docs for it."""

import string

import pytest
import spacy
import torch
from spacy.training import Example
from transformers import BertConfig, BertModel, BertTokenizerFast

from spacy_spanmed.corpora.joined import join_docs
from spacy_spanmed.doc.layers import ENTITIES, RELATIONS, SPANS_KEY, set_layers
from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.pipeline.base import LISTENER

TEXTS = [
    # text, entities, relations (head, tail, label, negated), layers
    (
        "Cisplatin inhibits p53 in renal cells.",
        [("Cisplatin", "CHEM"), ("p53", "GENE"), ("renal cells", "CELL")],
        [("Cisplatin", "p53", "INHIBITS", False)],
        [ENTITIES, RELATIONS],
    ),
    (
        "p53 binds MDM2. Aspirin does not bind MDM2.",
        [("p53", "GENE"), ("Aspirin", "CHEM")],
        [("p53", "MDM2", "BINDS", False), ("Aspirin", "MDM2", "BINDS", True)],
        [RELATIONS],
    ),
    (
        "Aspirin (ASP) reached the liver and the renal cells.",
        [("Aspirin", "CHEM"), ("ASP", "CHEM"), ("liver", "ORGAN"), ("renal cells", "CELL")],
        [],
        [ENTITIES],
    ),
    ("Nothing was found.", [], [], [ENTITIES, RELATIONS]),
]


@pytest.fixture(scope="session")
def tiny_letters(tmp_path_factory):
    """Directory of a randomly initialised BERT whose word pieces are single characters."""
    path = tmp_path_factory.mktemp("letters")
    pieces = list(string.ascii_lowercase + string.digits + string.punctuation)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
    vocabulary += [f"##{piece}" for piece in pieces]
    (path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(path / "vocab.txt"), model_max_length=128).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(path)
    return str(path)


OWN_LAYERS = {"@architectures": "spanmed.PairScorer.v2", "tok2vec": LISTENER, "attention_heads": 4}


def make_nlp(
    encoder,
    *,
    precision="auto",
    freeze_embeddings=False,
    piece_dropout=0.0,
    layer_decay=1.0,
    relation_model={},
):
    """An untrained pipeline with both pipes on an encoder.

    relation_model (dict): Settings of the pair scorer.
    """
    tokenizer = {"@tokenizers": "spanmed.BiomedicalTokenizer.v1"}
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": tokenizer}})
    nlp.add_pipe("sentencizer")
    model = {
        "@architectures": "spanmed.TransformerModel.v1",
        "name": encoder,
        "precision": precision,
        "freeze_embeddings": freeze_embeddings,
        "piece_dropout": piece_dropout,
        "layer_decay": layer_decay,
        "get_spans": {"@span_getters": "spanmed.sentence_windows.v1", "max_pieces": 100},
        "transformer_config": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    }
    nlp.add_pipe("transformer", config={"model": model})
    nlp.add_pipe("spanmed_abbreviations")
    nlp.add_pipe("span_ner", config={"model": {"max_width": 8}, "pool_abbreviations": 0.5})
    nlp.add_pipe("relation_extractor", config={"model": relation_model})
    return nlp


def make_reference(nlp, text, entities, relations, layers):
    """A gold Doc in which every entity and argument is the first mention of its string."""
    doc = nlp.make_doc(text)
    labels = dict(entities)

    def offsets(name):
        return text.index(name), text.index(name) + len(name), labels.get(name, "GENE")

    names = {name for name, _ in entities} | {
        n for head, tail, *_ in relations for n in (head, tail)
    }
    spans = [doc.char_span(s, e, label=label) for s, e, label in sorted(map(offsets, names))]
    doc.spans[SPANS_KEY] = spans
    if ENTITIES in layers:
        doc.set_ents(spans)
    if RELATIONS in layers:
        set_relation_tuples(
            doc, [(*offsets(h), *offsets(t), label, 1.0, neg) for h, t, label, neg in relations]
        )
    set_layers(doc, layers)
    return doc


def make_examples(nlp, texts=TEXTS):
    """RETURNS (List[Example]): Fresh predicted Docs beside the gold ones."""
    return [Example(nlp.make_doc(item[0]), make_reference(nlp, *item)) for item in texts]


def make_long_example(nlp):
    """A Doc in which a sentence comes several times, as trained pipelines meet it."""
    whole = join_docs([make_reference(nlp, *TEXTS[number]) for number in (0, 3, 0, 0, 3, 0)])
    return Example(nlp.make_doc(whole.text), whole)


def train(nlp, examples, steps=80, learn_rate=3e-3, long=False):
    """Fit the examples. RETURNS (List[Dict[str, float]]): The losses of each step."""
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = learn_rate
    history = []
    for _ in range(steps):
        losses = {}
        batch = make_examples(nlp) + [make_long_example(nlp)] * long
        nlp.update(batch, sgd=optimizer, losses=losses)
        history.append(losses)
    return history


def _learn_texts(encoder, **settings):
    torch.set_num_threads(1)
    spacy.util.fix_random_seed(0)
    nlp = make_nlp(encoder, **settings)
    nlp.history = train(nlp, make_examples(nlp), long=True)
    return nlp


@pytest.fixture(scope="session")
def trained(tiny_letters):
    """A pipeline that has learned TEXTS by heart. Tests must not change it: use `copy`."""
    return _learn_texts(tiny_letters)


@pytest.fixture(scope="session")
def trained_layers(tiny_letters):
    """The same with a model of relations that has layers of its own."""
    return _learn_texts(tiny_letters, relation_model=OWN_LAYERS)


@pytest.fixture
def copy(trained):
    """A trained pipeline of its own, through bytes."""
    nlp = spacy.blank("en").from_config(trained.config)
    return nlp.from_bytes(trained.to_bytes())
