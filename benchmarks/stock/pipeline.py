"""The pipeline that a user would build today of spaCy's own parts, around the same encoder.

What `spacy init config --pipeline ner --gpu` gives (`transformer` with strided windows, `ner`,
batches of 128 texts, English tokenizer), and the relation component of spaCy's tutorial. `ner` and
the relation component are not trained: that changes how fast they are only in that the number of
entities decides the number of pairs. Therefore the relation component gets entities from outside.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans, load_model_from_config
from thinc.api import Config

from .relations import NAME as STOCK_RELATIONS

GIVEN_ENTITIES = "given_entities"

CONFIG = """
[nlp]
lang = "en"
pipeline = ["transformer", "ner", "given_entities", "stock_relations"]
batch_size = 128

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = null
tokenizer_config = {"use_fast": true}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[components.ner]
factory = "ner"

[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 64
maxout_pieces = 2
use_upper = false
nO = null

[components.ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.ner.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[components.given_entities]
factory = "spanmed_given_entities"

[components.stock_relations]
factory = "spanmed_stock_relations"
"""

# Start, end and label, in characters
Entities = dict[str, list[tuple[int, int, str]]]


@Language.factory("spanmed_given_entities", assigns=["doc.ents"])
def make_given_entities(nlp: Language, name: str) -> GivenEntities:
    """Make the pipe. See GivenEntities."""
    return GivenEntities()


class GivenEntities:
    """Replaces the entities of a Doc by those known of its text, and counts the time it takes, so
    that it can be taken off. Their ends move to the ends of the Doc's tokens.

    entities (Entities): By text. Set after the pipe is made.
    seconds (float): Time taken since the pipe was made.
    """

    def __init__(self) -> None:
        self.entities: Entities = {}
        self.seconds = 0.0

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.ents`. RETURNS (Doc): The same Doc."""
        start = time.perf_counter()
        known = self.entities.get(doc.text, ())
        spans = (doc.char_span(s, e, label=x, alignment_mode="expand") for s, e, x in known)
        doc.set_ents(filter_spans(span for span in spans if span is not None))
        self.seconds += time.perf_counter() - start
        return doc


def build_stock_pipeline(
    nlp: Language, entity_labels: Sequence[str], relation_labels: Sequence[str]
) -> Language:
    """Build the stock pipeline around the encoder of another one.

    nlp (Language): Its component "transformer" gives weights and word pieces.
    entity_labels, relation_labels (Sequence[str]): What `ner` and the relation component tell
        apart.
    RETURNS (Language): With random weights, but for the encoder. Its component "given_entities"
        is a GivenEntities that knows no text yet.
    """
    transformer: Any = nlp.get_pipe("transformer")
    encoder = transformer.model
    config = Config().from_str(CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        encoder.transformer.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
        config["components"]["transformer"]["model"]["name"] = folder
        stock = load_model_from_config(config, auto_fill=True)
        relations: Any = stock.get_pipe(STOCK_RELATIONS)
        for label in relation_labels:
            relations.add_label(label)
        example = _make_example(stock, entity_labels)
        stock.initialize(lambda: [example])
    return stock


def _make_example(nlp: Language, labels: Sequence[str]) -> Example:
    """An Example with an entity of each label, one token each, at least two in all."""
    labels = [*labels, *labels]
    reference = Doc(nlp.vocab, words=[f"word{i}" for i in range(len(labels))])
    reference.set_ents([Span(reference, i, i + 1, label) for i, label in enumerate(labels)])
    return Example(nlp.make_doc(reference.text), reference)
