"""The progress bar: loss, accuracy, samples per second, time left; plain lines without a terminal."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

from zoo.callbacks.recorder import Recorder

REFRESH_S = 0.2
LINE_S = 10.0


class Progress(Callback):
    """Show how far the budget is used and how well training goes.

    Numbers are those of the curve: the loss and accuracy since the last logged step, and of the
    last evaluation. Where the output is no terminal, a line is printed every ten seconds.
    """

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._shown = 0.0
        self._began = 0.0
        self._progress_at_start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        recorder = _recorder(trainer)
        self._began = self._shown = time.monotonic()
        self._progress_at_start = recorder.budget.progress
        if sys.stdout.isatty():
            self._bar = RichProgress(
                TextColumn("[bold]{task.percentage:>3.0f}%"),
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                console=Console(),
                auto_refresh=False,
            )
            self._bar.start()
            self._task = self._bar.add_task("starting", total=1.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self._shown < (REFRESH_S if self._bar is not None else LINE_S):
            return
        if not trainer.is_global_zero:
            return
        self._shown = now
        recorder = _recorder(trainer)
        text = self.describe(recorder, now)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=recorder.budget.progress, description=text, refresh=True
            )
        else:
            print(f"{100 * recorder.budget.progress:3.0f}% {text}", flush=True)

    def describe(self, recorder: Recorder, now: float) -> str:
        """Return the line beside the bar."""
        parts = [f"step {recorder.steps}"]
        latest = recorder.latest
        for key, label, scale, unit in (
            ("train/loss", "loss", 1, ""),
            ("train/acc", "acc", 100, "%"),
            ("val/acc", "val acc", 100, "%"),
            ("val/loss", "val loss", 1, ""),
        ):
            if key in latest:
                digits = 1 if unit else 3
                parts.append(f"{label} {scale * latest[key]:.{digits}f}{unit}")
        rate = recorder.per_second(recorder.samples)
        if rate is not None:
            parts.append(f"{rate:,.0f} samples/s")
        done = recorder.budget.progress - self._progress_at_start
        if done > 0:
            left = (now - self._began) * (1 - recorder.budget.progress) / done
            parts.append(f"{_duration(left)} left")
        return "  ".join(parts)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            recorder = _recorder(trainer)
            text = self.describe(recorder, time.monotonic())
            self._bar.update(
                self._task, completed=recorder.budget.progress, description=text, refresh=True
            )
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()


def _recorder(trainer: Trainer) -> Recorder:
    return next(c for c in trainer.callbacks if isinstance(c, Recorder))  # type: ignore[attr-defined]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
