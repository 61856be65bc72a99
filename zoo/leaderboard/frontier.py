"""Pareto frontiers: which groups of runs nothing else beats on every axis at once.

A point dominates another when it is at least as good on every axis and better on one. Equal
points do not dominate each other, so ties share the frontier. A point with a missing or
non-finite value is on no frontier and dominates nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from zoo.leaderboard.record import Record, setup
from zoo.leaderboard.statistics.interval import Interval, mean_interval

Direction = Literal["min", "max"]


def pareto_mask(
    points: Sequence[Sequence[float | None]], directions: Sequence[Direction]
) -> list[bool]:
    """Say of each point whether it is on the frontier.

    Args:
        points: n points of k axes; None or a non-finite number is a missing value.
        directions: for each axis, whether less (`min`) or more (`max`) is better.

    Returns:
        n booleans. Two axes take O(n log n), more take O(n * size of the frontier).

    >>> pareto_mask([(1, 90), (2, 95), (3, 94), (2, 95)], ["min", "max"])
    [True, True, False, True]
    """
    for direction in directions:
        if direction not in ("min", "max"):
            raise ValueError(f"direction is 'min' or 'max', not {direction!r}")
    signs = [1.0 if d == "min" else -1.0 for d in directions]
    costs: dict[int, tuple[float, ...]] = {}
    for index, point in enumerate(points):
        if len(point) != len(signs):
            raise ValueError(f"point {index} has {len(point)} values for {len(signs)} directions")
        if all(v is not None and math.isfinite(v) for v in point):
            costs[index] = tuple(s * v for s, v in zip(signs, point, strict=True) if v is not None)

    # In lexicographic order nothing that comes later can dominate what came before.
    on = [False] * len(points)
    frontier: list[tuple[float, ...]] = []
    for index in sorted(costs, key=costs.__getitem__):
        cost = costs[index]
        # On two axes the last point of the frontier has the lowest second cost so far.
        rivals = frontier[-1:] if len(signs) == 2 else frontier
        if any(r != cost and all(a <= b for a, b in zip(r, cost, strict=True)) for r in rivals):
            continue
        on[index] = True
        frontier.append(cost)
    return on


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric over the seeds of a group: mean, sample standard deviation (n - 1), and n.

    `n` counts the runs that have the value, `missing` those that have not; the standard
    deviation of a single run is None, not zero. `measured` is the interval of a quantity that is no
    mean over runs.
    """

    mean: float | None
    std: float | None
    n: int
    missing: int = 0
    measured: Interval | None = None

    @property
    def interval(self) -> Interval | None:
        """The interval of the mean at 95%; None where one run tells no spread."""
        if self.measured is not None:
            return self.measured
        return mean_interval(self.mean, self.std, self.n) if self.mean is not None else None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Cell":
        """Summarise the values of a group; None and non-finite numbers are missing."""
        every = list(values)
        good = [v for v in every if v is not None and math.isfinite(v)]
        if not good:
            return cls(None, None, 0, len(every))
        n = len(good)
        # Of equal values the mean is the value and the deviation zero, whatever is rounded.
        mean = math.fsum(good) / n if min(good) < max(good) else good[0]
        # statistics.stdev computes in fractions: ten times as long, over thousands of cells.
        squares = math.fsum((v - mean) ** 2 for v in good)
        return cls(mean, math.sqrt(squares / (n - 1)) if n > 1 else None, n, len(every) - n)


def cell_of(records: Sequence[Record], key: str) -> Cell:
    """Summarise a metric of the records."""
    return Cell.of(r.metrics.get(key) for r in records)


@dataclass(slots=True)
class Group:
    """Runs that differ in nothing but the seed: the same configuration, data and hardware."""

    key: str
    records: list[Record]
    cells: dict[str, Cell] = field(default_factory=dict)
    on_frontier: bool = False

    @property
    def config(self) -> dict[str, object]:
        """The configuration that the runs share; the seed in it is the first run's."""
        return self.records[0].config

    @property
    def hardware(self) -> str:
        """The hardware class that the runs share."""
        return hardware_class(self.records[0])

    @property
    def seeds(self) -> list[int]:
        return sorted(r.seed for r in self.records)

    @property
    def complete(self) -> bool:
        """Whether every run ended well: a group with a diverged run is on no frontier."""
        return all(r.status == "finished" for r in self.records)


def hardware_class(record: Record) -> str:
    """Name what a time was measured on; times of two classes are not comparable."""
    h = record.hardware
    name = h.device_name
    if h.device == "cpu":
        name = f"{h.cpu_name} with {h.instructions}" if h.instructions else h.cpu_name
    threads = "1 thread" if h.cpu_threads == 1 else f"{h.cpu_threads} threads"
    count = threads if h.device == "cpu" else f"x{h.device_count}"
    return f"{name}, {count}"


def depends_on_hardware(metric: str) -> bool:
    """Whether a metric comes from a clock, so that two machines' values are not comparable."""
    return metric.startswith(("time/", "perf/")) or metric == "target/train_s"


def group_key(record: Record) -> str:
    """Return the text on which two runs agree exactly when only their seed differs.

    The version is part of it: it is raised when the same command gives other numbers.
    """
    return f"{setup(record)} {hardware_class(record)}"


def group_by_seed(records: Iterable[Record]) -> list[Group]:
    """Gather the runs that differ only in their seed, in the order of their first record."""
    groups: dict[str, Group] = {}
    for record in records:
        groups.setdefault(key := group_key(record), Group(key, [])).records.append(record)
    return list(groups.values())


def frontier(
    records: Iterable[Record],
    cost: str = "time/train_s",
    quality: str = "test/acc",
    *,
    cost_direction: Direction = "min",
    quality_direction: Direction = "max",
    cell: Callable[[Sequence[Record], str], Cell] = cell_of,
    minimum_seeds: int = 1,
    apart: Callable[[Group], object] | None = None,
) -> list[Group]:
    """Average runs over their seeds and mark the Pareto frontier of cost against quality.

    Args:
        records: the runs to compare.
        cost, quality: metric keys (docs/record.md).
        cost_direction, quality_direction: `min` where less is better, `max` where more is.
        cell: summarises a key over the runs of a group.
        minimum_seeds: a group of fewer runs is on no frontier.
        apart: groups for which this differs have frontiers of their own.

    Times of different machines are not comparable: where the cost is a time, every hardware
    class has a frontier of its own.

    Returns:
        Every group, best quality first; `on_frontier` says which are undominated. A group with
        a diverged run or a missing value is listed last and is on no frontier.
    """
    groups = group_by_seed(records)
    for group in groups:
        for key in (cost, quality):
            group.cells[key] = cell(group.records, key)
    points = [
        tuple(
            g.cells[k].mean
            if g.complete and not g.cells[k].missing and len(g.records) >= minimum_seeds
            else None
            for k in (cost, quality)
        )
        for g in groups
    ]
    classes: dict[object, list[int]] = {}
    for i, group in enumerate(groups):
        machine = group.hardware if depends_on_hardware(cost) else ""
        classes.setdefault((machine, apart(group) if apart else ""), []).append(i)
    for members in classes.values():
        mask = pareto_mask([points[i] for i in members], [cost_direction, quality_direction])
        for i, on in zip(members, mask, strict=True):
            groups[i].on_frontier = on
    sign = -1.0 if quality_direction == "max" else 1.0
    groups.sort(key=lambda g: _last_if_none(g.cells[quality].mean, sign, g.complete))
    return groups


def _last_if_none(value: float | None, sign: float, complete: bool) -> tuple[bool, float]:
    return (value is None or not complete, sign * value if value is not None else 0.0)
