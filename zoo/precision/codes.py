"""The integer codes of a format, so that a tensor can be stored in as many bits as it has.

Sign, then exponent, then mantissa, the sign in the highest bit: in 1/6/9, 1.0 is 0x3E00.
"""

import torch
from torch import Tensor

from zoo.precision.formats import FloatFormat
from zoo.precision.rounding import quantize


def code_dtype(fmt: FloatFormat) -> torch.dtype:
    """Return the integer type of a format's codes: uint8, uint16 or, above 16 bits, int32."""
    return torch.uint8 if fmt.bits <= 8 else torch.uint16 if fmt.bits <= 16 else torch.int32


def encode(x: Tensor, fmt: FloatFormat, *, generator: torch.Generator | None = None) -> Tensor:
    """Round a tensor to a format and return the codes.

    Args:
        x: as `quantize` takes it.
        fmt: the format.
        generator: as for `quantize`.

    Returns:
        Codes of x's shape, of `code_dtype(fmt)`. NaN has one code, positive and quiet.

    Raises:
        TypeError: see `quantize`.
    """
    # fp64, since there the format's subnormals are normal numbers, of whatever width.
    values = quantize(x.detach(), fmt, generator=generator).double()
    m, ones = fmt.mantissa_bits, (1 << fmt.exponent_bits) - 1
    bits = values.view(torch.int64)
    negative = bits < 0
    exponent = ((bits >> 52) & 0x7FF) - 1023
    field = exponent - fmt.emin + (0 if fmt.specials == "merged" else 1)
    fraction = (bits & ((1 << 52) - 1)) >> (52 - m)
    normal = (field << m) | fraction
    # Counted in the smallest of them; the zeros are among them.
    subnormal = (values.abs() * 2.0 ** (m - fmt.emin)).nan_to_num(0, 0, 0).long()
    code = torch.where(exponent < fmt.emin, subnormal, normal)
    infinity = ones << m if fmt.specials == "ieee" else (ones + 1 << m) - 1
    code = torch.where(values.isinf(), infinity, code)
    code = torch.where(negative, code | (1 << (fmt.bits - 1)), code)
    nan = (ones << m) | (1 << (m - 1)) if fmt.specials == "ieee" else (ones + 1 << m) - 1
    return torch.where(values.isnan(), nan, code).to(code_dtype(fmt))


def decode(codes: Tensor, fmt: FloatFormat) -> Tensor:
    """Return the values of a format's codes.

    Args:
        codes: an integer tensor of any shape; only the lowest `fmt.bits` bits count.
        fmt: the format. Without subnormals, their codes are zero with their sign.

    Returns:
        The values in fp32.

    Raises:
        TypeError: the codes are not integers.
    """
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise TypeError(f"decode: codes are {codes.dtype}; pass the integers that encode returned")
    m, ones = fmt.mantissa_bits, (1 << fmt.exponent_bits) - 1
    codes = codes.to(torch.int64)
    field, fraction = (codes >> m) & ones, codes & ((1 << m) - 1)
    lowest = field == 0
    if fmt.specials == "merged":
        lowest = lowest & (fraction == 0)
        exponent = field + fmt.emin
    else:
        exponent = field.clamp(min=1) + fmt.emin - 1
    significand = torch.where(lowest, fraction, fraction + (1 << m)).double()
    # 2^exponent by its bits: exact, which a power computed in floating point need not be.
    values = significand * 2.0**-m * ((exponent + 1023) << 52).view(torch.float64)
    if not fmt.subnormals:
        values = torch.where(lowest, 0.0, values)
    if fmt.specials == "ieee":
        values = torch.where(
            field == ones, torch.where(fraction == 0, torch.inf, torch.nan), values
        )
    else:
        top = (field == ones) & (fraction == (1 << m) - 1)
        values = torch.where(top, torch.nan, values)
    negative = (codes >> (fmt.bits - 1)) & 1 == 1
    return torch.where(negative, -values, values).float()
