"""Rounding against gfloat, ml_dtypes and torch, in every bit, compiled and not."""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from tests.precision.oracles import NAMED, all_values, expected, same
from zoo.precision import FORMATS, FloatFormat, quantize
from zoo.precision.rounding import _program, _round

FP169 = FORMATS["fp169"]


def eager(x: Tensor, fmt: FloatFormat) -> Tensor:
    return _round(x, None, fmt)


def patterns(count: int, seed: int = 0) -> Tensor:
    """Return fp32 values of random bits: every exponent, infinities and NaN of any payload."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(-(2**31), 2**31, (count,), generator=generator)
    return raw.to(torch.int32).view(torch.float32)


def log_uniform(count: int, fmt: FloatFormat, seed: int = 1) -> Tensor:
    """Return values around the format's range, and beyond it at both ends."""
    generator = torch.Generator().manual_seed(seed)
    low, high = fmt.emin - fmt.mantissa_bits - 4, min(fmt.emax + 4, 127)
    exponent = low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)
    sign = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
    return (sign * 2.0**exponent).float()


def edges(fmt: FloatFormat) -> Tensor:
    """Return every value of the format, every midpoint, the fp32 neighbours of both, and specials."""
    values = all_values(fmt)
    positive = values[(values >= 0) & values.isfinite()].unique()
    beyond = torch.tensor([2 * fmt.max - positive[-2]], dtype=torch.float64)
    ladder = torch.cat([positive, beyond])
    middles = (ladder[1:] + ladder[:-1]) / 2
    points = torch.cat([ladder, middles]).float()
    around = [points, points.nextafter(torch.tensor(math.inf)), points.nextafter(torch.tensor(0.0))]
    special = torch.tensor([0.0, math.inf, math.nan, fmt.min_normal / 2, 1e-45, 3.4028235e38])
    everything = torch.cat([*around, special])
    return torch.cat([everything, -everything])


@pytest.mark.parametrize("rounded", [quantize, eager], ids=["compiled", "eager"])
@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_every_value_midpoint_and_neighbour(name: str, fmt: FloatFormat, rounded: object) -> None:
    x = edges(fmt)
    assert len(x) > 1000 or fmt.bits <= 8
    assert same(rounded(x, fmt), expected(x, fmt))  # type: ignore[operator]


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_random_patterns_and_log_uniform_values(name: str, fmt: FloatFormat) -> None:
    x = torch.cat([patterns(1_000_000), log_uniform(1_000_000, fmt)])
    assert same(quantize(x, fmt), expected(x, fmt))


def test_ten_million_random_patterns_in_1_6_9() -> None:
    for seed in range(10):  # in parts: the oracle takes 100 bytes a value
        x = patterns(1_000_000, seed)
        want = expected(x, FP169)
        assert same(quantize(x, FP169), want)
        assert same(eager(x, FP169), want)


@pytest.mark.parametrize(
    ("fmt", "dtype"),
    [
        (FloatFormat(5, 10), torch.float16),
        (FloatFormat(8, 7), torch.bfloat16),
        (FORMATS["fp8_e5m2"], ml_dtypes.float8_e5m2),
        (FORMATS["fp8_e4m3"], ml_dtypes.float8_e4m3fn),
        (FloatFormat(4, 3), ml_dtypes.float8_e4m3),
        (FloatFormat(3, 4), ml_dtypes.float8_e3m4),
    ],
)
def test_casts_of_torch_and_ml_dtypes(fmt: FloatFormat, dtype: object) -> None:
    x = torch.cat([patterns(1_000_000, 7), log_uniform(200_000, fmt), edges(fmt)])
    if isinstance(dtype, torch.dtype):
        theirs = x.to(dtype).float()
    else:
        with np.errstate(all="ignore"):
            theirs = torch.from_numpy(x.numpy().astype(dtype).astype(np.float32))
    assert same(quantize(x, fmt), theirs)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 8),
    st.integers(1, 23),
    st.sampled_from(["nearest_even", "nearest_away", "toward_zero"]),
    st.sampled_from(["infinity", "saturate"]),
    st.booleans(),
    st.sampled_from(["after_rounding", "before_rounding"]),
    st.sampled_from(["ieee", "no_infinity"]),
    st.integers(0, 2**31),
)
def test_any_format_against_gfloat(
    e: int,
    m: int,
    rounding: str,
    overflow: str,
    subnormals: bool,
    flush: str,
    specials: str,
    seed: int,
) -> None:
    fmt = FloatFormat(
        e,
        m,
        subnormals=subnormals,
        overflow=overflow,  # type: ignore[arg-type]
        rounding=rounding,  # type: ignore[arg-type]
        flush=flush,  # type: ignore[arg-type]
        specials="ieee" if e == 8 else specials,  # type: ignore[arg-type]
    )
    ends = torch.tensor([fmt.max, fmt.min_normal, fmt.min_subnormal, math.inf, math.nan, 0.0])
    near = torch.cat([ends.nextafter(torch.tensor(s)) for s in (-math.inf, 0.0, math.inf)])
    x = torch.cat([patterns(300, seed), log_uniform(600, fmt, seed), ends, near])
    x = torch.cat([x, -x])
    assert same(eager(x, fmt), expected(x, fmt))


@given(st.integers(2, 8), st.integers(1, 20), st.integers(0, 2**31))
def test_rounding_twice_is_rounding_once_and_is_monotonic(e: int, m: int, seed: int) -> None:
    fmt = FloatFormat(e, m)
    x = log_uniform(400, fmt, seed).sort().values
    once = eager(x, fmt)
    assert same(eager(once, fmt), once)
    assert (once.diff() >= 0).logical_or(once.diff().isnan()).all()
    assert same(eager(-x, fmt), -once)


def test_overflow() -> None:
    x = torch.tensor([65519.99, 65520.0, 1e9, math.inf, -65520.0, -math.inf])
    inf = math.inf
    to_infinity = quantize(x, FloatFormat(5, 10))
    assert to_infinity.tolist() == [65504.0, inf, inf, inf, -inf, -inf]
    saturated = quantize(x, FloatFormat(5, 10, overflow="saturate"))
    assert saturated.tolist() == [65504.0, 65504.0, 65504.0, inf, -65504.0, -inf]
    cut = quantize(x, FloatFormat(5, 10, rounding="toward_zero"))
    assert cut.tolist() == [65504.0, 65504.0, 65504.0, inf, -65504.0, -inf]


def test_what_is_flushed() -> None:
    below = 2.0**-30 - 2.0**-41  # rounds up to the smallest normal
    x = torch.tensor([below, 2.0**-31, -(2.0**-31), 2.0**-30])
    after = quantize(x, FloatFormat(6, 9, subnormals=False))
    before = quantize(x, FloatFormat(6, 9, subnormals=False, flush="before_rounding"))
    assert same(after, torch.tensor([2.0**-30, 0.0, -0.0, 2.0**-30]))
    assert same(before, torch.tensor([0.0, 0.0, -0.0, 2.0**-30]))


def test_flags_of_the_processor_do_not_matter_where_the_format_is_normal_in_fp32() -> None:
    x = torch.cat([edges(FP169), patterns(100_000)])
    want = quantize(x, FP169)
    assert torch.set_flush_denormal(True)
    try:
        assert same(quantize(x, FP169), want)
    finally:
        torch.set_flush_denormal(False)


def layouts(x: Tensor) -> dict[str, Tensor]:
    image = x[: 2 * 3 * 8 * 8].reshape(2, 3, 8, 8)
    return {
        "transposed": x[:4096].reshape(64, 64).t(),
        "strided": x[::3],
        "columns": x[:4096].reshape(64, 64)[:, 5:9],
        "offset": x[17:],
        "channels_last": image.to(memory_format=torch.channels_last),
        "expanded": x[:5].reshape(5, 1).expand(5, 7),
        "backwards in two": image.permute(3, 1, 0, 2),
        "scalar": x[3],
        "one": x[3:4],
        "two": x[3:5],
        "none": x[:0],
        "no rows": x[:0].reshape(0, 3),
        "parameter": torch.nn.Parameter(x[:100].clone()),
    }


@pytest.mark.parametrize("layout", list(layouts(torch.zeros(5000))))
def test_any_layout_without_touching_the_original(layout: str) -> None:
    x = layouts(log_uniform(5000, FP169))[layout]
    before = x.detach().clone()
    rounded = quantize(x, FP169)
    assert same(x.detach(), before)
    want = expected(before.reshape(-1), FP169).reshape(before.shape)
    assert same(rounded.detach(), want)
    assert (rounded.dtype, rounded.device) == (x.dtype, x.device)
    if layout == "channels_last":
        assert rounded.is_contiguous(memory_format=torch.channels_last)


def test_a_model_s_shapes_layouts_and_modes_share_two_programs() -> None:
    fmt = FloatFormat(6, 8)  # of no other test
    before = _program.cache_info().currsize
    for x in layouts(log_uniform(5000, fmt)).values():
        quantize(x, fmt)
    for size in (*range(1, 100), 40_000):
        quantize(torch.ones(size, 7), fmt)
        quantize(torch.nn.Parameter(torch.ones(3, size)), fmt)
        with torch.inference_mode(), torch.autocast("cpu"):
            quantize(torch.ones(4, size, 3).transpose(0, 2), fmt)
    assert _program.cache_info().currsize == before + 2  # a short one and a long one


def test_double_precision_is_rounded_once() -> None:
    # By way of fp32 this would become a tie, and then 1: two roundings.
    x = torch.tensor([1 + 2.0**-10 + 2.0**-40], dtype=torch.float64)
    assert quantize(x.float(), FP169).item() == 1.0
    assert quantize(x, FP169).item() == 1 + 2.0**-9
    wide = torch.randn(10_000, dtype=torch.float64) * 2.0 ** torch.linspace(-45, 40, 10_000)
    assert torch.equal(quantize(wide, FP169), expected_double(wide, FP169))


def expected_double(x: Tensor, fmt: FloatFormat) -> Tensor:
    import gfloat

    from tests.precision.oracles import MODES, info

    return torch.from_numpy(gfloat.round_ndarray(info(fmt), x.numpy(), MODES[fmt.rounding]))


def test_a_narrow_tensor_holds_what_fits() -> None:
    half = torch.randn(1000).half()
    rounded = quantize(half, FORMATS["fp8_e5m2"])
    assert rounded.dtype == torch.float16
    assert same(rounded, expected(half.float(), FORMATS["fp8_e5m2"]))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.arange(3), "torch.int64; a number format rounds real floats"),
        (torch.zeros(3, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(3, dtype=torch.bool), "torch.bool"),
        (torch.zeros(3, dtype=torch.bfloat16), "cannot hold every value of 1/6/9"),
        (torch.zeros(3, dtype=torch.float16), "cannot hold every value of 1/6/9"),
        (torch.zeros(3, dtype=torch.float8_e5m2), "cannot hold every value of 1/6/9"),
        ([1.0], "list"),
    ],
)
def test_what_is_no_real_float_is_refused(x: Tensor, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        quantize(x, FP169)


def test_the_gradient_passes_straight_through() -> None:
    x = torch.randn(100, requires_grad=True)
    quantize(x, FP169).square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 2 * quantize(x.detach(), FP169))


@pytest.mark.parametrize("error", [RuntimeError("no working C++ compiler found"), AssertionError()])
def test_without_a_compiler_the_bits_are_the_same(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torch._inductor.standalone_compile", no_compiler)
    x = edges(FP169)
    _program.cache_clear()
    try:
        with pytest.warns(UserWarning, match="rounding runs uncompiled and slower"):
            rounded = quantize(x, FP169)
        assert same(quantize(x, FP169), rounded)
    finally:
        _program.cache_clear()
    assert same(rounded, expected(x, FP169))


# -- stochastic ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [1 + 0.3 * 2.0**-9, -(1 + 0.9 * 2.0**-9), 100.03, 2.0**-39 * 5.25, 2.0**-40]
)
def test_stochastic_rounding_is_unbiased(value: float) -> None:
    fmt = FloatFormat(6, 9, rounding="stochastic")
    x = torch.full((200_000,), value)
    exact = x[0].item()
    rounded = quantize(x, fmt, generator=torch.Generator().manual_seed(5))
    low, high = rounded.min().item(), rounded.max().item()
    assert low < exact < high
    assert len(rounded.unique()) == 2
    assert same(quantize(rounded, FP169), rounded)
    ups = int((rounded == high).sum())
    share = (exact - low) / (high - low)
    assert stats.binomtest(ups, len(x), share).pvalue > 1e-3
    # Neighbours are drawn apart: runs of ups and downs are as many as chance has it.
    flips = int((rounded[1:] != rounded[:-1]).sum())
    assert stats.binomtest(flips, len(x) - 1, 2 * share * (1 - share)).pvalue > 1e-3


def test_stochastic_rounding_leaves_values_of_the_format_alone() -> None:
    fmt = FloatFormat(6, 9, rounding="stochastic")
    x = all_values(FP169).float()
    assert same(quantize(x, fmt), x)


def test_stochastic_rounding_by_seed() -> None:
    fmt = FloatFormat(6, 9, rounding="stochastic")
    x = torch.randn(10_000)

    def draw(seed: int) -> Tensor:
        return quantize(x, fmt, generator=torch.Generator().manual_seed(seed))

    assert same(draw(1), draw(1))
    assert not same(draw(1), draw(2))
    torch.manual_seed(1)
    assert same(quantize(x, fmt), draw(1))
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    assert same(_round(x, noise, fmt), draw(1))


def test_stochastic_rounding_at_the_top() -> None:
    x = torch.full((10_000,), FP169.max + 2.0**20)  # a quarter of the last distance
    rounded = quantize(x, FloatFormat(6, 9, rounding="stochastic"))
    assert set(rounded.tolist()) == {FP169.max, math.inf}
    assert 0.2 < rounded.isinf().float().mean() < 0.3
    kept = quantize(x, FloatFormat(6, 9, rounding="stochastic", overflow="saturate"))
    assert set(kept.tolist()) == {FP169.max}


def test_all_pairs_of_words_make_formats() -> None:
    words = itertools.product(
        ("infinity", "saturate"), ("nearest_even", "stochastic"), (True, False)
    )
    assert len({FloatFormat(6, 9, overflow=o, rounding=r, subnormals=s) for o, r, s in words}) == 8  # type: ignore[arg-type]
