"""The error that every reader raises when its source is unusable."""

from __future__ import annotations


class CorpusError(ValueError):
    """A source file is missing, damaged or unknown. The message names the place and a remedy."""
