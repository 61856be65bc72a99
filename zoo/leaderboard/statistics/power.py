"""How many seeds would decide: the power of a t test, by the noncentral t distribution.

The interval of n seeds excludes a threshold that is `distance` away from the mean with probability

    P(T > t(n - 1))      T noncentral t, n - 1 degrees of freedom, noncentrality distance sqrt(n) / s
"""

import math

from zoo.leaderboard.statistics.interval import LEVEL, t_quantile

MOST_SEEDS = 1000
POWER = 0.8


def power(distance: float, std: float, n: int, level: float = LEVEL) -> float:
    """Return the chance that the interval of n seeds lies on the right side of the threshold."""
    if std == 0:
        return 1.0 if distance else 0.0
    from scipy.special import nctdtr

    noncentrality = abs(distance) * math.sqrt(n) / std
    if noncentrality > 30:  # where nctdtr loses its digits the answer is 1 to all of them
        return 1.0
    return float(1 - nctdtr(n - 1, noncentrality, t_quantile(n - 1, level)))


def seeds_needed(
    *distances: float, std: float, wanted: float = POWER, level: float = LEVEL
) -> int | None:
    """Return the least number of seeds with this power; None where 1,000 are too few.

    Args:
        distances: of the mean to each threshold that the interval has to keep clear of: one, or for
            being within bounds two. (Missing either is at most as likely as the sum.)
        std: of one seed's value.
        wanted, level: the power, and the level of the interval.
    """

    def enough(n: int) -> bool:
        return sum(1 - power(d, std, n, level) for d in distances) <= 1 - wanted

    if not enough(MOST_SEEDS):
        return None
    low, high = 2, MOST_SEEDS  # power grows with n, so halving finds it
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
