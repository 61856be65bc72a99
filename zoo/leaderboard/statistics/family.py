"""Speed-up at equal quality, and quality at equal cost, between two families of models.

A family is a curve from cost to quality through the means of its groups, e.g. one model at three
sizes. Between two groups quality is linear in log(cost), and beyond the ends their segment goes on;
where the curve is flat or falls there, a better quality costs infinitely much.

    speed-up(q) = cost of theirs at q / cost of ours at q
    gain(c)     = quality of ours at c - quality of theirs at c

Without a q or c these are means over the range that both curves have: of the log speed-up over q, of
the gain over log c, as in Bjontegaard's comparison of video codecs (2001, VCEG-M33). The interval is
of resampled means over the seeds of every group (`bootstrap.py`), with q and c held fixed.
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
    low = max(mine.mean[:, 1].min(), other.mean[:, 1].min())
    high = min(mine.mean[:, 1].max(), other.mean[:, 1].max())
    at = _positions(low, high, None if quality is None else sign * quality)
    if at is None:
        return None

    def logs(a: "np.ndarray", b: "np.ndarray") -> float:
        with np.errstate(invalid="ignore"):
            return float(np.mean(_cost_at(b, at) - _cost_at(a, at)))

    value, interval = _measure(logs, mine, other, level, draws, seed)
    ends = sorted((sign * float(at[0]), sign * float(at[-1])))
    return _exponential(value, interval, ends)


def gain(
    ours: Family,
    theirs: Family,
    *,
    cost: float | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Comparison | None:
    """Return how much more quality ours has than theirs at equal cost; as for `speed_up`."""
    import numpy as np

    mine, other = _Curves(ours, 1.0), _Curves(theirs, 1.0)
    low = max(mine.mean[:, 0].min(), other.mean[:, 0].min())
    high = min(mine.mean[:, 0].max(), other.mean[:, 0].max())
    at = _positions(low, high, None if cost is None else float(np.log(cost)))
    if at is None:
        return None

    def difference(a: "np.ndarray", b: "np.ndarray") -> float:
        return float(np.mean(_quality_at(a, at) - _quality_at(b, at)))

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
        self.mean = np.array([g.mean(axis=0) for g in self.groups])
        self.mean = self.mean[np.argsort(self.mean[:, 0])]
        self.spread_known = all(len(g) > 1 for g in self.groups)

    def draw(self, draws: int, generator: "np.random.Generator") -> "np.ndarray":
        import numpy as np

        drawn = np.concatenate(
            [resampled_means(g[None], draws, generator) for g in self.groups], axis=1
        )
        order = np.argsort(drawn[..., 0], axis=1)
        return np.take_along_axis(drawn, order[..., None], axis=1)


def _positions(low: float, high: float, wanted: float | None) -> "np.ndarray | None":
    """Return where to compare: the wanted place, or the common range; None outside of it."""
    import numpy as np

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
    """Return the least log cost at which the curve has the wanted qualities."""
    import numpy as np

    x, y = curve[:, 0], curve[:, 1]
    slope = np.diff(y) / np.maximum(np.diff(x), 1e-12)
    result = np.full(len(wanted), np.inf)
    for i in range(len(slope) - 1, -1, -1):  # an earlier crossing replaces a later one
        if slope[i] <= 0:
            continue
        first, last = i == 0, i == len(slope) - 1
        inside = ((wanted >= y[i]) | first) & ((wanted <= y[i + 1]) | last)
        result = np.where(inside, x[i] + (wanted - y[i]) / slope[i], result)
    # A curve that starts above the wanted quality, and falls, has it at its start.
    return np.where(np.isinf(result) & (wanted <= y[0]), x[0], result)


def _quality_at(curve: "np.ndarray", wanted: "np.ndarray") -> "np.ndarray":
    """Return the quality at log costs, by the segment that each is in, or is nearest to."""
    import numpy as np

    x, y = curve[:, 0], curve[:, 1]
    slope = np.diff(y) / np.maximum(np.diff(x), 1e-12)
    i = np.clip(np.searchsorted(x, wanted) - 1, 0, len(slope) - 1)
    return y[i] + slope[i] * (wanted - x[i])
