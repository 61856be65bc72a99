"""The interval of a mean over a few seeds: Student's t.

    mean ± t(n - 1, 1 - (1 - level) / 2) s / sqrt(n)

Why not a bootstrap: with three runs there are ten different resamples. Their percentiles cover the
mean in 3 of 4 cases where 95% are promised, and a studentised bootstrap divides by the spread of
resamples that hold one run three times. docs/boards.md has the simulation, normal and skewed;
`coverage.py` makes it again.
"""

import functools
import math
from dataclasses import dataclass

LEVEL = 0.95
METHOD = "Student's t over seeds"


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a quantity is believed to be, at a level of confidence."""

    low: float
    high: float
    level: float = LEVEL

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@functools.lru_cache(maxsize=4096)
def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """Return the half-width of a two-sided interval in standard errors.

    >>> round(t_quantile(2), 3), round(t_quantile(4), 3)
    (4.303, 2.776)
    """
    # scipy.stats takes half a second to import, this a tenth.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def mean_interval(mean: float, std: float | None, n: int, level: float = LEVEL) -> Interval | None:
    """Return the interval of a mean, or None where one run tells no spread.

    Args:
        mean, std: of the n values; std with n - 1 in its denominator.
        n: number of values.
        level: of confidence.
    """
    if std is None or n < 2:
        return None
    half = t_quantile(n - 1, level) * std / math.sqrt(n)
    return Interval(mean - half, mean + half, level)
