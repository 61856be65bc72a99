"""How sure it is that a group is on the frontier: the share of resampled worlds in which it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.leaderboard.statistics.bootstrap import DRAWS, SEED, resampled_means

if TYPE_CHECKING:
    import numpy as np

VALUES = 200_000  # draws times groups: a fifth of a second


def frontier_masks(cost: "np.ndarray", loss: "np.ndarray") -> "np.ndarray":
    """Say of each point of many worlds whether nothing beats it; less is better on both axes.

    Args:
        cost, loss: (worlds, points), finite.

    Returns:
        (worlds, points) booleans; equal points share the frontier.
    """
    import numpy as np

    order = np.lexsort((loss, cost), axis=-1)
    c, q = np.take_along_axis(cost, order, 1), np.take_along_axis(loss, order, 1)
    least = np.minimum.accumulate(q, axis=1)
    before = np.concatenate([np.full((len(q), 1), np.inf), least[:, :-1]], axis=1)
    new = q < before
    # A point that equals the last of the frontier is on it, too: same loss, same cost.
    place = np.maximum.accumulate(np.where(new, np.arange(q.shape[1]), 0), axis=1)
    on = new | ((q == before) & (c == np.take_along_axis(c, place, 1)))
    mask = np.empty_like(on)
    np.put_along_axis(mask, order, on, 1)
    return mask


def membership(
    groups: Sequence[Sequence[tuple[float, float]]],
    directions: tuple[str, str],
    draws: int | None = None,
    seed: int = SEED,
) -> list[float]:
    """Return each group's probability of being on the frontier.

    Args:
        groups: of each, the (cost, quality) of every seed; finite numbers.
        directions: of cost and quality, `min` or `max`.
        draws: resampled worlds; None for 1,000, fewer where there are hundreds of groups.
        seed: of the draws. A group's draws depend on how many groups there are, not on their order
            of arrival: sort them for the same figures.
    """
    import numpy as np

    if not groups:
        return []
    draws = draws or max(200, min(DRAWS, VALUES // len(groups)))
    signs = np.array([1.0 if d == "min" else -1.0 for d in directions])
    generator = np.random.default_rng(seed)
    worlds = np.empty((draws, len(groups), 2))
    for n in sorted({len(g) for g in groups}):
        members = [i for i, g in enumerate(groups) if len(g) == n]
        values = np.array([groups[i] for i in members], dtype=float) * signs
        worlds[:, members] = resampled_means(values, draws, generator)
    return [float(p) for p in frontier_masks(worlds[..., 0], worlds[..., 1]).mean(axis=0)]
