"""The curves of a run as a figure: losses and learning rate over the tokens seen.

matplotlib is imported where it is needed, because a run must not depend on it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

TRAINED = {"mlm_loss": "training, masked tokens", "sbo_loss": "training, boundary"}
COLOURS = {"mlm_loss": "#1f77b4", "sbo_loss": "#ff7f0e", "learning_rate": "#555555"}
MARKERS = "osDv^<>P*X"


def draw_curves(record: dict[str, Any]) -> bytes:
    """Draw the losses while training, the held-out losses before and after, the learning rate.

    record (dict): The record of a run, with ``curve``, ``heldout`` and ``tokens``.
    RETURNS (bytes): An SVG, the same for the same record.
    RAISES (ImportError): matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.hashsalt": "spanmed",
        "font.size": 10,
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8, 6), layout="constrained")
        losses, rate = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        _draw_training(losses, record["curve"])
        _draw_heldout(losses, record["heldout"], record["tokens"])
        losses.set_ylabel("loss (nats a target)")
        losses.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
        losses.set_title(f"Pretraining on {format_tokens(record['tokens'])} tokens")

        points = [(e["tokens"], e["learning_rate"]) for e in record["curve"]]
        rate.plot(*zip(*points, strict=True), color=COLOURS["learning_rate"])
        rate.set_ylabel("learning rate")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        rate.set_ylim(bottom=0)
        rate.set_xlabel("tokens seen, repeated ones included")
        rate.xaxis.set_major_formatter(lambda tokens, _: format_tokens(tokens))
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_training(axes: Any, curve: list[dict[str, float]]) -> None:
    for key, label in TRAINED.items():
        points = [(entry["tokens"], entry[key]) for entry in curve if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, color=COLOURS[key], linewidth=1.2)


def _draw_heldout(axes: Any, heldout: dict[str, Any], tokens: int) -> None:
    """A marker for each masker at the start and at the end, in the colour of what was trained."""
    for (masker, after), marker in zip(heldout["after"].items(), MARKERS, strict=False):
        before = heldout["before"][masker]
        for key, trained in (("loss", "mlm_loss"), ("sbo_loss", "sbo_loss")):
            if key in before and key in after:
                boundary = ", boundary" if key == "sbo_loss" else ""
                axes.plot(
                    (0, tokens),
                    (before[key], after[key]),
                    label=f"held-out, masker {masker}{boundary}",
                    color=COLOURS[trained],
                    marker=marker,
                    markerfacecolor="white",
                    linestyle="none",
                    zorder=3,
                )


def format_tokens(tokens: float) -> str:
    """A number of tokens in thousands, millions or billions: ``400K``, ``2.5M``, ``1B``."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if tokens >= size:
            return f"{tokens / size:.4g}{suffix}"
    return f"{tokens:.4g}"
