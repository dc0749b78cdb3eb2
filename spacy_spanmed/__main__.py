"""`python -m spacy_spanmed`: the `spanmed` command."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="spanmed")
