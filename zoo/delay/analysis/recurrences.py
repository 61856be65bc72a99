"""The methods of `polynomials` step by step, as an optimizer computes them, on 1/2 lambda w^2.

They say what the polynomials should say, and are shorter to check by eye.
"""

import numpy as np
from numpy.typing import NDArray

from zoo.delay.analysis.polynomials import Method

Array = NDArray[np.float64]


def trajectory(
    method: Method, momentum: float, h: float, delay: int, steps: int, *, start: float = 1.0
) -> Array:
    """Return w_0, ..., w_steps, with eta = h and lambda = 1.

    Before its first gradient the optimizer stands still: w_t = w_0 for t < 0.

    Args:
        method: of METHODS.
        momentum: m.
        h: eta lambda.
        delay: D: the gradient of step t is that of the predicted weights of step t - D.
        steps: how many.
        start: w_0.
    """
    a, b, horizon = (float(x) for x in method.terms(momentum, delay))
    w, v = start, 0.0
    weights, predicted = [w], []
    for t in range(steps):
        before = weights[-2] if t else w
        ahead = -h * v if method.prediction == "velocity" else w - before
        predicted.append(w + horizon * ahead)
        gradient = predicted[t - delay] if t >= delay else start
        v = momentum * v + gradient
        w -= h * (a * v + b * gradient)
        weights.append(w)
    return np.array(weights)


def measured_rate(weights: Array, half: int, memory: int) -> float:
    """Return r of w_t ~ r^t: how the last weights shrink from the first half to the second.

    Two complex roots make the weights swing: what is compared is the norm over `memory` weights.

    Args:
        weights: a trajectory.
        half: over how many steps to measure.
        memory: enough for some swings.
    """
    late = np.linalg.norm(weights[-memory:])
    early = np.linalg.norm(weights[-memory - half : -half])
    return float((late / early) ** (1 / half))
