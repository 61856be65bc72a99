"""Asynchronous SGD with a constant delay: the gradient applied now is of D updates ago.

    g(t) = grad L(w(t - D)),    w(t + 1) = w(t) - step of the optimizer on g(t)

Forward and backward both see w(t - D), as N = D + 1 workers in turn do (Venigalla et al. 2020,
arXiv 2007.01397). Sample t is seen at step t. What is not delayed:

- the learning rate and the decay are those of step t, and the decay is of w(t);
- clipping is of the gradient when it is applied, as is what the optimizer does to compensate;
- buffers, such as batch norm's running statistics, are one set that every forward pass updates, as
  if the workers shared it: they are of the weights of D updates ago;
- evaluation and checkpoints have w(t).

All batches of an update (`trainer.accumulate`) are computed on the same old weights. An update that
a loss scale skips passes like any other: it takes its turn and changes nothing.
"""

from collections import deque
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from zoo.delay.history import History
from zoo.errors import UserError


class ConstantDelay(Callback):
    """Delays every gradient by so many updates, of any model, task, precision and optimizer.

    It tells the optimizer's groups their `delay`, where they have that key, and calls its methods
    `compensate` and `sent_weights`, where it has them (zoo.optim.peers).

    Args:
        steps: D, updates.
        warmup: while there are no weights of D updates ago, compute on the first ones (fill), or
            skip the first D updates (skip), which is what a queue of D gradients does.

    Raises:
        UserError: D is no whole number, or there is no such warm-up.
    """

    def __init__(self, steps: int, warmup: str = "fill") -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise UserError(
                f"delay.steps={steps}: must be a whole number of updates, 0 or more; "
                "type delay.steps=8"
            )
        if warmup not in ("fill", "skip"):
            raise UserError(f"delay.warmup={warmup}: there is fill, skip; type delay.warmup=fill")
        self.steps = steps
        self.warmup = warmup
        self._history: History | None = None
        self._loaded: dict[str, Any] | None = None
        self._begun = False  # the update under way has had a batch
        self._pushed = False  # its weights are in the history
        self._made = 0  # updates that changed the weights
        self._versions: deque[int] = deque(
            maxlen=steps + 1
        )  # how many before each of the last ones
        self._measured: dict[str, float] = {}

    @property
    def history_bytes(self) -> int:
        """Bytes of old weights: D times the weights, or D + 1 times for a look-ahead."""
        return self._history.bytes if self._history else 0

    # -- Lightning's hooks, in the order of a step -----------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization or len(trainer.optimizers) != 1:
            raise UserError(
                "delay=constant: needs one optimizer and Lightning's automatic optimization; "
                "type delay=none"
            )
        (optimizer,) = trainer.optimizers
        for group in optimizer.param_groups:
            if "delay" in group:
                group["delay"] = self.steps
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
        self._history = History(
            parameters, [self.steps] * len(parameters), ahead=hasattr(optimizer, "sent_weights")
        )
        if self._loaded is not None:
            self._history.load_state_dict(self._loaded)
            self._loaded = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert self._history is not None
        (optimizer,) = trainer.optimizers
        if not self._begun:
            self._begun, self._pushed = True, False
            self._versions.append(self._made)
            if hasattr(optimizer, "sent_weights"):
                self._push(optimizer.sent_weights(self._history.parameters))
        self._history.lend()

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._history is not None
        self._history.give_back()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        assert self._history is not None
        stale = self._history.stale()
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._measure(stale)
        if self.warmup == "skip" and trainer.global_step < self.steps:
            for p in self._history.parameters:
                p.grad = None  # torch's optimizers leave such a parameter alone
        else:
            if stale and hasattr(optimizer, "compensate"):
                optimizer.compensate(stale)
            self._made += 1
        if not self._pushed:
            self._push(None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert self._history is not None
        self._history.give_back()  # where there was no backward
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            if not self._pushed:  # a loss scale has skipped the update
                self._push(None)
            self._begun = False

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self._history is not None:
            self._history.give_back()

    def _push(self, weights: list[Tensor] | None) -> None:
        assert self._history is not None
        self._history.push(weights)
        self._pushed = True

    # -- what is seen of it ----------------------------------------------------------------------

    @torch.no_grad()
    def _measure(self, stale: dict[Tensor, Tensor]) -> None:
        """Measure how late the gradients are, in updates and in distance."""
        old = self._versions[0] if len(self._versions) > self.steps else 0
        far = torch.stack([(p - w).norm() for p, w in stale.items()]).norm() if stale else 0.0
        size = torch.stack([p.norm() for p in stale]).norm() if stale else 1.0
        self._measured = {
            "num/delay/updates": float(self._made - old),
            "num/delay/distance": float(far / size),
        }

    def measures(self) -> dict[str, float]:
        """Return the effective delay, where it was measured since it was asked for last.

        `num/delay/updates` is the number of updates that the weights of the gradient lack,
        `num/delay/distance` is |w(t) - w(t - D)| / |w(t)| over all weights.
        """
        measured, self._measured = self._measured, {}
        return measured

    def state_dict(self) -> dict[str, Any]:
        assert self._history is not None
        return {
            "history": self._history.state_dict(),
            "made": self._made,
            "versions": list(self._versions),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = state["history"]
        self._made = state["made"]
        self._versions.clear()
        self._versions.extend(state["versions"])
