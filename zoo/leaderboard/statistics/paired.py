"""Paired comparison over seeds: the same seed, the same order of the data, another method.

With the differences d_i over the n seeds that both have:

    effect = mean(d)      t = effect sqrt(n) / s(d)      p = 2 P(T(n - 1) > |t|)

Many comparisons find something by chance; `holm` raises their p-values so that the chance of any
false one stays below the level (Holm 1979, A simple sequentially rejective multiple test procedure).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.leaderboard.statistics.interval import LEVEL, Interval, mean_interval


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean difference over seeds; `std` is that of the differences."""

    effect: float
    std: float | None
    n: int
    interval: Interval | None
    p: float | None


def compare(
    ours: Mapping[int, float], theirs: Mapping[int, float], level: float = LEVEL
) -> Paired | None:
    """Compare two groups over the seeds that both have; None where there is no such seed.

    Args:
        ours, theirs: value by seed; the effect is the mean of ours - theirs.
        level: of the interval.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    return summarise([ours[s] - theirs[s] for s in seeds], level=level) if seeds else None


def summarise(values: Sequence[float], null: float = 0.0, level: float = LEVEL) -> Paired:
    """Return mean, interval and the p-value of the mean being `null`, over one value a seed."""
    n, mean = len(values), statistics.fmean(values)
    std = statistics.stdev(values) if n > 1 else None
    return Paired(mean, std, n, mean_interval(mean, std, n, level), _p_value(mean - null, std, n))


def _p_value(effect: float, std: float | None, n: int) -> float | None:
    if std is None:
        return None
    if std == 0:
        return 1.0 if effect == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(effect) * math.sqrt(n) / std))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = least
    return corrected
