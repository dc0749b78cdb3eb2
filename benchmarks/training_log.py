"""A logger for `spacy train` that says when each evaluation ended, and how long they took.

spaCy's own ConsoleLogger writes the scores of each evaluation to a file, but neither times nor what
of them the evaluations took. This file is loaded by itself (`spacy train --code`), so it imports
nothing of this package.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.util import registry


@registry.loggers("spanmed.JsonLinesLogger.v1")
def json_lines_logger(path: str) -> Callable[..., tuple[Callable, Callable]]:
    """Logger `spanmed.JsonLinesLogger.v1`: a line of JSON after each evaluation.

    A line holds "step" (from 0), "ents_f" (None if there was nothing to score), "time" (now),
    "started" (before the first step; both in seconds since the epoch), and "evaluating", the
    seconds that all evaluations so far have taken.

    path (str): The file, which is replaced.
    """

    def setup(nlp: Language, stdout: IO, stderr: IO) -> tuple[Callable, Callable]:
        started, evaluating = time.time(), 0.0
        evaluate = nlp.evaluate
        output = Path(path).open("w", encoding="utf8")  # noqa: SIM115

        def timed_evaluate(*args: Any, **kwargs: Any) -> dict[str, Any]:
            nonlocal evaluating
            start = time.perf_counter()
            scores = evaluate(*args, **kwargs)  # reads the dev corpus too
            evaluating += time.perf_counter() - start
            return scores

        nlp.evaluate = timed_evaluate  # type: ignore[method-assign]

        def log_step(info: dict[str, Any] | None) -> None:
            if info is None:  # not evaluated
                return
            line = {
                "step": info["step"],
                "ents_f": info["other_scores"].get("ents_f"),
                "time": time.time(),
                "started": started,
                "evaluating": evaluating,
            }
            output.write(json.dumps(line) + "\n")
            output.flush()  # whoever waits for it reads it now

        return log_step, output.close

    return setup
