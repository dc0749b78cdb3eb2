"""project.yml is what its template makes, and each step names the code it runs."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from spacy.util import load_config

from scripts.project import render_project
from spacy_spanmed.cli import app
from tests import ROOT

TEXT = (ROOT / "project.yml").read_text(encoding="utf8")
PROJECT = yaml.safe_load(TEXT)
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
PACKAGE = "spacy_spanmed"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in (PACKAGE, "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
}
# Both only pass on to the module of a command
DISPATCHERS = {f"{PACKAGE}.__init__", f"{PACKAGE}.cli.__init__"}


def find_module(name):
    return next((n for n in (name, f"{name}.__init__") if n in MODULES), None)


def imported_by(module):
    """Modules of this repository that a module imports, inside of functions too."""
    package = module.split(".")[:-1]
    nodes = [ast.parse(MODULES[module].read_text(encoding="utf8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield find_module(f"{base}.{alias.name}") or find_module(base)
        nodes.extend(ast.iter_child_nodes(node))


def closure(modules):
    """All that modules import, directly or over others, and the packages they lie in."""
    seen, queue = set(), [find_module(name) for name in modules]
    while queue:
        module = queue.pop()
        if module is None or module in seen or module in DISPATCHERS:
            continue
        seen.add(module)
        queue.extend(imported_by(module))
        parts = module.split(".")
        queue.extend(find_module(".".join(parts[:i])) for i in range(1, len(parts)))
    return seen


def folders(modules):
    parts = [module.split(".") for module in closure(modules)]
    return {f"{PACKAGE}/{part[1]}" for part in parts if part[0] == PACKAGE and len(part) > 2}


def registered(config):
    """Modules behind the factories and functions of this package that a config names."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf8")
    pattern = rf'^"?([\w.]+)"? = "({PACKAGE}[\w.]+):'
    places = dict(re.findall(pattern, text, flags=re.M))
    named = re.findall(r'"([\w.]+)"', (ROOT / "configs" / f"{config}.cfg").read_text("utf8"))
    return {places[name] for name in named if name in places}


def run_by(line):
    """Modules that a line of a script runs."""
    words = shlex.split(line)
    assert words[:2] == ["python", "-m"]
    program, command, *rest = words[2:]
    if program == "spacy":
        assert command == "train"
        config = Path(rest[0]).stem
        for variable in re.findall(r"\$\{vars\.(\w+)", config):
            config = PROJECT["vars"][variable]
        return registered(config)
    if program == PACKAGE:
        callbacks = {c.name or c.callback.__name__: c.callback for c in app.registered_commands}
        modules = {callbacks[command].__module__}
        # These load a pipeline, and so what its config names
        return modules | (registered("pipeline") if command in ("finalize", "evaluate") else set())
    if program == "benchmarks":
        assert [command, rest[0]] == ["baseline", "dictionary"]
        return {"benchmarks.baselines"}
    return {f"{program}.__main__"}


def test_project_file_is_current():
    assert render_project() == TEXT, "run python -m scripts.project"
    assert "python -m scripts.project" in TEXT.split("\n")[0]


def test_check_tells_a_file_that_is_not_current(tmp_path):
    command = [sys.executable, "-m", "scripts.project", "--check"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    shutil.copy(ROOT / "project.yml", tmp_path)
    (tmp_path / "project.yml").write_text(TEXT + "# by hand\n", encoding="utf8")
    done = subprocess.run(
        [*command, str(tmp_path / "project.yml")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "not current" in done.stderr
    assert (tmp_path / "project.yml").read_text(encoding="utf8").endswith("# by hand\n")


@pytest.mark.parametrize(
    "name",
    [n for n, c in COMMANDS.items() if any(f"{PACKAGE}/" in d for d in c.get("deps", []))],
)
def test_steps_depend_on_the_code_they_run(name):
    command = COMMANDS[name]
    named = {dep for dep in command["deps"] if dep.startswith(f"{PACKAGE}/")}
    assert named == folders({module for line in command["script"] for module in run_by(line)})


def test_only_steps_that_run_always_or_package_all_name_no_code():
    others = {
        n for n, c in COMMANDS.items() if not any(f"{PACKAGE}/" in d for d in c.get("deps", []))
    }
    assert others == {"package", "bc5cdr-package", "biored-package", "install", "custom-corpus"}
    for name in ("package", "bc5cdr-package", "biored-package"):
        assert {PACKAGE, "configs", "setup.py", "pyproject.toml"} < set(COMMANDS[name]["deps"])


def test_steps_run_after_those_that_make_what_they_need():
    for steps in PROJECT["workflows"].values():
        made = set()
        for name in steps:
            step = COMMANDS[name]
            made.update(step.get("outputs", []) + step.get("outputs_no_cache", []))
        for i, name in enumerate(steps):
            earlier = set()
            for other in steps[:i]:
                earlier.update(COMMANDS[other].get("outputs", []))
                earlier.update(COMMANDS[other].get("outputs_no_cache", []))
            assert set(COMMANDS[name].get("deps", [])) & made <= earlier


def test_configs_that_steps_name_exist_and_are_their_dependencies():
    for command in COMMANDS.values():
        for path in re.findall(r"configs/\S+\.cfg", " ".join(command["script"])):
            assert path in command["deps"]
            for variable in re.findall(r"\$\{vars\.(\w+)\}", path):
                path = path.replace(f"${{vars.{variable}}}", PROJECT["vars"][variable])
            load_config(ROOT / path)


def test_no_list_item_ends_with_a_variable():
    """weasel would join it with the next item."""
    for command in COMMANDS.values():
        for key in ("script", "deps", "outputs", "outputs_no_cache"):
            assert not [item for item in command.get(key, []) if item.endswith("}")]


def test_variables_are_declared():
    assert set(re.findall(r"\$\{vars\.(\w+)", TEXT)) <= set(PROJECT["vars"])
