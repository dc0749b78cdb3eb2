"""The error of every reader of corpora, and what to do with what can't be used: stop with an
error, or count it and go on."""

from __future__ import annotations

import warnings
from collections import Counter


class CorpusError(ValueError):
    """A source file is missing, damaged or unknown. The message names the place and a remedy."""


RAISE, SKIP = "raise", "skip"
EXAMPLES = 3  # messages kept of each kind
HINT = "(To leave such annotation out and count it: on_error=skip.)"


class Problems:
    """Collects what a reader could not use.

    on_error (str): "raise": the first problem is a CorpusError. "skip": the caller leaves the
        annotation (or document) out, and it is counted here.
    hint (str): Ends the message of the error: how to go on without what can't be used. Defaults
        to the setting of the commands that read annotation.
    RAISES (ValueError): On another value.
    """

    def __init__(self, on_error: str = RAISE, hint: str = HINT):
        if on_error not in (RAISE, SKIP):
            raise ValueError(f"on_error must be '{RAISE}' or '{SKIP}', not {on_error!r}.")
        self.on_error = on_error
        self.hint = hint
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, place: str, message: str) -> None:
        """Report something unusable. Returns only if it is to be skipped.

        kind (str): A short name, the same for all of its kind ("offsets outside the text").
        place (str): "file:line", or what comes closest.
        message (str): What is wrong and what to do about it, as a sentence or two.
        RAISES (CorpusError): With on_error "raise".
        """
        text = f"{place}: {message}"
        if self.on_error == RAISE:
            raise CorpusError(f"{text} {self.hint}".rstrip())
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(text)

    def clear(self) -> None:
        """Forget what was counted."""
        self.counts.clear()
        self.examples.clear()

    def warn(self) -> None:
        """Warn about all that was skipped, once, with counts and first examples."""
        if self.counts:
            parts = [
                f"{count} x {kind} (first: {self.examples[kind][0]})"
                for kind, count in sorted(self.counts.items())
            ]
            warnings.warn("Left out of the corpus: " + "; ".join(parts))
