"""Counts of exponents against frexp, and the shares that a format loses against rounding itself."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.precision.oracles import NAMED
from zoo.precision import FORMATS, FloatFormat, quantize
from zoo.precision.exponents import LOWEST, Exponents


def spread(seed: int, low: float, high: float, count: int = 2000) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = 2.0 ** (low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64))
    x = (x * (torch.randint(0, 2, (count,), generator=generator) * 2 - 1)).float()
    x[::17] = 0.0
    return x


@given(st.integers(0, 1000), st.integers(-140, 100))
def test_counts_are_those_of_frexp(seed: int, low: int) -> None:
    x = spread(seed, low, min(low + 60, 127.9))
    found = Exponents.of(x, {})
    nonzero = x[x != 0]
    exponents = (torch.frexp(nonzero.double()).exponent - 1).clamp(min=LOWEST)
    for value, count in zip(*exponents.unique(return_counts=True), strict=True):
        assert found.counts[value - LOWEST] == count
    assert found.zeros == int((x == 0).sum())
    assert found.total == len(x)


def test_specials_have_a_bin_of_their_own() -> None:
    x = torch.tensor([math.inf, -math.inf, math.nan, 0.0, -0.0, 1e-45, 1.0])
    found = Exponents.of(x, {"fp16": FORMATS["fp16"]})
    assert found.beyond["fp16"] == 3
    assert (found.counts[255], found.zeros, found.counts[0], found.total) == (3, 2, 1, 7)


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_shares_are_what_rounding_does(name: str, fmt: FloatFormat) -> None:
    x = torch.cat([spread(s, max(fmt.emin - fmt.mantissa_bits - 6, -126), 127.9) for s in range(3)])
    near = fmt.max * torch.linspace(0.9, 1.1, 500, dtype=torch.float64)
    x = torch.cat([x, near.float()])
    x = x[x.isfinite()]
    lost = Exponents.of(x, {name: fmt}).lost(name, fmt)
    nonzero = x[x != 0]
    rounded = quantize(nonzero, fmt)
    size = nonzero.abs()
    assert lost["overflow"] == int((~rounded.isfinite()).sum()) / len(nonzero)
    # Flushed after rounding: but for what rounds up to the smallest normal (next to none here).
    assert lost["underflow"] == pytest.approx(int((rounded == 0).sum()) / len(nonzero), abs=2e-3)
    if fmt.subnormals:
        gone = (rounded == 0).sum()
        assert lost["underflow"] == int(gone) / len(nonzero)
        assert lost["subnormal"] == int((size < fmt.min_normal).sum() - gone) / len(nonzero)
    else:
        assert lost["subnormal"] == 0


def test_counts_add_up() -> None:
    formats = {"fp16": FORMATS["fp16"]}
    a, b = spread(1, -20, 20), spread(2, -40, 3)
    together = Exponents.of(torch.cat([a, b]), formats)
    added = Exponents.of(a, formats)
    added.add(Exponents.of(b, formats))
    assert torch.equal(added.counts, together.counts)
    assert (added.zeros, added.beyond) == (together.zeros, together.beyond)
    assert together.beyond["fp16"] > 0


def test_any_layout_counts_every_element_once() -> None:
    x = spread(3, -30, 30)
    image = x[:1536].reshape(2, 3, 16, 16)
    want = Exponents.of(image, {}).counts
    for view in (image.to(memory_format=torch.channels_last), image.permute(3, 1, 0, 2)):
        assert torch.equal(Exponents.of(view, {}).counts, want)
    assert Exponents.of(x[::3], {}).total == len(x[::3])
