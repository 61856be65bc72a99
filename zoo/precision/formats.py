"""Binary floating-point formats by their widths, and the ones that have names.

A format of e exponent bits and m mantissa bits holds ±k·2^(E-m), where E is an exponent from
emin to emax and the integer k has at most m + 1 bits. IEEE 754's rules: bias = 2^(e-1) - 1,
emin = 1 - bias, emax = bias, and the top exponent kept for infinities and NaN. 1/6/9 (Popescu et
al. 2021, arXiv 2103.15940) is FloatFormat(6, 9).
"""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

Overflow = Literal["infinity", "saturate"]
Rounding = Literal["nearest_even", "nearest_away", "toward_zero", "stochastic"]
Specials = Literal["ieee", "no_infinity", "merged"]
Flush = Literal["after_rounding", "before_rounding"]

# fp32 has to hold every value of a format, and the format's exponents to be some of fp32's.
EXPONENT_BITS = range(2, 9)
MANTISSA_BITS = range(1, 24)


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary floating-point format, and how values are rounded to it.

    Args:
        exponent_bits: e, from 2 to 8.
        mantissa_bits: m, the explicit ones, from 1 to 23.
        subnormals: whether there are values below `min_normal`; without them a result that would
            be one is zero, with its sign.
        overflow: what a finite value beyond `max` becomes: infinity (NaN where the format has no
            infinity), or ±max. Infinity itself stays infinity wherever the format has one.
        rounding: to the nearest, ties to even or away from zero; toward zero, where overflow
            stops at ±max as IEEE 754 has it; or stochastic, up with the probability of the
            fraction that is cut off.
        specials: `ieee`; `no_infinity`, the top exponent holds values too, but for the top code,
            which is NaN (fp8_e4m3 of the OCP); or `merged`, values in the top and in the lowest
            exponent, the top code stands for NaN and infinity together, the lowest for zero
            (DLFloat, which has no subnormals).
        flush: without subnormals, whether a value just below `min_normal` that rounds to it is
            kept (after_rounding) or is zero (before_rounding).

    Raises:
        ValueError: a width or a word outside of these.
    """

    exponent_bits: int
    mantissa_bits: int
    _: KW_ONLY
    subnormals: bool = True
    overflow: Overflow = "infinity"
    rounding: Rounding = "nearest_even"
    specials: Specials = "ieee"
    flush: Flush = "after_rounding"

    def __post_init__(self) -> None:
        for name, widths in (("exponent_bits", EXPONENT_BITS), ("mantissa_bits", MANTISSA_BITS)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value not in widths:
                raise ValueError(
                    f"{name}={value}: must be a whole number from {widths[0]} to {widths[-1]}"
                )
        for name, words in (
            ("overflow", get_args(Overflow)),
            ("rounding", get_args(Rounding)),
            ("specials", get_args(Specials)),
            ("flush", get_args(Flush)),
        ):
            if getattr(self, name) not in words:
                raise ValueError(f"{name}={getattr(self, name)}: must be {' or '.join(words)}")
        if not isinstance(self.subnormals, bool):
            raise ValueError(f"subnormals={self.subnormals}: must be true or false")
        if self.specials == "merged" and self.subnormals:
            raise ValueError("specials=merged: has no subnormals, so subnormals must be false")
        if self.specials != "ieee" and self.exponent_bits == 8:
            raise ValueError(
                f"specials={self.specials}: reaches beyond fp32 with exponent_bits=8; type 7 or less"
            )

    @property
    def bits(self) -> int:
        """Width in bits, the sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is taken from the exponent field: 2^(e-1) - 1."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def emin(self) -> int:
        """Exponent of the lowest normal binade."""
        return -self.bias if self.specials == "merged" else 1 - self.bias

    @property
    def emax(self) -> int:
        """Exponent of the highest binade."""
        return self.bias if self.specials == "ieee" else self.bias + 1

    @property
    def max(self) -> float:
        """Largest finite value."""
        # Where the top code of the top exponent is taken, the one below it is the largest.
        taken = 1 if self.specials == "ieee" else 2
        return math.ldexp(2 ** (self.mantissa_bits + 1) - taken, self.emax - self.mantissa_bits)

    @property
    def min_normal(self) -> float:
        """Smallest normal value."""
        # Merged, the lowest code of the lowest exponent is zero.
        first = 1 if self.specials == "merged" else 0
        return math.ldexp(2**self.mantissa_bits + first, self.emin - self.mantissa_bits)

    @property
    def min_subnormal(self) -> float:
        """Smallest value above zero, `min_normal` in a format without subnormals."""
        if not self.subnormals:
            return self.min_normal
        return math.ldexp(1.0, self.emin - self.mantissa_bits)

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next value, 2^-m."""
        return math.ldexp(1.0, -self.mantissa_bits)


# What `precision.quantize.*=NAME` and the range monitor know. To add one: a line here, and a file in
# conf/precision/ where it is to be typed alone, as precision=NAME.
FORMATS: dict[str, FloatFormat] = {
    "fp169": FloatFormat(6, 9),
    "fp169_ftz": FloatFormat(6, 9, subnormals=False),
    "fp1411": FloatFormat(4, 11),
    "fp16": FloatFormat(5, 10),
    "fp16_ftz": FloatFormat(5, 10, subnormals=False),
    "fp178": FloatFormat(7, 8),
    "bf16": FloatFormat(8, 7),
    "tf32": FloatFormat(8, 10),
    # Agrawal et al., ARITH 2019: ties away from zero, no subnormals.
    "dlfloat": FloatFormat(6, 9, subnormals=False, rounding="nearest_away", specials="merged"),
    # OCP 8-bit floating point: E4M3 gives up its infinities for a binade.
    "fp8_e4m3": FloatFormat(4, 3, specials="no_infinity"),
    "fp8_e5m2": FloatFormat(5, 2),
}
