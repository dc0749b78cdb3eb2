"""The whole workflow on a small sample: what `make smoke` runs."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spacy_spanmed.encoder.cpu.machine import resolve_precision
from tests import ROOT

# The whole workflow takes minutes: `pytest -m "not slow"` leaves it out
pytestmark = pytest.mark.slow

CHECK = """
import spacy
nlp = spacy.load("en_spanmed_smoke")
doc = nlp("Cisplatin inhibits the repair of damaged DNA and causes acute renal failure.")
assert doc._.relations is not None and "spanmed" in doc.spans
assert nlp.meta["performance"] and "MIT" in str(nlp.meta["sources"])
nlp.get_pipe("span_ner").add_label("NEW")
nlp.resume_training()
print("loaded", nlp.pipe_names)
"""


def run(command, folder):
    # The scripts say "python": make it the one that runs the tests
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(Path(sys.executable).parents[1])}
    done = subprocess.run(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    started = time.perf_counter()
    run(["bash", "tests/smoke.sh", str(folder)], ROOT)
    yield folder, time.perf_counter() - started
    run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", "en_spanmed_smoke"], folder)


def test_everything_is_made(smoke):
    folder, _ = smoke
    for name in (
        "corpus/train.spacy",
        "training/encoder/config.json",
        "training/model-best/meta.json",
    ):
        assert (folder / name).is_file()
    wheels = sorted(path.name for path in (folder / "dist").glob("*.whl"))
    assert [name.split("-")[0] for name in wheels] == ["en_spanmed_smoke", "spacy_spanmed"]
    assert (folder / "dist" / wheels[0]).stat().st_size < 60e6
    scores = json.loads((folder / "metrics" / "test.json").read_text())
    assert scores["ents_docs"] > 0 and scores["rel_docs"] > 0
    assert scores["meta"]["seed"] == 0
    assert scores["meta"]["precision"] == [resolve_precision("auto", "cpu")]
    record = json.loads((folder / "metrics" / "pretraining.json").read_text())
    assert record["heldout"]["after"]["span"]["loss"] < record["heldout"]["before"]["span"]["loss"]


def test_encoder_is_a_plain_hugging_face_directory(smoke):
    from transformers import AutoModel, AutoTokenizer

    path = str(smoke[0] / "training" / "encoder")
    encoder, tokenizer = AutoModel.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    assert encoder.config.vocab_size == len(tokenizer)


def test_installed_model_loads_without_the_project(smoke, tmp_path):
    assert "relation_extractor" in run([sys.executable, "-c", CHECK], tmp_path)


def test_example_of_the_readme_runs(smoke, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.S)
    run([sys.executable, "-c", code.replace("en_spanmed", "en_spanmed_smoke")], tmp_path)


def test_spacy_evaluate_agrees_with_ours(smoke):
    folder = smoke[0]
    command = [sys.executable, "-m", "spacy", "evaluate", "en_spanmed_smoke", "corpus/test.spacy"]
    run([*command, "--output", "metrics.json"], folder)
    theirs = json.loads((folder / "metrics.json").read_text())
    ours = json.loads((folder / "metrics" / "test.json").read_text())
    for key in ("ents_f", "rel_micro_f", "rel_gold_micro_f", "ents_gold_inexpressible"):
        assert theirs[key] == pytest.approx(ours[key], abs=1e-9)  # spaCy writes ten digits
    for key in ("ents_per_type", "rel_per_type", "rel_gold_per_type"):
        assert theirs[key].keys() == ours[key].keys()
        for label, figures in theirs[key].items():
            assert figures == pytest.approx(ours[key][label], abs=1e-9)


def write_pubtator(path, first, count):
    """Hand-made abstracts in which a drug causes one thing and not another."""
    blocks = []
    for i in range(first, first + count):
        title, text = f"Drug{i} and pain.", f"We saw that drug{i} leads to fever{i}, not to pain."
        whole = f"{title} {text}"
        lines = [f"{i}|t|{title}", f"{i}|a|{text}"]
        for name, label, concept in (
            (f"Drug{i}", "Chemical", f"C{i}"),
            ("pain", "Disease", "D0"),
            (f"drug{i}", "Chemical", f"C{i}"),
            (f"fever{i}", "Disease", f"D{i}"),
        ):
            start = whole.index(name)
            lines.append(f"{i}\t{start}\t{start + len(name)}\t{name}\t{label}\t{concept}")
        blocks.append("\n".join([*lines, f"{i}\tCID\tC{i}\tD{i}"]) + "\n\n")
    path.write_text("".join(blocks), encoding="utf8")


def test_custom_corpus(smoke):
    folder, _ = smoke
    files = {"train": (10, 12), "dev": (30, 4), "test": (40, 4)}
    command = [sys.executable, "-m", "spacy", "project", "run", "custom", "."]
    for name, span in files.items():
        write_pubtator(folder / f"{name}.pubtator", *span)
        command += [f"--vars.{name}", f"{name}.pubtator"]
    command += ["--vars.concepts", "true", "--vars.encoder", "training/encoder"]
    command += ["--vars.document_steps", "2", "--vars.document_eval_frequency", "2"]
    run(command, folder)
    scores = json.loads((folder / "metrics" / "custom.json").read_text())
    assert scores["ents_docs"] == scores["rel_docs"] == 4
    assert scores["rel_gold_per_type"]["CID"]["support"] == 4
    output = run(command, folder)
    assert output.count("nothing changed") == 3  # all but the conversion
    write_pubtator(folder / "test.pubtator", 50, 5)
    run(command, folder)
    scores = json.loads((folder / "metrics" / "custom.json").read_text())
    assert scores["rel_docs"] == 5


def test_running_again_does_nothing(smoke):
    folder, seconds = smoke
    started = time.perf_counter()
    output = run(["bash", "tests/smoke.sh", str(folder)], ROOT)
    assert output.count("nothing changed") == 6
    assert "is installed already" in output
    assert time.perf_counter() - started < seconds / 3
