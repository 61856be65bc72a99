"""Membership, staircase, hypervolume, speed-ups and targets over groups of seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.leaderboard.frontier import pareto_mask
from zoo.leaderboard.statistics.family import gain, speed_up
from zoo.leaderboard.statistics.hypervolume import hypervolume, staircase
from zoo.leaderboard.statistics.membership import frontier_masks, membership
from zoo.leaderboard.statistics.time_to_target import time_to_target

whole = st.integers(0, 6).map(float)
points = st.lists(st.tuples(whole, whole), min_size=1, max_size=20)


@given(points)
def test_masks_are_those_of_the_frontier_ties_included(some: list[tuple[float, float]]) -> None:
    x = np.array(some)
    mask = frontier_masks(np.tile(x[:, 0], (2, 1)), np.tile(x[:, 1], (2, 1)))
    assert mask[0].tolist() == mask[1].tolist() == pareto_mask(some, ["min", "min"])


def test_membership_is_sure_where_nothing_overlaps_and_even_where_all_is_alike() -> None:
    good = [(1.0 + i / 1000, 0.9 + i / 1000) for i in range(5)]
    bad = [(2.0 + i / 1000, 0.5 + i / 1000) for i in range(5)]
    assert membership([good, bad], ("min", "max")) == [1.0, 0.0]
    assert membership([bad, good], ("max", "min")) == [1.0, 0.0]
    # Equal costs: the better of two that are alike is alone on the frontier, half of the time.
    alike = [[(1.0, q) for q in row] for row in ([0.1, 0.2, 0.3], [0.3, 0.1, 0.2])]
    share = membership(alike, ("min", "max"))
    assert share == pytest.approx([0.5, 0.5], abs=0.06)
    assert membership(alike, ("min", "max")) == share
    assert membership([[(1.0, 1.0)], [(1.0, 1.0)]], ("min", "max")) == [1.0, 1.0]
    assert membership([], ("min", "max")) == []


@given(points, st.tuples(whole, whole), st.randoms())
def test_hypervolume_grows_and_knows_no_order(some, more, rng) -> None:
    reference = (7.0, -1.0)
    area = hypervolume(some, reference)
    assert hypervolume([*some, more], reference) >= area - 1e-9
    shuffled = list(some)
    rng.shuffle(shuffled)
    assert hypervolume(shuffled, reference) == area
    assert hypervolume([*some, *some, (None, 5.0), (1.0, math.nan)], reference) == area
    # The area by counting the unit squares that a point dominates.
    squares = sum(
        any(c <= x and q >= y + 1 for c, q in some) for x in range(7) for y in range(-1, 6)
    )
    assert area == pytest.approx(squares)


def test_hypervolume_on_a_log_axis_and_the_staircase() -> None:
    assert hypervolume([(10.0, 1.0)], (1000.0, 0.0), log_cost=True) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="no logarithm"):
        hypervolume([(0.0, 1.0)], (1000.0, 0.0), log_cost=True)
    assert staircase([(2, 5), (1, 3), (2, 5), (3, 4)], ("min", "max")) == [(1, 3), (2, 5)]
    assert staircase([(2, 5), (1, 3)], ("max", "max")) == [(2, 5)]


def family(factor: float, n: int, rng: np.random.Generator, noise: float = 0.004):
    """Make three groups of n seeds: quality 0.6 + 0.05 log(cost * factor), with noise."""
    return [
        [(c / factor, 0.6 + 0.05 * math.log(c) + noise * rng.standard_normal()) for _ in range(n)]
        for c in (10.0, 30.0, 90.0)
    ]


def test_speed_up_and_gain_are_exact_without_noise() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = family(2.5, 3, rng, 0.0), family(1.0, 3, rng, 0.0)
    found = speed_up(ours, theirs)
    assert found is not None
    assert found.value == pytest.approx(2.5)
    assert found.low == pytest.approx(0.6 + 0.05 * math.log(10))
    at = speed_up(ours, theirs, quality=0.75)
    assert at is not None
    assert at.value == pytest.approx(2.5)
    more = gain(ours, theirs)
    assert more is not None
    assert more.value == pytest.approx(0.05 * math.log(2.5))
    lower = [[[(c, -q) for c, q in g] for g in f] for f in (ours, theirs)]
    turned = speed_up(*lower, direction="min")
    assert turned is not None
    assert turned.value == pytest.approx(2.5)
    assert speed_up(ours, theirs, quality=0.99) is None


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_holds_a_known_speed_up(n: int) -> None:
    rng = np.random.default_rng(n)
    found = [
        speed_up(family(2.0, n, rng), family(1.0, n, rng), draws=200, seed=i) for i in range(40)
    ]
    assert all(f is not None and f.interval is not None for f in found)
    assert np.exp(np.mean([np.log(f.value) for f in found if f])) == pytest.approx(2.0, rel=0.03)
    assert sum(2.0 in f.interval for f in found if f and f.interval) >= 36
    # And it says something: it leaves out that there were none.
    assert sum(1.0 not in f.interval for f in found if f and f.interval) >= (20 if n == 3 else 38)


def test_one_seed_has_no_interval_and_one_group_no_curve() -> None:
    rng = np.random.default_rng(0)
    found = speed_up(family(2.0, 1, rng), family(1.0, 3, rng))
    assert found is not None
    assert found.interval is None
    with pytest.raises(ValueError, match="two groups"):
        speed_up([[(1.0, 1.0)]], family(1.0, 3, rng))
    with pytest.raises(ValueError, match="no logarithm"):
        speed_up([[(0.0, 1.0)], [(1.0, 2.0)]], family(1.0, 3, rng))


def test_time_to_target_is_of_the_mean_curve() -> None:
    costs = [[1.0, 2.0, 3.0]] * 2
    values = [
        [0.0, 0.6, 0.9],
        [0.0, 0.2, 0.9],
    ]  # one has 0.5 at the second point, both at the third
    assert time_to_target(costs, values, 0.5).cost == 3.0
    assert time_to_target(costs, values, 0.4).cost == 2.0
    assert time_to_target(costs, values, 0.95).cost == math.inf
    assert time_to_target(costs[:1], values[:1], 0.5).interval is None
    assert time_to_target(costs, [[-v for v in row] for row in values], -0.5, "min").cost == 3.0
    sure = time_to_target(costs * 2, [[0.0, 0.2, 0.9]] * 4, 0.5).interval
    assert sure is not None
    assert (sure.low, sure.high) == (3.0, 3.0)
    with pytest.raises(ValueError, match="same grid"):
        time_to_target([[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0]], 0.5)


def sizes_and_budgets(factor: float, n: int, rng: np.random.Generator, noise: float):
    """Make a loss that falls with the seconds; a size more is worse before a minute, better after."""
    return [
        [
            (
                seconds * (1 + 0.001 * rng.random()),
                8
                - 0.6 * math.log(seconds * factor)
                + (0.0, 0.15, 0.5)[size] * (1.0 if seconds * factor < 60 else -0.2)
                + noise * rng.standard_normal(),
            )
            for _ in range(n)
        ]
        for seconds in (15.0, 30.0, 60.0, 120.0)
        for size in range(3)
    ]


def test_several_sizes_at_each_budget_are_as_fast_as_their_best() -> None:
    # A curve through all of the groups would go up and down within each budget.
    rng = np.random.default_rng(0)
    exact = speed_up(
        *(sizes_and_budgets(f, 5, rng, 0.0) for f in (2.0, 1.0)), direction="min", draws=200
    )
    assert exact is not None
    assert exact.value == pytest.approx(2.0, rel=0.03)
    found = [
        speed_up(
            *(sizes_and_budgets(f, 5, rng, 0.03) for f in (2.0, 1.0)), direction="min", draws=200
        )
        for _ in range(20)
    ]
    intervals = [f.interval for f in found if f is not None and f.interval is not None]
    assert len(intervals) == 20
    assert sum(2.0 in i for i in intervals) >= 18
    assert sum(i.high / i.low < 1.5 for i in intervals) == 20


def test_a_worse_group_that_costs_more_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = family(2.5, 3, rng, 0.0), family(1.0, 3, rng, 0.0)
    worse = [(40.0, 0.1)] * 3
    fast = [speed_up(ours, f, quality=0.78) for f in (theirs, [*theirs, worse])]
    good = [gain(ours, f, cost=30.0) for f in (theirs, [*theirs, worse])]
    for plain, more in (fast, good):
        assert plain is not None
        assert more is not None
        assert more.value == pytest.approx(plain.value)
    lower = [[[(c, -q) for c, q in g] for g in f] for f in (ours, theirs)]
    turned = gain(*lower, direction="min")
    assert turned is not None
    assert turned.value == pytest.approx(0.05 * math.log(2.5))
