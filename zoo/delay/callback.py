"""What all delays share: a Lightning callback that has the model compute on old weights.

Around every forward and backward pass the model has weights of some updates ago, each parameter of
its own delay; before the optimizer sees the gradients it has its present ones again. No model, task,
precision or optimizer has to know of it, and these may:

- an optimizer with a table `delays` is told the delay of each parameter;
- one with a method `compensate(stale)` may correct the gradients, given the weights that they were
  computed on;
- one with a method `sent_weights(parameters)` says what is computed on in place of the weights;
- one with a method `at_update(t)` is told which update it makes, those that were skipped counted.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import Optimizer

from zoo.delay.history import History
from zoo.errors import UserError


class Delay(Callback):
    """The base of the delays; see `delays_of`, which says what a delay is.

    Args:
        warmup: while there are no weights of D updates ago, compute on the first ones (fill), or
            skip the first max D updates (skip), which is what a queue of D gradients does.

    Raises:
        UserError: there is no such warm-up.
    """

    name: str
    consistent = True  # whether the backward pass sees the weights of the forward pass

    def __init__(self, warmup: str = "fill") -> None:
        if warmup not in ("fill", "skip"):
            raise UserError(f"delay.warmup={warmup}: there is fill, skip; type delay.warmup=fill")
        self.warmup = warmup
        self.longest = 0
        self._history: History | None = None
        self._loaded: dict[str, Any] | None = None
        self._batches = 0  # that the update under way has had
        self._pushed = False  # what it computes on is in the history
        self._started = 0  # updates, the one under way included
        self._made = 0  # updates that changed the weights
        self._measured: dict[str, float] = {}

    def delays_of(
        self, pl_module: LightningModule, optimizer: Optimizer, parameters: list[Tensor]
    ) -> list[int]:
        """Return the delay of each of these parameters, in updates; see `batches_per_update`."""
        raise NotImplementedError

    def sends(self, optimizer: Optimizer) -> bool:
        """Whether what is computed on is something else than the weights of that time."""
        return hasattr(optimizer, "sent_weights")

    def sent_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor]:
        """Return it, where `sends`."""
        return optimizer.sent_weights(parameters)

    def returned_weights(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor] | None:
        """Return what the backward pass sees, where it is not consistent; None: present weights.

        It is called while the model has old weights: `present` in the history has the others.
        """
        return None

    def batches_per_update(self, trainer: Trainer) -> int:
        """Return N where the delays are in batches, not in updates, and N batches make an update."""
        return 1

    @property
    def history(self) -> History:
        assert self._history is not None, "training has not started"
        return self._history

    @property
    def history_bytes(self) -> int:
        """Bytes of old weights: sum_p D_p |p|, or D_p + 1 for weights that are sent ahead."""
        return self._history.bytes if self._history else 0

    # -- Lightning's hooks, in the order of a step -----------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization or len(trainer.optimizers) != 1:
            raise UserError(
                f"delay={self.name}: needs one optimizer and Lightning's automatic optimization; "
                "type delay=none"
            )
        optimizer: Any = trainer.optimizers[0]
        if not self.consistent and isinstance(trainer.precision_plugin, MixedPrecision):
            raise UserError(
                f"precision={trainer.precision_plugin.precision}: autocast keeps copies of the weights "
                f"for the backward pass, which delay={self.name} cannot change; type precision=fp32 or "
                "delay.stash_weights=true"
            )
        if self._loaded is None:
            self.reset()
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
        delays = self.delays_of(pl_module, optimizer, parameters)
        size = self.batches_per_update(trainer)
        self.longest = -(-max(delays, default=0) // size)
        if hasattr(optimizer, "delays"):
            of = zip(parameters, delays, strict=True)
            optimizer.delays = {p: in_updates(delay, size) for p, delay in of}
        self._history = History(parameters, delays, ahead=self.sends(optimizer), per_update=size)
        if self._loaded is not None:
            self._history.load_state_dict(self._loaded)
            self._loaded = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.history.give_back()  # where a batch was skipped
        if self._batches == 0:
            self._pushed = False
            self._started += 1
            self.on_update_start(trainer)
            (optimizer,) = trainer.optimizers
            if self.sends(optimizer):
                self._push(self.sent_weights(optimizer, self.history.parameters))
        self.history.lend(self._batches)
        self._batches += 1
        if not self.consistent:
            _follow_weights(trainer, True)

    def reset(self) -> None:
        """Forget a training before this one."""
        self._pushed = False
        self._batches = 0
        self._started = self._made = 0
        self._measured = {}

    def on_update_start(self, trainer: Trainer) -> None:
        """Take notice of the first batch of an update."""

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        if self.consistent:
            return
        if self._logs_next(trainer):
            self.measure_lent()
        (optimizer,) = trainer.optimizers
        self._pushed |= self.history.converge(
            self.returned_weights(optimizer, self.history.parameters)
        )
        _follow_weights(trainer, False)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.history.give_back()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self.history.give_back()  # where there was no backward
        if hasattr(optimizer, "at_update"):
            optimizer.at_update(self._started - 1)
        stale = self.history.stale() if self.consistent else {}
        if self.consistent and self._logs_next(trainer):
            self.measure(stale)
        if self.warmup == "skip" and trainer.global_step < self.longest:
            for p in self.history.parameters:
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
        self.history.give_back()  # where there was no backward
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            if not self._pushed:  # a loss scale has skipped the update
                self._push(None)
            self._batches = 0

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self._history is not None:
            self._history.give_back()
        if not self.consistent:
            _follow_weights(trainer, False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.history.give_back()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._history is not None:
            self._history.give_back()

    def _push(self, weights: list[Tensor] | None) -> None:
        self.history.push(weights)
        self._pushed = True

    @staticmethod
    def _logs_next(trainer: Trainer) -> bool:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (trainer.global_step + 1) % every == 0

    # -- what is seen of it, and what a resumed run needs ----------------------------------------

    def measure(self, stale: dict[Tensor, Tensor]) -> None:
        """Measure the weights that a gradient was computed on, at a step that is logged."""

    def measure_lent(self) -> None:
        """The same between forward and backward, where they see different ones."""

    def measures(self) -> dict[str, float]:
        """Return what was measured since it was asked for last."""
        measured, self._measured = self._measured, {}
        return measured

    def state_dict(self) -> dict[str, Any]:
        counts = {"made": self._made, "started": self._started}
        return {"history": self.history.state_dict(), **counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = state["history"]
        self._made, self._started = state["made"], state["started"]


def in_updates(batches: int, batches_per_update: int) -> float:
    """Return a delay of so many batches in updates: the mean over the batches of an update.

    Batch j of N is ceil((D - j) / N) updates late, D / N in the mean, exactly.

    >>> in_updates(8, 1), in_updates(8, 3)
    (8, 2.6666666666666665)
    """
    return batches if batches_per_update == 1 else batches / batches_per_update


def _follow_weights(trainer: Trainer, on: bool) -> None:
    """Tell a precision that makes copies of the weights that they will be, or are, other ones."""
    plugin: Any = trainer.precision_plugin
    if hasattr(plugin, "follow_weights"):
        plugin.follow_weights(on)
