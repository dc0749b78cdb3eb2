"""How the page looks: lines between the words, colours, contrast."""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from spacy import displacy

from spacy_spanmed import visualize
from spacy_spanmed.visualize.colors import COLORS, make_colors
from tests.visualize.pages import make_doc

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_lines_run_beside_words_and_labels_do_not_overlap(tmp_path):
    """Lays 14 lines out over a made-up page: 8 lines of text, 40 px high, of 5 mentions each."""
    folder = Path(visualize.__file__).parent
    for name in ("page.js", "routes.js"):
        subprocess.run([NODE, "--check", folder / name], check=True)
    code = (folder / "routes.js").read_text(encoding="utf-8")
    fakes = """
const box = (left, top, width, height) =>
  ({ left, top, width, height, right: left + width, bottom: top + height });
const document = { createElement: () => ({ getContext: () => ({
  measureText: (text) => ({ width: 6 * text.length }) }) }) };
const getComputedStyle = () => ({ lineHeight: "75px", fontFamily: "x" });
const node = (id, rect) =>
  ({ id, getClientRects: () => [rect], getBoundingClientRect: () => rect });
const marks = [];
for (let i = 0; i < 40; i++)
  marks.push(node(`m${i}`, box(40 + (i % 5) * 120, 22 + Math.floor(i / 5) * 75 + 24, 80, 27)));
"""
    use = """
const pairs = [[0, 1], [0, 4], [1, 3], [2, 6], [7, 5], [3, 30], [39, 9], [12, 24], [25, 26],
  [25, 27], [26, 25], [14, 33], [0, 38], [16, 2]];
const items = pairs.map(([a, b]) => ({ head: marks[a], tail: marks[b], caption: "CAUSES" }));
const { lines } = route(items, node("c", box(0, 0, 664, 650)), node("t", box(32, 22, 600, 600)));
console.log(JSON.stringify(lines.map((x) => ({ points: x.points, label: x.label, tip: x.tip }))));
"""
    script = tmp_path / "routes.js"
    script.write_text(fakes + code + use, encoding="utf-8")
    done = subprocess.run([NODE, script], check=True, capture_output=True, text=True)
    lines = json.loads(done.stdout)
    assert len(lines) == 14
    boxes = [(40 + i % 5 * 120, 46 + i // 5 * 75) for i in range(40)]
    for line in lines:
        for (ax, ay), (bx, by) in zip(line["points"], line["points"][1:]):
            assert ax == bx or ay == by  # at right angles
            x1, x2, y1, y2 = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
            for left, top in boxes:
                assert not (x1 < left + 80 and x2 > left and y1 < top + 27 and y2 > top), line
        assert line["tip"][:2] == line["points"][-1]
    labels = [line["label"] for line in lines]
    for i, one in enumerate(labels):
        for other in labels[i + 1 :]:
            apart = abs(one["x"] - other["x"]) >= (one["width"] + other["width"]) / 2
            assert apart or abs(one["y"] - other["y"]) >= 11, (one, other)


def test_displacy_uses_our_colors_without_an_import():
    colors = displacy.EntityRenderer({}).colors
    assert {label.upper(): color for label, color in COLORS.items()}.items() <= colors.items()
    defaults = displacy.render.__globals__["EntityRenderer"].__init__.__globals__
    for label, color in defaults["DEFAULT_LABEL_COLORS"].items():
        assert colors[label] == color  # other pipelines keep theirs
    doc = make_doc("Rats ran", [(0, 4, "OrganismTaxon")], layers=["entities"])
    assert COLORS["OrganismTaxon"] in displacy.render(doc, style="ent", jupyter=False)


def test_every_label_of_the_corpora_has_a_color():
    table = files("scripts.nero").joinpath("nero_entities.tsv").read_text("utf8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    nero = {row[1] for row in rows[1:]} - {"-", "(unknown)"}
    assert len(nero) == 17
    bc5cdr = {"Chemical", "Disease"}
    biored = set(COLORS) - nero - bc5cdr
    assert len(biored) == 6
    for labels in (nero, bc5cdr, biored):
        assert labels <= set(COLORS)
        assert len({COLORS[label] for label in labels}) == len(labels)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_contrast():
    invented = make_colors(f"L{i}" for i in range(40))
    assert len(set(invented.values())) == 40
    for color in [*COLORS.values(), *invented.values()]:
        assert (luminance(color) + 0.05) / (luminance("#10151b") + 0.05) >= 7, color
    css = files(visualize).joinpath("page.css").read_text("utf8")
    for theme in css.split("@media")[:2]:
        values = dict(re.findall(r"--(\w+): (#\w{6});", theme))
        for ink in ("ink", "muted", "arc", "strong"):
            for ground in ("page", "panel"):
                pair = sorted(luminance(values[name]) for name in (ink, ground))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (ink, ground)
