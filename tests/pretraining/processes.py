"""Runs in processes of their own, to be killed or to work side by side.

They are forked from one server that has imported everything, so that one costs no import.
"""

import multiprocessing
import os
import socket
from io import StringIO

import torch
from rich.console import Console

from spacy_spanmed.pretraining import run as run_module
from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.run import pretrain


def run(config_file, overrides=None, output=None, **kwargs):
    """RETURNS (tuple): The record of a run, and what it printed (or printed to ``output``)."""
    settings, source = load_settings(config_file, overrides)
    out = output or StringIO()
    result = pretrain(settings, source, console=Console(file=out, width=300), **kwargs)
    return result, out.getvalue() if output is None else ""


def start(function, *args, rank=0, ranks=1, port=0):
    """Start a function of a module in a process; with several ranks as torchrun would."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["spacy_spanmed.pretraining.run"])
    process = context.Process(target=_work, args=(function, args, rank, ranks, port), daemon=True)
    process.start()
    return process


def start_workers(function, *args, ranks=2):
    """Start a function on workers that find each other; it gets their rank first."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return [start(function, r, *args, rank=r, ranks=ranks, port=port) for r in range(ranks)]


def _work(function, args, rank, ranks, port):
    torch.set_num_threads(1)
    run_module.draw_curves = lambda record: b"<svg/>"
    if ranks > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
    function(*args)
