"""The NERO corpus, from its wheel to gold Docs: `python -m scripts.nero`."""
