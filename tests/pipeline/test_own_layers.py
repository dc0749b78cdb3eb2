"""The pipe with layers of its own, in a pipeline: it learns, is saved, and starts from the encoder."""

import pytest
import spacy
import torch

from spacy_spanmed.encoder.shim import find_encoders
from tests.conftest import OWN_LAYERS, TEXTS, make_examples, make_nlp
from tests.pipeline.test_pipeline import ODD, found, with_scores


def test_learns_and_is_saved(trained_layers, tmp_path):
    nlp = trained_layers
    scores = nlp.evaluate(make_examples(nlp))
    assert scores["rel_gold_micro_f"] == 1.0 and scores["rel_gold_negation_accuracy"] == 1.0
    expected = [found(nlp(text)) for text, *_ in TEXTS]
    assert expected[0][1] == [("Cisplatin", "p53", "INHIBITS", False)]
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert [found(loaded(text)) for text, *_ in TEXTS] == expected
    with pytest.raises(ValueError, match="layers = 2, the config says 1"):
        settings = {"components": {"relation_extractor": {"model": {"own_layers": 1}}}}
        spacy.load(tmp_path / "model", config=settings)


def test_layers_start_as_copies_of_the_encoders_last(tiny_letters):
    nlp = make_nlp(tiny_letters, relation_model=OWN_LAYERS)
    nlp.initialize(lambda: make_examples(nlp))
    own = nlp.get_pipe("relation_extractor").model.shims[0]._model.layers.encoder.layer
    (encoder,) = find_encoders(nlp)
    given = encoder._model.encoder.layer
    for one, other in zip(own, list(given)[-2:]):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    assert own[0] is not given[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_alone_and_in_a_batch(trained_layers, precision):
    settings = {"components": {"relation_extractor": {"model": {"precision": precision}}}}
    nlp = spacy.blank("en").from_config(trained_layers.config.merge(settings))
    nlp.from_bytes(trained_layers.to_bytes())
    for name in ("span_ner", "relation_extractor"):
        nlp.get_pipe(name).threshold = 0.0
    nlp.get_pipe("transformer").model.layers[0].shims[0].precision = precision
    texts = [text for text in ODD if len(text) < 1_000]
    alone = [with_scores(nlp(text)) for text in texts]
    tolerance = 1e-4 if precision == "float32" else 0.03
    for (names, scores), doc in zip(alone, nlp.pipe(texts)):
        others, more = with_scores(doc)
        assert sorted(map(str, names)) == sorted(map(str, others))
        assert sorted(scores) == pytest.approx(sorted(more), abs=tolerance)
