"""MkDocs hook: what the pages say about the code is read from the code when they are built.

A page asks for a part with a line of its own:

    <!-- generated: settings span_ner -->

`settings PIPE` is the table of a pipe's defaults; `reference GROUP` documents the functions that
pyproject.toml registers in an entry-point group; `commands MODULE` is the help of a command;
`project` is project.yml as tables; `file NAME` is a document of the repository's root.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomllib
import yaml

ROOT = Path(__file__).parents[1]
CONFIGS = ("pipeline.cfg", "document.cfg")  # of configs/, beside the defaults
GIVEN = ("nlp", "name", "nO")  # parameters of registered functions that no config sets
_REQUEST = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", flags=re.M)
_SEE = re.compile(r"[Ss]ee (?::class:)?`?(\w+)`?(?: for the settings|\.)")


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Called by MkDocs for each page. RETURNS (str): The page with its generated parts."""
    return _REQUEST.sub(lambda match: PARTS[match[1]](*match[2].split()), markdown)


# ---------------------------------------------------------------------------------- settings


def describe_settings(factory: str) -> str:
    """The defaults of a pipe, and where the configs of this project set something else.

    factory (str): Name of a registered factory.
    RETURNS (str): A Markdown table.
    """
    import spacy

    meta = spacy.blank("en").get_factory_meta(factory)
    defaults = dict(_flatten(meta.default_config))
    for section, key in _find_architectures(meta.default_config):
        defaults = {**_get_defaults(section, key), **defaults}
    configs = {name: _read_component(name, factory) for name in CONFIGS}
    shown = [name for name in CONFIGS if configs[name]]
    rows = [["setting", "default", *(f"`{name}`" for name in shown)]]
    for setting in sorted(defaults, key=lambda name: ("." in name, list(defaults).index(name))):
        default = defaults[setting]
        values = [configs[name].get(setting, default) for name in shown]
        cells = ["" if value == default else _code(value) for value in values]
        rows.append([f"`{setting}`", _code(default), *cells])
    return _make_table(rows)


def _flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _find_architectures(
    config: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, tuple[str, str]]]:
    """YIELDS (Tuple[str, Tuple[str, str]]): Prefix of each registered function in a config, and
    its registry and name, for those of this package."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _find_architectures(value, f"{prefix}{key}.")
        elif key.startswith("@") and str(value).startswith("spanmed."):
            yield prefix, (key[1:], value)


def _get_defaults(prefix: str, key: tuple[str, str]) -> dict[str, Any]:
    from spacy.util import registry

    parameters = inspect.signature(registry.get(*key)).parameters.values()
    return {
        prefix + parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not parameter.empty and parameter.name not in GIVEN
    }


def _read_component(config: str, factory: str) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): What a config in configs/ sets for a pipe, by dotted key."""
    from thinc.api import Config

    path = ROOT / "configs" / config
    if not path.exists():
        return {}
    components = Config().from_disk(path, interpolate=False).get("components", {})
    found = [item for item in components.values() if item.get("factory") == factory]
    return dict(_flatten(found[0])) if found else {}


# --------------------------------------------------------------------------------- reference


def describe_registered(group: str) -> str:
    """Document what pyproject.toml registers.

    group (str): Entry-point group without "spacy_", such as "architectures".
    RETURNS (str): A heading each, its settings, and a request to mkdocstrings.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    parts: list[str] = []
    documented: dict[str, str] = {}
    for name, place in project["entry-points"][f"spacy_{group}"].items():
        module, attribute = place.split(":")
        function = getattr(importlib.import_module(module), attribute)
        target = _find_class(function) or f"{module}.{attribute}"
        parts.append(f"### `{name}` {{ #{name} }}")
        settings = [key for key in inspect.signature(function).parameters if key not in GIVEN]
        if settings:
            parts.append(f"Settings: {', '.join(f'`{key}`' for key in settings)}.")
        if target in documented:
            parts.append(f"Described under [`{documented[target]}`](#{documented[target]}).")
        else:
            parts.append(f"::: {target}")
            documented[target] = name
    return "\n\n".join(parts)


def _find_class(function: Callable[..., Any]) -> str | None:
    """RETURNS (Optional[str]): Dotted name of the class that documents a function's settings, if
    its docstring names one."""
    referred = _SEE.search(inspect.getdoc(function) or "")
    found = getattr(inspect.getmodule(function), referred[1], None) if referred else None
    return f"{found.__module__}.{found.__qualname__}" if inspect.isclass(found) else None


# ---------------------------------------------------------------------------------- commands


def describe_commands(module: str, *prefix: str) -> str:
    """The help of a command and its sub-commands.

    module (str): What is run, such as "benchmarks".
    prefix (str): The words that call it, such as "python", "-m", "benchmarks".
    RETURNS (str): A heading, usage, help text and list of options each.
    """
    import typer

    command = typer.main.get_command(importlib.import_module(f"{module}.__main__").app)
    level = "###" if hasattr(command, "commands") else "##"
    return "\n\n".join(_describe_command(command, " ".join(prefix), level))


def _describe_command(command: Any, name: str, level: str) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    if commands:
        for key, inner in commands.items():
            if not inner.hidden:
                yield from _describe_command(inner, f"{name} {key}", level)
        return
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"{level} {name}"
    usage = re.sub(r"{(.+?)}(\.\.\.)?", r"\1", " ".join(command.collect_usage_pieces(context)))
    yield f"```text\n{name} {usage}\n```"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        example = text.removeprefix("Example: ")
        if example != text or text.startswith((name, "torchrun")):
            yield f"```bash\n{example}\n```"
        elif text not in ("Example:", "Examples:"):
            yield text
    for parameter in command.params:
        yield _describe_parameter(parameter, context)


def _describe_parameter(parameter: Any, context: Any) -> str:
    names, help = parameter.get_help_record(context)
    return f"`{names}`\n:   {' '.join(help.split())}"


# ----------------------------------------------------------------------------------- project


def describe_project() -> str:
    """RETURNS (str): Workflows, commands, variables and assets of project.yml."""
    source = (ROOT / "project.yml").read_text(encoding="utf8")
    project = yaml.safe_load(source)
    workflows = [["workflow", "commands, in this order"]]
    workflows += [
        [f"`{name}`", " → ".join(f"`{step}`" for step in steps)]
        for name, steps in project["workflows"].items()
    ]
    commands = [["command", "what it does"]]
    commands += [[f"`{item['name']}`", item.get("help", "")] for item in project["commands"]]
    comments = _read_comments(source)
    variables = [["variable", "default", ""]]
    variables += [
        [f"`{name}`", _code(value), comments.get(name, "")]
        for name, value in project["vars"].items()
    ]
    assets = [["file", "what it is"]]
    assets += [[f"`{item['dest']}`", item.get("description", "")] for item in project["assets"]]
    titles = ("Workflows", "Commands", "Variables", "Assets")
    tables = (workflows, commands, variables, assets)
    return "\n\n".join(f"## {title}\n\n{_make_table(rows)}" for title, rows in zip(titles, tables))


def _read_comments(source: str) -> dict[str, str]:
    """RETURNS (Dict[str, str]): The comment above each variable of project.yml."""
    comments: dict[str, str] = {}
    pending: list[str] = []
    inside = False
    for line in source.splitlines():
        if not line.startswith((" ", "#")):
            inside = line.startswith("vars:")
        elif inside and line.lstrip().startswith("#"):
            pending.append(line.strip(" #"))
        elif inside:
            comments[line.split(":")[0].strip()] = " ".join(pending)
            pending = []
    return comments


# ------------------------------------------------------------------------------------- files


def include_file(name: str) -> str:
    """A document of the repository's root, with links that hold in the pages.

    name (str): Such as CHANGELOG.md.
    RETURNS (str): Its text.
    """
    text = (ROOT / name).read_text(encoding="utf8")
    return re.sub(r"\]\(docs/", "](", text)


def _code(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    return f"`{text}`" if text != "" else "(empty)"


def _make_table(rows: list[list[str]]) -> str:
    lines = [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


PARTS: dict[str, Callable[..., str]] = {
    "settings": describe_settings,
    "reference": describe_registered,
    "commands": describe_commands,
    "project": describe_project,
    "file": include_file,
}
