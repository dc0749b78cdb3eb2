"""The README says what is true: commands exist, tables are those of the result files."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.results import update_document
from spacy_spanmed.cli import app
from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf8")
PROJECT = yaml.safe_load((ROOT / "project.yml").read_text(encoding="utf8"))


def test_tables_are_those_of_the_result_files(tmp_path):
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "metrics"], cwd=ROOT)
    if changed.returncode == 1:
        pytest.skip("metrics/ holds a newer run than the README: python -m spacy_spanmed results")
    shutil.copy(ROOT / "README.md", tmp_path)
    assert not update_document(tmp_path / "README.md", ROOT / "metrics")


def test_project_document_is_current(tmp_path):
    for file in ("README.md", "project.yml"):
        shutil.copy(ROOT / file, tmp_path)
    command = [sys.executable, "-m", "spacy", "project", "document", "--output", "README.md"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "README.md").read_text(encoding="utf8") == README


@pytest.mark.parametrize("name", sorted(set(re.findall(r"spacy_spanmed (\w+)", README))))
def test_commands_of_the_readme_exist(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output or "COMMAND" in result.output


def test_project_commands_and_targets_of_the_readme_exist():
    known = {*PROJECT["workflows"], *(command["name"] for command in PROJECT["commands"])}
    assert set(re.findall(r"project run ([\w-]+)", README)) <= known
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"make (model|test|smoke|baselines|clean)\b", README)) <= targets


def test_variables_of_the_readme_exist():
    assert set(re.findall(r"--vars\.(\w+)", README)) <= set(PROJECT["vars"])


def test_project_commands_of_the_readme_name_the_folder_before_options():
    """spaCy takes the first argument behind the workflow for the folder, an option too."""
    assert not re.findall(r"spacy project run [\w-]+ --.*", README)


def test_no_list_item_of_the_project_ends_with_a_variable():
    """weasel would join it with the next item."""
    for command in PROJECT["commands"]:
        for key in ("script", "deps", "outputs", "outputs_no_cache"):
            assert not [item for item in command.get(key, []) if item.endswith("}")]


def test_files_that_the_readme_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
