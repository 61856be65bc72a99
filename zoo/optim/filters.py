"""<g, v>, |g| and |v| of every filter of a list of tensors, and scaling filter by filter.

What Adaptive Braking (zoo.optim.braking) is made of. A filter is an index of a weight's first
dimension; a vector (a bias, the gain of a norm) is one. R filters, N elements of each.
"""

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

Granularity = Literal["filter", "tensor", "model"]

# Elements that are reduced and scaled at a time on a CPU: g and v of them stay in its cache.
BLOCK = 1 << 18


def sums_of(g_RN: Tensor, v_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return <g, v>, |g| and |v| of each row."""
    if g_RN.numel() >= BLOCK // 2 and not g_RN.is_cuda and g_RN.dtype == v_RN.dtype:
        return fused_sums(g_RN.dtype)(g_RN, v_RN)
    norm = torch.linalg.vector_norm
    return torch.linalg.vecdot(g_RN, v_RN), norm(g_RN, dim=1), norm(v_RN, dim=1)


@functools.cache
def fused_sums(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Any]:
    """Compile `sums_of` to one pass over memory; as it stands where there is no compiler."""
    from torch._inductor import standalone_compile
    from torch.fx.experimental.proxy_tensor import make_fx

    def sums(g_RN: Tensor, v_RN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (g_RN * v_RN).sum(-1), (g_RN * g_RN).sum(-1).sqrt(), (v_RN * v_RN).sum(-1).sqrt()

    if os.environ.get("ZOO_COMPILE") == "0":
        return sums
    try:
        with torch.inference_mode(False), torch.no_grad():
            shown = [torch.ones(96, 640, dtype=dtype) for _ in range(2)]
            graph = make_fx(sums, tracing_mode="symbolic")(*shown)
            inputs = [n.meta["val"] for n in graph.graph.nodes if n.op == "placeholder"]
            # A block is little work: threads would wait for each other.
            alone = {"config_patches": {"cpp.threads": 1}}
            return standalone_compile(graph, inputs, dynamic_shapes="from_graph", options=alone)
    except Exception:  # whatever a machine without a compiler raises
        return sums


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
            alike.setdefault(("large", i) if shape.numel() >= BLOCK else key, []).append(i)
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
