"""Delayed momentum on 1/2 lambda w^2 as a polynomial, for all methods of pipelined backpropagation.

A gradient that comes D steps late, spike compensation (a, b) and linear weight prediction T:

    v_{t+1} = m v_t + g_t          g_t = lambda what_{t-D}
    w_{t+1} = w_t - eta (a v_{t+1} + b g_t)
    what_t  = w_t - eta T v_t           LWPv, from the velocity
            = w_t + T (w_t - w_{t-1})   LWPw, from the weights

With h = eta lambda, the sequence w_t is a sum of z^t over the roots z of

    LWPv:  z^D     (z - 1)(z - m) + h ((a + b + T) z - (b m + T))
    LWPw:  z^(D+1) (z - 1)(z - m) + h ((a + b) z - b m) ((1 + T) z - T)

a = 1, b = 0, T = 0 is plain momentum; a = m, b = 1 is Nesterov's. Source: Kosson et al.,
*Pipelined Backpropagation at Scale*, arXiv 2003.11666; the polynomials are derived here, and
compared with the recurrences above in tests.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to step with late gradients.

    Attributes:
        label: as tables and figures call it.
        spike: the delay that spike compensation is made for: none, 1 (Nesterov) or the actual one.
        horizon: how far weights are predicted, in delays.
        prediction: from the velocity (LWPv) or from the last two weights (LWPw).
    """

    label: str
    spike: Literal["none", "one", "delay"] = "none"
    horizon: float = 0.0
    prediction: Literal["velocity", "weight"] = "velocity"

    def terms(self, momentum: ArrayLike, delay: int) -> tuple[Array, Array, float]:
        """Return a, b and T at this momentum and delay."""
        steps = {"none": 0, "one": 1, "delay": delay}[self.spike]
        a, b = spike(momentum, steps)
        return a, b, self.horizon * delay


METHODS = {
    "sgdm": Method("SGDM"),
    "nesterov": Method("Nesterov", spike="one"),
    "sc": Method("SC_D", spike="delay"),
    "lwp": Method("LWP_D", horizon=1),
    "lwp_2d": Method("LWP_2D", horizon=2),
    "lwpv_sc": Method("LWPv_D+SC_D", spike="delay", horizon=1),
    "lwpw_sc": Method("LWPw_D+SC_D", spike="delay", horizon=1, prediction="weight"),
}


def spike(momentum: ArrayLike, delay: int) -> tuple[Array, Array]:
    """Return spike compensation's a = m^D and b = (1 - m^D) / (1 - m).

    A gradient that is D steps late has missed the shares 1, m, ..., m^(D-1) of its effect: b adds
    them at once, and a goes on with m^D.

    >>> [float(x) for x in spike(0.5, 3)]
    [0.125, 1.75]
    """
    m = np.asarray(momentum, dtype=float)
    return m**delay, np.sum([m**k for k in range(delay)], axis=0) + np.zeros_like(m)


def polynomial(
    momentum: ArrayLike,
    delay: int,
    a: ArrayLike = 1.0,
    b: ArrayLike = 0.0,
    horizon: ArrayLike = 0.0,
    prediction: Literal["velocity", "weight"] = "velocity",
) -> tuple[Array, Array]:
    """Return `(fixed, slope)`: the polynomial at h is fixed + h slope.

    Args:
        momentum: m; a number, or an array of them.
        delay: D, in steps.
        a: of the velocity in the step.
        b: of the gradient in the step.
        horizon: T, in steps.
        prediction: what the horizon extrapolates.

    Returns:
        Two arrays of coefficients, the highest power first, of shape (degree + 1, *m.shape).
    """
    m, a, b, T = np.broadcast_arrays(
        *(np.asarray(x, dtype=float) for x in (momentum, a, b, horizon))
    )
    one, zero = np.ones_like(m), np.zeros_like(m)
    slope = [a + b + T, -(b * m + T)]
    if prediction == "weight":
        # ((a + b) z - b m) ((1 + T) z - T)
        slope = [(a + b) * (1 + T), -(a + b) * T - b * m * (1 + T), b * m * T]
        delay += 1
    fixed = [one, -(1 + m), m, *[zero] * delay]
    return np.stack(fixed), np.stack([zero] * (len(fixed) - len(slope)) + slope)


def of_method(method: Method, momentum: ArrayLike, delay: int) -> tuple[Array, Array]:
    """Return a method's polynomial as `(fixed, slope)`."""
    a, b, horizon = method.terms(momentum, delay)
    return polynomial(momentum, delay, a, b, horizon, method.prediction)


def roots(coefficients: Array) -> NDArray[np.complex128]:
    """Return the roots of monic polynomials, shape (degree, n), from coefficients (degree + 1, n).

    They are the eigenvalues of the companion matrices.
    """
    degree, count = len(coefficients) - 1, coefficients.shape[1]
    companion = np.zeros((count, degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, 0, :] = -coefficients[1:].T
    return np.linalg.eigvals(companion).T.astype(complex)


def radius(polynomial: tuple[Array, Array], h: ArrayLike) -> Array:
    """Return the largest |root| at each h, for one momentum: the rate of w_t ~ r^t."""
    fixed, slope = polynomial
    h = np.atleast_1d(np.asarray(h, dtype=float))
    found = roots(fixed[:, None] + slope[:, None] * h)
    return np.abs(found).max(axis=0)
