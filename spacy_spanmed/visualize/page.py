"""Entities and relations of Docs as one HTML page that needs nothing but itself.

The text is marked by displaCy (see `marked_text`). Relations are rows of a table, with links to
their mentions, so that the page can be read without JavaScript; scripts draw them as lines.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files

from spacy.tokens import Doc

from ..doc.layers import ENTITIES, RELATIONS
from .marked_text import TextRenderer, escape
from .views import Link, View, make_view

FEW_RELATIONS = 12  # of a document with no more, all lines are shown from the start
_PARTS = ("page.css", "routes.js", "page.js")
_HINT = "Point at a mention or a relation, or click to keep it. Escape lets go."

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; script-src 'sha256-{hash}'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="quiet">{summary}</p>
</header>
{legend}{contents}<main>
{body}</main>
<script>{script}</script>
</body>
</html>
"""


def render_html(
    docs: Doc | Iterable[Doc],
    title: str = "Entities and relations",
    nested: bool | None = None,
) -> str:
    """Make a page that shows Docs.

    docs (Union[Doc, Iterable[Doc]]): One Doc or several, gold or predicted.
    title (str): The page's title. Defaults to "Entities and relations".
    nested (Optional[bool]): Whether to show all of `doc.spans["spanmed"]`, or `doc.ents` alone.
        Defaults to None: all of gold annotation, the entities of predictions.
    RETURNS (str): The page, to be saved as UTF-8.
    RAISES (ValueError): If something else than Docs is given, or a stored relation is malformed.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    for doc in docs:
        if not isinstance(doc, Doc):
            raise ValueError(f"Expected Docs, not {type(doc).__name__}: {str(doc)[:60]!r}.")
    views = [make_view(doc, nested) for doc in docs]
    entities = Counter(mark.label for view in views for mark in view.marks)
    relations = Counter(link.label for view in views for link in view.links)
    renderer = TextRenderer(list(entities))
    folder = files(__package__)
    style, routes, script = (folder.joinpath(name).read_text("utf8") for name in _PARTS)
    script = f'(() => {{\n"use strict";\n{routes}{script}}})();\n'
    body = [_render_view(view, i, renderer) for i, view in enumerate(views, start=1)]
    counts = [_count(len(views), "document"), _count_all(views)][len(views) == 1 :]
    return _PAGE.format(
        title=escape(title),
        hash=base64.b64encode(hashlib.sha256(script.encode("utf8")).digest()).decode("ascii"),
        style=style,
        script=script,
        summary=" · ".join(counts),
        legend=_render_legend(entities, relations, renderer),
        contents=_render_contents(views),
        body="".join(body) or '<p class="empty">There are no documents to show.</p>\n',
    )


def _count(number: int, noun: str) -> str:
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun}"


def _count_all(views: list[View]) -> str:
    """RETURNS (str): Numbers of entities and relations; what isn't annotated isn't none."""
    parts = []
    for layer, noun in ((ENTITIES, "entity"), (RELATIONS, "relation")):
        number = sum(len(view.marks if layer == ENTITIES else view.links) for view in views)
        known = any(layer in view.layers for view in views)
        if layer == ENTITIES and number and not known:
            noun = "mention"
        absent = "entities not annotated" if layer == ENTITIES else "relations not annotated"
        parts.append(_count(number, noun) if number or known or not views else absent)
    return " · ".join(parts)


def _render_legend(entities: Counter, relations: Counter, renderer: TextRenderer) -> str:
    rows = []
    for kind, name, counts in (
        ("entity", "Entities", entities),
        ("relation", "Relations", relations),
    ):
        items = []
        for label, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            style = renderer.get_style(label) if kind == "entity" else 'class="relation-name"'
            items.append(
                f'<label><input type="checkbox" class="js-only" checked data-kind="{kind}" '
                f'value="{escape(label)}"><span {style}>{escape(label or "(no label)")}</span> '
                f'<span class="count">{number:,}</span></label>\n'
            )
        if len(items) > 2:
            items.append('<button type="button" class="js-only">All or none</button>\n')
        if items:
            rows.append(f"<fieldset><legend>{name}</legend>\n{''.join(items)}</fieldset>\n")
    if not rows:
        return ""
    tags = (
        '<fieldset class="js-only"><legend>Show</legend><label><input type="checkbox" '
        'class="tags" checked>labels in the text</label></fieldset>\n'
    )
    return f'<section class="legend" aria-label="Legend">\n{"".join(rows)}{tags}</section>\n'


def _render_contents(views: list[View]) -> str:
    if len(views) < 2:
        return ""
    items = (
        f'<li><a href="#d{i}">{escape(_get_name(view, i))}</a> '
        f'<span class="count">{_count_all([view])}</span></li>\n'
        for i, view in enumerate(views, start=1)
    )
    return f'<nav aria-label="Documents"><ol>\n{"".join(items)}</ol></nav>\n'


def _get_name(view: View, number: int) -> str:
    return view.name or f"Document {number}"


def _render_view(view: View, number: int, renderer: TextRenderer) -> str:
    head = f'<h2 dir="auto">{escape(_get_name(view, number))}</h2>\n'
    if not view.text.strip():
        content = '<p class="empty">This document has no text.</p>\n'
    else:
        text = renderer.render(view.text, view.marks, f"d{number}-m")
        content = (
            f'<p class="quiet">{_count_all([view])}</p>\n<div class="columns">\n'
            '<div class="canvas"><svg class="arcs" aria-hidden="true"></svg>'
            f'<div class="text" dir="auto">{text}</div></div>\n{_render_side(view, number)}</div>\n'
        )
    return f'<article class="doc" id="d{number}">\n{head}{content}</article>\n'


def _render_side(view: View, number: int) -> str:
    details = f'<p class="details js-only" aria-live="polite" data-hint="{_HINT}">{_HINT}</p>\n'
    if not view.links:
        return f'<div class="side">{details if view.marks else ""}</div>\n'
    checked = " checked" if len(view.links) <= FEW_RELATIONS else ""
    choice = f"Show all {len(view.links):,} lines" if len(view.links) > 1 else "Show the line"
    rows = (_render_link(view, link, f"d{number}-m") for link in view.links)
    return (
        '<div class="side">\n<p class="controls js-only"><label><input type="checkbox" '
        f'class="all"{checked}>{choice}</label></p>\n{details}'
        "<table>\n<caption>Relations</caption>\n<thead><tr>"
        + "".join(f'<th scope="col">{x}</th>' for x in ("Head", "Relation", "Tail", "Score"))
        + f"</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table>\n</div>\n"
    )


def _render_link(view: View, link: Link, prefix: str) -> str:
    note = f"{view.describe(link)} · score {link.score:.2f}"
    if link.head_id or link.tail_id:
        note += f" · concepts {link.head_id} and {link.tail_id}"
    heads, tails = (" ".join(f"{prefix}{i}" for i in x) for x in (link.head, link.tail))
    negation = '<span class="negation">not</span> ' if link.negated else ""
    return (
        f'<tr data-heads="{heads}" data-tails="{tails}" data-label="{escape(link.label)}" '
        f'data-negated="{"yes" if link.negated else "no"}" data-note="{escape(note)}">'
        f"<td>{_render_end(view, link.head, link.head_id, prefix)}</td>"
        f'<td><button type="button" class="relation">{negation}{_break(link.label)}</button></td>'
        f"<td>{_render_end(view, link.tail, link.tail_id, prefix)}</td>"
        f'<td class="number">{link.score:.2f}</td></tr>\n'
    )


def _break(label: str) -> str:
    """RETURNS (str): A label that may be broken between its words, for the narrow columns."""
    return "<wbr>".join(escape(part) for part in re.split("(?<=[_:])|(?<=[a-z])(?=[A-Z])", label))


def _render_end(view: View, numbers: list[int], concept: str, prefix: str) -> str:
    """RETURNS (str): An argument: link, label, and of a concept its id and all its mentions."""
    if not numbers:
        return f"<span>{escape(concept)}</span> <small>no mention in the text</small>"
    links = [
        f'<a href="#{prefix}{i}" dir="auto">{escape(view.get_name([i], ""))}</a>' for i in numbers
    ]
    cell = f"{links[0]} <small>{_break(view.marks[numbers[0]].label)}</small>"
    if concept:
        cell += f" <small>{_break(concept)}</small>"
    if len(links) > 1:
        items = "".join(f"<li>{link}</li>" for link in links)
        cell += f"<details><summary>{len(links):,} mentions</summary><ul>{items}</ul></details>"
    return cell
