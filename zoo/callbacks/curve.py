"""A metric over training, bounded in length, and step times, bounded too."""

import math
import statistics
from typing import Any

MAX_POINTS = 1000
MAX_STEP_TIMES = 4096


class CurveLog:
    """One metric's points; past `MAX_POINTS` every second one goes and half as many come in.

    What is kept depends on the number of points alone, so a resumed run keeps the same ones.
    """

    COLUMNS = ("step", "samples", "tokens", "train_s", "value")

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int | None, float, float | None]] = []
        self.seen = 0
        self.stride = 1

    def add(
        self, step: int, samples: int, tokens: int | None, train_s: float, value: float
    ) -> None:
        """Append a point; a value that is not finite is stored as missing."""
        if self.seen % self.stride == 0:
            kept = value if math.isfinite(value) else None
            self.rows.append((step, samples, tokens, round(train_s, 4), kept))
            if len(self.rows) > MAX_POINTS:
                self.rows = self.rows[::2]
                self.stride *= 2
        self.seen += 1

    def columns(self) -> dict[str, Any]:
        """Return the points as the record stores them: a list a column."""
        lists = [list(c) for c in zip(*self.rows, strict=True)] or [[] for _ in self.COLUMNS]
        columns = dict(zip(self.COLUMNS, lists, strict=True))
        if all(t is None for t in columns["tokens"]):
            columns["tokens"] = None  # type: ignore[assignment]
        return columns

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seen": self.seen, "stride": self.stride}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [tuple(row) for row in state["rows"]]
        self.seen, self.stride = state["seen"], state["stride"]


class StepTimes:
    """Seconds of steps, evenly thinned to at most `MAX_STEP_TIMES`; median and 95th percentile."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.seen = 0
        self.stride = 1

    def add(self, seconds: float) -> None:
        if self.seen % self.stride == 0:
            self.values.append(seconds)
            if len(self.values) > MAX_STEP_TIMES:
                self.values = self.values[::2]
                self.stride *= 2
        self.seen += 1

    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    def p95(self) -> float | None:
        """Return the 95th percentile by linear interpolation (numpy's default)."""
        if len(self.values) < 2:
            return self.median()
        return statistics.quantiles(self.values, n=20, method="inclusive")[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "seen": self.seen, "stride": self.stride}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values, self.seen, self.stride = list(state["values"]), state["seen"], state["stride"]
