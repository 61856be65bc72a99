"""Checkpoints from which a cut-off run goes on with the same bits.

The file is replaced atomically, so a run that is killed while it writes keeps the one before; see
zoo.saved for what becomes of a file that is damaged later.
Where an evaluation follows a batch, the checkpoint waits until it is done: the loop then resumes
behind the evaluation, and no point of the curve is lost or doubled.
"""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as lightning_callbacks

from zoo.callbacks.recorder import Recorder
from zoo.errors import Interrupted, UserError
from zoo.saved import save


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own checkpoint files, written whole or not at all, each with its sum."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        save(checkpoint, Path(path))


class Checkpoint(lightning_callbacks.Checkpoint):
    """Save the run's state now and then, at its end, and when it is asked to stop.

    Ctrl-C and SIGTERM end the run behind the step under way, with a checkpoint; a second Ctrl-C
    ends it at once.

    Args:
        every_s: seconds between two checkpoints.
        every_steps: or steps; None: by seconds.
        max_share: of the time, that checkpoints by seconds may take: one that took long to write makes
            the next one wait.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        every_s: float | None = 30.0,
        every_steps: int | None = None,
        max_share: float = 0.05,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for key, value in (("every_s", every_s), ("every_steps", every_steps)):
            if value is not None and (not isinstance(value, int | float) or value <= 0):
                raise UserError(
                    f"callbacks.checkpoint.{key}={value}: must be a positive number; "
                    "type callbacks.checkpoint.every_s=30"
                )
        if every_s is None and every_steps is None:
            raise UserError(
                "callbacks.checkpoint.every_s=null: and every_steps is null, too; type "
                "callbacks.checkpoint.every_s=30, or callbacks.checkpoint=null to save none"
            )
        if not isinstance(max_share, int | float) or not 0 < max_share <= 1:
            raise UserError(
                f"callbacks.checkpoint.max_share={max_share}: must be above 0 and at most 1; "
                "type callbacks.checkpoint.max_share=0.05"
            )
        self.every_s = every_s
        self.every_steps = every_steps
        self.max_share = max_share
        self.path: Path | None = None
        self.clock = clock
        self._last_time = clock()
        self._last_step = 0
        self._took: list[float] = []  # seconds, to write the last ones
        self._signal: int | None = None

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt("stopped at once; the last checkpoint is kept")
        self._signal = number

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not before Lightning has put a handler of its own, by which it leaves at the next place that
        # asks, with exit code 0 and the checkpoint of some steps ago. However training ends, it puts
        # back all that it found.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._ask_to_stop)
        self._last_time = self.clock()
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Half an accumulation cannot be resumed: its gradients are in no checkpoint.
        updated = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        evaluates_next = (batch_idx + 1) % trainer.val_check_batch == 0  # type: ignore[operator]
        if updated and not evaluates_next:
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._save_if_due(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def _due(self, trainer: Trainer) -> bool:
        if self.every_steps is not None:
            return trainer.global_step - self._last_step >= self.every_steps
        # The quickest of three: a disk that once hung must not keep a run from being saved.
        took = min(self._took, default=0.0)
        assert self.every_s is not None, "see above"
        wait = max(self.every_s, took * (1 / self.max_share - 1))
        return self.clock() - self._last_time >= wait

    def _save_if_due(self, trainer: Trainer) -> None:
        stop, save = self._signal is not None, self._due(trainer)
        if trainer.world_size > 1:  # the ranks save and stop together, or wait for ever
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
            save = trainer.strategy.reduce_boolean_decision(save, all=False)
        if save or stop:
            self._save(trainer)
        if stop:
            name = signal.Signals(self._signal or signal.SIGTERM).name
            raise Interrupted(
                f"stopped by {name} at step {trainer.global_step}; the checkpoint is kept, "
                "type the same command to go on"
            )

    def _save(self, trainer: Trainer) -> None:
        assert self.path is not None, "the run sets the path"
        before = self.clock()
        trainer.save_checkpoint(self.path)
        self._last_time = self.clock()
        self._took = [*self._took[-2:], self._last_time - before]
        self._last_step = trainer.global_step
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Recorder):
                callback.pause()
