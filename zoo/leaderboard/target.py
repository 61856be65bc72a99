"""What it costs to reach a target: read off the curves of records, for a board, never stored."""

import math
from collections.abc import Sequence

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
    """A metric that has a curve, and the value at or beyond which a run has got there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    value: Finite
    direction: Direction = "max"

    @field_validator("key")
    @classmethod
    def _has_a_curve(cls, key: str) -> str:
        if key.startswith("test/"):
            raise ValueError(f"{key} has no curve, the test split is read once; type val/...")
        return key

    def __str__(self) -> str:
        bound = "at least" if self.direction == "max" else "at most"
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
        cell = Cell.of(self.cost(record, key) for record in records)
        return Cell(None, None, cell.n, cell.missing) if cell.missing else cell
