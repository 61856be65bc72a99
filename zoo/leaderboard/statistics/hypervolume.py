"""What a frontier is worth in one number: its staircase, and the area that it dominates.

The area lies between the staircase and a reference point that every point is better than. It grows,
or stays, with every point that is added (Zitzler & Thiele 1998). A logarithmic cost axis makes it an
area of log10 of the cost.
"""

import math
from collections.abc import Sequence

from zoo.leaderboard.frontier import Direction, pareto_mask

Point = tuple[float | None, float | None]


def staircase(
    points: Sequence[Point], directions: tuple[Direction, Direction]
) -> list[tuple[float, float]]:
    """Return the corners of the frontier, cheapest first, each once.

    >>> staircase([(1, 90), (2, 95), (3, 94), (None, 99)], ("min", "max"))
    [(1, 90), (2, 95)]
    """
    mask = pareto_mask(points, directions)
    corners = {(c, q) for (c, q), on in zip(points, mask, strict=True) if on and c is not None
               and q is not None}  # fmt: skip
    return sorted(corners, key=lambda p: p[0] if directions[0] == "min" else -p[0])


def hypervolume(
    points: Sequence[Point],
    reference: tuple[float, float],
    directions: tuple[Direction, Direction] = ("min", "max"),
    *,
    log_cost: bool = False,
) -> float:
    """Return the area that the points dominate, up to the reference point.

    Args:
        points: (cost, quality); a missing value, or one no better than the reference, adds nothing.
        reference: the worst cost and the worst quality that count.
        directions: of cost and quality.
        log_cost: measure cost in decades; costs must be above zero.

    Raises:
        ValueError: a cost of zero or less on a logarithmic axis.
    """
    signs = [1.0 if d == "min" else -1.0 for d in directions]

    def place(cost: float, quality: float) -> tuple[float, float]:
        if log_cost and cost <= 0:
            raise ValueError(f"cost {cost:g} has no logarithm; take a linear axis")
        return signs[0] * (math.log10(cost) if log_cost else cost), signs[1] * quality

    worst_cost, worst = place(*reference)
    corners = [place(*corner) for corner in staircase(points, directions)]
    area = 0.0
    for cost, loss in corners:  # cheapest first: each step goes on from the one before
        if cost < worst_cost and loss < worst:
            area += (worst_cost - cost) * (worst - loss)
            worst = loss
    return area
