"""The exponents of a run's tensors: which number format's range holds them.

A share is counted by k = floor(log2 |x|), so an element lies in [2^k, 2^(k+1)). A format's normal
numbers are [2^emin, 2^(emax+1)); its subnormals, where it has them, reach down to
2^(emin - mantissa_bits). Zeros are counted apart, and what is missing to 1 is not finite.
"""

import itertools
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["weights", "activations", "gradients", "weight_gradients"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_STEPS = 64
MAX_LAYERS = 256
# Of fp32: its subnormals count as -127, and 2^-150 is where rounding to it makes a zero.
LOWEST, HIGHEST = -150, 127
_ROUNDING = 1e-3  # how far a row of rounded shares may be above 1

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FormatRange(_Part):
    """What a number format can hold."""

    emin: int = Field(ge=-16382, le=16383)
    emax: int = Field(ge=-16382, le=16383)
    mantissa_bits: int = Field(ge=0, le=112)
    subnormals: bool

    @model_validator(mode="after")
    def _ordered(self) -> "FormatRange":
        if self.emin > self.emax:
            raise ValueError("emin must not be above emax")
        return self

    def edges(self) -> tuple[int, int, int | None]:
        """Return the exponents of overflow, the least normal and the least subnormal number.

        >>> FormatRange(emin=-14, emax=15, mantissa_bits=10, subnormals=True).edges()
        (16, -14, -24)
        """
        return self.emax + 1, self.emin, self.emin - self.mantissa_bits if self.subnormals else None


class _Shares(_Part):
    """One row of shares for each column of the heat map, from the exponent `low` upwards."""

    low: int = Field(ge=LOWEST, le=HIGHEST)
    share: list[list[Share]]
    zero: list[Share]

    def _check(self, names: int) -> None:
        if not len(self.share) == len(self.zero) == names:
            raise ValueError("the lists of ranges must be of equal length")
        widths = {len(row) for row in self.share}
        if len(widths) != 1:
            raise ValueError("the rows of shares must be of equal length")
        width = widths.pop()
        if not 1 <= width <= HIGHEST + 1 - self.low:
            raise ValueError(f"exponents must lie in {LOWEST}..{HIGHEST}")
        for row, zero in zip(self.share, self.zero, strict=True):
            if sum(row) + zero > 1 + _ROUNDING:
                raise ValueError("the shares of a row must not add up to more than 1")


class OverTraining(_Shares):
    """A kind of tensor in all layers together, at each monitored step."""

    step: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=MAX_STEPS)

    @model_validator(mode="after")
    def _consistent(self) -> "OverTraining":
        self._check(len(self.step))
        if any(a >= b for a, b in itertools.pairwise(self.step)):
            raise ValueError("steps must increase")
        return self


class ByLayer(_Shares):
    """A kind of tensor in each layer, over the whole run, in the order of the model."""

    layer: list[str] = Field(min_length=1, max_length=MAX_LAYERS)

    @model_validator(mode="after")
    def _consistent(self) -> "ByLayer":
        self._check(len(self.layer))
        return self


class Ranges(_Part):
    """What a run's tensors were, beside the formats that could hold them."""

    formats: dict[str, FormatRange]
    over_training: dict[Kind, OverTraining]
    by_layer: dict[Kind, ByLayer]
