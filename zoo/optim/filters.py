"""<g, v>, |g| and |v| of every filter of a list of tensors, and scaling filter by filter.

What Adaptive Braking (zoo.optim.braking) is made of. A filter is an index of a weight's first
dimension; a vector (a bias, the gain of a norm) is one. R filters, N elements of each. These are
torch's operations, for any device and type; on a CPU `zoo.optim.kernel` mostly takes their place.
"""

import functools
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

Granularity = Literal["filter", "tensor", "model"]

# Elements from which on a tensor is not put together with others: a copy costs more than a call.
LARGE = 1 << 18


def sums_of(g_RN: Tensor, v_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return <g, v>, |g| and |v| of each row."""
    norm = torch.linalg.vector_norm
    return torch.linalg.vecdot(g_RN, v_RN), norm(g_RN, dim=1), norm(v_RN, dim=1)


def cosine_of(dot: Tensor, g_norm: Tensor, v_norm: Tensor, eps: float) -> Tensor:
    return dot / (g_norm * v_norm).clamp_min_(eps)


class Parts:
    """The filters of a list of tensors, in the order in which they are summed and scaled.

    An operation on a small tensor costs more than its work does, so those whose filters have one
    shape are put together.

    Args:
        shapes: of the tensors. A filter is an index of the first dimension; a vector (a bias, the
            gain of a norm) is one filter.
    """

    def __init__(self, shapes: Iterable[torch.Size]) -> None:
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i, shape in enumerate(shapes):
            key: tuple[Any, ...] = ("filters", *shape[1:]) if len(shape) > 1 else ("vector", *shape)
            alike.setdefault(("large", i) if shape.numel() >= LARGE else key, []).append(i)
        self.stacks = list(alike.values())  # of tensors whose filters have one shape
        self.order = [i for stack in self.stacks for i in stack]
        ordered = [list(shapes)[i] for i in self.order]
        self.filters = [shape[0] if len(shape) > 1 else 1 for shape in ordered]
        # A filter's alpha as it multiplies the tensor.
        self.factors = [
            (n, *(1,) * (len(shape) - 1)) if shape else ()
            for n, shape in zip(self.filters, ordered, strict=True)
        ]

    def cosine(
        self, gs: list[Tensor], vs: list[Tensor], granularity: Granularity, eps: float
    ) -> Tensor:
        """Return <g, v> / max(|g| |v|, eps) of every filter; alike within what it is taken over."""
        found = [
            sums_of(*rows_of([gs[i] for i in stack], [vs[i] for i in stack]))
            for stack in self.stacks
        ]
        dot, g_norm, v_norm = (torch.cat(parts) for parts in zip(*found, strict=True))
        if granularity == "model":
            cosine = cosine_of(dot.sum(), g_norm.norm(), v_norm.norm(), eps)
            return cosine.expand(len(dot))
        if granularity == "filter":
            return cosine_of(dot, g_norm, v_norm, eps)
        lengths = torch.tensor(self.filters, device=dot.device)
        dot, gg, vv = (
            torch.segment_reduce(x, "sum", lengths=lengths)
            for x in (dot, g_norm.square(), v_norm.square())
        )
        return cosine_of(dot, gg.sqrt(), vv.sqrt(), eps).repeat_interleave(lengths)

    def scale(self, gs: list[Tensor], alpha: Tensor) -> None:
        """Multiply every filter by its alpha, in place."""
        pieces = zip(torch.split(alpha, self.filters), self.factors, strict=True)
        torch._foreach_mul_([gs[i] for i in self.order], [a.view(shape) for a, shape in pieces])


@functools.lru_cache(maxsize=64)
def parts_of(shapes: tuple[torch.Size, ...]) -> Parts:
    return Parts(shapes)


def rows_of(gs: list[Tensor], vs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the filters of tensors, all of one shape, as (filters, elements of a filter)."""
    # Both in the order that the gradients have in memory.
    channels_last = gs[0].dim() == 4 and not gs[0].is_contiguous()
    return _flat(gs, channels_last), _flat(vs, channels_last)


def _flat(tensors: list[Tensor], channels_last: bool) -> Tensor:
    if tensors[0].dim() < 2:
        return torch.stack(tensors).view(len(tensors), -1)
    x = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
    return (x.permute(0, 2, 3, 1) if channels_last else x).flatten(1)
