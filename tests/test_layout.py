"""The house: folders in the order of their imports, none of which runs in a circle."""

import ast
from collections import defaultdict

import pytest

from tests import ROOT

# Each folder imports from those before it, and from itself
ORDER = (
    "util",
    "doc",
    "scoring",
    "encoder",
    "pipeline",
    "tuning",
    "corpora",
    "pretraining",
    "visualize",
    "cli",
)
PARTS = ("spacy_spanmed", "benchmarks", "scripts")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for part in PARTS
    for path in (ROOT / part).rglob("*.py")
}


def find_module(name):
    return next((m for m in (name, f"{name}.__init__") if m in MODULES), None)


def read_imports(module):
    """All modules of this project that a module imports, within functions and for types too."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [(f"{base}.{alias.name}", base) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        for inner, outer in names:
            found = find_module(inner) or find_module(outer)
            if found and found != module:
                yield found


IMPORTS = {module: sorted(set(read_imports(module))) for module in MODULES}


def get_folder(module):
    part, *rest = module.split(".")
    return rest[0] if part == "spacy_spanmed" and len(rest) > 1 else None


def test_every_folder_has_its_place():
    folders = {get_folder(module) for module in MODULES if module.startswith("spacy_spanmed.")}
    assert folders - {None} == set(ORDER)


def test_folders_import_one_way():
    wrong = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if get_folder(module) and get_folder(other)
        if ORDER.index(get_folder(other)) > ORDER.index(get_folder(module))
    ]
    assert not wrong


def test_package_needs_nothing_of_the_repository():
    wrong = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if module.startswith("spacy_spanmed.") and not other.startswith("spacy_spanmed.")
    ]
    assert not wrong


def test_no_import_runs_in_a_circle():
    """Depth first: an import of a module that is still being looked at closes a circle."""
    state = defaultdict(int)  # 0 not seen, 1 being looked at, 2 done

    def visit(module, path):
        state[module] = 1
        for other in IMPORTS[module]:
            if state[other] == 1:
                pytest.fail(" -> ".join([*path[path.index(other) :], other]))
            if not state[other]:
                visit(other, [*path, other])
        state[module] = 2

    for module in MODULES:
        if not state[module]:
            visit(module, [module])


def test_root_of_the_package_is_all_but_empty():
    names = {path.name for path in (ROOT / "spacy_spanmed").glob("*.py")}
    assert names == {"__init__.py", "__main__.py"}


def test_files_stay_small():
    lengths = {m: len(path.read_text("utf8").splitlines()) for m, path in MODULES.items()}
    assert not {module: length for module, length in lengths.items() if length > 400}
