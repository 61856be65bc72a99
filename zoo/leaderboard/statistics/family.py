"""Speed-up at equal quality, and quality at equal cost, between two families of models.

A family is a curve from cost to quality through the means of its groups, e.g. one model at three
sizes and two budgets. Who has many groups takes the best one that the cost allows, so a group that is
no better than a cheaper one is passed over: the curve is the family's frontier. Between two groups
of it quality is linear in log(cost). Beyond the ends nothing is known: a quality above the best costs infinitely much,
one below the cheapest group's costs what that does.

    speed-up(q) = cost of theirs at q / cost of ours at q
    gain(c)     = quality of ours at c - quality of theirs at c

Without a q or c these are means over the range that both curves have: of the log speed-up over q, of
the gain over log c, as in Bjontegaard's comparison of video codecs (2001, VCEG-M33). The interval is
of resampled means over the seeds of every group (`bootstrap.py`). A q or c that was asked for is held
fixed; the common range is taken anew from each draw's curves, since their ends are measured, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.leaderboard.statistics.bootstrap import DRAWS, SEED, resampled_means
from zoo.leaderboard.statistics.interval import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np

# A group is the (cost, quality) of each of its seeds; a family has two groups or more.
Family = Sequence[Sequence[tuple[float, float]]]
POINTS = 21  # of the common range


@dataclass(frozen=True, slots=True)
class Comparison:
    """A speed-up (a ratio) or a gain (a difference), and the range that it is a mean over."""

    value: float
    interval: Interval | None
    low: float
    high: float


def speed_up(
    ours: Family,
    theirs: Family,
    *,
    quality: float | None = None,
    direction: str = "max",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Comparison | None:
    """Return how many times less ours costs than theirs at equal quality.

    Args:
        ours, theirs: the families; costs are above zero.
        quality: at which; None for the mean over the common range.
        direction: whether more (`max`) or less (`min`) quality is better.
        level, draws, seed: of the interval.

    Returns:
        The ratio; None where the curves share no quality. Its interval is None where a group has
        one seed.
    """
    import numpy as np

    sign = 1.0 if direction == "max" else -1.0
    mine, other = _Curves(ours, sign), _Curves(theirs, sign)
    wanted = None if quality is None else sign * quality
    at = _common(mine.mean, other.mean, 1, wanted)
    if at is None:
        return None

    def logs(a: "np.ndarray", b: "np.ndarray") -> float:
        places = _common(a, b, 1, None) if wanted is None else at
        if places is None:
            return float("nan")
        with np.errstate(invalid="ignore"):
            return float(np.mean(_cost_at(b, places) - _cost_at(a, places)))

    value, interval = _measure(logs, mine, other, level, draws, seed)
    ends = sorted((sign * float(at[0]), sign * float(at[-1])))
    return _exponential(value, interval, ends)


def gain(
    ours: Family,
    theirs: Family,
    *,
    cost: float | None = None,
    direction: str = "max",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Comparison | None:
    """Return how much better ours is than theirs at equal cost; as for `speed_up`.

    It is positive where ours is better, whichever the direction.
    """
    import numpy as np

    sign = 1.0 if direction == "max" else -1.0
    mine, other = _Curves(ours, sign), _Curves(theirs, sign)
    wanted = None if cost is None else float(np.log(cost))
    at = _common(mine.mean, other.mean, 0, wanted)
    if at is None:
        return None

    def difference(a: "np.ndarray", b: "np.ndarray") -> float:
        places = _common(a, b, 0, None) if wanted is None else at
        if places is None:
            return float("nan")
        return float(np.mean(_quality_at(a, places) - _quality_at(b, places)))

    value, interval = _measure(difference, mine, other, level, draws, seed)
    return Comparison(value, interval, float(np.exp(at[0])), float(np.exp(at[-1])))


class _Curves:
    """The means of a family's groups, and draws of them: (log cost, quality), more is better."""

    def __init__(self, family: Family, sign: float) -> None:
        import numpy as np

        if len(family) < 2:
            raise ValueError("a family has two groups or more: a curve needs two points")
        self.groups = [np.array(g, dtype=float) for g in family]
        if any(not (g[:, 0] > 0).all() for g in self.groups):
            raise ValueError("a cost of zero or less has no logarithm")
        for g in self.groups:
            g[:, 0], g[:, 1] = np.log(g[:, 0]), sign * g[:, 1]
        self.mean = _running_best(np.array([g.mean(axis=0) for g in self.groups]))
        self.spread_known = all(len(g) > 1 for g in self.groups)

    def draw(self, draws: int, generator: "np.random.Generator") -> "np.ndarray":
        import numpy as np

        drawn = np.concatenate(
            [resampled_means(g[None], draws, generator) for g in self.groups], axis=1
        )
        return _running_best(drawn)


def _running_best(points: "np.ndarray") -> "np.ndarray":
    """Sort groups (..., G, 2) by cost, and give each the best quality up to there."""
    import numpy as np

    order = np.argsort(points[..., 0], axis=-1)
    curve = np.take_along_axis(points, order[..., None], axis=-2)
    curve[..., 1] = np.maximum.accumulate(curve[..., 1], axis=-1)
    return curve


def _common(
    a: "np.ndarray", b: "np.ndarray", axis: int, wanted: float | None
) -> "np.ndarray | None":
    """Return where to compare: the wanted place, or the common range; None outside of it."""
    import numpy as np

    low = max(a[:, axis].min(), b[:, axis].min())
    high = min(a[:, axis].max(), b[:, axis].max())
    if low > high or (wanted is not None and not low <= wanted <= high):
        return None
    return np.linspace(low, high, POINTS) if wanted is None else np.array([wanted])


def _measure(
    function: "Callable[[np.ndarray, np.ndarray], float]",
    mine: _Curves,
    other: _Curves,
    level: float,
    draws: int,
    seed: int,
) -> tuple[float, Interval | None]:
    import numpy as np

    value = function(mine.mean, other.mean)
    if not (mine.spread_known and other.spread_known):
        return value, None
    generator = np.random.default_rng(seed)
    pairs = zip(mine.draw(draws, generator), other.draw(draws, generator), strict=True)
    drawn = np.array([function(a, b) for a, b in pairs])
    # Neither reaches the quality: nothing is known of the ratio, so it may be anything.
    unknown = np.isnan(drawn)
    tail = (1 - level) / 2
    ends = [
        np.quantile(np.where(unknown, fill, drawn), at, method="inverted_cdf")
        for fill, at in ((-np.inf, tail), (np.inf, 1 - tail))
    ]
    return value, Interval(float(ends[0]), float(ends[1]), level)


def _exponential(value: float, interval: Interval | None, ends: list[float]) -> Comparison:
    import numpy as np

    if interval is not None:
        low, high = float(np.exp(interval.low)), float(np.exp(interval.high))
        interval = Interval(low, high, interval.level)
    return Comparison(float(np.exp(value)), interval, ends[0], ends[1])


def _cost_at(curve: "np.ndarray", wanted: "np.ndarray") -> "np.ndarray":
    """Return the least log cost at which the curve has the wanted qualities; inf above its best."""
    import numpy as np

    x, y = _frontier(curve)
    if len(x) == 1:
        return np.where(wanted > y[0], np.inf, x[0])
    # The first group that has it; its left neighbour has not, so the segment between them rises.
    right = np.searchsorted(y, wanted, side="left")
    inside = np.clip(right, 1, len(x) - 1)
    x0, x1, y0, y1 = x[inside - 1], x[inside], y[inside - 1], y[inside]
    between = x0 + (x1 - x0) * (wanted - y0) / (y1 - y0)
    return np.where(right == 0, x[0], np.where(right == len(x), np.inf, between))


def _quality_at(curve: "np.ndarray", wanted: "np.ndarray") -> "np.ndarray":
    """Return the quality at log costs; beyond an end, that of the end."""
    import numpy as np

    quality: np.ndarray = np.interp(wanted, *_frontier(curve))
    return quality


def _frontier(curve: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Return log costs and qualities of the groups that are better than every cheaper one."""
    import numpy as np

    x, y = curve[:, 0], curve[:, 1]
    better = np.concatenate([[True], y[1:] > y[:-1]])  # y is the running best
    return x[better], y[better]
