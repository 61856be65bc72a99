"""Other people's formats: gfloat's description of each of ours, and its rounding."""

import gfloat
import numpy as np
import torch
from gfloat.types import Domain
from torch import Tensor

from zoo.precision import FORMATS, FloatFormat

MODES = {
    "nearest_even": gfloat.RoundMode.TiesToEven,
    "nearest_away": gfloat.RoundMode.TiesToAway,
    "toward_zero": gfloat.RoundMode.TowardZero,
}


def info(fmt: FloatFormat, *, subnormals: bool = True) -> gfloat.FormatInfo:
    """Describe a format to gfloat, flushing aside (which gfloat does not know)."""
    merged = fmt.specials == "merged"
    return gfloat.FormatInfo(
        name=f"1_{fmt.exponent_bits}_{fmt.mantissa_bits}",
        k=1 + fmt.exponent_bits + fmt.mantissa_bits,
        precision=fmt.mantissa_bits + 1,
        bias=2 ** (fmt.exponent_bits - 1) - 1,
        is_signed=True,
        domain=Domain.Extended if fmt.specials == "ieee" else Domain.Finite,
        has_nz=True,
        num_high_nans=2**fmt.mantissa_bits - 1 if fmt.specials == "ieee" else 1,
        has_subnormals=not merged and subnormals,
        is_twos_complement=False,
    )


def all_values(fmt: FloatFormat) -> Tensor:
    """Return gfloat's value of every code, in the order of the codes."""
    codes = np.arange(2**fmt.bits)
    return torch.from_numpy(gfloat.decode_ndarray(info(fmt), codes))


def expected(x: Tensor, fmt: FloatFormat) -> Tensor:
    """Round fp32 values with gfloat, in fp64; flush what has no code, as the format's words say."""
    wide = x.double().numpy()
    described = info(fmt)
    with np.errstate(all="ignore"):
        rounded = gfloat.round_ndarray(
            described, wide, MODES[fmt.rounding], sat=fmt.overflow == "saturate"
        )
    result = torch.from_numpy(np.asarray(rounded))
    if fmt.overflow == "saturate" and fmt.specials == "ieee":
        result = torch.where(x.isinf(), x.double(), result)  # gfloat saturates infinity, too
    if not fmt.subnormals:
        judged = result if fmt.flush == "after_rounding" else x.double()
        tiny = judged.abs() < fmt.min_normal
        result = torch.where(tiny, torch.zeros_like(result).copysign(x.double()), result)
    return result


def bits(x: Tensor) -> Tensor:
    """Return the patterns of fp32 values, every NaN as one: what two equal tensors share."""
    x = x.float()
    return torch.where(x.isnan(), torch.tensor(0x7FC00000, dtype=torch.int32), x.view(torch.int32))


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal in every bit, NaN equal to NaN and -0 not to 0."""
    return a.shape == b.shape and bool((bits(a) == bits(b)).all())


NAMED = list(FORMATS.items())
