"""Which runs a group of a claim is made of: the tuned keys at their best on the validation split."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.leaderboard.boards import flatten
from zoo.leaderboard.claims.claim import Choice, GroupSpec
from zoo.leaderboard.frontier import depends_on_hardware, hardware_class
from zoo.leaderboard.record import Record


@dataclass(slots=True)
class Setting:
    """Runs of one configuration, data, version and hardware; the seeds differ."""

    fields: dict[str, Any]
    hardware: str
    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Picked:
    """The runs of a group by seed, or why there are none."""

    records: dict[int, Record]
    reason: str = ""
    exists: bool = True  # whether there was any run at all
    tuned: Mapping[str, Any] = field(default_factory=dict)


class Index:
    """Records by setting, so that many claims over many records compare configurations once."""

    def __init__(self, records: Iterable[Record]) -> None:
        settings: dict[str, Setting] = {}
        for record in records:
            config = {k: v for k, v in record.config.items() if k != "seed"}
            hardware = hardware_class(record)
            key = json.dumps([config, record.data.sha256, hardware, record.zoo_version])
            if key not in settings:
                # As for a board's `where`: data.* of the fingerprint goes before the configuration's.
                data = {f"data.{k}": v for k, v in record.data.model_dump().items()}
                fields = {**flatten(config), **data, "version": record.zoo_version}
                settings[key] = Setting(fields, hardware)
            settings[key].records.append(record)
        self.settings = list(settings.values())

    def pick(self, choice: Choice, group: GroupSpec) -> Picked:
        """Return the runs of a group, one a seed.

        Among settings that differ in the tuned keys alone, the one whose mean over seeds is best on
        the validation split is taken, of those that have the minimum of seeds. Where settings differ
        in more, the group is ambiguous, and that is said.
        """
        where = {**choice.where, **group.where}
        tuned: dict[str, Any] = {}
        if group.like is not None:
            chosen = self.pick(
                choice, GroupSpec(where={**where, **group.like}, metric=group.metric)
            )
            if not chosen.records:
                return Picked({}, f"to choose by: {chosen.reason}", chosen.exists)
            tuned = dict(chosen.tuned)
        metric = group.metric or choice.metric
        found = [s for s in self._matching({**where, **tuned}) if _values(s.records, metric)]
        if not found:
            return Picked({}, "no runs", exists=False)
        merged = _merge(found, metric, choice)
        enough = [m for m in merged if len(m[1]) >= choice.minimum_seeds]
        if not enough:
            most = max(len(m[1]) for m in merged)
            return Picked({}, f"{most} of {choice.minimum_seeds} seeds")
        others = {k for f, _ in enough for k in f} - set(choice.tune)
        differ = sorted(k for k in others if len({repr(f.get(k)) for f, _ in enough}) > 1)
        if differ:
            return Picked({}, f"runs differ in {', '.join(differ[:3])}; add it to where")
        sign = 1.0 if choice.tune_direction == "max" else -1.0
        fields, runs = max(enough, key=lambda m: sign * _mean(m[1].values(), choice.tune_by, sign))
        return Picked(runs, tuned={k: fields.get(k) for k in choice.tune})

    def _matching(self, where: Mapping[str, Any]) -> list[Setting]:
        items = [(k, v if isinstance(v, list) else [v]) for k, v in where.items()]
        return [s for s in self.settings if all(s.fields.get(k) in v for k, v in items)]


def _merge(
    found: list[Setting], metric: str, choice: Choice
) -> list[tuple[dict[str, Any], dict[int, Record]]]:
    """Join settings that differ in the hardware alone, where no clock is in the metric."""
    by: dict[str, tuple[dict[str, Any], dict[int, Record]]] = {}
    for setting in found:
        clock = any(map(depends_on_hardware, [metric, *choice.keys]))
        fields = {**setting.fields, "hardware": setting.hardware} if clock else setting.fields
        runs = by.setdefault(repr(sorted(fields.items(), key=repr)), (fields, {}))[1]
        for record in setting.records:
            if record.metrics.get(metric) is not None or record.status == "diverged":
                runs.setdefault(record.seed, record)
    return list(by.values())


def _values(records: Iterable[Record], metric: str) -> list[float]:
    return [v for r in records if (v := r.metrics.get(metric)) is not None]


def _mean(records: Iterable[Record], key: str, sign: float) -> float:
    values: dict[bool, list[float]] = defaultdict(list)
    for record in records:
        value = record.metrics.get(key)
        good = value is not None and math.isfinite(value) and record.status == "finished"
        values[good].append(value if value is not None else 0.0)
    # A learning rate at which a seed diverges is never the best.
    return statistics.fmean(values[True]) if not values[False] else -sign * math.inf
