"""How long a sweep's runs will take, by the clock of runs like them on the same kind of hardware."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from zoo.leaderboard.record import Record, deciding_config
from zoo.sweeps.fingerprints import Fingerprints

Alike = Callable[[dict[str, Any]], str]


def _sections(*names: str) -> Alike:
    def alike(config: dict[str, Any]) -> str:
        found = [config.get(name) for name in names]
        return json.dumps([*found, config["optimizer"]["name"]], sort_keys=True)

    return alike


def _names(config: dict[str, Any]) -> str:
    model, data = config["model"], config["data"]
    return json.dumps([model["name"], model.get("size"), data["name"], data.get("batch_size")])


# From close to far: the first that any run meets is what a run is judged by.
LIKENESS: tuple[Alike, ...] = (
    _sections("model", "data", "precision", "delay"),
    _sections("model", "data"),
    _names,
)


def on_the_clock(record: Record) -> float:
    """Return the seconds of a run: training, compilation and evaluation."""
    keys = ("time/train_s", "time/eval_s", "time/compile_s")
    return sum(record.metrics.get(key) or 0.0 for key in keys)


class Estimate:
    """Predicts the seconds of runs.

    Args:
        records: of this kind of hardware.
        prints: knows how many updates a run has.
    """

    def __init__(self, records: Iterable[Record], prints: Fingerprints) -> None:
        self._prints = prints
        self._known: list[dict[str, list[Record]]] = [defaultdict(list) for _ in LIKENESS]
        for record in records:
            if record.status != "finished" or not record.metrics.get("train/steps"):
                continue
            for alike, known in zip(LIKENESS, self._known, strict=True):
                known[alike(record.config)].append(record)

    def seconds(self, settings: dict[str, Any]) -> float | None:
        """Return the expected seconds of the run of these settings; None: no run is like it."""
        budget = self._prints.budget(settings)
        decides = deciding_config(settings)
        for alike, known in zip(LIKENESS, self._known, strict=True):
            like = known.get(alike(decides))
            if like is not None:
                return _expected(like, budget.max_steps, budget.max_seconds)
        return budget.max_seconds if budget.max_steps is None else None


def _expected(like: list[Record], steps: int | None, seconds: float | None) -> float:
    """Scale what runs took: evaluation as it was, training to so many updates or seconds."""
    trained = statistics.fmean(
        (on_the_clock(r) - (r.metrics.get("time/eval_s") or 0.0)) / (r.metrics["train/steps"] or 1)
        for r in like
    )
    limits = [] if steps is None else [trained * steps]
    limits += [] if seconds is None else [seconds]
    evaluating = statistics.fmean(r.metrics.get("time/eval_s") or 0.0 for r in like)
    return min(limits) + evaluating
