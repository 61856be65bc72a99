"""Rounding to a format: Q(x) = q·round(|x|/q) with x's sign, q = 2^(max(E(x), emin) - m).

E(x) = floor(log2|x|) is the exponent of x and q the distance of the format's neighbours there, so
|x|/q is the number whose integers are the format's values. Both scalings are by powers of two and
exact, and so is every step but the rounding itself. Below emin the distance stays: these are the
subnormals. No step branches, and a compiler fuses all of them into one pass over memory.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.errors import first_line
from zoo.precision.formats import FloatFormat

# Of the types that hold the values while they are rounded: the integer of the same width, the
# bits of the mantissa, and the exponent's bias.
_CARRIERS = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}


def quantize(x: Tensor, fmt: FloatFormat, *, generator: torch.Generator | None = None) -> Tensor:
    """Round every element to the nearest value of a format (or as its `rounding` says).

    Exact in every bit, subnormals, signs of zero, infinities and NaN included; on a tensor that
    requires a gradient the gradient passes straight through.

    Args:
        x: any shape and strides; fp32, fp64, or a narrower float that can hold the format.
        fmt: the format.
        generator: of the random numbers of stochastic rounding, on x's device; torch's own
            where None.

    Returns:
        A new tensor of x's shape, dtype and device.

    Raises:
        TypeError: x is not a real floating-point tensor, or its type cannot hold the format.
    """
    _refuse(x, fmt)
    if x.requires_grad and torch.is_grad_enabled():
        return _StraightThrough.apply(x, fmt, generator)
    if x.dtype not in _CARRIERS:
        return quantize(x.float(), fmt, generator=generator).to(x.dtype)
    if x.numel() == 0:
        return torch.empty_like(x)
    x = x.detach().resolve_neg()
    dense = x if _is_dense(x) else x.contiguous()
    # One long vector, whatever the shape and the layout: one compiled function for all of them.
    vector = as_vector(dense)
    noise = None
    if fmt.rounding == "stochastic":
        noise = torch.rand(vector.shape, dtype=x.dtype, device=x.device, generator=generator)
    rounded = _fused(vector, noise, fmt)
    # Not a view of the vector: autograd lets no one write into a view that a function returns.
    whole = torch.empty(0, dtype=x.dtype, device=x.device)
    return whole.set_(rounded.untyped_storage(), 0, dense.shape, dense.stride())


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, fmt: FloatFormat, generator: torch.Generator | None) -> Tensor:
        return quantize(x, fmt, generator=generator)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


def _refuse(x: Tensor, fmt: FloatFormat) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"quantize: x is {what}; a number format rounds real floats, pass x.float()"
        )
    if x.dtype in _CARRIERS:
        return
    holder = torch.finfo(x.dtype)
    fits = (
        2.0**-fmt.mantissa_bits >= holder.eps
        and fmt.max <= holder.max
        and fmt.min_subnormal >= holder.smallest_normal * holder.eps
    )
    if not fits or x.dtype.itemsize < 2:
        raise TypeError(
            f"quantize: x is {x.dtype}, which cannot hold every value of 1/{fmt.exponent_bits}/"
            f"{fmt.mantissa_bits}; pass x.float()"
        )


def as_vector(x: Tensor) -> Tensor:
    """Return the elements in the order of memory, without a copy where they fill it."""
    x = x.resolve_neg()
    dense = x if _is_dense(x) else x.contiguous()
    return dense.as_strided((dense.numel(),), (1,))


def _is_dense(x: Tensor) -> bool:
    """Whether the elements fill one stretch of memory without overlap, in whatever order."""
    if x.is_contiguous():
        return True
    expected = 1
    for size, stride in sorted(zip(x.shape, x.stride(), strict=True), key=lambda d: (d[1], d[0])):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


# -- the equation --------------------------------------------------------------------------------


def _round(x: Tensor, noise: Tensor | None, fmt: FloatFormat) -> Tensor:
    """Round a vector of fp32 or fp64; see the head of this file."""
    integer, mantissa, bias = _CARRIERS[x.dtype]
    top = 2 * bias + 1  # the exponent field of infinity and NaN
    m = fmt.mantissa_bits
    size = x.abs()

    # 2^max(E(x), emin) by masking x's exponent field; the upper clamp keeps infinity out of it.
    field = x.view(integer) & (top << mantissa)
    field = field.clamp(
        (fmt.emin + bias) << mantissa, min(fmt.emax + 1 + bias, top - 1) << mantissa
    )
    power = field.view(x.dtype)
    # 2/power, since 1/power may be subnormal; the factors around it make up for the 2.
    over_power = ((top << mantissa) - field).view(x.dtype)

    units = size * over_power * 2.0 ** (m - 1)  # |x|/q
    units = _to_integer(units, noise, fmt)
    rounded = units * 2.0**-m * power

    if not fmt.subnormals:
        tiny = (rounded if fmt.flush == "after_rounding" else size) < fmt.min_normal
        rounded = torch.where(tiny, 0.0, rounded)
    rounded = _bound(rounded, size, fmt)
    # x's sign, by its bit: an optimizing compiler may think that -0 and 0 are the same.
    sign = x.view(integer) & -(1 << (8 * x.element_size() - 1))
    return (rounded.view(integer) | sign).view(x.dtype)


def _to_integer(units: Tensor, noise: Tensor | None, fmt: FloatFormat) -> Tensor:
    if fmt.rounding == "nearest_even":
        return units.round()
    below = units.floor()
    if fmt.rounding == "toward_zero":
        return below
    fraction = units - below
    up = fraction >= 0.5 if noise is None else fraction > noise
    return torch.where(up, below + 1.0, below)


def _bound(rounded: Tensor, size: Tensor, fmt: FloatFormat) -> Tensor:
    """Say what becomes of values beyond the largest, and of infinity. NaN compares as false."""
    none = math.inf if fmt.specials == "ieee" else math.nan
    stops = fmt.overflow == "saturate" or fmt.rounding == "toward_zero"
    bounded = torch.where(rounded > fmt.max, fmt.max if stops else none, rounded)
    if stops and (fmt.specials == "ieee" or fmt.overflow == "infinity"):
        bounded = torch.where(size == math.inf, none, bounded)
    return bounded


# -- compilation ---------------------------------------------------------------------------------

# Below this many elements one thread is faster than two that wait for each other; torch's own.
_GRAIN = 32768


def _fused(x: Tensor, noise: Tensor | None, fmt: FloatFormat) -> Tensor:
    """Compute `_round` in one pass over memory, or as it stands where there is no compiler."""
    if x.device.type == "meta" or os.environ.get("ZOO_COMPILE") == "0":
        return _round(x, noise, fmt)
    program = _program(fmt, x.dtype, x.device.type, x.numel() < _GRAIN)
    if program is None:
        return _round(x, noise, fmt)
    found = program(x) if noise is None else program(x, noise)
    return found[0] if isinstance(found, list | tuple) else found


@functools.cache
def _program(
    fmt: FloatFormat, dtype: torch.dtype, device: str, small: bool
) -> Callable[..., Any] | None:
    """Compile the equation for one format and vectors of any length; None where that fails.

    Not by torch.compile: it would compile again for parameters, for each grad mode and inside each
    function mode, and give up after a few. A program for a vector of numbers needs none of that.
    """
    from torch._inductor import standalone_compile
    from torch.fx.experimental.proxy_tensor import make_fx

    # The compiler shares work among threads where the length that it is shown is worth it; the
    # option keeps its cache from taking one program for the other.
    length = 64 if small else 64 * _GRAIN
    options = {"config_patches": {"cpp.threads": 1}} if small and device == "cpu" else {}
    vectors = [torch.ones(length, dtype=dtype, device=device)]
    if fmt.rounding == "stochastic":
        vectors.append(torch.ones_like(vectors[0]))

    def equation(*vectors: Tensor) -> Tensor:
        return _round(vectors[0], vectors[1] if len(vectors) > 1 else None, fmt)

    try:
        with torch.inference_mode(False), torch.no_grad():
            graph = make_fx(equation, tracing_mode="symbolic")(*vectors)
            inputs = [n.meta["val"] for n in graph.graph.nodes if n.op == "placeholder"]
            return standalone_compile(graph, inputs, dynamic_shapes="from_graph", options=options)
    except Exception as error:  # whatever a machine without a compiler raises
        reason = first_line(error)
        warnings.warn(f"rounding runs uncompiled and slower ({reason})", stacklevel=3)
        return None
