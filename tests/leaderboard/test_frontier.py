"""Frontier properties by hypothesis, against the definition spelled out."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import HARDWARE, make_config, make_record
from zoo.leaderboard import frontier
from zoo.leaderboard.frontier import Cell, group_by_seed, pareto_mask

value = st.one_of(st.integers(0, 6).map(float), st.none(), st.just(math.nan), st.just(math.inf))
direction = st.sampled_from(["min", "max"])


@st.composite
def problems(draw):
    axes = draw(st.integers(1, 4))
    points = draw(st.lists(st.tuples(*[value] * axes), max_size=25))
    return points, draw(st.lists(direction, min_size=axes, max_size=axes))


def complete(point) -> bool:
    return all(v is not None and math.isfinite(v) for v in point)


def dominates(a, b, directions) -> bool:
    better = [x <= y if d == "min" else x >= y for x, y, d in zip(a, b, directions, strict=True)]
    return all(better) and a != b


@given(problems())
def test_on_the_frontier_exactly_where_nothing_dominates(problem) -> None:
    points, directions = problem
    whole = [p for p in points if complete(p)]
    expected = [
        complete(p) and not any(dominates(other, p, directions) for other in whole) for p in points
    ]
    assert pareto_mask(points, directions) == expected


@given(problems(), st.randoms())
def test_the_order_of_the_points_does_not_matter(problem, rng) -> None:
    points, directions = problem
    order = list(range(len(points)))
    rng.shuffle(order)
    mask = pareto_mask(points, directions)
    assert pareto_mask([points[i] for i in order], directions) == [mask[i] for i in order]


@given(problems())
def test_turning_an_axis_round_is_negating_it(problem) -> None:
    points, directions = problem
    turned = [tuple(None if v is None else -v for v in p) for p in points]
    flipped = ["max" if d == "min" else "min" for d in directions]
    assert pareto_mask(points, directions) == pareto_mask(turned, flipped)


def test_ties_share_the_frontier() -> None:
    assert pareto_mask([(1, 5), (1, 5), (2, 5), (1, 4)], ["min", "max"]) == [
        True,
        True,
        False,
        False,
    ]


def test_an_unknown_direction_or_a_short_point_is_refused() -> None:
    with pytest.raises(ValueError, match="direction"):
        pareto_mask([(1.0,)], ["up"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="point 1 has 1 values"):
        pareto_mask([(1.0, 2.0), (1.0,)], ["min", "max"])


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=8))
def test_a_cell_is_the_sample_mean_and_deviation(values) -> None:
    good = [v for v in values if v is not None]
    cell = Cell.of(values)
    assert (cell.n, cell.missing) == (len(good), len(values) - len(good))
    assert cell.mean == (pytest.approx(statistics.fmean(good)) if good else None)
    assert cell.std == (pytest.approx(statistics.stdev(good)) if len(good) > 1 else None)


def width(w: int, seed: int, acc: float | None, train_s: float, **fields: object):
    config = make_config(seed, model={"width": w})
    return make_record(seed, accuracy=acc, train_s=train_s, config=config, **fields)


def test_seeds_are_averaged_before_the_frontier() -> None:
    """One lucky seed does not make a point: 8's mean is beaten by 16's at less time."""
    records = [
        width(8, 0, 0.99, 12.0), width(8, 1, 0.81, 12.0),
        width(16, 0, 0.95, 10.0), width(16, 1, 0.95, 10.0),
        width(2, 0, 0.70, 1.0), width(2, 1, 0.72, 1.0),
    ]  # fmt: skip
    groups = frontier(records)
    assert [(g.config["model"]["width"], g.on_frontier) for g in groups] == [  # type: ignore[index]
        (16, True), (8, False), (2, True),
    ]  # fmt: skip
    assert groups[1].cells["test/acc"] == Cell(pytest.approx(0.90), pytest.approx(0.09 * 2**0.5), 2)
    assert groups[0].seeds == [0, 1]


def test_less_can_be_better_on_the_quality_axis() -> None:
    records = [width(w, 0, loss, t) for w, loss, t in ((2, 0.9, 1.0), (4, 0.5, 2.0), (8, 0.6, 3.0))]
    groups = frontier(records, quality_direction="min")
    assert [g.cells["test/acc"].mean for g in groups if g.on_frontier] == [0.5, 0.9]


def test_missing_values_and_diverged_runs_are_on_no_frontier() -> None:
    records = [
        width(2, 0, 0.5, 5.0),
        width(4, 0, None, 0.1),
        width(8, 0, 0.99, 0.1, status="diverged"),
        width(16, 0, 0.99, 0.2),
        width(16, 1, 0.1, 0.2, status="diverged"),
    ]
    on = [g.config["model"]["width"] for g in frontier(records) if g.on_frontier]  # type: ignore[index]
    assert on == [2]


def test_each_machine_has_a_frontier_of_times_and_all_share_one_of_flops() -> None:
    slow = HARDWARE.model_copy(update={"cpu_name": "A slow CPU"})
    records = [
        width(2, 0, 0.5, 1.0), width(4, 0, 0.9, 2.0),
        width(2, 1, 0.5, 10.0, hardware=slow), width(4, 1, 0.8, 20.0, hardware=slow),
    ]  # fmt: skip
    assert [g.on_frontier for g in frontier(records)] == [True] * 4
    assert sum(g.on_frontier for g in frontier(records, cost="flops/total")) == 2


def test_another_version_is_another_group() -> None:
    records = [width(2, s, 0.5, 5.0, zoo_version=v) for s, v in ((0, "0.1"), (1, "0.2"))]
    assert [len(g.records) for g in group_by_seed(records)] == [1, 1]


def test_other_hardware_or_data_is_another_group() -> None:
    other = HARDWARE.model_copy(update={"cpu_name": "Another CPU"})
    records = [width(2, 0, 0.5, 5.0), width(2, 1, 0.5, 5.0), width(2, 2, 0.5, 5.0, hardware=other)]
    assert sorted(len(g.records) for g in group_by_seed(records)) == [1, 2]
