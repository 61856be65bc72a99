"""Intervals, paired tests, corrections and power, against scipy and by simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from zoo.leaderboard.statistics.bootstrap import resampled_means
from zoo.leaderboard.statistics.coverage import coverage
from zoo.leaderboard.statistics.interval import mean_interval
from zoo.leaderboard.statistics.paired import compare, holm, summarise
from zoo.leaderboard.statistics.power import power, seeds_needed

samples = st.lists(st.floats(-100, 100), min_size=2, max_size=12).filter(lambda x: np.std(x) > 1e-3)


@given(samples, st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_scipys(values: list[float], level: float) -> None:
    ours = summarise(values, level=level).interval
    assert ours is not None
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-9)


@given(samples)
def test_the_paired_test_is_scipys(values: list[float]) -> None:
    theirs = np.arange(len(values)) * 0.5
    ours = compare(dict(enumerate(values)), dict(enumerate(theirs)))
    assert ours is not None
    expected = scipy.stats.ttest_rel(values, theirs)
    if ours.std and ours.std > 1e-6:
        assert ours.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_only_seeds_that_both_have_are_compared() -> None:
    both = compare({0: 1.0, 1: 2.0, 7: 99.0}, {1: 1.0, 0: 1.0, 8: -99.0})
    assert both is not None
    assert (both.effect, both.n) == (0.5, 2)
    assert compare({0: 1.0}, {1: 1.0}) is None
    one = compare({0: 1.0}, {0: 0.5})
    assert one is not None
    assert (one.interval, one.p) == (None, None)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert summarise([1.0, 1.0]).p == 0.0
    assert summarise([0.0, 0.0]).p == 1.0
    assert mean_interval(1.0, 0.0, 2) is not None
    assert mean_interval(1.0, None, 1) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_bonferroni(p: list[float]) -> None:
    corrected = holm(p)
    m = len(p)
    order = sorted(range(m), key=lambda i: p[i])
    for rank, i in enumerate(order):
        expected = max(min(1.0, (m - j) * p[order[j]]) for j in range(rank + 1))
        assert corrected[i] == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_student_covers_and_percentiles_do_not(n: int) -> None:
    for distribution in ("normal", "skewed (gamma, shape 16)"):
        assert 0.93 <= coverage("Student's t", distribution, n)[0] <= 0.97
    assert coverage("percentile", "normal", n, trials=2000)[0] < 0.93


@pytest.mark.parametrize("n", [3, 5, 10])
def test_resampled_means_have_students_quantiles(n: int) -> None:
    values = np.random.default_rng(n).standard_normal((1, n, 1))
    drawn = resampled_means(values, 100_000, np.random.default_rng(0))[:, 0, 0]
    inside = mean_interval(float(values.mean()), float(values.std(ddof=1)), n)
    assert inside is not None
    share = np.mean((drawn >= inside.low) & (drawn <= inside.high))
    assert share == pytest.approx(0.95, abs=0.004)


def test_resampled_means_keep_what_the_values_of_a_run_have_in_common() -> None:
    x = np.random.default_rng(0).standard_normal((1, 5, 1))
    drawn = resampled_means(np.concatenate([x, 2 * x], axis=2), 100, np.random.default_rng(0))
    assert drawn[..., 1] == pytest.approx(2 * drawn[..., 0])


@pytest.mark.parametrize(("distance", "n"), [(1.0, 5), (0.7, 12), (2.0, 3)])
def test_power_is_the_share_of_intervals_beyond_the_threshold(distance: float, n: int) -> None:
    x = np.random.default_rng(0).standard_normal((40_000, n)) + distance
    half = scipy.stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    assert power(distance, 1.0, n) == pytest.approx(np.mean(x.mean(axis=1) > half), abs=0.01)


@given(st.floats(0.2, 5), st.floats(0.5, 2))
def test_seeds_needed_is_the_least_number_with_the_power(distance: float, std: float) -> None:
    n = seeds_needed(distance, std=std)
    assert n is not None
    assert power(distance, std, n) >= 0.8
    assert n == 2 or power(distance, std, n - 1) < 0.8


def test_no_number_of_seeds_decides_where_there_is_no_distance() -> None:
    assert seeds_needed(0.0, std=1.0) is None
    within, beyond = seeds_needed(1.0, 1.0, std=1.0), seeds_needed(1.0, std=1.0)
    assert within is not None
    assert beyond is not None
    assert within > beyond  # two bounds to keep clear of
