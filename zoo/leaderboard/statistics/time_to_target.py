"""Cost up to a target on the mean curve over seeds.

The mean of single runs' costs depends on lucky peaks: each run stops at its first. The mean curve is
smoother, and has a cost even where one run never gets there. All runs must have been evaluated at
the same places, else their values could not be averaged: nothing is interpolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.leaderboard.statistics.bootstrap import DRAWS, SEED, resampled_means
from zoo.leaderboard.statistics.interval import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class ToTarget:
    """The cost of the first point at which the mean curve has the target; inf: it never has."""

    cost: float
    interval: Interval | None


def time_to_target(
    costs: Sequence[Sequence[float]],
    values: Sequence[Sequence[float]],
    target: float,
    direction: str = "max",
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> ToTarget:
    """Read a target off the mean curve of several seeds.

    Args:
        costs: (n, points), of each run at each evaluation; averaged over runs, too.
        values: (n, points), the metric there.
        target: the value to reach.
        direction: `max` where more is better.
        level, draws, seed: of the interval over seeds.

    Raises:
        ValueError: the runs were not evaluated equally often.
    """
    import numpy as np

    if len({len(row) for row in [*costs, *values]}) != 1:
        raise ValueError("the runs were evaluated at different places; take the same grid for all")
    runs = np.stack([np.array(costs, dtype=float), np.array(values, dtype=float)], axis=-1)
    sign = 1.0 if direction == "max" else -1.0

    def first(curve: "np.ndarray") -> float:
        reached = np.flatnonzero(sign * curve[:, 1] >= sign * target)
        return float(curve[reached[0], 0]) if len(reached) else float("inf")

    n, points, _ = runs.shape
    cost = first(runs.mean(axis=0))
    if n < 2:
        return ToTarget(cost, None)
    drawn = resampled_means(runs.reshape(1, n, points * 2), draws, np.random.default_rng(seed))
    firsts = np.array([first(row.reshape(points, 2)) for row in drawn[:, 0]])
    tail = (1 - level) / 2
    low, high = np.quantile(firsts, [tail, 1 - tail], method="inverted_cdf")
    return ToTarget(cost, Interval(float(low), float(high), level))
