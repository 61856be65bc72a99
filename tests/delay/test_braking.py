"""Adaptive Braking on the quadratic: another simulation's limits, and what they must look like."""

import numpy as np
import pytest

from zoo.delay.analysis.braking import CURVATURES, simulate
from zoo.delay.analysis.polynomials import METHODS, of_method, radius
from zoo.delay.analysis.rates import Search, _edges, _rates, stable_rates
from zoo.delay.analysis.stability import largest_rate

# The largest stable rates of another program, momentum .9, for rho = 0, .5, 1, 2.
RHOS = (0.0, 0.5, 1.0, 2.0)
LARGEST = {
    0: (3.80, 2.62, 2.16, 1.32),
    4: (0.0276, 0.0399, 0.118, 0.225),
    8: (0.0147, 0.0240, 0.116, 0.153),
    16: (0.0080, 0.0147, 0.120, 0.103),
    32: (0.0045, 0.0087, 0.132, 0.058),
}
# The same with rho = 2 and 8 blocks, of which curvatures is not known.
LARGEST_IN_BLOCKS = {0: 1.29, 4: 0.251, 8: 0.200, 16: 0.106, 32: 0.057}


@pytest.mark.parametrize("delay", LARGEST)
def test_the_limits_of_another_simulation(delay: int) -> None:
    found = stable_rates([0.9] * 4, RHOS, delay)
    for rho, rates, other in zip(RHOS, found, LARGEST[delay], strict=True):
        assert rates.largest == pytest.approx(other, rel=0.04), rho
        assert 0.9 * rates.largest < rates.safe <= rates.largest


@pytest.mark.parametrize("delay", [0, 4, 8, 32])
def test_the_limits_in_blocks_lie_among_those_of_partitions(delay: int) -> None:
    """Which curvatures share a block decides: by a third at delay 4."""
    found = [
        stable_rates([0.9], [2.0], delay, Search(coarse=64, fine=32, blocks=8, seed=s))[0].largest
        for s in (None, 0, 1)
    ]
    assert min(found) / 1.03 < LARGEST_IN_BLOCKS[delay] < max(found) * 1.1


def test_the_limits_at_a_large_momentum() -> None:
    for delay, plain in {4: 0.0035, 8: 0.0018, 16: 0.00092, 32: 0.0005}.items():
        none, braked = stable_rates([0.99, 0.99], [0.0, 2.0], delay)
        assert none.largest == pytest.approx(plain, rel=0.1)
        assert braked.largest == pytest.approx(0.032, rel=0.06)


def test_the_other_sign_is_worse() -> None:
    plain, less, least = stable_rates([0.9] * 3, [0.0, -1.0, -2.0], 8)
    assert less.largest == pytest.approx(0.0061, rel=0.03)
    assert least.largest == pytest.approx(0.0034, rel=0.03)
    assert least.largest < less.largest < plain.safe


@pytest.mark.parametrize("delay", [0, 3, 16])
def test_without_braking_it_is_the_recurrence(delay: int) -> None:
    """The loss of each direction shrinks as the polynomial's root says, and grows beyond it."""
    for momentum in (0.5, 0.9):
        limit = largest_rate(momentum, delay)
        rate = np.array([0.97, 1.15]) * limit
        losses = simulate(rate, np.full(2, momentum), np.zeros(2), delay, steps=6000)
        assert losses[0] < 0.1
        assert losses[1] == np.inf


def test_the_last_loss_is_the_slow_directions() -> None:
    """After 1,500 steps without braking only the roots nearest to 1 are left."""
    losses = simulate(np.array([0.01]), np.array([0.9]), np.zeros(1), 4)
    roots = radius(of_method(METHODS["sgdm"], 0.9, 4), 0.01 * CURVATURES)
    expected = (CURVATURES * roots ** (2 * 1500)).sum() / CURVATURES.sum()
    assert losses[0] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("blocks", [1, 4])
def test_a_step_by_hand(blocks: int) -> None:
    """The vectorised simulation against the equations, run by run and block by block."""
    m, rho, eta, delay, lam = 0.9, 1.5, 0.2, 2, np.array([0.1, 0.3, 0.7, 1.0])
    weights, v = [np.ones(4)], np.zeros(4)
    for t in range(40):
        g = lam * weights[max(0, t - delay)]
        for part in np.split(np.arange(4), blocks):
            norms = np.linalg.norm(g[part]) * np.linalg.norm(v[part])
            alpha = 1 - rho * (g[part] @ v[part]) / norms if norms else 1.0
            v[part] = m * v[part] + alpha * g[part]
        weights.append(weights[-1] - eta * v)
    expected = (lam * weights[-1] ** 2).sum() / lam.sum()
    found = simulate(
        np.array([eta, 1e6]),
        np.full(2, m),
        np.full(2, rho),
        delay,
        blocks=blocks,
        curvatures=lam,
        steps=40,
    )
    assert found[0] == pytest.approx(expected, rel=1e-9)
    assert found[1] == np.inf


def test_a_run_that_comes_back_from_above_the_bound_is_not_stable() -> None:
    """With sixteen steps between clean-ups, a short excursion beyond the bound still counts."""
    eta = np.geomspace(0.01, 0.4, 60)
    every = [simulate(eta, np.full(60, 0.9), np.full(60, 2.0), 8, steps=s) for s in range(1, 60)]
    failed = np.isinf(every)
    assert failed.any()
    assert not (failed[:-1] & ~failed[1:]).any()


def test_holes_among_the_stable_rates_are_told() -> None:
    grid, stable = np.arange(1.0, 9.0), np.array([1, 1, 0, 1, 1, 0, 0, 0], bool)
    losses = np.where(stable, 1.0, np.inf)
    rates = _rates(grid, losses)
    assert (rates.safe, rates.largest) == (2.0, 5.0)
    assert _edges(grid, losses) == (2.0, 6.0)
    assert np.isnan(_rates(grid, np.full(8, np.inf)).safe)
