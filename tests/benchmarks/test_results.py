"""Tables come from the result files and nothing else."""

import json

import pytest

from benchmarks.results import END, START, update_document

SCORES = {
    "meta": {"date": "2026-01-02T03:04:05+00:00", "seed": 7, "commit": "abcdef0123456789"},
    "ents_docs": 1614,
    "rel_docs": 886,
    "ents_f": 0.6123,
    "ents_per_type": {"GENE": {"p": 0.5, "r": 0.25, "f": 1 / 3, "support": 1234}},
    "rel_gold_micro_f": 0.5,
    "rel_gold_majority_label": "BINDS",
    "rel_gold_per_type": {"BINDS": {"p": 1.0, "r": 0.5, "f": 2 / 3, "support": 4}},
    "rel_per_type": {"BINDS": {"p": 0.1, "r": 0.1, "f": 0.1, "support": 4}},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(SCORES))
    (tmp_path / "README.md").write_text(f"before\n{START}\nstale figures\n{END}\nafter\n")
    return tmp_path


def test_tables_replace_what_is_between_the_markers(folder):
    assert update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{START}\n") and text.endswith(f"{END}\nafter\n")
    assert "stale figures" not in text
    assert "| GENE | 1,234 | 50.0 | 25.0 | 33.3 |" in text
    assert "| BINDS | 4 | 100.0 | 50.0 | 66.7 | 10.0 |" in text
    assert "seed 7, commit `abcdef0123`" in text
    assert not update_document(folder / "README.md", folder)


def test_baselines_and_pretraining_stand_beside(folder):
    (folder / "baseline_dictionary.json").write_text(json.dumps({**SCORES, "ents_f": 0.3333}))
    heldout = {
        "before": {"span": {"loss": 7.5, "sbo_loss": 8.0}},
        "after": {"span": {"loss": 5.25, "sbo_loss": 6.0}},
    }
    record = {"heldout": heldout, "tokens": 1000, "git_commit": "abcdef0123456789"}
    (folder / "pretraining.json").write_text(json.dumps(record))
    update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert "| Entities, micro F1 | 33.3 | 61.2 |" in text
    assert "| **encoder and heads trained** | 5.250 | 6.000 | 1,000 | `abcdef0123` |" in text


def test_domain_run_and_comparison(folder):
    heldout = {
        "before": {"span": {"loss": 7.5, "sbo_loss": 8.0}},
        "after": {"span": {"loss": 4.25, "sbo_loss": 5.0}},
    }
    record = {
        "heldout": heldout, "tokens": 40_000_000, "train_documents": 36_756, "seconds": 5400,
        "tokens_per_second": 7407.4, "precision": "bfloat16", "git_commit": "abcdef0123456789",
    }  # fmt: skip
    (folder / "domain.json").write_text(json.dumps(record))
    run = {"corpus": "c", "variant": "v", "seed": 0, "commit": None, "scores": {"ents_f": 0.8}}
    other = {**run, "variant": "w", "scores": {"ents_f": 0.79}}
    runs = [run, {**run, "seed": 1, "scores": {"ents_f": 0.82}}, other]
    comparison = {"plan": "configs/ablation.yml", "scores": ["ents_f"], "runs": runs}
    (folder / "ablation.json").write_text(json.dumps(comparison))
    update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert "36,756 texts, 1.5 hours, 7,407 tokens a second in bfloat16. Held-out" in text
    assert "| **after the run** | 4.250 | 5.000 | 40,000,000 | `abcdef0123` |" in text
    assert "![" not in text
    assert "benchmarks ablation configs/ablation.yml" in text and "commit `none`" in text
    assert "| corpus | variant | entities | seeds |" in text
    assert "| c | v | 81.0 ± 1.4 | 2 |" in text
    assert "| c | w | 79.0 (-1.0) | 1 |" in text
    (folder / "domain.svg").write_text("<svg/>")
    update_document(folder / "README.md", folder)
    assert f"({folder.name}/domain.svg)" in (folder / "README.md").read_text()


def test_benchmarks_over_seeds(folder):
    scores = {
        **SCORES,
        **{f"{key}_{k}": 0.5 for key in ("ents", "rel_gold_micro", "rel_micro") for k in "prf"},
        "ents_ece": 0.02,
    }
    (folder / "bc5cdr.json").write_text(json.dumps(scores))
    update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert "BC5CDR, test set (1,614 abstracts). Measured 2026-01-02, seed 7, commit" in text
    assert "| **entities, strict** | 50.0 | 50.0 | 50.0 |" in text and "on dev" not in text
    (folder / "seed1").mkdir()
    meta = {**SCORES["meta"], "seed": 1, "date": "2026-01-04", "commit": None}
    other = {**scores, "meta": meta, "ents_f": 0.6, "ents_ece": 0.04}
    (folder / "seed1" / "bc5cdr.json").write_text(json.dumps(other))
    (folder / "bc5cdr_dev.json").write_text(json.dumps({**scores, "ents_f": 0.7}))
    update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert (
        "Measured 2026-01-02 and 2026-01-04, seeds 1, 7; mean and standard deviation, commit "
        "`none`, `abcdef0123`."
    ) in text
    assert "| **entities, strict** | 50.0 ± 0.0 | 50.0 ± 0.0 | 55.0 ± 7.1 |" in text
    assert "&nbsp;&nbsp;GENE | 50.0 ± 0.0 | 25.0 ± 0.0 | 33.3 ± 0.0 |" in text
    assert "calibration error on test: entities 0.030 ± 0.014." in text
    assert "calibration error on dev: entities 0.020." in text
    assert "thresholds tuned there: entities 70.0, relations between gold entities 50.0" in text


def test_encoders_stand_side_by_side(folder):
    keys = ("ents_f", "rel_gold_micro_f", "rel_micro_f")
    for place, figure in (("plain", 0.8), ("plain/seed1", 0.9), ("domain", 0.9)):
        (folder / place).mkdir()
        for file, less in (("bc5cdr_dev.json", 0), ("biored.json", 0.5)):
            scores = {**SCORES, **dict.fromkeys(keys, figure - less)}
            (folder / place / file).write_text(json.dumps(scores))
        update_document(folder / "README.md", folder)
        text = (folder / "README.md").read_text()
        assert ("Encoders, with the same settings" in text) == (place == "domain")
    assert "| BC5CDR, dev | entities | 85.0 ± 7.1 | 90.0 |" in text
    assert "| BioRED, test | relations end to end | 35.0 ± 7.1 | 40.0 |" in text
    assert "BC5CDR, test |" not in text
    assert "BC5CDR, dev, plain: Measured 2026-01-02, seeds 7, 7; mean" in text


def test_missing_marker_or_result(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="lacks the line"):
        update_document(tmp_path / "README.md", tmp_path)
    (tmp_path / "README.md").write_text(f"{START}\n{END}")
    with pytest.raises(ValueError, match="project run evaluate"):
        update_document(tmp_path / "README.md", tmp_path)


def test_speeds(folder):
    group = {"stock": 2002.2, "ours": 3813.8, "ratio": 1.919, "joined_abstracts": False}
    record = {
        "commit": "abcdef0123456789", "model": "m", "text": ["a.gz", "b.xml"],
        "groups": {"abstracts": group, "papers": {**group, "joined_abstracts": True}},
        "settings": {
            "threads": 2, "rounds": 3, "precision": "bfloat16", "stock_precision": "float32",
        },
    }  # fmt: skip
    (folder / "inference.json").write_text(json.dumps(record))
    record = {
        "commit": None, "batch_size": 32, "block_length": 256, "precision": "bfloat16",
        "ours": 3450.0, "stock": 680.0, "ratio": 5.2, "masking_share": 0.004,
        "masking": {"ratio": 7.6},
    }  # fmt: skip
    (folder / "bench_pretrain.json").write_text(json.dumps(record))
    trained = {
        "commit": None, "ratio": 3.5, "target": 0.61, "ours": {"seconds": 100.4},
        "stock": {"seconds": 351.4},
        "settings": {
            "stock_steps": 300, "steps": 200, "eval_frequency": 50, "seed": 0,
            "train": "train.spacy", "dev": "dev.spacy", "precision": "bfloat16",
        },
    }  # fmt: skip
    (folder / "bench_train.json").write_text(json.dumps(trained))
    update_document(folder / "README.md", folder)
    text = (folder / "README.md").read_text()
    assert (
        "F1 61.0%, seed 0, ours in bfloat16, stock in float32): stock takes 351 s, 3.50 times as long as ours, 100 s."
        in text
    )
    assert (
        "--model m --text a.gz --text b.xml`, 2 threads, ours in bfloat16, stock in float32" in text
    )
    assert "| abstracts | 2,002 | 3,814 | 1.92 |" in text
    assert "| papers (made by joining abstracts) | 2,002 |" in text
    assert (
        "3,450 against 680 tokens/s, 5.20 times as fast by the median of the rounds' ratios. Masking takes 0.40% of the time"
        in text
    )
    assert "Held-out loss of pretraining" not in text
    losses = {
        str(seed): {side: {"span": 7.0 + seed} for side in ("stock", "ours", "ours_token")}
        for seed in (0, 1)
    }
    record = {**record, "losses": losses, "loss_tokens": 1000}
    for file in ("bench_pretrain.json", "bench_pretrain_losses.json"):
        (folder / file).write_text(json.dumps(record))
        update_document(folder / "README.md", folder)
        text = (folder / "README.md").read_text()
        assert "after equal tokens (1,000), ours in bfloat16, mean and deviation over 2" in text
        assert "| ours, token masks | 7.500 ± 0.707 |" in text
        (folder / file).unlink()
