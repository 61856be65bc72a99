"""Adaptive Braking with late gradients on a quadratic of many directions, simulated.

    g_t     = diag(lambda) w_{t-D}               w_t = w_0 for t < 0
    alpha_t = 1 - rho cos(g_t, v_t)              v_0 = 0, and there alpha = 1
    v_{t+1} = m v_t + alpha_t g_t
    w_{t+1} = w_t - eta v_{t+1}

The cosine is of the whole vector or of each block of it, as an optimizer's is of a model, a tensor
or a filter. It joins all directions, and the step is not linear where rho is not 0: no polynomial
says what is stable, so it is tried. Source: Venigalla et al., *Adaptive Braking for Mitigating
Gradient Delay*, arXiv 2007.01397.

A learning rate counts as stable where the loss stays below ten times its first value for 1,500
steps. That is weaker than convergence: braking may keep the weights on a cycle of bounded size. It
is also what training asks for, and for rho = 0 it exceeds the exact limit by some percent, since a
root barely outside of the circle needs more steps than that.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CURVATURES = np.logspace(-3, 0, 64)  # kappa = 1000, lambda_max = 1
STEPS = 1500
BOUND = 10.0  # times the first loss

_CHUNK = 384  # runs at a time: a history of them stays in the cache


def simulate(
    rate: Array,
    momentum: Array,
    rho: Array,
    delay: int,
    *,
    blocks: int = 1,
    curvatures: Array = CURVATURES,
    steps: int = STEPS,
) -> Array:
    """Return each run's last loss, as a part of its first; infinite where it was not stable.

    Args:
        rate: eta of each run.
        momentum: m of each run.
        rho: of each run.
        delay: D, in steps, of all of them.
        blocks: in how many equal blocks of neighbours the vector has its cosines.
        curvatures: lambda of each direction, in the order in which blocks are cut.
        steps: how many.
    """
    losses = np.full(len(rate), np.inf)
    with np.errstate(all="ignore"):  # what diverges, overflows
        for first in range(0, len(rate), _CHUNK):
            part = slice(first, first + _CHUNK)
            losses[part] = _simulate(
                rate[part], momentum[part], rho[part], delay, blocks, curvatures, steps
            )
    return losses


def _simulate(
    rate: Array, momentum: Array, rho: Array, delay: int, blocks: int, lam: Array, steps: int
) -> Array:
    runs, n = len(rate), len(lam)
    shape = (runs, blocks, n // blocks)
    eta, m, brake = (x[:, None, None] for x in (rate, momentum, rho))
    lam = lam.reshape(shape[1:])
    history = np.ones((delay + 1, *shape))  # of weights, w_0 at the start: a ring
    w, v = np.ones(shape), np.zeros(shape)
    first = lam.sum()
    alive = np.arange(runs)
    losses = np.full(runs, np.inf)
    for t in range(steps):
        history[t % (delay + 1)] = w
        g = lam * history[(t + 1) % (delay + 1)]
        dot, gg, vv = (
            np.einsum("rbi,rbi->rb", x, y)[..., None] for x, y in ((g, v), (g, g), (v, v))
        )
        g *= 1 - brake * dot / np.sqrt(np.maximum(gg * vv, 1e-280))
        v *= m
        v += g
        w -= eta * v
        loss = np.einsum("rbi,rbi,bi->r", w, w, lam) / first
        stable = loss < BOUND
        # To drop a run costs a copy of the history: not for each one.
        if t % 16 == 15 or t == steps - 1:
            if not stable.all():
                alive, w, v, loss = alive[stable], w[stable], v[stable], loss[stable]
                eta, m, brake = eta[stable], m[stable], brake[stable]
                history = history[:, stable]
                if not len(alive):
                    break
        else:
            w[~stable] = np.inf  # and is not stable at the next check either
    else:
        losses[alive] = loss
    return losses
