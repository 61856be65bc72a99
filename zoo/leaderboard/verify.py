"""Does a run that is made again agree with its record?

Two rules, the stricter one where it can hold:

    bits      the same CPU, threads and library versions, and a budget that no clock ends: every metric
              and every point of a curve must be equal, but for what a clock or the memory says
    interval  the score must be where another seed of the same configuration would fall in 95 of 100
              cases: mean ± t(n - 1) s sqrt(1 + 1/n) over the n seeds on record

A run that should be equal to the bit and is not, since the arithmetic of the code has changed in the
meantime, is judged by the interval, and that is said.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from zoo.leaderboard.frontier import Cell, hardware_class
from zoo.leaderboard.record import Record
from zoo.leaderboard.statistics.interval import Interval, t_quantile

# What no two runs have in common: clocks, and the memory of everything in the process.
OF_THE_MACHINE = ("time/", "perf/", "mem/peak")

Verdict = Literal["bit-equal", "within", "outside", "unjudged"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a run that was made again compares with its record.

    Attributes:
        verdict: bit-equal; within or outside the interval; unjudged where there is none.
        metric: the score that was compared.
        old, new: its values; None where the run has none.
        interval: where another seed's score would fall.
        note: why the bits were not asked for, or where they differ; empty where they are equal.
    """

    verdict: Verdict
    metric: str
    old: float | None
    new: float | None
    interval: Interval | None
    note: str


def score_of(record: Record) -> str:
    """Return the metric by which a run is judged: test accuracy of a classification, else the loss."""
    return "test/acc" if record.config["task"]["name"] == "classification" else "test/loss"


def judge(old: Record, new: Record, seeds: Iterable[Record]) -> Judgement:
    """Compare a run with its record.

    Args:
        old: the record.
        new: of the same configuration, data and seed, made again.
        seeds: records that differ from the old one in nothing but the seed, it among them.
    """
    metric = score_of(old)
    difference = first_difference(old, new)
    if not difference:  # also where nobody may ask for it
        value = old.metrics.get(metric)
        return Judgement("bit-equal", metric, value, new.metrics.get(metric), None, "")
    note = why_not_bits(old, new) or f"bits differ, first in {difference}"
    values = [r.metrics.get(metric) for r in seeds if r.status == "finished"]
    interval = prediction_interval([v for v in values if v is not None])
    was, found = old.metrics.get(metric), new.metrics.get(metric)
    verdict: Verdict = "unjudged"
    if old.status != new.status:
        verdict, note = "outside", f"was {old.status}, is {new.status}; {note}"
    elif old.status == "diverged":
        verdict, note = "within", f"diverged again; {note}"
    elif interval is None:
        note = f"one seed tells no spread; {note}"
    elif found is not None:
        verdict = "within" if found in interval else "outside"
    return Judgement(verdict, metric, was, found, interval, note)


def prediction_interval(values: Sequence[float]) -> Interval | None:
    """Return where one more value falls in 95 of 100 cases, None of fewer than two values.

    mean ± t(n - 1, 0.975) s sqrt(1 + 1/n), exact for normal values; see any textbook, e.g. Hahn and
    Meeker, Statistical Intervals (1991), section 4.8.
    """
    cell = Cell.of(values)
    if cell.mean is None or cell.std is None:
        return None
    half = t_quantile(cell.n - 1) * cell.std * math.sqrt(1 + 1 / cell.n)
    return Interval(cell.mean - half, cell.mean + half)


def why_not_bits(old: Record, new: Record) -> str:
    """Return why two runs of one configuration need not be equal to the bit; empty: they must be."""
    if old.config["trainer"].get("budget_s") is not None:
        return "a clock ended both"
    if old.hardware.device == "cpu" and old.hardware.instructions is None:
        return "made with instructions of the processor that its record does not name"
    if hardware_class(old) != hardware_class(new):
        return f"made on {hardware_class(old)}, now on {hardware_class(new)}"
    if old.hardware.device != "cpu" or old.hardware.device_count > 1:
        return "several devices, or a GPU, add in another order each time"
    changed = [
        f"{name} {old.libraries[name]}, now {new.libraries[name]}"
        for name in sorted(old.libraries.keys() & new.libraries.keys())  # older records name fewer
        if old.libraries[name] != new.libraries[name]
    ]
    return f"other libraries: {'; '.join(changed)}" if changed else ""


def first_difference(old: Record, new: Record) -> str:
    """Return the first place where two runs differ that should not; empty: they are equal.

    Of a record's thinned curves the points that it has are compared. What only one of the two has is
    no difference: a later version counts more.
    """
    for key in sorted(old.curve.keys() & new.curve.keys()):
        if key.startswith(OF_THE_MACHINE):
            continue
        again = dict(zip(new.curve[key].step, new.curve[key].value, strict=True))
        for step, value in zip(old.curve[key].step, old.curve[key].value, strict=True):
            if step not in again:
                return f"{key}: it has no value at step {step}"
            if again[step] != value:
                return f"{key} at step {step}: {value}, now {again[step]}"
    if old.status != new.status:
        return f"status: {old.status}, now {new.status}"
    for key in sorted(old.metrics.keys() & new.metrics.keys()):
        if not key.startswith(OF_THE_MACHINE) and old.metrics[key] != new.metrics[key]:
            return f"{key}: {old.metrics[key]}, now {new.metrics[key]}"
    return ""
