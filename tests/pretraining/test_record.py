"""Which code counts: in the name of a cache, in the identity of a run, in neither."""

import ast
from pathlib import Path

import pytest

from spacy_spanmed import pretraining
from spacy_spanmed.pretraining import record

HERE = Path(pretraining.__file__).parent
PACKAGE = HERE.parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in HERE.rglob("*.py"))
READER = "util/text_files.py"


def imported(path):
    """The modules of the package that a module imports, as paths in it, wherever it does."""
    folder = path.relative_to(PACKAGE).parent
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = Path(*folder.parts[: len(folder.parts) + 1 - node.level])
            base = base.joinpath(*(node.module or "").split("."))
            for name in (base, *(base / alias.name for alias in node.names)):
                if (PACKAGE / name).with_suffix(".py").is_file():
                    found.add(name.with_suffix(".py").as_posix())
    return found


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_in_the_right_set(name):
    folder = name.split("/")[1]
    assert (name in record.text_code()) == (folder == "texts")
    assert (name in record.run_code()) == (folder != "reporting.py")


def test_code_outside_the_folder_counts_too():
    texts, run = set(record.text_code()), set(record.run_code())
    assert texts - set(MODULES) == {READER}
    others = run - set(MODULES) - {READER}
    assert others and all(name.startswith("encoder/cpu/") for name in others)
    assert texts <= run


def test_texts_are_made_sequences_by_the_code_that_names_the_cache():
    """Nothing of pretraining that ``texts/`` imports lies outside, but for the settings, which
    count with their values."""
    for name in record.text_code():
        used = imported(PACKAGE / name) & set(MODULES)
        outside = {module for module in used if not module.startswith("pretraining/texts/")}
        assert outside <= {"pretraining/config.py"}, name


def test_what_only_reports_has_no_part_in_the_weights():
    """Only the run uses what the identity leaves out."""
    users = {name for name in MODULES if "pretraining/reporting.py" in imported(PACKAGE / name)}
    assert users == {"pretraining/run.py"}


def test_changed_code_is_another_run(tiny_encoder, monkeypatch):
    before = record.run_code()
    file_sha256 = record.file_sha256

    def changed(path):
        return "other" if path.name == "trainer.py" else file_sha256(path)

    monkeypatch.setattr(record, "file_sha256", changed)
    after = record.run_code()
    assert {name for name in before if before[name] != after[name]} == {"pretraining/trainer.py"}
    identity = record.run_identity({"paths": {"output": "x"}}, {}, str(tiny_encoder))
    assert identity["contents"]["code of spacy_spanmed.pretraining"] == after
