"""The classifier that reads the text again for each pair of arguments, `spanmed.MarkerScorer.v1`.

Its encoder is its own and sees the arguments marked in the text (see `markers.py`), which is what
gives the best relations, and costs as many passes as a document has pairs: for those who have a GPU
or few documents, and as the measure of what a classifier with one pass leaves behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel

from ...encoder.cpu.machine import check_precision, resolve_precision
from ...encoder.torch_layer import ModuleShim, get_shim
from .argument_scorer import OTHER_COLUMNS
from .candidates import CandidatePairs
from .markers import Marker

PIECES_AT_ONCE = {"cpu": 2048, "cuda": 16384}  # padding included


class MarkerClassifier(torch.nn.Module):
    """Marked rows in, logits out: (rows, labels + 2), as of `ArgumentClassifier`.

    nO (int): Relation labels. hidden (int): Width of the hidden layer. config (str): Of the encoder, as
    JSON; without one there is none yet.
    """

    pretrained = "encoder."  # learns at the encoder's own rate
    precision = "auto"
    marker: Marker | None = None  # writes the rows

    def __init__(self, nO: int, hidden: int, config: str = "", dropout: float = 0.0):
        super().__init__()
        self.encoder = None
        width = 1
        if config:
            settings = json.loads(config)
            described = AutoConfig.for_model(settings.pop("model_type"), **settings)
            self.encoder = AutoModel.from_config(described)
            # As in the pipeline's: of few texts only a few words' would move
            self.encoder.get_input_embeddings().weight.requires_grad_(False)
            width = described.hidden_size
        self.dropout = torch.nn.Dropout(dropout)
        self.hidden = torch.nn.Linear(2 * width, hidden)
        self.output = torch.nn.Linear(hidden, nO + OTHER_COLUMNS)

    def forward(self, rows: list[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
        """rows (List[Tensor]): Ids of each. places (Tensor): (rows, 2), see `MarkedRows`."""
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        limit = PIECES_AT_ONCE.get(places.device.type, PIECES_AT_ONCE["cuda"])
        parts, start = [], 0
        while start < len(order):
            some = order[start : start + max(limit // len(rows[order[start]]), 1)]
            start += len(some)
            batch = [rows[i] for i in some]
            if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                # Else the memory would grow with the pairs
                parts.append(checkpoint(self._read, batch, places[some], use_reentrant=False))
            else:
                parts.append(self._read(batch, places[some]))
        back = torch.tensor(order, device=places.device).argsort()
        ends = torch.cat(parts)[back]
        return self.output(self.dropout(F.gelu(self.hidden(self.dropout(ends)))))

    def _read(self, rows: list[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): (rows, 2 * width), what the encoder makes of the two markers."""
        assert self.encoder is not None
        ids = torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=self.encoder.config.pad_token_id or 0
        )
        lengths = torch.tensor([len(row) for row in rows], device=ids.device)
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        kind = ids.device.type
        half = resolve_precision(self.precision, kind) == "bfloat16"
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        picked = hidden.gather(1, places[:, :, None].expand(-1, -1, hidden.shape[2]))
        return picked.flatten(1)


def build_marker_scorer(
    hidden_size: int = 256,
    max_pieces: int = 512,
    learn_rate_factor: float = 1.0,
    precision: str = "auto",
    nO: int | None = None,
) -> Model[tuple[list[Doc], list[CandidatePairs]], Floats2d]:
    """Architecture `spanmed.MarkerScorer.v1`: an encoder of the pipe's own reads the text once for each
    pair of arguments, which are marked in it. It starts as a copy of the pipeline's.

    hidden_size (int): Width of the hidden layer. Defaults to 256.
    max_pieces (int): Word pieces that are read for a pair, at most, markers included; what is
        farthest from its nearest mentions is left out. No more than the encoder has positions
        for. Defaults to 512.
    learn_rate_factor (float): Multiplies the optimizer's learning rate for the layers on top.
    precision (str): Of the encoder: see `spanmed.TransformerModel.v1`.
    nO (Optional[int]): Number of relation labels; set by the pipe.
    RAISES (ValueError): On a size that is too small, or an unknown precision.
    """
    check_precision(precision)
    if hidden_size < 1 or max_pieces < 32:
        raise ValueError(
            "hidden_size must be at least 1 and max_pieces at least 32, not "
            f"{hidden_size} and {max_pieces}."
        )
    return Model(
        "marker_scorer",
        # Not in attrs, which are stored with the weights and would win over the config
        partial(forward, max_pieces=max_pieces, precision=precision),
        init=init,
        dims={"nO": nO},
        attrs={"entity_labels": [], "tokenizer": "", "positions": 0},
        shims=[ModuleShim(MarkerClassifier, {"hidden": hidden_size}, learn_rate_factor)],
    )


def init(model: Model, X: list[Doc] | None = None, Y: Any = None) -> None:
    """X (Optional[List[Doc]]), Y: Not used: the encoder's width is known from `start_encoder`."""
    shim = get_shim(model)
    if shim._model is None and model.has_dim("nO"):
        shim.create(nO=model.get_dim("nO"))


def start_encoder(model: Model, encoder: Any) -> None:
    """Let a freshly initialized model's encoder start as a copy of a pipeline's.

    encoder (EncoderShim): With a fast tokenizer.
    RAISES (ValueError): If its tokenizer isn't.
    """
    tokenizer = encoder._hfmodel.tokenizer
    if not tokenizer.is_fast:
        raise ValueError(
            "spanmed.MarkerScorer.v1 needs a fast tokenizer: set `use_fast = true` in the "
            "transformer's tokenizer_config, or take another encoder."
        )
    model.attrs["tokenizer"] = tokenizer.backend_tokenizer.to_str()
    model.attrs["positions"] = tokenizer.model_max_length
    shim = get_shim(model)
    module = shim.create(config=encoder._model.config.to_json_string(use_diff=False))
    module.encoder.load_state_dict(encoder._model.state_dict())


def forward(
    model: Model,
    inputs: tuple[list[Doc], list[CandidatePairs]],
    is_train: bool,
    max_pieces: int,
    precision: str,
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    """max_pieces (int), precision (str): See `build_marker_scorer`.

    RETURNS (Floats2d): (pairs of arguments of all Docs in order, labels + 2).
    RAISES (ValueError): If it has no encoder.
    """
    docs, candidates = inputs
    shim = get_shim(model)
    module = shim._model
    if module is None or module.encoder is None:
        raise ValueError(
            "The marker scorer has no encoder: it copies that of the pipeline's component "
            "'transformer' when nlp.initialize() is called."
        )
    if module.marker is None:  # once: it is read from a large JSON
        limit = min(max_pieces, model.attrs["positions"])
        module.marker = Marker(model.attrs["tokenizer"], limit)
    written = module.marker.write(docs, candidates)
    if not written.pieces:
        empty = model.ops.alloc2f(0, shim.settings["nO"] + OTHER_COLUMNS)
        return empty, lambda d_logits: None
    module.precision = precision
    rows = [torch.tensor(row, device=shim.device) for row in written.pieces]
    places = torch.from_numpy(written.places).to(shim.device)
    with torch.inference_mode(not is_train):
        output = module.train(is_train)(rows, places)

    def backprop(d_logits: Floats2d) -> None:
        output.backward(xp2torch(d_logits, device=shim.device))

    return model.ops.asarray2f(torch2xp(output.detach())), backprop  # type: ignore[arg-type]
