"""Several workers on one run: what the main one decides for all, and how all end together.

Workers are the processes of ``torchrun`` or ``accelerate launch``; a plain run has one, the main
one, and none of this does anything then.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

T = TypeVar("T")
# For the main worker, which may read and tokenize texts for hours. The default is half an hour, and
# a worker that ends breaks the connection in any case.
LONGEST_WAIT = timedelta(days=1)
LOST = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "Broken pipe")


class StoppedByMain(ValueError):
    """The main worker cannot go on and says why; the others have nothing to add."""


def on_main(function: Callable[[], T]) -> T:
    """Call a function on the main worker only.

    function (Callable): Without arguments; what it returns can be pickled.
    RETURNS (Any): Its result, on every worker.
    RAISES (StoppedByMain): On the others if it fails, so that they end too instead of waiting.
    """
    state = PartialState()
    if state.num_processes == 1:
        return function()
    outcome: list[Any] = [None, None]  # the result, or the message of an error
    failure = None
    if state.is_main_process:
        try:
            outcome[0] = function()
        except Exception as err:
            failure, outcome[1] = err, str(err)
    broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise StoppedByMain(outcome[1])
    return outcome[0]


def connect_workers() -> PartialState:
    """Connect the workers that a launcher has started: NCCL between GPUs, gloo between CPUs.

    RETURNS (PartialState): Their number and which of them this is.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def disconnect_workers() -> None:
    """Part from the other workers after the last thing done together.

    What DDP has made holds on to the connection until it is collected. Left to the end of the
    process, threads of gloo are still there when what they use is gone, and now and then abort it.
    """
    gc.collect()
    PartialState().destroy_process_group()


@contextmanager
def lost_worker_explained() -> Iterator[None]:
    """Turn the errors of a broken connection into one message.

    RAISES (ValueError): Another worker has ended.
    """
    try:
        yield
    except RuntimeError as err:
        state = PartialState()
        lost = isinstance(err, torch.distributed.DistError) or any(s in str(err) for s in LOST)
        if state.num_processes == 1 or not lost:
            raise
        raise ValueError(
            f"Worker {state.process_index} lost another worker and cannot go on alone. The reason "
            "is in the other's output. The same command goes on from the last checkpoint."
        ) from err
