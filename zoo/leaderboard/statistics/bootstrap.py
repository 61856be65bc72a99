"""Resampled means of a group of seeds, for whatever is a function of several means.

A multiplier bootstrap: run i of n gets a normal weight z_i, and the draw is divided by a chi-square,
as the spread of n runs is itself uncertain:

    mean + sum_i z_i (x_i - mean) / sqrt(n (n - 1)) * sqrt((n - 1) / chi2(n - 1))

Its quantiles are those of Student's t, so that what is said of a frontier or a speed-up agrees with
the intervals of the cells at three seeds as at thirty. (Drawing runs with replacement does not: at
three seeds its spread is 2/3 of what it should be, in variance, and its tails are cut off.)
The weights of a run are shared by all of its values, so that a slow run with a good result stays one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DRAWS = 1000
SEED = 0


def resampled_means(
    values: "np.ndarray", draws: int, generator: "np.random.Generator"
) -> "np.ndarray":
    """Draw means of groups that have equally many runs.

    Args:
        values: (groups, n, k), k values of each run.
        draws: how many.
        generator: numpy's; groups are drawn independently of each other.

    Returns:
        (draws, groups, k). A single run has no spread that is known: its draws are its values.
    """
    import numpy as np

    groups, n, k = values.shape
    mean = values.mean(axis=1)
    if n < 2:
        return np.broadcast_to(mean, (draws, groups, k)).copy()
    weights = generator.standard_normal((groups, draws, n))
    spread = np.sqrt(1.0 / (n * generator.chisquare(n - 1, (groups, draws, 1))))
    moved = (weights @ (values - mean[:, None])) * spread
    result: np.ndarray = mean[None] + np.moveaxis(moved, 0, 1)
    return result
