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
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from zoo.delay.callback import Delay
from zoo.errors import UserError


class ConstantDelay(Delay):
    """Delays every gradient by so many updates, of any model, task, precision and optimizer.

    Args:
        steps: D, updates.
        warmup: see `Delay`.

    Raises:
        UserError: D is no whole number, or there is no such warm-up.
    """

    name = "constant"

    def __init__(self, steps: int, warmup: str = "fill") -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise UserError(
                f"delay.steps={steps}: must be a whole number of updates, 0 or more; "
                "type delay.steps=8"
            )
        super().__init__(warmup)
        self.steps = steps
        self._versions: deque[int] = deque(maxlen=steps + 1)  # updates made before the last ones

    def delays_of(
        self, pl_module: LightningModule, optimizer: Optimizer, parameters: list[Tensor]
    ) -> list[int]:
        for group in optimizer.param_groups:
            if "delay" in group:
                group["delay"] = self.steps
        return [self.steps] * len(parameters)

    def reset(self) -> None:
        super().reset()
        self._versions.clear()

    def on_update_start(self, trainer: Trainer) -> None:
        self._versions.append(self._made)

    @torch.no_grad()
    def measure(self, stale: dict[Tensor, Tensor]) -> None:
        """Measure how late the gradients are.

        `num/delay/updates` is the number of updates that the weights of the gradient lack,
        `num/delay/distance` is |w(t) - w(t - D)| / |w(t)| over all weights.
        """
        old = self._versions[0] if len(self._versions) > self.steps else 0
        far = torch.stack([(p - w).norm() for p, w in stale.items()]).norm() if stale else 0.0
        size = torch.stack([p.norm() for p in stale]).norm() if stale else 1.0
        self._measured = {
            "num/delay/updates": float(self._made - old),
            "num/delay/distance": float(far / size),
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "versions": list(self._versions)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._versions.clear()
        self._versions.extend(state["versions"])
