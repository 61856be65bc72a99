"""How fast a method can be: the least half-life over learning rate and momentum.

The error of a direction of curvature lambda shrinks as r(eta lambda)^t, r the largest |root|. Over
a spectrum with condition number kappa, h = eta lambda fills [h_max / kappa, h_max], and the slowest
direction counts:

    H = ln 0.5 / ln r       steps in which the error halves
    H*(kappa) = min over m, h_max of max over h in [h_max / kappa, h_max] of H(m, h)

To find H*, turn it around: at a radius R, how wide is a window of h in which all roots are within
R, on a logarithmic axis? H* is the half-life of the smallest R that has a window of width kappa. The
windows only grow with R, so bisection finds it; each step asks `inside` on a grid of m and h. Without
delay, heavy ball has r = (sqrt(kappa) - 1) / (sqrt(kappa) + 1).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.delay.analysis.polynomials import Method, of_method, radius
from zoo.delay.analysis.unit_disc import inside

Array = NDArray[np.float64]

# Two passes on grids: all momenta and rates, then those around the best of the first pass. The
# optimum is a narrow valley beside the stability limit, so a last search zooms into it.
_DECADES = 5  # of 1 - m
_MOMENTA, _PER_DECADE = 49, 25
_NEAR_MOMENTA, _NEAR_PER_DECADE = 25, 80
_ZOOMS, _SIDE, _WINDOW = 8, 5, 24


@dataclass(frozen=True, slots=True)
class Optimum:
    """The least half-life, in steps, and where it is; `rate` is eta lambda_max."""

    half_life: float
    momentum: float
    rate: float


def half_life(rate: float) -> float:
    """Return the steps in which r^t halves; infinite where it does not.

    >>> half_life(0.5), half_life(1.0)
    (1.0, inf)
    """
    return math.log(0.5) / math.log(rate) if 0 < rate < 1 else 0.0 if rate <= 0 else math.inf


def least_half_life(method: Method, delay: int, kappa: float) -> Optimum:
    """Return the least half-life over momentum and learning rate, to about 2% from kappa = 2 on.

    The half-life is one that is reached: the slowest direction's, at this momentum and rate.

    Args:
        method: of METHODS.
        delay: D, in steps.
        kappa: the condition number, at least 1.
    """
    momenta = 1 - np.logspace(0, -_DECADES, _MOMENTA)
    grid = np.arange(math.log10(1e-5 / kappa), math.log10(4.0), 1 / _PER_DECADE)
    first = _search(method, delay, kappa, momenta, 10**grid, (0.05, 1e9))
    if first is None:
        raise ValueError(f"{method.label}: no stable window of width {kappa:g} at delay {delay}")
    found, m, top = first

    near = 1.5 * _DECADES / (_MOMENTA - 1)  # one and a half steps of the first grid
    momenta = 1 - np.clip((1 - m) * np.logspace(-near, near, _NEAR_MOMENTA), 0, 1)
    ends = math.log10(top / kappa / 2), math.log10(min(4.0, top * 2))
    grid = np.arange(*ends, 1 / _NEAR_PER_DECADE)
    second = _search(method, delay, kappa, momenta, 10**grid, (found / 1.5, found))
    _, m, top = second or first

    m, top = _zoom(method, delay, kappa, m, top)
    return Optimum(half_life(_slowest(method, delay, kappa, m, top, 400)), m, top)


def _slowest(method: Method, delay: int, kappa: float, m: float, top: float, points: int) -> float:
    """Return the largest rate over h in [top / kappa, top]."""
    h = np.geomspace(top / kappa, top, points)
    return float(radius(of_method(method, m, delay), h).max())


def _zoom(method: Method, delay: int, kappa: float, m: float, top: float) -> tuple[float, float]:
    """Move to the best of a small grid around the optimum, and halve the grid; and again."""
    spread = 3 / _NEAR_PER_DECADE  # decades of 1 - m and of h
    points, best = _WINDOW if kappa > 1 else 1, math.inf
    for _ in range(_ZOOMS):
        centre = m, top
        for i, j in itertools.product(np.linspace(-1, 1, _SIDE), repeat=2):
            near_m = 1 - min(1.0, (1 - centre[0]) * 10 ** (i * spread))
            near_top = centre[1] * 10 ** (j * spread)
            slowest = _slowest(method, delay, kappa, near_m, near_top, points)
            if slowest < best:
                best, m, top = slowest, near_m, near_top
        spread /= 2
    return float(m), float(top)


def _search(
    method: Method, delay: int, kappa: float, m: Array, h: Array, bracket: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Bisect between two half-lives; return the least that is reached, its m and largest h.

    Or None where the larger of the two is not reached.
    """
    fixed, slope = of_method(method, m, delay)
    p = fixed[:, :, None] + slope[:, :, None] * h
    p = p.reshape(len(p), -1)
    needed = 1 + max(0, math.ceil(math.log(kappa) / math.log(h[1] / h[0]) - 1e-9))
    low, high = (math.log(x) for x in bracket)
    best = None
    while high - low > 2e-2:
        middle = (low + high) / 2
        within = inside(p, 0.5 ** math.exp(-middle)).reshape(len(m), len(h))
        run = _runs(within)
        if run.max() >= needed:
            i, j = np.unravel_index(run.argmax(), run.shape)
            best = math.exp(middle), float(m[i]), float(h[j])
            high = middle
        else:
            low = middle
    return best


def _runs(within: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each point how many in a row, up to it, are true.

    >>> _runs(np.array([[True, True, False, True]]))
    array([[1, 2, 0, 1]])
    """
    count = np.arange(1, within.shape[1] + 1)
    ended = np.maximum.accumulate(np.where(within, 0, count), axis=1)
    return count - ended
