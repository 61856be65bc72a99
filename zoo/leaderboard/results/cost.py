"""What the curated records took to make, and what they would on a GPU."""

from collections import defaultdict
from collections.abc import Iterable

from zoo.leaderboard.record import Record
from zoo.leaderboard.results.page import rows_of

# An estimate, no measurement: networks this small wait for launches, some thousand kernels an update.
GPU_UPDATE_S = 0.010
GPU_FLOPS = 0.3 * 312e12  # what large ones would be bound by: 30% of an A100's bf16 peak

KINDS = {
    "classification": "images",
    "masked_lm": "masked words",
    "causal_lm": "running text",
    "sequence_classification": "GLUE",
    "multiple_choice": "medical questions",
}


def cost(records: Iterable[Record]) -> str:
    """Return a table: runs, updates, FLOPs and hours by task and data, the most hours first."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        kind = KINDS.get(record.config["task"]["name"], record.config["task"]["name"])
        groups[f"{kind}, {record.data.name}" if kind == "images" else kind].append(record)
    ordered = sorted(groups.items(), key=lambda item: -_hours(item[1]))
    everything = [r for _, found in ordered for r in found]
    lines = [_line(name, found) for name, found in [*ordered, ("all", everything)]]
    head = ["", "runs", "updates", "FLOPs", "hours here", "hours on a GPU, estimated"]
    return rows_of(head, lines)


def _line(name: str, records: list[Record]) -> list[str]:
    updates = sum(_get(r, "train/steps") for r in records)
    return [
        name,
        f"{len(records):,}",
        f"{updates:,.0f}",
        f"{sum(_get(r, 'flops/total') for r in records):.1e}",
        f"{_hours(records):.1f}",
        f"{sum(map(_gpu_s, records)) / 3600:.1f}",
    ]


def _hours(records: Iterable[Record]) -> float:
    clocks = ("time/train_s", "time/eval_s", "time/compile_s")
    return sum(_get(r, c) for r in records for c in clocks) / 3600


def _gpu_s(record: Record) -> float:
    return max(_get(record, "train/steps") * GPU_UPDATE_S, _get(record, "flops/total") / GPU_FLOPS)


def _get(record: Record, key: str) -> float:
    return record.metrics.get(key) or 0.0
