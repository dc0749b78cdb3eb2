"""Tables come from the result files and nothing else."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.results import END, START, render_documents
from tests import ROOT

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
    """A project. RETURNS (Path): Its folder of results."""
    (tmp_path / "README.md").write_text(f"before\n{START}\nstale figures\n{END}\nafter\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "test.json").write_text(json.dumps(SCORES))
    return tmp_path / "results"


def render(folder):
    """RETURNS (str): The page of results, with spaces in place of line ends within paragraphs."""
    render_documents(folder.parent)
    return (folder.parent / "docs" / "results.md").read_text()


def in_one_line(text):
    return " ".join(text.split())


@pytest.mark.parametrize("document", ["docs/results.md", "README.md"])
def test_documents_of_the_project_are_current(document):
    assert not render_documents(ROOT, write=False)[ROOT / document], "python -m benchmarks results"


def test_files_say_where_they_come_from_and_are_shown():
    """Each file in results/ changes what the documents say if it is taken away."""
    from benchmarks.results import Results, _render, get_origin

    results = Results(ROOT / "results")
    whole = _render("results.md.jinja", results)
    for name, result in list(results.items()):
        for run in result.get("runs", [result]):
            assert len(get_origin(run)["commit"]) == 40, name
        assert get_origin(result)["date"] or "runs" in result, name
        if name != "test":  # without it there is no page
            del results[name]
            assert _render("results.md.jinja", results) != whole, name
            results[name] = result


def test_tables_come_from_the_files(folder):
    readme, page = folder.parent / "README.md", folder.parent / "docs" / "results.md"
    assert render_documents(folder.parent) == {readme: True, page: True}
    text = readme.read_text()
    assert text.startswith(f"before\n{START}\n") and text.endswith(f"{END}\nafter\n")
    assert "stale figures" not in text
    assert "| NERO | 61.2 | 50.0 |  | `make model` | 2026-01-02, seed 7, commit `abc" in text
    assert "BC5CDR" not in text
    text = page.read_text()
    assert "| GENE | 1,234 | 50.0 | 25.0 | 33.3 |" in text
    assert "| BINDS | 4 | 100.0 | 50.0 | 66.7 | 10.0 |" in text
    assert "seed 7, commit `abcdef0123`" in text
    assert render_documents(folder.parent) == {readme: False, page: False}


def test_check_writes_nothing(folder):
    command = ["results", "--root", str(folder.parent)]
    result = CliRunner().invoke(app, [*command, "--check"])
    assert result.exit_code == 1 and "README.md: not current" in result.output
    assert not (folder.parent / "docs").exists()
    assert "stale figures" in (folder.parent / "README.md").read_text()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0 and "results.md: updated" in result.output
    result = CliRunner().invoke(app, [*command, "--check"])
    assert result.exit_code == 0 and result.output.count("up to date") == 2


def test_baselines_and_pretraining_stand_beside(folder):
    (folder / "baseline_dictionary.json").write_text(json.dumps({**SCORES, "ents_f": 0.3333}))
    heldout = {
        "before": {"span": {"loss": 7.5, "sbo_loss": 8.0}},
        "after": {"span": {"loss": 5.25, "sbo_loss": 6.0}},
    }
    record = {"heldout": heldout, "tokens": 1000, "git_commit": "abcdef0123456789"}
    (folder / "pretraining.json").write_text(json.dumps(record))
    text = render(folder)
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
    text = render(folder)
    assert "36,756 texts, 1.5 hours, 7,407 tokens a second in bfloat16 (commit `abc" in text
    assert "| **after the run** | 4.250 | 5.000 | 40,000,000 | `abcdef0123` |" in text
    assert "benchmarks ablation configs/ablation.yml" in text and "commit `none`" in text
    assert "| corpus | variant | entities | seeds |" in text
    assert "| c | v | 81.0 ± 1.4 | 2 |" in text
    assert "| c | w | 79.0 (-1.0) | 1 |" in text


def test_benchmarks_over_seeds(folder):
    scores = {
        **SCORES,
        **{f"{key}_{k}": 0.5 for key in ("ents", "rel_gold_micro", "rel_micro") for k in "prf"},
        "ents_ece": 0.02,
    }
    (folder / "bc5cdr.json").write_text(json.dumps(scores))
    text = render(folder)
    assert "### BC5CDR\n\nTest set, 1,614 abstracts. Measured 2026-01-02, seed 7, commit" in text
    assert "### BioRED" not in text
    assert "| **entities, strict** | 50.0 | 50.0 | 50.0 |" in text and "error on dev" not in text
    (folder / "seed1").mkdir()
    meta = {**SCORES["meta"], "seed": 1, "date": "2026-01-04", "commit": None}
    other = {**scores, "meta": meta, "ents_f": 0.6, "ents_ece": 0.04}
    (folder / "seed1" / "bc5cdr.json").write_text(json.dumps(other))
    (folder / "bc5cdr_dev.json").write_text(json.dumps({**scores, "ents_f": 0.7}))
    text = render(folder)
    assert (
        "Measured 2026-01-02 and 2026-01-04, seeds 1, 7, commit `none`, `abcdef0123`; mean and "
        "standard deviation."
    ) in text
    assert "| **entities, strict** | 50.0 ± 0.0 | 50.0 ± 0.0 | 55.0 ± 7.1 |" in text
    assert "&nbsp;&nbsp;GENE | 50.0 ± 0.0 | 25.0 ± 0.0 | 33.3 ± 0.0 |" in text
    assert "calibration error on test: entities 0.030 ± 0.014." in text
    assert "calibration error on dev: entities 0.020." in text
    assert "thresholds tuned there: entities 70.0, relations given gold entities 50.0" in text


def test_encoders_stand_side_by_side(folder):
    keys = ("ents_f", "rel_gold_micro_f", "rel_micro_f")
    for place, figure in (("plain", 0.8), ("plain/seed1", 0.9), ("domain", 0.9)):
        (folder / place).mkdir()
        for file, less in (("bc5cdr_dev.json", 0), ("biored.json", 0.5)):
            scores = {**SCORES, **dict.fromkeys(keys, figure - less)}
            (folder / place / file).write_text(json.dumps(scores))
        text = render(folder)
        assert ("## Encoders" in text) == (place == "domain")
    assert "| BC5CDR, dev | entities | 85.0 ± 7.1 | 90.0 |" in text
    assert "| BioRED, test | relations end to end | 35.0 ± 7.1 | 40.0 |" in text
    assert "BC5CDR, test |" not in text
    assert "- BC5CDR, dev, plain: 2026-01-02, seeds 7, 7, commit" in text


def test_missing_marker_or_result(folder):
    readme = folder.parent / "README.md"
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="lacks the line"):
        render_documents(folder.parent)
    readme.write_text(f"{START}\n{END}")
    (folder / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        render_documents(folder.parent)
    (folder / "broken.json").unlink()
    (folder / "test.json").unlink()
    with pytest.raises(ValueError, match="project run evaluate"):
        render_documents(folder.parent)
    assert readme.read_text() == f"{START}\n{END}"


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
    text = in_one_line(render(folder))
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
    assert "Held-out loss after equal tokens" not in text
    losses = {
        str(seed): {side: {"span": 7.0 + seed} for side in ("stock", "ours", "ours_token")}
        for seed in (0, 1)
    }
    record = {**record, "losses": losses, "loss_tokens": 1000}
    for file in ("bench_pretrain.json", "bench_pretrain_losses.json"):
        (folder / file).write_text(json.dumps(record))
        text = in_one_line(render(folder))
        assert "after equal tokens (1,000), ours in bfloat16, mean and deviation over 2" in text
        assert "| ours, token masks | 7.500 ± 0.707 |" in text
        (folder / file).unlink()
