"""The polynomials of delayed momentum against the recurrences, and against each other."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.delay.analysis.polynomials import METHODS, of_method, polynomial, radius, roots, spike
from zoo.delay.analysis.recurrences import measured_rate, trajectory
from zoo.delay.analysis.stability import largest_rate
from zoo.delay.analysis.unit_disc import inside

MOMENTA = st.floats(0.01, 0.99)
DELAYS = st.integers(0, 12)


@pytest.mark.parametrize("delay", [0, 1, 3, 8])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", METHODS)
def test_the_recurrence_obeys_its_polynomial(name: str, momentum: float, delay: int) -> None:
    """Every w_t is the combination of the weights before it that p(z) = 0 says."""
    method = METHODS[name]
    h = 0.4 * largest_rate(momentum, delay, method)
    fixed, slope = of_method(method, momentum, delay)
    coefficients = fixed + h * slope
    weights = trajectory(method, momentum, h, delay, 400)
    # After the first gradients, which see the weights from before the start.
    late = weights[delay + 2 :]
    combined = np.convolve(late, coefficients, mode="valid")
    assert np.abs(combined).max() < 1e-10 * np.abs(late).max()


@pytest.mark.parametrize("delay", [0, 1, 4, 8])
@pytest.mark.parametrize("name", METHODS)
def test_the_measured_rate_is_the_largest_root(name: str, delay: int) -> None:
    method = METHODS[name]
    for momentum, part in itertools.product((0.3, 0.9), (0.3, 0.95, 1.1)):
        h = part * largest_rate(momentum, delay, method)
        expected = radius(of_method(method, momentum, delay), h)[0]
        if not 0.5 < expected < 1.3:  # vanishes or overflows before it is measured
            continue
        steps = min(4000, int(200 / abs(math.log(expected)) + 200))
        weights = trajectory(method, momentum, h, delay, steps)
        assert measured_rate(weights, steps // 3, steps // 3) == pytest.approx(expected, rel=5e-3)


@given(MOMENTA)
def test_spike_compensation_for_one_step_is_nesterov(momentum: float) -> None:
    fixed, slope = of_method(METHODS["sc"], momentum, 1)
    nesterov = of_method(METHODS["nesterov"], momentum, 1)
    np.testing.assert_allclose(fixed, nesterov[0])
    np.testing.assert_allclose(slope, nesterov[1])


@given(MOMENTA, DELAYS, st.floats(0, 30))
def test_prediction_is_a_general_spike(momentum: float, delay: int, horizon: float) -> None:
    """LWP(T) is the step a v + b g with b = T / m and a = 1 - T (1 - m) / m."""
    b, a = horizon / momentum, 1 - horizon * (1 - momentum) / momentum
    predicted = polynomial(momentum, delay, horizon=horizon)
    spiked = polynomial(momentum, delay, a, b)
    for one, other in zip(predicted, spiked, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert a + b == pytest.approx(1 + horizon)


@given(MOMENTA, DELAYS)
def test_compensation_is_prediction_over_the_look_ahead(momentum: float, delay: int) -> None:
    """SC_D is LWP with T = m (1 - m^D) / (1 - m), and together with LWPv_D with D more."""
    ahead = momentum * (1 - momentum**delay) / (1 - momentum)
    for name, horizon in (("sc", ahead), ("lwpv_sc", delay + ahead)):
        fixed, slope = of_method(METHODS[name], momentum, delay)
        predicted = polynomial(momentum, delay, horizon=horizon)
        np.testing.assert_allclose(fixed, predicted[0])
        np.testing.assert_allclose(slope, predicted[1], atol=1e-9)


def test_both_predictions_are_one_for_plain_momentum() -> None:
    for momentum, delay in itertools.product((0.5, 0.9), (1, 4)):
        by_weight = polynomial(momentum, delay, horizon=delay, prediction="weight")
        by_velocity = polynomial(momentum, delay, horizon=delay)
        rates = [radius(p, [0.001, 0.01, 0.05]) for p in (by_weight, by_velocity)]
        np.testing.assert_allclose(*rates)


def test_a_compensated_gradient_has_the_effect_of_one_in_time() -> None:
    """The steps that a gradient causes sum, from when it comes, to what they would have been."""
    m, delay = 0.8, 5
    a, b = spike(m, delay)
    caused = a * m ** np.arange(100)
    caused[0] += b
    in_time = m ** np.arange(100 + delay)
    np.testing.assert_allclose(np.cumsum(caused), np.cumsum(in_time)[delay:])


def test_without_delay_every_method_is_momentum() -> None:
    plain = radius(of_method(METHODS["sgdm"], 0.9, 0), np.geomspace(1e-3, 4, 20))
    for name in METHODS.keys() - {"nesterov"}:
        rates = radius(of_method(METHODS[name], 0.9, 0), np.geomspace(1e-3, 4, 20))
        np.testing.assert_allclose(rates, plain, atol=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_the_limits_without_delay_have_closed_forms(momentum: float) -> None:
    assert largest_rate(momentum, 0) == pytest.approx(2 * (1 + momentum), rel=1e-6)
    nesterov = 2 * (1 + momentum) / (1 + 2 * momentum)
    assert largest_rate(momentum, 0, METHODS["nesterov"]) == pytest.approx(nesterov, rel=1e-6)


@pytest.mark.parametrize("delay", [1, 2, 8, 32])
def test_the_limit_without_momentum_has_a_closed_form(delay: int) -> None:
    expected = 2 * math.sin(math.pi / (4 * delay + 2))
    assert largest_rate(0.0, delay) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_below_the_limit_all_is_stable_and_above_nothing(name: str) -> None:
    for momentum, delay in itertools.product((0.0, 0.9), (0, 1, 8)):
        method = METHODS[name]
        limit = largest_rate(momentum, delay, method)
        curve = of_method(method, momentum, delay)
        assert (radius(curve, limit * np.linspace(0.01, 0.999, 100)) < 1).all()
        assert (radius(curve, limit * np.linspace(1.001, 3, 100)) > 1).all()


@settings(max_examples=60)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=9),
    st.floats(0.2, 2),
)
def test_schur_cohn_agrees_with_the_roots(tail: list[float], circle: float) -> None:
    coefficients = np.array([1.0, *tail])[:, None]
    largest = np.abs(roots(coefficients)).max()
    if abs(largest / circle - 1) > 1e-3:  # multiple roots are known to few digits
        assert inside(coefficients, circle)[0] == (largest < circle)
