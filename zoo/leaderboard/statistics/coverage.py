"""How often intervals of a few seeds hold the true mean, by simulation.

    python -m zoo.leaderboard.statistics.coverage

prints the table of docs/boards.md: rows are distributions, columns are methods at 3, 5 and 10 seeds.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from zoo.leaderboard.statistics.interval import LEVEL, t_quantile

if TYPE_CHECKING:
    import numpy as np

Draw = Callable[["np.random.Generator", tuple[int, int]], "np.ndarray"]
Bounds = tuple["np.ndarray", "np.ndarray"]

# Each has the mean 0.
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda g, shape: g.standard_normal(shape),
    "uniform": lambda g, shape: g.random(shape) - 0.5,
    "skewed (gamma, shape 16)": lambda g, shape: g.standard_gamma(16.0, shape) - 16.0,
    "very skewed (exponential)": lambda g, shape: g.standard_exponential(shape) - 1.0,
}


def student(x: "np.ndarray", _: "np.random.Generator") -> Bounds:
    """Return the bounds of Student's t; x is (trials, n)."""
    n = x.shape[1]
    half = t_quantile(n - 1) * x.std(axis=1, ddof=1) / n**0.5
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def percentile(x: "np.ndarray", generator: "np.random.Generator") -> Bounds:
    """Return the bounds of a percentile bootstrap."""
    import numpy as np

    means = _resample(x, generator).mean(axis=2)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return low, high


def studentised(x: "np.ndarray", generator: "np.random.Generator") -> Bounds:
    """Return the bounds of a bootstrap of t; a resample of equal runs has an infinite t."""
    import numpy as np

    n = x.shape[1]
    drawn = _resample(x, generator)
    mean, error = x.mean(axis=1), x.std(axis=1, ddof=1) / n**0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (drawn.mean(axis=2) - mean[:, None]) / (drawn.std(axis=2, ddof=1) / n**0.5)
    t = np.where(np.isnan(t), 0.0, t)
    low, high = np.quantile(t, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1, method="inverted_cdf")
    return mean - high * error, mean - low * error


def _resample(x: "np.ndarray", generator: "np.random.Generator", draws: int = 400) -> "np.ndarray":
    import numpy as np

    trials, n = x.shape
    picked = generator.integers(0, n, (trials, draws, n))
    return np.take_along_axis(x[:, None, :], picked, axis=2)


METHODS = {"Student's t": student, "percentile": percentile, "studentised": studentised}


def coverage(
    method: str, distribution: str, n: int, trials: int = 20_000, seed: int = 0
) -> tuple[float, float]:
    """Return the share of intervals of n runs that hold the mean, and their median width."""
    import numpy as np

    generator = np.random.default_rng(seed)
    x = DISTRIBUTIONS[distribution](generator, (trials, n))
    low, high = METHODS[method](x, generator)
    return float(np.mean((low <= 0) & (high >= 0))), float(np.median(high - low))


def table(trials: int = 20_000) -> str:
    """Return coverage in percent, as a table for docs/boards.md."""
    sizes = (3, 5, 10)
    names = [f"{m}, n={n}" for m in METHODS for n in sizes]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for distribution in DISTRIBUTIONS:
        cells = (
            f"{100 * coverage(m, distribution, n, trials)[0]:.1f}" for m in METHODS for n in sizes
        )
        lines.append(f"| {distribution} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
