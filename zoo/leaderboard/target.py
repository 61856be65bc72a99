"""What it costs to reach a target: read off the curves of records, for a board, never stored."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from zoo.leaderboard.frontier import Cell, Direction
from zoo.leaderboard.record import Curve, Finite, Record

# A total that grows linearly with steps has cost its share of the steps by the time.
TOTALS = {
    "target/bit_flops": "cost/bit_flops",
    "target/bytes_moved": "cost/bytes_moved",
    "target/flops": "flops/total",
}
KEYS = ("target/steps", "target/samples", "target/train_s", *TOTALS)

# Metrics come from single precision, where 0.7 is 0.69999999: they are off by less than this.
ROUNDING = 1e-6


class Target(BaseModel):
    """A metric that has a curve, and the value at or beyond which a run has got there.

    `over: runs` is the mean over the runs' own costs; `over: mean` is the cost at which the mean
    curve over the seeds gets there, on the steps at which every one of them was evaluated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    value: Finite
    direction: Direction = "max"
    over: Literal["runs", "mean"] = "runs"

    @field_validator("key")
    @classmethod
    def _has_a_curve(cls, key: str) -> str:
        if key.startswith("test/"):
            raise ValueError(f"{key} has no curve, the test split is read once; type val/...")
        return key

    def __str__(self) -> str:
        bound = "at least" if self.direction == "max" else "at most"
        if self.over == "mean":
            return (
                f"target: {self.key} of {bound} {self.value:g}, at the first point of the mean curve "
                "over seeds that has it; a group whose mean curve never gets there has no such cost"
            )
        return (
            f"target: {self.key} of {bound} {self.value:g}, at the first logged point that has it; "
            "a group in which a run never gets there has no such cost"
        )

    def reached(self, curve: Curve) -> int | None:
        """Return the index of the first point at or beyond the target; no point is made up."""
        for index, value in enumerate(curve.value):
            if value is not None and self._is_met(value):
                return index
        return None

    def _is_met(self, value: float) -> bool:
        beyond = value > self.value if self.direction == "max" else value < self.value
        return beyond or math.isclose(value, self.value, rel_tol=ROUNDING)

    def cost(self, record: Record, key: str) -> float | None:
        """Return what a run had cost when it reached the target.

        Args:
            record: of the run, with its curve of the target's metric.
            key: one of `KEYS`.

        Returns:
            The cost; None where the target was never reached, or the record lacks the total.
        """
        curve = record.curve.get(self.key)
        index = self.reached(curve) if curve is not None else None
        if curve is None or index is None:
            return None
        return self._cost_at(record, curve, index, key)

    @staticmethod
    def _cost_at(record: Record, curve: Curve, index: int, key: str) -> float | None:
        if key in TOTALS:
            total, steps = record.metrics.get(TOTALS[key]), record.metrics.get("train/steps")
            return total * curve.step[index] / steps if total is not None and steps else None
        columns: dict[str, Sequence[float]] = {
            "target/steps": curve.step,
            "target/samples": curve.samples,
            "target/train_s": curve.train_s,
        }
        return columns[key][index]

    def cell(self, records: Sequence[Record], key: str) -> Cell:
        """Summarise a group; no mean where a run never got there.

        What such a run would have cost is more than it was given. The mean over the others would
        be lower than the group's, and lowest where only one lucky seed got there.
        """
        if self.over == "mean":
            return self._cell_of_mean(records, key)
        cell = Cell.of(self.cost(record, key) for record in records)
        return Cell(None, None, cell.n, cell.missing) if cell.missing else cell

    def _cell_of_mean(self, records: Sequence[Record], key: str) -> Cell:
        """Summarise a group by its mean curve: one cost and its interval, but no deviation."""
        from zoo.leaderboard.statistics.time_to_target import time_to_target

        none = Cell(None, None, 0, len(records))
        curves = [(r, r.curve[self.key]) for r in records if self.key in r.curve]
        steps = [dict(zip(c.step, range(len(c.step)), strict=True)) for _, c in curves]
        if not curves or len(curves) < len(records):
            return none
        grid = sorted(set.intersection(*(set(s) for s in steps)))
        costs, values = [], []
        for (record, curve), index in zip(curves, steps, strict=True):
            costs.append([self._cost_at(record, curve, index[s], key) for s in grid])
            # A value that is missing is beyond nothing.
            values.append(
                [v if (v := curve.value[index[s]]) is not None else math.nan for s in grid]
            )
        if not grid or any(c is None for row in costs for c in row):
            return none
        known = [[c for c in row if c is not None] for row in costs]
        # What rounding took from a mean of single precision is none.
        slack = -ROUNDING if self.direction == "max" else ROUNDING
        target = self.value + slack * abs(self.value)
        found = time_to_target(known, values, target, self.direction)
        if not math.isfinite(found.cost):
            return none
        return Cell(found.cost, None, len(records), 0, found.interval)
