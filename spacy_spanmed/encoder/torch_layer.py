"""PyTorch modules as thinc layers: optimised inside PyTorch, stored without pickle surprises.

thinc's own shim walks over every parameter in Python and updates it outside PyTorch, one learning
rate for all. Here a fused AdamW of PyTorch does the step, with thinc's optimizer as the source
of the learning rate (so that `[training.optimizer]` and its schedule stay in charge), times a
factor per layer: fresh heads need a greater one than a pretrained encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import srsly
import torch
from spacy.tokens import Doc
from thinc.api import (
    Model,
    Optimizer,
    PyTorchShim,
    get_array_module,
    get_torch_default_device,
    torch2xp,
    xp2torch,
)


class AdamWMixin:
    """Gives a thinc PyTorchShim its own fused AdamW (Loshchilov and Hutter 2019).

    From the thinc optimizer it takes `learn_rate`, `b1`, `b2`, `eps`, `L2` (as decoupled weight
    decay, on matrices only) and `grad_clip` (on the global norm of this layer's gradients). With
    its `use_averages`, spaCy evaluates and saves a moving average of the parameters.
    Parameters without `requires_grad` stay untouched.
    """

    id: int  # these two are the shim's
    _model: Any
    learn_rate_factor: float = 1.0
    _torch_optimizer: torch.optim.Optimizer | None = None

    def finish_update(self, optimizer: Optimizer) -> None:
        params = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        if not any(p.grad is not None for p in params.values()):
            return
        if optimizer.grad_clip:
            torch.nn.utils.clip_grad_norm_(params.values(), optimizer.grad_clip)
        torch_optimizer = self._get_torch_optimizer(params, optimizer)
        for group in torch_optimizer.param_groups:
            group["lr"] = optimizer.learn_rate * self.learn_rate_factor * group["share"]
        torch_optimizer.step()
        torch_optimizer.zero_grad(set_to_none=True)
        if optimizer.averages is not None:
            self._update_averages(optimizer)

    def _update_averages(self, optimizer: Optimizer) -> None:
        """By thinc's own rule, in which the average reaches farther back as the run gets longer."""
        key = (self.id, "averages")
        optimizer.nr_update[key] += 1
        steps = optimizer.nr_update[key]
        decay = min((1 + steps) / (10 + steps), 0.9999)
        known: Any = optimizer.averages  # thinc has them by other keys than ours
        averages, parameters = [], []
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                average = known.get(self._average_key(name))
                if average is None or average.shape != parameter.shape:
                    known[self._average_key(name)] = parameter.detach().clone()
                else:
                    averages.append(average)
                    parameters.append(parameter.detach())
        if averages:
            torch._foreach_lerp_(averages, parameters, 1 - decay)

    def _average_key(self, name: str) -> str:
        return f"pytorch_{self.id}_{name}"

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Put the averages in the parameters' place for a while.

        params (Dict): `averages` of a thinc optimizer.
        """
        own = {} if self._model is None else self._model.state_dict()
        averages = {name: params.get(self._average_key(name)) for name in own}
        swapped = {
            name: average
            for name, average in averages.items()
            if average is not None and average.shape == own[name].shape
        }
        kept = {name: own[name].clone() for name in swapped}
        try:
            if swapped:
                self._model.load_state_dict(swapped, strict=False)
            yield
        finally:
            if swapped:
                self._model.load_state_dict(kept, strict=False)

    def _get_share(self, name: str) -> float:
        """RETURNS (float): How much of the learning rate a parameter gets."""
        return 1.0

    def _get_torch_optimizer(
        self, params: dict[str, torch.nn.Parameter], optimizer: Optimizer
    ) -> torch.optim.Optimizer:
        current = self._torch_optimizer
        # A loaded or resized module has new parameters: the old moments don't belong to them.
        if current is None or {id(p) for g in current.param_groups for p in g["params"]} != {
            id(p) for p in params.values()
        }:
            groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
            for name, p in params.items():
                decay = optimizer.L2 if p.ndim > 1 else 0.0
                groups.setdefault((self._get_share(name), decay), []).append(p)
            self._torch_optimizer = current = torch.optim.AdamW(
                [
                    {"params": group, "weight_decay": decay, "share": share}
                    for (share, decay), group in groups.items()
                ],
                betas=(optimizer.b1, optimizer.b2),
                eps=optimizer.eps,
                fused=True,
            )
        return current


class ModuleShim(AdamWMixin, PyTorchShim):
    """Holds a module that is built when its dimensions are known.

    build (Callable[..., torch.nn.Module]): Makes the module from keyword arguments.
    settings (Dict[str, Any]): Those arguments. They are stored beside the weights, so that a
        saved layer loads without being initialized first.
    learn_rate_factor (float): Multiplies the optimizer's learning rate.
    """

    def __init__(
        self, build: Callable[..., torch.nn.Module], settings: dict[str, Any], factor: float
    ):
        super().__init__(None)
        self._build = build
        self.settings = dict(settings)
        self._given = dict(settings)
        self.learn_rate_factor = factor

    def _get_share(self, name: str) -> float:
        """RETURNS (float): What a module says was pretrained learns at the encoder's rate."""
        pretrained = getattr(self._model, "pretrained", None)
        return 1 / self.learn_rate_factor if pretrained and name.startswith(pretrained) else 1.0

    def finish_update(self, optimizer: Optimizer) -> None:
        super().finish_update(optimizer)
        for module in self._model.modules():
            if hasattr(module, "forget"):  # what it computed from weights that are no more
                module.forget()

    def create(self, **dims: Any) -> Any:
        """Build the module with freshly drawn weights, in place of the one that there is.

        RETURNS (torch.nn.Module): The module.
        """
        self.settings.update(dims)
        self._model = self._build(**self.settings).to(get_torch_default_device())
        return self._model

    def to_bytes(self) -> bytes:
        state = b"" if self._model is None else dump_state(self._model)
        return srsly.msgpack_dumps({"settings": self.settings, "state": state})

    def from_bytes(self, bytes_data: bytes) -> ModuleShim:
        msg = srsly.msgpack_loads(bytes_data)
        stored = msg["settings"]
        for key, value in self._given.items():
            if stored.get(key) != value:
                raise ValueError(
                    f"The weights of {self._build.__name__} were trained with {key} = "
                    f"{stored.get(key)}, the config says {value}: leave it as it was, or train again."
                )
        self.settings = stored
        if msg["state"]:
            self.create()
            load_state(self._model, msg["state"])
        return self


def get_shim(model: Model) -> ModuleShim:
    """RETURNS (ModuleShim): The only shim of a layer around a PyTorch module."""
    shim = model.shims[0]
    assert isinstance(shim, ModuleShim)
    return shim


def init_on_tokens(model: Model, X: list[Doc] | None = None, Y: Any = None, **dims: int) -> None:
    """Build the module of a layer on token vectors, once its number of outputs (nO) is known.

    model (Model): Its shim is a ModuleShim, its first layer gives token vectors.
    X (Optional[List[Doc]]): Example Docs, to infer the width of the token vectors. Y: Not used.
    dims (int): More of the module's dimensions.
    """
    tok2vec, shim = model.layers[0], get_shim(model)
    tok2vec.initialize(X=X)
    if shim._model is None and model.has_dim("nO"):
        shim.create(nI=_get_width(tok2vec, X), nO=model.get_dim("nO"), **dims)


def _get_width(tok2vec: Model, X: list[Doc] | None) -> int:
    """The width of the token vectors, from the layer's dimensions or by running it on X."""
    for node in reversed(list(tok2vec.walk())):
        if node.name in ("transformer-listener", "tok2vec-listener") and node.has_dim("nO"):
            return node.get_dim("nO")
    if tok2vec.has_dim("nO"):
        return tok2vec.get_dim("nO")
    if not X:
        raise ValueError("Can't find the width of the token vectors without example documents.")
    return tok2vec.predict(X)[0].shape[1]


def read_tokens(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[Sequence[Any], Callable[[Any], Any]]:
    """Run the layer below one that was built by `init_on_tokens`.

    RETURNS (Tuple[List[Floats2d], Callable]): Token vectors, and the callback for their gradients.
    RAISES (ValueError): If the layer's module isn't there yet, or a Doc has another number of
        tokens than of token vectors.
    """
    if get_shim(model)._model is None:
        name = model.name.replace("_", " ")
        raise ValueError(f"The {name} is not initialized: call nlp.initialize() first.")
    X, backprop = model.layers[0](docs, is_train)
    for doc, vectors in zip(docs, X):
        if len(vectors) != len(doc):
            raise ValueError(
                f"A Doc has {len(doc)} tokens, but the transformer read {len(vectors)}: a component "
                "between them, such as merge_entities, merged or split some. Put it before the "
                "transformer."
            )
    return X, backprop


def run_on_tokens(
    shim: ModuleShim,
    X: Sequence[Any],
    backprop_tok2vec: Callable[[Any], Any],
    is_train: bool,
    *arrays: np.ndarray,
) -> tuple[Any, Callable[[Any], Any]]:
    """Call the shim's module on the token vectors of a batch, one Doc's behind the other's.

    X (List[Floats2d]): Each Doc's, not all empty. backprop_tok2vec (Callable): Of what made them.
    arrays (np.ndarray): Further arguments, which become tensors.
    RETURNS: The output as an array and a callback from its gradient to what `backprop_tok2vec` gives.
    """
    flat = get_array_module(X[0]).concatenate([x for x in X if len(x)])
    inputs = xp2torch(flat, requires_grad=is_train, device=shim.device)
    tensors = [torch.from_numpy(array).to(shim.device) for array in arrays]
    module = shim._model.train(is_train)
    with torch.inference_mode(not is_train):
        output = module(inputs, *tensors)

    def backprop(dY: Any) -> Any:
        output.backward(xp2torch(dY, device=shim.device))
        assert inputs.grad is not None  # it is required
        dX = torch2xp(inputs.grad)
        ends = np.cumsum([0] + [len(x) for x in X])
        return backprop_tok2vec([dX[start:end] for start, end in zip(ends, ends[1:])])

    return torch2xp(output.detach()), backprop


def set_dropout(model: Model, rate: float) -> None:
    """Set the rate of every `torch.nn.Dropout` in a model (thinc sets only its own layers'), but of
    what was pretrained: that has the encoder's."""
    for node in model.walk():
        for shim in node.shims:
            if isinstance(shim, ModuleShim) and shim._model is not None:
                pretrained = getattr(shim._model, "pretrained", None)
                for name, module in shim._model.named_modules():
                    own = not pretrained or not name.startswith(pretrained)
                    if own and isinstance(module, torch.nn.Dropout):
                        module.p = rate


def dump_state(module: torch.nn.Module) -> bytes:
    """Serialize a module's weights; in half precision where that loses nothing.

    Weights that were rounded once with `round_to_half` take half the room on disk. All others
    are written in full, so that saving never changes a model.
    """
    state = {}
    for key, value in module.state_dict().items():
        value = value.detach().cpu()
        if value.dtype == torch.float32:
            half = value.half()
            value = half if torch.equal(half.float(), value) else value
        state[key] = value
    buffer = BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(module: torch.nn.Module, data: bytes) -> None:
    """Load what `dump_state` wrote. Only tensors are read: pickled code is refused.

    RAISES (ValueError): If the data is damaged or belongs to another architecture.
    """
    try:
        state = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        module.load_state_dict(state)
    except Exception as error:
        raise ValueError(
            f"Can't load the weights of {type(module).__name__}: {error}. The file is damaged or "
            "was written by another version: train or install the pipeline again."
        ) from error


def round_to_half(module: torch.nn.Module) -> None:
    """Round all float32 weights to the nearest half-precision value, in place.

    RAISES (ValueError): If a weight is outside the range of half precision.
    """
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if value.dtype == torch.float32:
                rounded = value.half().float()
                if not torch.isfinite(rounded).all():
                    raise ValueError(f"The weights {key!r} are too large for half precision.")
                value.copy_(rounded)
