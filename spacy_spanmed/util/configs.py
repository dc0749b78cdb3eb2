"""The configs that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

# In a checkout they lie beside the package; a build puts them into the wheel (setup.py)
CHECKOUT = Path(__file__).parents[2] / "configs"


def find_config(name: str) -> Path:
    """Find a config of this package, installed or in a checkout.

    name (str): Its file, such as "pipeline.cfg"; without an ending, ".cfg" is meant.
    RETURNS (Path): The file.
    RAISES (ValueError): If there is no such config; the message names those that there are.
    """
    installed = Path(str(resources.files("spacy_spanmed"))) / "configs"
    folder = installed if installed.is_dir() else CHECKOUT
    path = folder / (name if "." in name else f"{name}.cfg")
    if not path.is_file():
        names = ", ".join(sorted(file.name for file in folder.glob("*"))) or "none"
        raise ValueError(f"There is no config {path.name!r}: choose one of {names}.")
    return path
