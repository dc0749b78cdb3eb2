"""Griffe extension: the package's docstrings, in the form that mkdocstrings reads.

The package documents parameters as spaCy does:

    name (type): What it is.
    RETURNS (type): What comes back.
    RAISES (type): When.

Griffe knows Google's sections. This turns one into the other while the sources are read.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_TYPED = r"\*{0,2}\w+ \([^()]+\)"
_PARAMETERS = re.compile(rf"^({_TYPED}(?:, {_TYPED})*): ?(.*)$")
_OUTCOME = re.compile(r"^(RETURNS|YIELDS|RAISES) \(([^()]+)\): ?(.*)$")
_ONE = re.compile(r"\*{0,2}(\w+) \(([^()]+)\)")
_ROLE = re.compile(r":(?:class|func|meth|mod):`~?\.?([^`]+)`")
_TITLES = {"RETURNS": "Returns", "YIELDS": "Yields", "RAISES": "Raises"}


def to_google_style(text: str) -> str:
    """Turn the entries of a docstring into Google's sections.

    text (str): A docstring, dedented.
    RETURNS (str): The same with "Args:", "Returns:", "Yields:" and "Raises:".
    """
    lines: list[str] = []
    section = ""
    in_entry = False
    for line in _ROLE.sub(r"`\1`", text).replace("``", "`").splitlines():
        outcome = _OUTCOME.match(line)
        parameters = None if outcome else _PARAMETERS.match(line)
        if parameters or outcome:
            title = _TITLES[outcome[1]] if outcome else "Args"
            if title != section:
                lines += ["", f"{title}:"]
                section = title
            if parameters:
                entries = [f"{name} ({kind})" for name, kind in _ONE.findall(parameters[1])]
                lines += [f"    {entry}: {parameters[2]}" for entry in entries]
            elif outcome:
                lines.append(f"    {outcome[2]}: {outcome[3]}")
            in_entry = True
        elif in_entry and line.startswith("    "):
            lines.append(f"    {line}")
        else:
            if in_entry and line.strip():
                lines.append("")
                section, in_entry = "", False
            lines.append(line)
    return "\n".join(lines).strip()


class SpacyDocstrings(griffe.Extension):
    """Rewrites every docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = to_google_style(obj.docstring.value)
