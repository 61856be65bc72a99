"""Are all roots of a polynomial inside of a circle? The Schur-Cohn recursion, without the roots.

All roots of p(z) = p_0 z^n + ... + p_n are inside of the unit circle if and only if |k| < 1 for
k = p_n / p_0, and the roots of the polynomial of degree n - 1

    (p(z) - k z^n p(1/z)) / z

are inside, too. For |z| < R one asks p(R z). It takes n^2 multiplications where the roots take
some n^3 with a large factor, and it takes them for a whole grid at once.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def inside(coefficients: Array, radius: float) -> NDArray[np.bool_]:
    """Return where all roots are inside of the circle |z| = radius.

    Args:
        coefficients: the highest power first, of shape (degree + 1, n), the first row not 0.
        radius: of the circle.

    >>> inside(np.array([[1.0, 1.0], [0.0, 0.0], [-0.25, -0.81]]), 0.6)  # roots .5 and .9
    array([ True, False])
    """
    degree = len(coefficients) - 1
    p = coefficients * radius ** np.arange(degree, -1.0, -1.0)[:, None]
    p /= p[0].copy()
    within = np.ones(p.shape[1], dtype=bool)
    alive = np.arange(p.shape[1])
    for _ in range(degree):
        k = p[-1]
        good = np.abs(k) < 1
        if not good.all():
            within[alive[~good]] = False
            alive, p = alive[good], p[:, good]
            k = p[-1]
        # p stays monic: what is divided by is 1 - k^2, the new first coefficient.
        p = (p[:-1] - k * p[:0:-1]) / (1 - k * k)
    return within
