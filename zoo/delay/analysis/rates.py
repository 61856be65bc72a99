"""Which learning rates are stable under Adaptive Braking: a search that expects holes.

The stable rates need not be an interval. A first grid finds, over three decades or more, the first rate that
fails and the last that holds; a second grid looks closer from just below the one to just above the
other. Reported are

    safe      the largest rate below which every tried rate is stable
    largest   the largest tried rate that is stable

They differ where single rates between stable ones are not. Neither says that a rate in between two
tried ones is stable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.delay.analysis.braking import CURVATURES, STEPS, Array, simulate
from zoo.delay.analysis.stability import largest_rate


@dataclass(frozen=True, slots=True)
class Rates:
    """Stable learning rates of a setting, times lambda_max; NaN where none is.

    Attributes:
        safe: every tried rate up to it is stable.
        largest: the largest tried rate that is stable.
        loss: the least last loss of all tried rates, as a part of the first loss.
        best: the rate that has it.
    """

    safe: float
    largest: float
    loss: float
    best: float


@dataclass(frozen=True, slots=True)
class Search:
    """How the stable rates are looked for."""

    coarse: int = 96
    fine: int = 64
    blocks: int = 1
    seed: int | None = None
    steps: int = STEPS

    def curvatures(self) -> Array:
        """Return the curvatures, neighbours beside each other or shuffled by the seed."""
        if self.seed is None:
            return CURVATURES
        return np.random.default_rng(self.seed).permutation(CURVATURES)


def stable_rates(
    momentum: Sequence[float], rho: Sequence[float], delay: int, how: Search = Search()
) -> list[Rates]:
    """Return the stable learning rates of settings that share a delay.

    Args:
        momentum: m of each setting.
        rho: of each setting.
        delay: D, in steps.
        how: grids and blocks.
    """
    m, brake = np.asarray(momentum, dtype=float), np.asarray(rho, dtype=float)
    # From well below plain momentum's limit, which the reversed sign lowers most without a delay,
    # to above any.
    low = {x: largest_rate(x, max(delay, 8)) / 40 for x in set(momentum)}
    grids = np.stack([np.geomspace(low[x], 6.0, how.coarse) for x in momentum])
    losses = _losses(grids, m, brake, delay, how)
    edges = [_edges(grid, loss) for grid, loss in zip(grids, losses, strict=True)]
    closer = np.stack([np.geomspace(below, above, how.fine) for below, above in edges])
    # The first grid's rates stay in the search: the best loss may be anywhere.
    grids = np.concatenate([grids, closer], axis=1)
    losses = np.concatenate([losses, _losses(closer, m, brake, delay, how)], axis=1)
    return [_rates(grid, loss) for grid, loss in zip(grids, losses, strict=True)]


def _losses(grids: Array, m: Array, rho: Array, delay: int, how: Search) -> Array:
    count = grids.shape[1]
    losses = simulate(
        grids.ravel(),
        np.repeat(m, count),
        np.repeat(rho, count),
        delay,
        blocks=how.blocks,
        curvatures=how.curvatures(),
        steps=how.steps,
    )
    return losses.reshape(grids.shape)


def _edges(grid: Array, losses: Array) -> tuple[float, float]:
    """Return the rate before the first that fails, and the one after the last that holds."""
    stable = np.isfinite(losses)
    before = max(0, int(stable.argmin()) - 1)
    after = len(grid) - int(stable[::-1].argmax()) if stable.any() else 1
    return float(grid[before]), float(grid[min(after, len(grid) - 1)])


def _rates(grid: Array, losses: Array) -> Rates:
    order = np.argsort(grid)
    grid, losses = grid[order], losses[order]
    stable = np.isfinite(losses)
    if not stable[0]:
        return Rates(math.nan, math.nan, math.nan, math.nan)
    until = len(grid) if stable.all() else int(stable.argmin())
    best = int(losses.argmin())
    return Rates(
        float(grid[until - 1]), float(grid[stable][-1]), float(losses[best]), float(grid[best])
    )
