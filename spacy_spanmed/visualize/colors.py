"""Colours of entity labels, for displaCy and for `spanmed visualize`.

`COLORS` is an entry point of the group `spacy_displacy_colors`: spaCy finds it by itself, so that
`displacy.render(doc, style="ent")` uses it without an import. It then holds for every pipeline of
the environment, hence the labels that displaCy has colours of its own for keep them.

All are light, for black text: the contrast is at least 7 to 1. What means the same in several
corpora has the same colour.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

_CHEMICAL = "#8fd3ff"
_DISEASE = "#ff9f9f"
_GENE = "#b5e48c"
_CELL = "#ffd166"
_ORGANISM = "#d9bb8c"
_NUCLEIC_ACID = "#6fdcb0"

COLORS: dict[str, str] = {
    # NERO; PERSON, QUANTITY and TIME are displaCy's own
    "ANATOMY": "#f7b27a",
    "CELL": _CELL,
    "CELL_COMPONENT": "#ffeaa6",
    "CHEMICAL": _CHEMICAL,
    "DISEASE_FINDING": _DISEASE,
    "GENE_PROTEIN": _GENE,
    "INFO": "#c3d0e0",
    "MED_PROCEDURE": "#f7a3ce",
    "NUCLEIC_ACID": _NUCLEIC_ACID,
    "ORGANISM": _ORGANISM,
    "OTHER": "#d3d3d3",
    "PERSON": "#aa9cfc",
    "PLACE": "#6ddde2",
    "PROCESS": "#e5b8f4",
    "QUANTITY": "#e4e7d2",
    "RESEARCH": "#a3b8ff",
    "TIME": "#bfe1d9",
    # BC5CDR
    "Chemical": _CHEMICAL,
    "Disease": _DISEASE,
    # BioRED
    "CellLine": _CELL,
    "ChemicalEntity": _CHEMICAL,
    "DiseaseOrPhenotypicFeature": _DISEASE,
    "GeneOrGeneProduct": _GENE,
    "OrganismTaxon": _ORGANISM,
    "SequenceVariant": _NUCLEIC_ACID,
}

_GOLDEN = 0.618034  # of a turn: hues that stay apart, however many there are


def make_colors(labels: Iterable[str]) -> dict[str, str]:
    """Invent light colours.

    labels (Iterable[str]): Labels that have none.
    RETURNS (Dict[str, str]): A colour each ("#rrggbb"), the same for the same set of labels.
    """
    found = {}
    for i, label in enumerate(sorted(set(labels))):
        rgb = colorsys.hls_to_rgb((0.08 + i * _GOLDEN) % 1, 0.8, 0.7)
        found[label] = "#" + "".join(f"{round(255 * value):02x}" for value in rgb)
    return found
