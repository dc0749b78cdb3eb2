"""README and docs say what is true: their commands run or are checked, their links lead somewhere.

A block of commands (```bash) is run in a folder with small files. Where that can't be, the line before
it says why, as one of MARKERS. Blocks of nothing but `make` and `spacy project` need no such line.
"""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import spacy
import typer
import yaml
from thinc.api import Config
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.corpora.convert import convert
from tests import ROOT

PROJECT = yaml.safe_load((ROOT / "project.yml").read_text(encoding="utf8"))
ROOT_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
DOCUMENTS = [ROOT / name for name in ROOT_DOCUMENTS] + sorted((ROOT / "docs").glob("*.md"))
MODEL, WORKFLOW = "with the model", "the whole workflow"
MARKERS = {
    "takes minutes",
    "takes hours",
    "needs a GPU",
    "needs a cluster",
    "installs packages",
    MODEL,
    WORKFLOW,
}
PUBTATOR = """\
1|t|Aspirin and gastric bleeding.
1|a|We saw bleeding after aspirin, and none after placebo.
1\t0\t7\tAspirin\tChemical\tD001241
1\t12\t28\tgastric bleeding\tDisease\tD006471
1\t52\t59\taspirin\tChemical\tD001241
1\tCID\tD001241\tD006471

2|t|Cisplatin.
2|a|It causes renal failure.
2\t0\t9\tCisplatin\tChemical\tD002945
2\t21\t34\trenal failure\tDisease\tD051437
2\tCID\tD002945\tD051437

3|t|Nothing was found.
3|a|
"""


class Fence(NamedTuple):
    """A fenced block of a document.

    document (Path), line (int): Where it begins.
    language (str): What stands behind the fence.
    marker (str): The comment in the line before, or ""; of workflows always WORKFLOW.
    text (str): The block.
    output (Optional[str]): A ```text block that follows with nothing between, for what it prints.
    """

    document: Path
    line: int
    language: str
    marker: str
    text: str
    output: str | None = None


def read_fences(document: Path) -> list[Fence]:
    """RETURNS (List[Fence]): The blocks of a document, in order."""
    lines = document.read_text(encoding="utf8").splitlines()
    fences: list[Fence] = []
    start, end = None, -1
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        language = lines[start][3:].strip()
        text = "\n".join(lines[start + 1 : number]) + "\n"
        if language == "text" and fences and not "".join(lines[end + 1 : start]).strip():
            fences[-1] = fences[-1]._replace(output=text)
        before = re.fullmatch(r"<!-- (.+) -->", lines[start - 1] if start else "")
        marker = before[1] if before else ""
        if language == "bash" and not marker and _is_workflow(text):
            marker = WORKFLOW
        fences.append(Fence(document, start + 1, language, marker, text))
        start, end = None, number
    assert start is None, f"{document.name}: a block isn't closed"
    return fences


def _is_workflow(text: str) -> bool:
    calls = [
        words[0] == "make" or words[2:4] == ["spacy", "project"] for words in read_commands(text)
    ]
    return bool(calls) and all(calls)


def read_commands(text: str) -> Iterator[list[str]]:
    """YIELDS (List[str]): The words of each command of a block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


FENCES = [fence for document in DOCUMENTS for fence in read_fences(document)]
BASH = [fence for fence in FENCES if fence.language == "bash"]
COMMANDS = [(fence, words) for fence in BASH for words in read_commands(fence.text)]


def name_of(value) -> str:
    return value.name if isinstance(value, Path) else str(value)


def documents_with(language: str, marker: str) -> list[Path]:
    """RETURNS (List[Path]): The documents that have such blocks."""
    found = [f.document for f in FENCES if (f.language, f.marker) == (language, marker)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="session")
def small_docs(tmp_path_factory):
    """A .spacy file of the small corpus."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "my.pubtator").write_text(PUBTATOR, encoding="utf8")
    convert([folder / "my.pubtator"], folder / "train.spacy")
    return folder / "train.spacy"


@pytest.fixture
def folder(tmp_path, small_docs, monkeypatch):
    """The working directory, with a small file for each that the documents name."""
    for name in ("my.pubtator", "dev.pubtator", "test.pubtator"):
        (tmp_path / name).write_text(PUBTATOR, encoding="utf8")
    (tmp_path / "abstracts.txt").write_text("Aspirin inhibits COX-1.\n", encoding="utf8")
    (tmp_path / "abstracts.jsonl").write_text('{"text": "Aspirin helps."}\n', encoding="utf8")
    for fence in FENCES:
        named = re.match(r"# (\S+\.yml)\n", fence.text)
        if named:
            (tmp_path / named[1]).write_text(fence.text, encoding="utf8")
    (tmp_path / "corpus").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / "corpus" / f"{name}.spacy").write_bytes(small_docs.read_bytes())
    for name in ("configs", "assets"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_blocks(document: Path, marker: str) -> None:
    for fence in read_fences(document):
        if fence.language != "bash" or fence.marker != marker:
            continue
        place = f"{document.name}:{fence.line}"
        printed = ""
        for name, *arguments in read_commands(fence.text):
            if name == "source":  # the environment's
                continue
            assert name == "spanmed", f"{place}: {name} isn't run: say why with one of {MARKERS}"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{place}: {arguments}\n{result.output}"
            printed += result.stdout
        if fence.output is not None:
            assert printed == fence.output, place


def require_model() -> None:
    if not spacy.util.is_package("en_spanmed"):
        pytest.skip("needs en_spanmed: make model")


# ------------------------------------------------------------------------------- the README


def test_readme_is_short_and_has_one_example():
    text = (ROOT / "README.md").read_text(encoding="utf8")
    assert len(text.splitlines()) <= 150
    assert sum(fence.language == "python" for fence in read_fences(ROOT / "README.md")) == 1


@pytest.mark.slow
def test_example_of_the_readme_prints_what_it_shows(folder, capsys):
    """In form: another run of the training finds other things, with other scores."""
    require_model()
    (fence,) = (f for f in read_fences(ROOT / "README.md") if f.language == "python")
    exec(compile(fence.text, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    text = re.search(r'text = "(.+)"', fence.text)[1]
    for output in (printed, fence.output):
        lines = output.splitlines()
        entities = [re.fullmatch(r"(.+) [A-Z_]+ [01]\.\d+", line) for line in lines]
        relations = [
            re.fullmatch(r"(.+) [A-Z_]+ (.+) [01]\.\d+ (True|False)", line) for line in lines
        ]
        assert entities[0] and relations[-1]
        for entity, relation, line in zip(entities, relations, lines):
            match = relation or entity
            assert match, line
            assert all(string in text for string in match.groups()[: 2 if relation else 1]), line


# -------------------------------------------------------------------------- blocks are run


def test_markers_are_known():
    unknown = {f.marker for f in BASH} - MARKERS - {""}
    assert not unknown


@pytest.mark.parametrize("document", documents_with("bash", ""), ids=name_of)
def test_cheap_commands_run(document, folder):
    run_blocks(document, "")


@pytest.mark.slow
@pytest.mark.parametrize("document", documents_with("bash", MODEL), ids=name_of)
def test_commands_with_the_model_run(document, folder):
    require_model()
    run_blocks(document, MODEL)


@pytest.mark.slow
@pytest.mark.parametrize("document", documents_with("python", "")[1:], ids=name_of)  # no README
def test_python_blocks_run(document, folder):
    """Those of a document one after the other: later ones use what earlier ones made."""
    require_model()
    names: dict = {}
    for fence in read_fences(document):
        if fence.language == "python":
            exec(compile(fence.text, f"{document.name}:{fence.line}", "exec"), names)


@pytest.mark.parametrize(
    "fence", [f for f in FENCES if f.language == "ini"], ids=lambda f: f"{f.document.name}:{f.line}"
)
def test_config_blocks_resolve(fence, folder):
    config = Config().from_str(fence.text)
    assert spacy.util.registry.resolve(config)


# ---------------------------------------------------------------- commands name what exists


def get_call(words: list[str]) -> tuple[str, list[str]] | None:
    """RETURNS (Optional[Tuple[str, List[str]]]): The module of this project that a command runs,
    and the arguments; None for other commands."""
    if words[0] == "spanmed":
        return "spacy_spanmed", words[1:]
    if "-m" in words:
        at = words.index("-m") + 1
        return words[at], words[at + 1 :]
    return None


def find_command(module: str, arguments: list[str]):
    """RETURNS (Tuple[click.Command, List[str]]): The command that is called, and its arguments."""
    command = typer.main.get_command(importlib.import_module(f"{module}.__main__").app)
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def read_settings(arguments: list[str]) -> Config:
    """RETURNS (Config): The config that a command names, else that of the pipelines."""
    named = [word for word in arguments if word.startswith("configs/")]
    return Config().from_disk(ROOT / (named or ["configs/pipeline.cfg"])[0], interpolate=False)


def has_setting(config: Config, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            return False
        config = config[part]
    return True


OURS = ("spacy_spanmed", "benchmarks", "scripts.nero")
CALLS = [(fence, *call) for fence, words in COMMANDS if (call := get_call(words))]


@pytest.mark.parametrize(
    "module, arguments",
    [call[1:] for call in CALLS if call[1] in OURS],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else value,
)
def test_options_exist(module, arguments):
    command, arguments = find_command(module, arguments)
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    settings = read_settings(arguments)
    for word in arguments:
        if not word.startswith("-"):
            continue
        if "." in word:
            assert command.context_settings.get("allow_extra_args"), (
                f"{word}: {command.name} takes no settings"
            )
            assert has_setting(settings, word.removeprefix("--")), word
        else:
            assert word in known, word


def test_settings_of_spacy_train_exist():
    trained = [
        arguments for _, module, arguments in CALLS if (module, arguments[0]) == ("spacy", "train")
    ]
    assert trained
    for arguments in trained:
        settings = read_settings(arguments)
        for word in arguments:
            if word.startswith("--") and "." in word:
                assert has_setting(settings, word.removeprefix("--")), word


@pytest.mark.parametrize(
    "fence, words", [c for c in COMMANDS if c[0].marker == WORKFLOW], ids=name_of
)
def test_workflow_commands_name_what_exists(fence, words):
    if words[0] == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))
        assert set(words[1:]) <= targets
        return
    assert words[:4] == ["python", "-m", "spacy", "project"], words
    action, *arguments = words[4:]
    assert action in ("run", "assets")
    if action == "assets":
        return
    steps = {*PROJECT["workflows"], *(command["name"] for command in PROJECT["commands"])}
    assert arguments[0] in steps
    # spaCy takes the first argument behind the workflow for the folder, an option too
    assert arguments[1:2] in ([], ["."])
    for word in arguments:
        if word.startswith("--"):
            assert word.removeprefix("--vars.") in PROJECT["vars"], word


def test_variables_named_in_the_text_exist():
    for document in DOCUMENTS:
        named = set(re.findall(r"--vars\.(\w+)", document.read_text(encoding="utf8")))
        # of a pretraining config, not of the project
        assert named - {"encoder"} <= set(PROJECT["vars"]), document.name


def test_commands_named_in_the_text_exist():
    """Also those that only a sentence names. (Those that moved are there, and say where they are.)"""
    commands = typer.main.get_command(app).commands
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf8")
        assert set(re.findall(r"`(?:spanmed|python -m spacy_spanmed) (\w+)", text)) <= {*commands}


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_each_command_has_help_with_an_example(name):
    command = typer.main.get_command(app).commands[name]
    if command.hidden:
        pytest.skip("says where it has moved")
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output


def test_no_list_item_of_the_project_ends_with_a_variable():
    """weasel would join it with the next item."""
    for command in PROJECT["commands"]:
        for key in ("script", "deps", "outputs", "outputs_no_cache"):
            assert not [item for item in command.get(key, []) if item.endswith("}")]


# -------------------------------------------------------------------------- links and files


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_are_linked_or_named_exist(document):
    text = document.read_text(encoding="utf8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("http") or (document.parent / target).exists(), target
    if document.name == "CHANGELOG.md":  # names files that are gone, too
        return
    folders = "configs|tests|spacy_spanmed|scripts|benchmarks|docs|assets/example"
    for name in re.findall(rf"`((?:{folders})[/.][\w./-]*)`", text):
        if "NAME" not in name and "/" in name:
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def read_strings(folder: Path) -> str:
    """RETURNS (str): All string constants of the sources in a folder; those that an f-string
    puts together are one, with … for what is filled in."""
    strings = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                ]
                strings.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.append(node.value)
    return "\n".join(strings)


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    code = read_strings(ROOT / "spacy_spanmed")
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf8")
    messages = re.findall(r"^### `(.+)`$", page, flags=re.M)
    assert len(messages) >= 25
    missing = [
        message
        for message in messages
        for part in re.split(r"\s*'?…'?\s*", message)
        if part and part not in code
    ]
    assert not missing


def test_citation_and_hooks_are_well_formed():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert [reference["doi"] for reference in citation["references"]] == ["10.1162/tacl_a_00300"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf8"))
    for repository in hooks["repos"]:
        assert repository["repo"] == "local"  # others would be fetched
        for hook in repository["hooks"]:
            assert hook["language"] == "system"


# ------------------------------------------------------------------------------ the website


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The website, built. What mkdocs warns of, such as a dead link or anchor, is an error."""
    for package in ("mkdocs", "material", "mkdocstrings", "tomllib"):
        pytest.importorskip(package)
    output = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return output


@pytest.mark.xdist_group("site")  # so that with --dist loadgroup one process builds it
def test_site_needs_no_network(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text), page.name
        assert not re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="http', text)


@pytest.mark.xdist_group("site")
def test_site_has_each_command_setting_and_registered_name(site):
    commands = (site / "commands.html").read_text(encoding="utf8")
    for name, command in typer.main.get_command(app).commands.items():
        assert command.hidden or f"spanmed {name}" in commands
    pipeline = (site / "pipeline.html").read_text(encoding="utf8")
    for factory in ("span_ner", "relation_extractor", "spanmed_abbreviations"):
        for setting in spacy.blank("en").get_factory_meta(factory).default_config:
            if setting not in ("model", "scorer"):  # shown setting by setting
                assert f"<code>{setting}</code>" in pipeline
    reference = (site / "reference.html").read_text(encoding="utf8")
    names = re.findall(r'^"(spanmed\.\w+\.v\d)"', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    for name in names:
        assert name == "spanmed.colors.v1" or name in reference, name
    project = (site / "project.html").read_text(encoding="utf8")
    for name in (*PROJECT["workflows"], *PROJECT["vars"]):
        assert f"<code>{name}</code>" in project


@pytest.mark.xdist_group("site")
def test_no_request_for_a_generated_part_is_left(site):
    for page in site.rglob("*.html"):
        assert "<!-- generated:" not in page.read_text(encoding="utf8"), page.name


def test_docstrings_become_sections():
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs/docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "Does it.\n\na (int), b (str): Both,\n    on two lines.\nRETURNS (bool): Whether."
    assert module.to_google_style(text) == (
        "Does it.\n\n\nArgs:\n    a (int): Both,\n    b (str): Both,\n        on two lines.\n\n"
        "Returns:\n    bool: Whether."
    )
