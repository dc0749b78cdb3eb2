"""The figure of a run: what is in it, that it is always the same, and what happens without it."""

import builtins
import xml.etree.ElementTree as ET
from io import StringIO

import pytest
from rich.console import Console

from spacy_spanmed.pretraining import reporting
from spacy_spanmed.pretraining import run as run_module
from spacy_spanmed.pretraining.config import Paths
from spacy_spanmed.pretraining.run import write_results

SVG = "{http://www.w3.org/2000/svg}"


def make_record(steps=20, sbo=True):
    def heldout(loss):
        figures = {name: {"loss": loss + i} for i, name in enumerate(("token", "span"))}
        if sbo:
            figures["span"]["sbo_loss"] = loss + 0.5
        return figures

    entry = {"sbo_loss": 7.0} if sbo else {}
    curve = [
        {**entry, "tokens": 1000 * i, "mlm_loss": 8 - i / 10, "learning_rate": 1e-3 / i}
        for i in range(1, steps + 1)
    ]
    return {
        "tokens": steps * 1000,
        "curve": curve,
        "heldout": {"before": heldout(8), "after": heldout(6)},
    }


@pytest.fixture
def texts(monkeypatch):
    """Texts of a figure, which the SVG holds as outlines only."""
    from matplotlib.text import Text

    found = set()
    original = Text.draw
    monkeypatch.setattr(
        Text, "draw", lambda self, *a, **k: found.add(self.get_text()) or original(self, *a, **k)
    )
    return found


def test_figure_shows_all_curves_with_names(texts):
    svg = reporting.draw_curves(make_record())
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert b"<dc:date>" not in svg
    assert {
        "loss (nats a target)",
        "learning rate",
        "training, masked tokens",
        "training, boundary",
        "held-out, masker token",
        "held-out, masker span",
        "held-out, masker span, boundary",
        "20K",
    } <= texts


def test_figure_depends_on_the_record_alone():
    first = reporting.draw_curves(make_record())
    assert first == reporting.draw_curves(make_record())


def test_run_without_the_boundary_objective(texts):
    reporting.draw_curves(make_record(sbo=False))
    assert not [text for text in texts if "boundary" in text]


@pytest.mark.parametrize(
    "tokens, text",
    [
        (0, "0"),
        (999, "999"),
        (400_384, "400.4K"),
        (2_500_000, "2.5M"),
        (1e9, "1B"),
        (12_345_678_901, "12.35B"),
    ],
)
def test_tokens_are_shortened(tokens, text):
    assert reporting.format_tokens(tokens) == text


def make_paths(tmp_path, **overrides):
    names = ("train", "dev", "output", "checkpoints")
    paths = {name: tmp_path / name for name in names}
    return Paths(**{**paths, "metrics": tmp_path / "metrics" / "run.json", **overrides})


def test_figure_lies_beside_the_record_or_where_the_config_wants_it(tmp_path):
    write_results(make_record(), make_paths(tmp_path), Console(file=StringIO()))
    assert (tmp_path / "metrics" / "run.svg").read_bytes()
    paths = make_paths(tmp_path, curves=tmp_path / "figures" / "a.svg")
    write_results(make_record(), paths, Console(file=StringIO()))
    assert (tmp_path / "figures" / "a.svg").read_bytes()


def test_without_matplotlib_there_is_a_hint_and_a_record(tmp_path, monkeypatch):
    original = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(run_module, "draw_curves", reporting.draw_curves)
    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    out = StringIO()
    write_results(make_record(), make_paths(tmp_path), Console(file=out, width=200))
    assert "pip install 'spacy_spanmed[pretrain]'" in out.getvalue()
    assert [p.name for p in (tmp_path / "metrics").iterdir()] == ["run.json"]
