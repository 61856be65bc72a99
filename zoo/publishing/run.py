"""A record as a W&B run: its id, name, configuration, summary and curves."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.leaderboard.admission import objection
from zoo.leaderboard.record import Record

# What a curve's point is counted in, by the names of the metrics that end with the same number.
AXES = {"samples": "train/samples", "tokens": "train/tokens", "train_s": "time/train_s"}


@dataclass(frozen=True, slots=True)
class Run:
    """What is sent of a record.

    The digest is of everything but the tags, which boards decide; `curve` is that of the rows.
    """

    id: str
    name: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    summary: dict[str, Any]
    rows: list[tuple[int, dict[str, float]]]  # by step, rising
    digest: str
    curve: str


def run_of(record: Record, boards: Iterable[str] = ()) -> Run:
    """Return the W&B run of a record; `boards` are the names of those that it is on."""
    config = {**record.config, "record": _about(record)}
    known = {key: value for key, value in record.metrics.items() if value is not None}
    summary = {**known, "status": record.status, "command": record.command}
    rows = _rows(record)
    curve = _sha256(rows)
    digest = _sha256([config, summary, curve])
    return Run(
        record.id, _name(record), tuple(sorted(boards)), config, summary, rows, digest, curve
    )


def _sha256(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _about(record: Record) -> dict[str, Any]:
    """Everything of a record that has no place of its own in a run."""
    about = record.model_dump(
        mode="json", exclude={"config", "metrics", "curve", "ranges", "command", "status"}
    )
    return {key: value for key, value in about.items() if value is not None}


def _name(record: Record) -> str:
    """Return the words that a run of training has for its name, too."""
    names = (
        (record.config.get(section) or {}).get("name")
        for section in ("model", "data", "precision", "optimizer", "delay")
    )
    words = [str(name) for name in names if name not in (None, "none")]
    return " ".join([*words, f"seed {record.seed}"])[:128]


def _rows(record: Record) -> list[tuple[int, dict[str, float]]]:
    rows: dict[int, dict[str, float]] = {}
    for key, curve in record.curve.items():
        for index, step in enumerate(curve.step):
            value = curve.value[index]
            if value is None:
                continue
            row = rows.setdefault(step, {})
            row[key] = value
            for column, axis in AXES.items():
                counts = getattr(curve, column)
                if counts is not None:
                    row.setdefault(axis, counts[index])
    return sorted(rows.items())


def refusal(record: Record) -> str | None:
    """Say why a record is not published, in one sentence; None where it is.

    Asked of one's own records as well: what goes to a server does not come back.
    """
    names: dict[str, Iterable[str]] = {
        "metrics": record.metrics,
        "curve": record.curve,
        "config": record.config,
    }
    for place, keys in names.items():
        for key in keys:
            if key.startswith("_"):
                return f"{place}.{key[:80]}: W&B keeps names that begin with _ to itself"
    return objection(record)


def one_of_each(records: Sequence[Record]) -> list[Record]:
    """Return the newest record of each id: what was measured on two machines is one W&B run."""
    newest: dict[str, Record] = {}
    for record in records:
        known = newest.get(record.id)
        if known is None or record.created_at > known.created_at:
            newest[record.id] = record
    return [newest[key] for key in sorted(newest)]
