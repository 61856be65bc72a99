"""The largest learning rate at which a linear method is stable: bisection on the largest |root|.

At h = 0 the roots are 1, m and zeros. A small h moves the root at 1 inwards; the stable h are those
from 0 to the one at which the first root comes to the unit circle. Without delay this is known:

    heavy ball  2 (1 + m)      Nesterov  2 (1 + m) / (1 + 2 m)

and for delayed gradients without momentum it is 2 sin(pi / (4 D + 2)).
"""

from zoo.delay.analysis.polynomials import METHODS, Method, of_method, radius

_TOLERANCE = 1e-9  # of a root that should be on the circle; eigenvalues are no better


def largest_rate(momentum: float, delay: int, method: Method = METHODS["sgdm"]) -> float:
    """Return the largest stable eta lambda.

    Args:
        momentum: m, in [0, 1).
        delay: D, in steps.
        method: heavy ball, if left out.

    >>> round(largest_rate(0.9, 0), 6)
    3.8
    """
    curve = of_method(method, momentum, delay)
    low, high = 0.0, 4.0  # 2 (1 + m) < 4, and no delay makes it larger
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        if radius(curve, middle)[0] <= 1 + _TOLERANCE:
            low = middle
        else:
            high = middle
    return low
