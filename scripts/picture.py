"""The README's picture: its example, with what en_spanmed finds in it. Needs the installed model.

python -m scripts.picture [FILE]     default: docs/images/example.svg
"""

import re
import sys
from pathlib import Path

import spacy

from spacy_spanmed.visualize import render_svg

ROOT = Path(__file__).parents[1]


def main(output: Path) -> None:
    """Write the picture. output (Path): An SVG file, replaced if it exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    found = re.search(r'^text = "(.+)"$', readme, flags=re.M)
    if found is None:
        raise SystemExit("README.md: no line of the form: text = '...'")
    doc = spacy.load("en_spanmed")(found[1])
    output.write_text(render_svg(doc), encoding="utf8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs/images/example.svg")
