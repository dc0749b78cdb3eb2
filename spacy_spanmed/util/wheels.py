"""Wheels of a pipeline and of this package: built, and installed where they are not yet."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import srsly

from .files import write_atomically

# What the package's wheel is built of
SOURCE_FOLDERS = ("spacy_spanmed", "configs")
SOURCE_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def build_wheels(model: Path, output: Path, metrics: Path | None, project: Path) -> list[Path]:
    """Build the wheels of a pipeline and of this package.

    model (Path): Pipeline as written by `finalize`. output (Path): Folder for the wheels.
    metrics (Path | None): JSON of test scores for the model card.
    project (Path): Folder with the package's pyproject.toml.
    RETURNS (list[Path]): The wheels: the package's, then the pipeline's.
    RAISES (ValueError): If a build fails, with the last lines of its output.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # `spacy package` writes into the pipeline's folder if it is told to keep meta.json: a copy
        staged = Path(folder) / "pipeline"
        shutil.copytree(model, staged)
        meta = srsly.read_json(staged / "meta.json")
        if metrics is not None:
            scores = srsly.read_json(metrics)
            meta["performance"] = {key: score for key, score in scores.items() if key != "meta"}
        srsly.write_json(staged / "meta.json", meta)
        packages = Path(folder) / "packages"
        packages.mkdir()
        package = ["-m", "spacy", "package", str(staged), str(packages), "--build", "wheel"]
        _run([sys.executable, *package])
        # With the setuptools of this environment: no download while building
        build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(packages)]
        # A copy, since setuptools would leave folders behind and publish what they still hold
        source = Path(folder) / "source"
        copy_sources(project, source)
        _run([sys.executable, *build, str(source)])
        wheels = []
        for prefix in ("spacy_spanmed", f"{meta['lang']}_{meta['name']}"):
            built = sorted(packages.rglob(f"{prefix}-*.whl"))[-1]
            for old in output.glob(f"{prefix}-*.whl"):
                old.unlink()
            target = output / built.name
            write_atomically(target, built.read_bytes())
            wheels.append(target)
    return wheels


def copy_sources(project: Path, target: Path) -> None:
    """Copy what the package's wheel is built of.

    project (Path): Folder with the package's pyproject.toml. target (Path): A new folder.
    """
    ignored = shutil.ignore_patterns("__pycache__")
    for part in SOURCE_FOLDERS:
        shutil.copytree(project / part, target / part, ignore=ignored)
    for part in SOURCE_FILES:
        shutil.copy(project / part, target / part)


def install(wheel: Path) -> bool:
    """Install a wheel into this environment, without its dependencies, unless just this one is
    installed (by its content, which RECORD lists). RETURNS (bool): Whether anything had to be
    done."""
    distribution, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read(f"{distribution}-{version}.dist-info/RECORD").decode("utf8")
    wanted = {line for line in record.splitlines() if ".dist-info/" not in line}
    try:
        installed = importlib.metadata.distribution(distribution).read_text("RECORD") or ""
    except importlib.metadata.PackageNotFoundError:
        installed = ""
    if wanted <= set(installed.splitlines()):
        return False
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall"]
    _run([*pip, str(wheel)])
    return True


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise ValueError(f"This command failed: {' '.join(command)}\n{tail}")
