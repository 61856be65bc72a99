"""An example of what a model takes: a tensor, a tuple of arguments or a dict of keyword arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Example = Any


def call(model: nn.Module, example: Example) -> Any:
    """Call a model on an example."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*(example if isinstance(example, tuple) else (example,)))


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


def moved(example: Example, device: str) -> Example:
    """Return a copy of an example on a device; from meta, where nothing has numbers, it is zeros."""
    if isinstance(example, Tensor):
        if example.is_meta and device != "meta":
            return torch.zeros_like(example, device=device)
        return example.detach().to(device, copy=True)
    if isinstance(example, Mapping):
        return {k: moved(v, device) for k, v in example.items()}
    if isinstance(example, list | tuple):
        items = [moved(item, device) for item in example]
        return items if isinstance(example, list) else tuple(items)
    return example
