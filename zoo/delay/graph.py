"""A model as a graph of layers, found by running it once.

A module without children is one layer, whatever it computes inside. What a module with children
computes by itself, `x + shortcut` or `F.relu(x)`, is one layer for each torch function. Functions
that only move data (reshape, transpose, chunk, ...) are no layers. Nothing is computed: the model
runs on the meta device, on the CPU only where it has to see numbers.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from zoo.errors import UserError, first_line

# product: multiplies and accumulates, or looks up rows. norm: a normalisation. pointwise: an
# activation, dropout, a scale, something added. pool: changes the number of elements. join: two
# branches meet.
Kind = Literal["product", "norm", "pointwise", "pool", "join", "input", "loss"]


class Unfit(UserError):
    """A model cannot be cut into stages; `reason` is for who says it in other words."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"pipeline_stages: {reason}; {advice}")
        self.reason = reason


INPUT = 0  # the first layer of a graph: what the model is given


@dataclass(slots=True)
class Layer:
    """One layer of a graph.

    Attributes:
        name: its module's, or its module's and the function's, as `blocks.0.add`.
        kind: what it does.
        inputs: the layers that it reads, by their places in the graph.
        parameters: what it uses, by the places in `model.named_parameters()`.
        flops: of its forward pass, 2 per multiply-add.
    """

    name: str
    kind: Kind
    inputs: set[int] = field(default_factory=set)
    parameters: set[int] = field(default_factory=set)
    flops: int = 0


def trace(model: nn.Module, example: Any) -> list[Layer]:
    """Return the layers of a model in the order in which they run: first the input, last the loss.

    Args:
        model: it is copied, not run.
        example: its input, a tensor, a tuple of arguments or a dict of keyword arguments.

    Raises:
        Unfit: the model does not run on the example.
    """
    with contextlib.suppress(Exception):  # whatever a model raises that wants numbers
        return _run_on("meta", model, example)
    try:  # it is given some
        return _run_on("cpu", model, example)
    except Exception as error:
        raise Unfit(
            f"{type(model).__name__} does not run on its example input ({first_line(error)})",
            "give an example=... that it takes",
        ) from error


def _run_on(device: str, model: nn.Module, example: Any) -> list[Layer]:
    with torch.random.fork_rng(devices=[]):
        return _run(_copy(model, device).train(), _moved(example, device))


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_of(item)


def _copy(model: nn.Module, device: str) -> nn.Module:
    """Copy a model to a device; to meta, or from there, its numbers are not copied."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        if device == "meta":
            there = torch.empty_like(tensor, device="meta")
        elif tensor.is_meta:
            there = torch.zeros_like(tensor, device=device)
        else:
            there = tensor.detach().to(device, copy=True)
        if isinstance(tensor, nn.Parameter):
            # A frozen layer is a stage like others.
            there = nn.Parameter(there, requires_grad=there.is_floating_point())
        memo[id(tensor)] = there
    return copy.deepcopy(model, memo)


def _moved(example: Any, device: str) -> Any:
    if isinstance(example, Tensor):
        if example.is_meta and device != "meta":
            return torch.zeros_like(example, device=device)
        return example.detach().to(device, copy=True)
    if isinstance(example, Mapping):
        return {k: _moved(v, device) for k, v in example.items()}
    if isinstance(example, list | tuple):
        return tuple(_moved(v, device) for v in example)
    return example


def _run(model: nn.Module, example: Any) -> list[Layer]:
    with FlopCounterMode(display=False) as counter:
        recorder = _Recorder(model, counter)
        for name, module in model.named_modules():
            module.register_forward_pre_hook(recorder.entering(name))
            module.register_forward_hook(recorder.leaving)
        with recorder:
            for tensor in tensors_of(example):
                recorder.give(tensor)
            if isinstance(example, Mapping):
                output = model(**example)
            else:
                output = model(*(example if isinstance(example, tuple) else (example,)))
    return recorder.finished(output)


# -- values --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Value:
    """What a tensor was made of.

    Attributes:
        layers: those whose results are in it; empty: it is the same for every sample.
        parameters: those in it that no layer has used yet, such as an expanded class token.
        tokens: integers of the input, or what is made of them alone, such as a mask.
    """

    layers: frozenset[int] = frozenset()
    parameters: frozenset[int] = frozenset()
    tokens: bool = False


_CONSTANT = _Value()

# What moves data and computes nothing.
_MOVES = {
    "adjoint", "as_strided", "atleast_1d", "atleast_2d", "atleast_3d", "bfloat16", "broadcast_to",
    "broadcast_tensors", "cat", "channel_shuffle", "chunk", "clone", "concat", "concatenate",
    "contiguous", "cpu", "cuda", "detach", "double", "expand", "expand_as", "flatten", "flip",
    "float", "gather", "get", "getitem", "half", "hstack", "index_select", "int", "long",
    "moveaxis", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle",
    "repeat", "repeat_interleave", "requires_grad", "reshape", "reshape_as", "roll", "rot90",
    "select", "setitem", "split", "squeeze", "stack", "swapaxes", "swapdims", "t",
    "take_along_dim", "tensor_split", "tile", "to", "transpose", "type", "type_as", "unbind",
    "unflatten", "unfold", "unsqueeze", "view", "view_as", "vstack",
}  # fmt: skip
_SHAPED_AS = {"expand_as", "view_as", "reshape_as", "type_as", "to"}  # of another, its shape alone
# Products that the counter of FLOPs does not see, on the CPU or anywhere.
_PRODUCTS = {"embedding", "embedding_bag", "scaled_dot_product_attention"}
_NORMS = {
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "normalize",
    "rms_norm",
}  # fmt: skip
_REDUCTIONS = {
    "amax", "amin", "grid_sample", "interpolate", "logsumexp", "max", "mean", "min", "norm", "std",
    "std_mean", "sum", "topk", "upsample", "var", "var_mean",
}  # fmt: skip
_HALVES = {"glu"}  # an activation, although its result is smaller


class _Recorder(TorchFunctionMode):
    """While it is entered, each torch function that is called becomes a layer, or part of one."""

    def __init__(self, model: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.layers = [Layer("input", "input")]
        self.values: dict[int, _Value] = {}
        self.alive: list[Tensor] = []  # so that no id is given twice
        self.running: list[_Running] = []
        for place, parameter in enumerate(model.parameters()):
            self._set(parameter, _Value(parameters=frozenset({place})))

    def give(self, tensor: Tensor) -> None:
        """Say that a tensor is what the model is given."""
        numbers = tensor.is_floating_point() or tensor.is_complex()
        self._set(tensor, _Value(layers=frozenset({INPUT})) if numbers else _Value(tokens=True))

    def entering(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            self.running.append(_Running(name, is_leaf=not any(True for _ in module.children())))

        return hook

    def leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        done = self.running.pop()
        if done.layer is None:
            return
        layer = self.layers[done.layer]
        before, after = next(tensors_of(args), None), next(tensors_of(output), None)
        same = before is not None and after is not None and before.numel() == after.numel()
        layer.kind = _kind_of_all(done.kinds, len(layer.inputs), same)

    def finished(self, output: Any) -> list[Layer]:
        """Return the layers with the loss at their end, which reads the model's first output."""
        logits = output.get("logits") if isinstance(output, Mapping) else None
        first = next(tensors_of(output if logits is None else logits), None)
        if first is None:
            raise TypeError("its output holds no tensor")
        return [*self.layers, Layer("loss", "loss", set(self._get(first).layers))]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        before = self.counter.get_total_flops()
        result = func(*args, **kwargs)
        flops = self.counter.get_total_flops() - before
        name = getattr(func, "__name__", "function").strip("_")
        made = list(tensors_of(result))
        if name == "setitem":
            made = [args[0]]
        if made:
            self._record(name, args, kwargs, made, flops)
        return result

    def _record(
        self, name: str, args: Any, kwargs: dict[str, Any], made: list[Tensor], flops: int
    ) -> None:
        if name.endswith("_like") or name.startswith("new_"):
            return  # only the shape was looked at
        read = list(tensors_of(args[:1] if name in _SHAPED_AS else (args, kwargs)))
        values = [self._get(t) for t in read]
        layers: frozenset[int] = frozenset().union(*(v.layers for v in values))
        parameters: frozenset[int] = frozenset().union(*(v.parameters for v in values))
        tokens = any(v.tokens for v in values)
        if not layers and not (tokens and parameters):
            value = _Value(frozenset(), parameters, tokens)
        else:
            kind = _kind(name, len(layers), bool(parameters), flops, _does_nothing(name, kwargs))
            if kind is None:
                value = _Value(layers)
            else:
                if kind == "pointwise" and name not in _HALVES:
                    sizes = [t.numel() for t, v in zip(read, values, strict=True) if v.layers]
                    is_resized = made[0].numel() != max(sizes, default=0) and not parameters
                    kind = "pool" if is_resized else kind
                value = _Value(frozenset({self._layer(name, kind, layers, parameters, flops)}))
        for tensor in made:
            self._set(tensor, value)
            is_in_place = any(tensor is t for t in read)
            if is_in_place and tensor._base is not None:
                self._set(tensor._base, value)

    def _layer(
        self,
        name: str,
        kind: Kind,
        inputs: frozenset[int],
        parameters: frozenset[int],
        flops: int,
    ) -> int:
        module = self.running[-1] if self.running else _Running("", is_leaf=False)
        place = module.layer if module.is_leaf else None
        if place is None:
            place = len(self.layers)
            label = module.name if module.is_leaf else ".".join(filter(None, (module.name, name)))
            self.layers.append(Layer(label or name, kind))
            if module.is_leaf:
                module.layer = place
        module.kinds.append(kind)
        layer = self.layers[place]
        layer.inputs |= inputs - {place}
        layer.parameters |= parameters
        layer.flops += flops
        return place

    def _get(self, tensor: Tensor) -> _Value:
        return self.values.get(id(tensor), _CONSTANT)

    def _set(self, tensor: Tensor, value: _Value) -> None:
        self.values[id(tensor)] = value
        self.alive.append(tensor)


@dataclass(slots=True)
class _Running:
    """A module that is running; where it is a leaf, the layer that it has become."""

    name: str
    is_leaf: bool
    layer: int | None = None
    kinds: list[Kind] = field(default_factory=list)


def _kind(
    name: str, inputs: int, has_parameters: bool, flops: int, does_nothing: bool
) -> Kind | None:
    """Return what a function does; None: nothing that would be a layer."""
    if flops or name in _PRODUCTS:
        return "product"
    if does_nothing or (name in _MOVES and inputs < 2 and not has_parameters):
        return None
    if name in _NORMS:
        return "norm"
    if inputs > 1:
        return "join"
    if "pool" in name or name in _REDUCTIONS:
        return "pool"
    return "pointwise"


def _kind_of_all(kinds: list[Kind], inputs: int, same_size: bool) -> Kind:
    """Return what a module does whose functions do these things."""
    if "product" in kinds:
        return "product"
    # A mean and more inside of what keeps its size: a normalisation that is written by hand.
    if "norm" in kinds or ("pool" in kinds and same_size and len(kinds) > 1):
        return "norm"
    if inputs > 1:
        return "join"
    return "pool" if "pool" in kinds else "pointwise"


def _does_nothing(name: str, kwargs: dict[str, Any]) -> bool:
    if "dropout" not in name:
        return False
    return not kwargs.get("training", True) or kwargs.get("p") == 0
