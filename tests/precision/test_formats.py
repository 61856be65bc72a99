"""The derived numbers of a format against the tables, gfloat and torch."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.precision.oracles import NAMED, all_values
from zoo.config import compose
from zoo.errors import UserError
from zoo.overrides import groups
from zoo.precision import FORMATS, FloatFormat, emulated


def test_the_constants_of_1_6_9() -> None:
    fmt = FloatFormat(6, 9)
    assert (fmt.bits, fmt.bias, fmt.emin, fmt.emax) == (16, 31, -30, 31)
    assert fmt.max == 4290772992
    assert fmt.min_normal == 2.0**-30 == pytest.approx(9.313e-10, rel=1e-4)
    assert fmt.min_subnormal == 2.0**-39 == pytest.approx(1.819e-12, rel=1e-4)
    assert fmt.epsilon == 2.0**-9


def test_the_constants_of_dlfloat() -> None:
    fmt = FORMATS["dlfloat"]
    assert fmt.max == 8573157376 == 2**32 * (1 + 510 / 512)
    assert fmt.min_normal == fmt.min_subnormal == 2**-31 * (1 + 1 / 512)


@pytest.mark.parametrize(
    ("fmt", "dtype"),
    [
        (FloatFormat(5, 10), torch.float16),
        (FloatFormat(8, 7), torch.bfloat16),
        (FloatFormat(8, 23), torch.float32),
        (FORMATS["fp8_e4m3"], torch.float8_e4m3fn),
        (FORMATS["fp8_e5m2"], torch.float8_e5m2),
    ],
)
def test_torch_has_the_same_constants(fmt: FloatFormat, dtype: torch.dtype) -> None:
    theirs = torch.finfo(dtype)
    assert fmt.max == theirs.max
    assert fmt.epsilon == theirs.eps
    assert fmt.min_normal == theirs.smallest_normal


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_gfloat_finds_the_same_extremes_among_all_codes(name: str, fmt: FloatFormat) -> None:
    positive = all_values(fmt)[: 2 ** (fmt.bits - 1)]
    finite = positive[positive.isfinite() & (positive > 0)]
    normal = finite[finite >= fmt.min_normal]
    assert finite.max() == fmt.max
    assert normal.min() == fmt.min_normal
    if fmt.subnormals:
        assert finite.min() == fmt.min_subnormal
    assert (positive > 1).nonzero()[0] - (positive == 1).nonzero()[0] == 1
    assert positive[(positive > 1).nonzero()[0]] - 1 == fmt.epsilon


@given(st.integers(2, 8), st.integers(1, 23))
def test_the_constants_of_any_widths(e: int, m: int) -> None:
    fmt = FloatFormat(e, m)
    assert fmt.max == (2 - 2.0**-m) * 2.0 ** (2 ** (e - 1) - 1)
    assert fmt.min_normal == 2.0 ** (2 - 2 ** (e - 1))
    assert fmt.min_subnormal == fmt.min_normal * fmt.epsilon
    assert math.isfinite(fmt.max)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"exponent_bits": 9}, "exponent_bits=9: must be a whole number from 2 to 8"),
        ({"exponent_bits": 1}, "exponent_bits=1: must be a whole number from 2 to 8"),
        ({"mantissa_bits": 0}, "mantissa_bits=0: must be a whole number from 1 to 23"),
        ({"mantissa_bits": 24}, "mantissa_bits=24: must be a whole number from 1 to 23"),
        ({"exponent_bits": 6.0}, "exponent_bits=6.0: must be a whole number"),
        ({"exponent_bits": True}, "exponent_bits=True: must be a whole number"),
        ({"rounding": "up"}, "rounding=up: must be nearest_even or"),
        ({"overflow": "wrap"}, "overflow=wrap: must be infinity or saturate"),
        ({"specials": "merged"}, "specials=merged: has no subnormals, so subnormals must be false"),
        ({"exponent_bits": 8, "specials": "no_infinity"}, "reaches beyond fp32"),
        ({"subnormals": "no"}, "subnormals=no: must be true or false"),
    ],
)
def test_what_is_no_format_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        FloatFormat(**{"exponent_bits": 6, "mantissa_bits": 9, **arguments})  # type: ignore[arg-type]


def test_a_format_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FloatFormat(6, 9).exponent_bits = 5  # type: ignore[misc]


@pytest.mark.parametrize("precision", groups()["precision"])
def test_a_preset_has_the_widths_of_its_name(precision: str) -> None:
    section = compose([f"precision={precision}"]).precision
    if "exponent_bits" not in section or precision == "custom":
        return
    words = ("subnormals", "overflow", "rounding", "specials", "flush")
    fmt = FloatFormat(
        section.exponent_bits, section.mantissa_bits, **{w: section[w] for w in words}
    )
    # Trained in E4M3, what is beyond 448 is 448: NaN, the format's own rule, ends the run.
    named = FORMATS[precision.removesuffix("_emulated")]
    saturating = replace(named, overflow="saturate")
    assert fmt == (saturating if precision == "fp8_e4m3" else named)


@pytest.mark.parametrize(("name", "fmt"), NAMED)
def test_every_format_has_a_preset(name: str, fmt: FloatFormat) -> None:
    assert name in groups()["precision"] or f"{name}_emulated" in groups()["precision"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"exponent_bits": 9}, "precision.exponent_bits=9: must be"),
        ({"quantize": {"weights": "fp168"}}, "precision.quantize.weights=fp168: no such format"),
        ({"loss_scale": "big"}, "precision.loss_scale=big: must be none, dynamic, or a number"),
        ({"loss_scale": 0}, "precision.loss_scale=0: must be"),
        ({"loss_scale": math.inf}, "precision.loss_scale=inf: must be"),
        ({"device": "mps"}, "type trainer.accelerator=cpu"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(
    arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        emulated(**{"exponent_bits": 6, "mantissa_bits": 9, "device": "cpu", **arguments})  # type: ignore[arg-type]
