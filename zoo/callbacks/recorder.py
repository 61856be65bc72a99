"""The run's clock, counters and curves: what the record is made of.

Three clocks that never overlap: training (data included), evaluation, and compilation (the first
step of a compiled model). Checkpoints are on none of them. All of it is part of the checkpoint.

Of several ranks each counts and averages over all of them, and so has the same numbers; the clocks are
its own.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.budget import Budget
from zoo.callbacks.curve import CurveLog, StepTimes
from zoo.callbacks.ranks import Counted, over_ranks
from zoo.errors import Diverged
from zoo.tasks.base import Task
from zoo.tasks.meter import Extent


class Recorder(Callback):
    """Counts, times and logs a run, ends it when its budget is used, and stops it on a NaN.

    Args:
        budget: told of steps and seconds; asked whether the run is over.
        log_every_steps: steps between two points of the training curves.
        compiled: the first step compiles and goes on the clock of compilation.
        clock, processor_clock: seconds, and those that this process has had a processor; replaced in tests.
    """

    def __init__(
        self,
        budget: Budget,
        log_every_steps: int,
        *,
        compiled: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.budget = budget
        self.log_every_steps = log_every_steps
        self.clock = clock
        self.processor_clock = processor_clock
        self.steps = self.samples = self.compiling_steps = 0
        self.tokens: int | None = None
        self.extent: Extent | None = None  # of all batches, where they are of sequences
        self.train_s = self.eval_s = self.compile_s = self.wait_s = self.cpu_s = 0.0
        self.times = StepTimes()
        self.curves: dict[str, CurveLog] = {}
        self.latest: dict[str, float] = {}
        self.last_evaluation: int | None = None  # the step after which validation was read last
        self._sums: dict[str, Tensor] = {}
        self._uncounted: list[Counted] = []
        self._batches = 0
        self._step_s = self._step_cpu_s = 0.0  # of the update under way
        self._mark = self._cpu_mark = 0.0
        self._wait_before = 0.0
        self._compiles_next = compiled  # also the first step of a resumed run

    # -- training ------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stream = _stream(trainer)
        self._wait_before = self.wait_s - (stream.wait_s if stream else 0.0)
        self._begin()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        metrics, counted = over_ranks(trainer, pl_module, outputs["metrics"], batch)
        self._uncounted.append(counted)
        if trainer.world_size == 1:
            self._count()
        for key, value in metrics.items():
            total = self._sums.get(key)
            self._sums[key] = value if total is None else total + value
        self._batches += 1

        updated = trainer.global_step > self.steps
        at_log = updated and trainer.global_step % self.log_every_steps == 0
        if at_log:
            self._read_sums()  # on a GPU this waits for the device: the clock is then true
        self._step_s -= self._mark
        self._step_cpu_s -= self._cpu_mark
        self._begin()
        self._step_s += self._mark
        self._step_cpu_s += self._cpu_mark
        if not updated:
            return
        self.steps = trainer.global_step
        if self._compiles_next:
            self.compile_s += self._step_s
            self.compiling_steps += 1
            self._compiles_next = False
        else:
            self.train_s += self._step_s
            self.cpu_s += self._step_cpu_s
            self.times.add(self._step_s)
        self._step_s = self._step_cpu_s = 0.0
        self.budget.used(self.steps, self.train_s)
        self._note(trainer, _measures(trainer.callbacks))  # type: ignore[attr-defined]
        if at_log:
            self._log_training(trainer)
        if self.budget.time_is_up:
            trainer.should_stop = True

    def _begin(self) -> None:
        """Start both clocks of a step anew."""
        self._mark, self._cpu_mark = self.clock(), self.processor_clock()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._batches:  # the last steps are a point of the curve, too
            self._read_sums()
            self._log_training(trainer)

    def _count(self) -> None:
        """Add up the batches since it was called last; on several GPUs this waits for them."""
        for counted in self._uncounted:
            samples, tokens, extent = counted.read()
            self.samples += samples
            if tokens is not None:
                self.tokens = (self.tokens or 0) + tokens
            if extent is not None:
                self.extent = extent.plus(self.extent)
        self._uncounted.clear()

    def _read_sums(self) -> None:
        self._count()
        for key, total in self._sums.items():
            self.latest[f"train/{key}"] = float(total) / self._batches
        self._sums.clear()
        self._batches = 0

    def _log_training(self, trainer: Trainer) -> None:
        stream = _stream(trainer)
        if stream is not None:
            self.wait_s = self._wait_before + stream.wait_s
        self.latest["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        rate = self.per_second(self.samples)
        if rate is not None:
            self.latest["perf/samples_per_s"] = rate
        self._note(trainer, _measures([trainer.precision_plugin, *trainer.optimizers]))
        logged = {k: v for k, v in self.latest.items() if k.startswith(("train/", "perf/"))}
        for key, value in logged.items():
            if key != "perf/samples_per_s":
                self._point(key, value)
        for logger in trainer.loggers:
            logger.log_metrics(logged, self.steps)
        self._stop_if_diverged(trainer, "train/loss")

    def _note(self, trainer: Trainer, measured: dict[str, float]) -> None:
        self.latest |= measured
        for key, value in measured.items():
            self._point(key, value)
        if measured:
            for logger in trainer.loggers:
                logger.log_metrics(measured, self.steps)

    def _stop_if_diverged(self, trainer: Trainer, key: str) -> None:
        bad = not math.isfinite(self.latest.get(key, 0.0))
        if trainer.world_size > 1:  # one rank's loss ends the run of all
            bad = trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            raise Diverged(f"{key} was {self.latest[key]} at step {self.steps}")

    def per_second(self, count: int) -> float | None:
        """Return a rate over the training clock; steps that compiled are not on it."""
        if self.train_s <= 0 or self.steps == 0:
            return None
        return count * (self.steps - self.compiling_steps) / self.steps / self.train_s

    def _point(self, key: str, value: float) -> None:
        self._count()
        curve = self.curves.setdefault(key, CurveLog())
        curve.add(self.steps, self.samples, self.tokens, self.train_s, value)

    # -- evaluation ----------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _synchronise(pl_module)
        self._begin()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_evaluation(trainer, pl_module, "val/")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark = self.clock()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_evaluation(trainer, pl_module, "test/")

    def _end_evaluation(self, trainer: Trainer, pl_module: LightningModule, prefix: str) -> None:
        _synchronise(pl_module)
        scores = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(prefix)}
        self.latest.update(scores)
        began = self._mark
        self._begin()
        self.eval_s += self._mark - began
        if prefix == "val/":
            self.last_evaluation = self.steps
            for key, value in scores.items():
                self._point(key, value)
        for logger in trainer.loggers:
            logger.log_metrics(scores, self.steps)
        self._stop_if_diverged(trainer, f"{prefix}loss")

    def pause(self) -> None:
        """Take the time since the last step off the training clock (a checkpoint was written)."""
        self._begin()

    # -- the checkpoint ------------------------------------------------------------------------

    _COUNTERS = (
        "steps",
        "compiling_steps",
        "last_evaluation",
        "samples",
        "tokens",
        "train_s",
        "eval_s",
        "compile_s",
        "wait_s",
        "cpu_s",
    )

    def state_dict(self) -> dict[str, Any]:
        self._count()
        return {
            "counters": {k: getattr(self, k) for k in self._COUNTERS},
            "times": self.times.state_dict(),
            "curves": {k: c.state_dict() for k, c in self.curves.items()},
            "latest": dict(self.latest),
            "extent": list(self.extent) if self.extent is not None else None,
            "sums": {k: float(v) for k, v in self._sums.items()},
            "batches": self._batches,
            "step_s": self._step_s,
            "step_cpu_s": self._step_cpu_s,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.cpu_s = math.nan  # where the checkpoint is from before it was counted
        for key, value in state["counters"].items():
            setattr(self, key, value)
        self.times.load_state_dict(state["times"])
        for key, curve in state["curves"].items():
            self.curves[key] = CurveLog()
            self.curves[key].load_state_dict(curve)
        self.latest = dict(state["latest"])
        extent = state["extent"]
        self.extent = Extent(*extent) if extent is not None else None
        self._sums = {k: torch.tensor(v) for k, v in state["sums"].items()}
        self._batches = state["batches"]
        self._step_s = state["step_s"]
        self._step_cpu_s = state.get("step_cpu_s", 0.0)  # of checkpoints from before it was counted
        self.budget.used(self.steps, self.train_s)


def _measures(sources: Iterable[Any]) -> dict[str, float]:
    """Ask those that have a method `measures` for scalars to log.

    A key that is left out was not measured since it was asked for last.
    """
    found: dict[str, float] = {}
    for source in sources:
        if hasattr(source, "measures"):
            found |= source.measures()
    return found


def _stream(trainer: Trainer) -> Any:
    return getattr(trainer.datamodule, "stream", None)  # type: ignore[attr-defined]


def _synchronise(pl_module: LightningModule) -> None:
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
