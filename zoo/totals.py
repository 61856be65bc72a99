"""What a run came to, by key: scores, counts, times, speeds, memory. docs/record.md has the table."""

import math
from typing import TYPE_CHECKING

from zoo import hardware
from zoo.checkpoint import pretraining
from zoo.tasks.base import Task

if TYPE_CHECKING:
    from zoo.run import Run


def totals(run: "Run", task: Task) -> dict[str, float | None]:
    """Gather every scalar of a run that has ended."""
    r = run.recorder
    devices = run.config["trainer"]["devices"]
    values: dict[str, float | None] = {
        k: v if math.isfinite(v) else None for k, v in r.latest.items() if not k.startswith("perf/")
    }
    values |= {
        "train/steps": r.steps,
        "train/samples": r.samples,
        "train/tokens": r.tokens,
        "train/epochs": r.samples / run.data.sizes["train"],
        "time/train_s": r.train_s,
        "time/eval_s": r.eval_s,
        "time/compile_s": r.compile_s,
        "time/data_wait_s": r.wait_s,
        "time/cpu_s": r.cpu_s if math.isfinite(r.cpu_s) else None,
        "perf/step_median_s": r.times.median(),
        "perf/step_p95_s": r.times.p95(),
        "perf/samples_per_s": r.per_second(r.samples),
        "perf/tokens_per_s": r.per_second(r.tokens) if r.tokens is not None else None,
        "mem/peak_bytes": hardware.peak_memory_bytes(run.device),
        "model/parameters": sum(p.numel() for p in task.net.parameters()),
    }
    if run.delay is not None:
        values["mem/history_bytes"] = run.delay.history_bytes
    if run.start is not None and run.config["model"].get("tune") != "scratch":
        values |= pretraining(run.start.origin)
    if run.meter is not None:
        values |= run.meter.taken(r.steps, r.samples, r.extent)
        peak = run.config["trainer"]["peak_flops"]
        if peak is None and run.device == "cuda":
            peak = hardware.peak_flops(hardware.describe(run.device, devices).device_name)
        total = values.get("flops/total")
        if peak is not None and total is not None and r.train_s > 0:
            values["perf/peak_flops"] = peak * devices
            timed = total * (r.steps - r.compiling_steps) / r.steps
            values["perf/mfu"] = timed / r.train_s / (peak * devices)
    return values
