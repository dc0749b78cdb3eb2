"""Both pipes on a tiny encoder: learning, missing layers, saving, and odd inputs."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_spanmed.doc.layers import (
    CONCEPT_RELATIONS_KEY,
    ENTITIES,
    RELATIONS,
    SPANS_KEY,
    set_layers,
)
from spacy_spanmed.doc.relations import (
    JSON_EXTENSIONS,
    get_relation_tuples,
    set_concept_relation_tuples,
)
from tests.conftest import TEXTS, make_examples, make_nlp, make_reference


def found(doc):
    ents = [(e.text, e.label_) for e in doc.ents]
    relations = [(r.head.text, r.tail.text, r.label, r.negated) for r in doc._.relations]
    return ents, relations


def update(nlp, examples, optimizer):
    """One step the way `spacy train` does it: all pipes' gradients, then all weights."""
    losses = nlp.update(examples, sgd=False)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "finish_update"):
            pipe.finish_update(optimizer)
    return losses


def test_learns_entities_and_relations(trained):
    assert trained.history[-1]["span_ner"] < trained.history[0]["span_ner"] / 10
    assert trained.history[-1]["relation_extractor"] < trained.history[0]["relation_extractor"] / 10
    doc = trained(TEXTS[0][0])
    ents, relations = found(doc)
    assert ents == TEXTS[0][1]
    assert relations == [("Cisplatin", "p53", "INHIBITS", False)]
    assert all(0.5 < ent._.score <= 1 for ent in doc.ents)
    assert all(0.5 < relation.score <= 1 for relation in doc._.relations)
    assert set(doc.ents) <= set(doc.spans["spanmed"])
    assert len(doc.spans["spanmed"].attrs["scores"]) == len(doc.spans["spanmed"])


def test_negation_given_gold_entities(trained):
    examples = make_examples(trained)
    scores = trained.evaluate(examples)
    assert scores["ents_f"] == 1.0
    assert scores["rel_gold_micro_f"] == 1.0
    assert scores["rel_gold_negation_accuracy"] == 1.0
    assert scores["rel_gold_docs"] == 3


def test_encoder_learns_unless_frozen(tiny_letters):
    nlp = make_nlp(tiny_letters, freeze_embeddings=True)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 1e-2
    encoder = nlp.get_pipe("transformer").model.transformer
    words = encoder.get_input_embeddings().weight.detach().clone()
    attention = encoder.encoder.layer[0].attention.self.query.weight.detach().clone()
    update(nlp, examples, optimizer)
    assert encoder.get_input_embeddings().weight.equal(words)
    assert not encoder.encoder.layer[0].attention.self.query.weight.equal(attention)


@pytest.mark.parametrize("pipe", ["span_ner", "relation_extractor"])
def test_both_pipes_reach_the_encoder(tiny_letters, pipe):
    """With the other pipe out of the way, each alone still moves the encoder."""
    nlp = make_nlp(tiny_letters)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    other = ({"span_ner", "relation_extractor"} - {pipe}).pop()
    layer = ENTITIES if pipe == "span_ner" else RELATIONS
    for eg in examples:  # the other pipe learns nothing, but must not cut off this one
        set_layers(eg.reference, [layer])
    encoder = nlp.get_pipe("transformer").model.transformer
    before = encoder.encoder.layer[0].attention.self.query.weight.detach().clone()
    losses = update(nlp, examples, optimizer)
    assert losses[pipe] > 0
    assert losses[other] == 0
    assert not encoder.encoder.layer[0].attention.self.query.weight.equal(before)


def test_missing_layer_is_not_learned_as_none(tiny_letters):
    """The same text without layers changes neither loss."""
    nlp = make_nlp(tiny_letters)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    losses = nlp.update(make_examples(nlp), sgd=False)
    unknown = []
    for text, *_ in TEXTS:
        reference = nlp.make_doc(text)
        set_layers(reference, [])
        unknown.append(Example(nlp.make_doc(text), reference))
    both = nlp.update(make_examples(nlp) + unknown, sgd=False)
    assert both["span_ner"] == pytest.approx(losses["span_ner"], rel=1e-4)


def test_training_sees_predicted_entities(trained):
    """Relations are trained on gold mentions and on what span_ner predicted besides."""
    pipe = trained.get_pipe("relation_extractor")
    reference = make_reference(trained, *TEXTS[1])
    eg = Example(trained.make_doc(TEXTS[1][0]), reference)
    gold = {m.start_char for m in pipe._training_pairs(eg).mentions}
    wrong = eg.predicted.char_span(
        TEXTS[1][0].index("does"), TEXTS[1][0].index("does") + 4, label="X"
    )
    eg.predicted.set_ents([wrong])
    assert {m.start_char for m in pipe._training_pairs(eg).mentions} == gold | {wrong.start_char}


def test_bytes_disk_and_pipe_agree(trained, copy, tmp_path):
    texts = [item[0] for item in TEXTS] + ["", "  \n "]
    expected = [found(trained(text)) for text in texts]
    assert [found(doc) for doc in copy.pipe(texts, batch_size=3)] == expected
    trained.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert [found(loaded(text)) for text in texts] == expected
    assert [found(doc) for doc in loaded.pipe(texts, n_process=2, batch_size=2)] == expected


def test_docs_survive_docbin_bytes_and_json(trained):
    doc = trained(TEXTS[0][0])
    expected = get_relation_tuples(doc)
    assert expected
    doc._.trf_data = None
    again = Doc(trained.vocab).from_bytes(doc.to_bytes())
    assert get_relation_tuples(again) == expected
    bin_ = DocBin(store_user_data=True, docs=[doc])
    (again,) = DocBin().from_bytes(bin_.to_bytes()).get_docs(trained.vocab)
    assert get_relation_tuples(again) == expected
    again = Doc(trained.vocab).from_json(doc.to_json(underscore=JSON_EXTENSIONS))
    assert get_relation_tuples(again) == expected


def test_cleaned_docs_keep_what_was_found(copy):
    """Those who keep many Docs drop the encoder's output, with a component of spaCy's own."""
    expected = found(copy(TEXTS[0][0]))
    assert expected[1]
    copy.add_pipe("doc_cleaner")
    doc = copy(TEXTS[0][0])
    assert doc._.trf_data is None
    assert found(doc) == expected
    assert found(doc.copy()) == expected


def test_bytes_with_the_output_of_the_encoder(trained):
    doc = trained(TEXTS[0][0])
    again = Doc(trained.vocab).from_bytes(doc.to_bytes())
    assert found(again) == found(doc)


def test_thresholds_given_to_load_win(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    override = {"components": {"span_ner": {"threshold": 0.9}}}
    assert spacy.load(tmp_path / "model", config=override).get_pipe("span_ner").threshold == 0.9
    assert spacy.load(tmp_path / "model").get_pipe("span_ner").threshold == 0.5


def test_add_labels_and_train_further(copy):
    before = found(copy(TEXTS[0][0]))
    assert copy.get_pipe("span_ner").add_label("NEW") == 1
    assert copy.get_pipe("span_ner").add_label("NEW") == 0
    assert copy.get_pipe("relation_extractor").add_label("CAUSES") == 1
    assert found(copy(TEXTS[0][0])) == before  # new labels change nothing before training
    item = (
        "Zinc causes fever.",
        [("Zinc", "CHEM"), ("fever", "NEW")],
        [("Zinc", "fever", "CAUSES", False)],
        [ENTITIES, RELATIONS],
    )
    spacy.util.fix_random_seed(0)
    optimizer = copy.resume_training()
    optimizer.learn_rate = 1e-3
    for _ in range(200):  # usually 20 to 60
        update(copy, make_examples(copy, [*TEXTS, item]), optimizer)
        ents, relations = found(copy(item[0]))
        if ents == item[1] and relations == item[2]:
            break
    assert ents == item[1]
    assert relations == item[2]
    again = spacy.blank("en").from_config(copy.config).from_bytes(copy.to_bytes())
    assert found(again(item[0])) == (ents, relations)


def test_unknown_label_in_training_is_named(copy):
    item = ("Zinc causes fever.", [("Zinc", "METAL")], [], [ENTITIES])
    with pytest.raises(ValueError, match="METAL"):
        copy.update(make_examples(copy, [item]), sgd=False)
    item = (
        "Zinc cures fever.",
        [("Zinc", "CHEM"), ("fever", "CHEM")],
        [("Zinc", "fever", "CURES", False)],
        [RELATIONS],
    )
    with pytest.raises(ValueError, match="CURES"):
        copy.update(make_examples(copy, [item]), sgd=False)


def test_corpus_without_a_layer_is_refused(tiny_letters):
    nlp = make_nlp(tiny_letters)
    with pytest.raises(ValueError, match="no relation in the training data"):
        nlp.initialize(lambda: make_examples(nlp, [TEXTS[2]]))
    nlp = make_nlp(tiny_letters)
    with pytest.raises(ValueError, match="no entity in the training data"):
        nlp.initialize(lambda: make_examples(nlp, [TEXTS[1]]))


def test_empty_documents(trained):
    for text in ["", " ", "\n\n"]:
        doc = trained(text)
        assert found(doc) == ([], [])
    nlp_examples = [Example(trained.make_doc(""), trained.make_doc(""))]
    trained.update(nlp_examples, sgd=False)


def test_relations_without_entities(trained):
    with trained.select_pipes(disable=["span_ner"]):
        with pytest.warns(UserWarning, match="no entity annotation"):
            doc = trained(TEXTS[0][0])
    assert doc._.relations == []


def test_transformer_disabled_is_an_error(trained):
    with trained.select_pipes(disable=["transformer"]):
        with pytest.raises(ValueError, match="'transformer' did not run"):
            trained(TEXTS[0][0])


def test_whitespace_entity_has_no_relations(trained):
    doc = trained.make_doc("p53  \n\n binds")
    doc.set_ents([doc.char_span(0, 3, label="GENE"), doc[1:2]])
    pipe = trained.get_pipe("relation_extractor")
    mentions = [(0, 3, "GENE"), (3, 5, "GENE"), (8, 13, "GENE")]
    found = pipe._find_pairs(doc, dict.fromkeys(mentions, ()))
    assert [m.start_char for m in found.mentions] == [0, 8]


def test_replaced_listener_saves_and_loads(copy, tmp_path):
    expected = found(copy(TEXTS[0][0]))
    copy.replace_listeners("transformer", "span_ner", ["model.tok2vec"])
    assert found(copy(TEXTS[0][0])) == expected
    copy.to_disk(tmp_path / "model")
    assert found(spacy.load(tmp_path / "model")(TEXTS[0][0])) == expected


def test_replaced_listener_is_not_loaded_anew(copy, tmp_path):
    """As when `spacy train` goes on with it; the encoder it was made of may be gone."""
    copy.replace_listeners("transformer", "span_ner", ["model.tok2vec"])
    expected = found(copy(TEXTS[0][0]))
    copy.to_disk(tmp_path / "model")
    for nlp in (copy, spacy.load(tmp_path / "model")):
        pipe = nlp.get_pipe("span_ner")
        pipe.initialize(lambda: make_examples(nlp), nlp=nlp)
        assert found(nlp(TEXTS[0][0])) == expected


def test_relations_of_another_source_do_not_stay(copy):
    doc = copy.make_doc(TEXTS[0][0])
    set_concept_relation_tuples(doc, [("D1", "D2", "BINDS", 1.0)])
    assert not copy(doc).user_data.get(CONCEPT_RELATIONS_KEY)


UNHEARD_OF = {"Cisplatin": "DRUG", "p53": "PROTEIN"}


@pytest.mark.parametrize("typed", [False, True])
def test_entity_labels_the_relations_never_saw(copy, typed):
    """They are named; without `typed_pairs` they are related all the same."""
    ruler = copy.add_pipe("entity_ruler", before="span_ner")
    ruler.add_patterns([{"label": label, "pattern": name} for name, label in UNHEARD_OF.items()])
    pipe = copy.get_pipe("relation_extractor")
    pipe.typed_pairs, pipe.threshold = typed, 0.0
    with copy.select_pipes(disable=["span_ner"]):
        with pytest.warns(UserWarning, match="other labels: DRUG, PROTEIN"):
            doc = copy(TEXTS[0][0])
    assert {ent.text: ent.label_ for ent in doc.ents} == UNHEARD_OF
    arguments = {(relation.head.text, relation.tail.text) for relation in doc._.relations}
    assert (("Cisplatin", "p53") in arguments) is not typed


ODD = [
    "🧬🧪 p53 👩‍🔬 binds MDM2",
    "x" * 10_000 + " Cisplatin inhibits p53",
    "مرض السكري. Cisplatin inhibits p53 in renal cells.",
    "\x00\x01 Cisplatin inhibits p53 \ufeff\u200b",
    "a",
    "",
    " \n ",
    TEXTS[0][0],
]


def with_scores(doc):
    """RETURNS (Tuple[List, List[float]]): What was found, and the scores of all of it."""
    relations = get_relation_tuples(doc)
    spans = doc.spans[SPANS_KEY]
    names = [(span.start_char, span.end_char, span.label_) for span in spans]
    return (
        [names, [(*r[:7], r.negated) for r in relations]],
        [*spans.attrs["scores"], *(relation.score for relation in relations)],
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_alone_in_a_batch_and_after_loading(copy, tmp_path, precision):
    """Odd texts too, with all that has any score at all."""
    copy.get_pipe("transformer").model.layers[0].shims[0].precision = precision
    for name in ("span_ner", "relation_extractor"):
        copy.get_pipe(name).threshold = 0.0
    alone = [with_scores(copy(text)) for text in ODD]
    assert all(doc.text == text for doc, text in zip(copy.pipe(ODD), ODD))
    assert all(len(names) > 2 and relations for (names, relations), _ in [alone[0], *alone[-1:]])
    tolerance = 1e-4 if precision == "float32" else 0.02
    for docs in (copy.pipe(ODD), copy.pipe(ODD, batch_size=3), copy.pipe(reversed(ODD))):
        batch = sorted(map(with_scores, docs), key=lambda item: str(item[0]))
        for (one, scores), (other, others) in zip(
            sorted(alone, key=lambda item: str(item[0])), batch
        ):
            assert sorted(map(str, one)) == sorted(map(str, other))
            assert sorted(scores) == pytest.approx(sorted(others), abs=tolerance)


@pytest.mark.parametrize("text", ODD[1:4])
def test_odd_text_around_hides_nothing(trained, text):
    doc = trained(text)
    assert doc.text == text
    assert "Cisplatin" in {ent.text for ent in doc.ents}


def test_memory_is_bounded_by_tokens_not_by_the_batch(copy, monkeypatch):
    monkeypatch.setattr("spacy_spanmed.pipeline.base.PREDICT_TOKENS", 20)
    texts = [TEXTS[0][0]] * 12 + [TEXTS[0][0] * 5, ""]
    expected = [found(copy(text)) for text in texts]
    sizes = {}

    def watch(name):
        model = copy.get_pipe(name).model
        forward = model._func

        def count(model, X, is_train):
            docs = X[0] if isinstance(X, tuple) else X
            sizes.setdefault(name, []).append([len(doc) for doc in docs])
            return forward(model, X, is_train)

        model._func = count

    for name in ("span_ner", "relation_extractor"):
        watch(name)
    assert [found(doc) for doc in copy.pipe(texts, batch_size=64)] == expected
    for batches in sizes.values():
        assert len(batches) > 4
        assert all(sum(batch) <= 20 or len([n for n in batch if n]) == 1 for batch in batches)


def test_thousands_of_entities(copy):
    text = TEXTS[0][0] + " "
    with pytest.warns(UserWarning, match="pairs of entities in a Doc were left out"):
        doc = copy(text * 1_000)
    assert len(doc.ents) > 1_000
    assert {r.label for r in doc._.relations} <= set(copy.get_pipe("relation_extractor").labels)


def test_pairs_are_cut_with_a_count(copy):
    copy.get_pipe("relation_extractor").max_pairs = 2
    with pytest.warns(UserWarning, match="4 of 6 pairs"):
        doc = copy(TEXTS[0][0])
    assert doc._.cut_pairs == 4
    assert Doc(copy.vocab).from_bytes(doc.to_bytes())._.cut_pairs == 4
    assert copy(TEXTS[3][0])._.cut_pairs == 0


@pytest.mark.parametrize(
    "settings", [{"max_pairs": 1}, {"max_distance": -1}, {"predicted_share": 1.5}]
)
def test_bounds_of_pairs_are_checked(settings):
    with pytest.raises(ValueError, match="relation_extractor: (max_distance|predicted_share) must"):
        spacy.blank("en").add_pipe("relation_extractor", config=settings)


def test_cut_is_counted_in_pairs_of_mentions(copy):
    """Though a composite mention's pairs of concepts, which are scored, take room one by one."""
    pipe = copy.get_pipe("relation_extractor")
    pipe.concepts, pipe.max_pairs = True, 4
    doc = copy.make_doc("alpha beta gamma")
    concepts = {(0, 5, "CHEM"): ["C1", "C2"], (6, 10, "GENE"): ["G1"], (11, 16, "GENE"): ["G2"]}
    with pytest.warns(UserWarning, match="4 of 6 pairs"):
        found = pipe._find_pairs(doc, concepts)
    assert len(found.pairs) == 4 and found.cut == 4
