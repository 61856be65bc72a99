"""Counts of binary exponents: how often floor(log2|x|) is each of fp32's, and what a format loses.

The shares that a format would lose are read from counts, so that one fp32 run answers for any
number of formats at once.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zoo.precision.formats import FloatFormat
from zoo.precision.rounding import as_vector

LOWEST = -127  # where fp32's own subnormals are counted, whatever their exponent
BINS = 256  # exponents -127 .. 127, and the last for infinities and NaN


@dataclass
class Exponents:
    """How many elements have which exponent.

    `counts[i]` is the number of those with exponent `LOWEST + i`; `zeros` have none. `beyond`
    holds, for a format, those that round to more than its largest value.
    """

    counts: Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.int64))
    zeros: int = 0
    beyond: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Tensor, formats: dict[str, FloatFormat]) -> "Exponents":
        """Count a tensor's exponents, and its overflows in some formats."""
        vector = as_vector(x.detach().float())
        fields = (vector.view(torch.int32) >> 23).bitwise_and_(0xFF)
        counts = torch.bincount(fields, minlength=BINS).cpu()
        zeros = int(counts[0])
        if zeros:  # zeros share a field with fp32's subnormals
            zeros = vector.numel() - int(vector.count_nonzero())
            counts[0] -= zeros
        beyond = {}
        for name, fmt in formats.items():
            # Exponents tell it but for those next to the largest value: these are looked at.
            near = int(counts[fmt.emax - LOWEST :].sum())
            beyond[name] = near and int((~(vector.abs() < overflow_threshold(fmt))).sum())
        return cls(counts, zeros, beyond)

    def add(self, other: "Exponents") -> None:
        """Add the counts of another tensor."""
        self.counts += other.counts
        self.zeros += other.zeros
        for name, count in other.beyond.items():
            self.beyond[name] = self.beyond.get(name, 0) + count

    @property
    def total(self) -> int:
        """Number of elements."""
        return int(self.counts.sum()) + self.zeros

    def below(self, exponent: int) -> int:
        """Return how many elements that are not zero are smaller than 2^exponent."""
        return int(self.counts[: max(exponent - LOWEST, 0)].sum())

    def lost(self, name: str, fmt: FloatFormat) -> dict[str, float]:
        """Return the shares of the elements that are not zero which a format does not hold well.

        `subnormal`: below its normal range and above what rounds to zero; `underflow`: rounded to
        zero, which is below half of the smallest subnormal, and in a format without subnormals
        below the normal range (2^emin); `overflow`: rounded beyond its largest value, infinities
        and NaN counted.
        """
        nonzero = max(self.total - self.zeros, 1)
        below = self.below(fmt.emin)
        gone = self.below(fmt.emin - fmt.mantissa_bits - 1) if fmt.subnormals else below
        return {
            "subnormal": (below - gone) / nonzero,
            "underflow": gone / nonzero,
            "overflow": self.beyond.get(name, 0) / nonzero,
        }


def overflow_threshold(fmt: FloatFormat) -> float:
    """Return the smallest value that rounds (to the nearest) beyond the largest of a format."""
    half = 2.0 ** (fmt.emax - fmt.mantissa_bits - 1)
    return min(fmt.max + half, torch.finfo(torch.float32).max)
