"""How long a run lasts: epochs, steps, samples or seconds, whichever is used up first."""

import math
from typing import Any

ENDLESS = 2**31 - 1  # batches of a run that only seconds end


class Budget:
    """Turns the budgets of `trainer.*` into steps, and tells the schedule how much is used.

    Args:
        trainer: the section `trainer` of the configuration.
        batches_per_epoch: of the training split.
        batch_size: samples of a batch, over all devices.
    """

    def __init__(self, trainer: dict[str, Any], *, batches_per_epoch: int, batch_size: int) -> None:
        accumulate = trainer["accumulate"]
        limits = []
        if trainer["max_steps"] is not None:
            limits.append(trainer["max_steps"])
        if trainer["max_epochs"] is not None:
            limits.append(round(trainer["max_epochs"] * batches_per_epoch / accumulate))
        if trainer["max_samples"] is not None:
            limits.append(math.ceil(trainer["max_samples"] / (batch_size * accumulate)))
        self.max_steps: int | None = max(1, min(limits)) if limits else None
        self.max_seconds: float | None = trainer["budget_s"]
        self.total_batches = ENDLESS if self.max_steps is None else self.max_steps * accumulate

        every = trainer["eval_every_steps"]
        if every is None:
            every = max(1, round(trainer["eval_every_epochs"] * batches_per_epoch / accumulate))
        self.eval_every_batches = every * accumulate
        self._steps, self._seconds = 0, 0.0

    def used(self, steps: int, seconds: float) -> None:
        """Note how many steps and seconds of training there were."""
        self._steps, self._seconds = steps, seconds

    @property
    def progress(self) -> float:
        """The share of the budget that is used, in [0, 1]."""
        return self.progress_after(self._steps)

    def progress_after(self, steps: int) -> float:
        """Return the share that is used after so many steps and the seconds noted so far."""
        shares = [0.0]
        if self.max_steps is not None:
            shares.append(steps / self.max_steps)
        if self.max_seconds is not None:
            shares.append(self._seconds / self.max_seconds)
        return min(1.0, max(shares))

    @property
    def time_is_up(self) -> bool:
        """Whether the seconds are used; Lightning itself counts the steps."""
        return self.max_seconds is not None and self._seconds >= self.max_seconds
