"""The meter of a run; a sweep's jobs with one model count its operations once, which takes seconds."""

import json
from collections.abc import Mapping
from typing import Any

from zoo.precision.kinds import Kind
from zoo.tasks.base import Task
from zoo.tasks.meter import Meter
from zoo.tasks.sequences import SequenceTask

_METERS: dict[str, Meter | None] = {}  # by all that decides what is counted


def metered(
    task: Task, config: Mapping[str, Any], data: Any, bits: Mapping[Kind, int]
) -> Meter | None:
    """Return what counts a run's FLOPs; None where they cannot be counted.

    Args:
        task: around the model, as it is trained.
        config: of the run.
        data: what it reads.
        bits: of the tensors in a product, by kind.
    """
    trainer = config["trainer"]
    # Each device reads the weights for its share of a batch: as many passes, each of so much.
    passes = trainer["accumulate"] * trainer["devices"]
    share = data.batch_size // trainer["devices"]
    # Which values its weights have decides nothing, only how many there are and which learn.
    weights = [(n, list(p.shape), p.requires_grad) for n, p in task.net.named_parameters()]
    model = _without(config["model"], "checkpoint", "tune")
    decides: list[Any] = [dict(bits), weights, model, str(getattr(task.net, "config", ""))]
    decides += [_without(config["data"], "batch_size", "eval_batch_size"), config["task"]]
    if not isinstance(task, SequenceTask):  # one sequence is counted, whatever the data
        decides += [data.sha256, share, passes]
    key = json.dumps(decides, sort_keys=True, default=str)
    if key not in _METERS:
        _METERS[key] = task.meter(share, passes, dict(bits))
    return _METERS[key]


def _without(options: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in keys}
