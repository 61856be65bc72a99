"""What else is done about a late gradient, to compare with: one class, one formula each.

All are torch's SGD with something changed, and SGD itself, to the bit, where nothing is late. The
delay D of a parameter group stands under `delay` in the group, where the delay callback puts it.

A class may have two methods that the callback calls:
`compensate(stale)` corrects the gradients, given the weights that they were computed on;
`sent_weights(parameters)` returns what is computed on in place of the weights (a look-ahead).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from zoo.errors import UserError

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

# SGD's step itself: around it torch calls a user's hooks, which here see the whole step.
_SGD_STEP: Callable[..., float | None] = inspect.unwrap(SGD.step)


class _DelayedSGD(SGD):
    """SGD whose groups know their delay.

    Args:
        params: parameters, or groups of them; a group may have its own `delay`.
        lr, momentum, weight_decay, nesterov: torch.optim.SGD's.
        options: further arguments of torch.optim.SGD.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
            **options,
        )
        self.defaults["delay"] = 0
        for group in self.param_groups:
            group.setdefault("delay", 0)


class _Rescaled(_DelayedSGD):
    """SGD with hyperparameters that depend on the delay; the schedule sees the given ones."""

    def rescale(self, lr: float, momentum: float, delay: int) -> tuple[float, float]:
        """Return the learning rate and the momentum that are used under this delay."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make SGD's step with the rescaled hyperparameters."""
        given = [(group["lr"], group["momentum"]) for group in self.param_groups]
        try:
            for group, (lr, momentum) in zip(self.param_groups, given, strict=True):
                group["lr"], group["momentum"] = self.rescale(lr, momentum, group["delay"])
            return _SGD_STEP(self, closure)
        finally:
            for group, (lr, momentum) in zip(self.param_groups, given, strict=True):
                group["lr"], group["momentum"] = lr, momentum


class StalenessAware(_Rescaled):
    """lr / max(1, D) (Zhang et al. 2016, arXiv 1511.05950: lr / tau at a staleness of tau)."""

    def rescale(self, lr: float, momentum: float, delay: int) -> tuple[float, float]:
        return lr / max(1, delay), momentum


class DelayScaledLR(_Rescaled):
    """lr / (1 + D): as much in flight at a time as without delay."""

    def rescale(self, lr: float, momentum: float, delay: int) -> tuple[float, float]:
        return lr / (1 + delay), momentum


class LoweredMomentum(_Rescaled):
    """Less momentum, since asynchrony is some (Mitliagkas et al. 2016, arXiv 1605.09774).

    There, a mean staleness of D acts like a momentum of D / (1 + D), whose gradients are D steps old
    on average, as those of momentum m are m / (1 - m). The rule that keeps the mean age is ours:

        m' / (1 - m') = max(0, m / (1 - m) - D)

    The learning rate stays, and with it what one gradient weighs shrinks from lr / (1 - m) to
    lr / (1 - m').
    """

    def rescale(self, lr: float, momentum: float, delay: int) -> tuple[float, float]:
        if delay == 0:
            return lr, momentum
        age = max(0.0, momentum / (1 - momentum) - delay)
        return lr, age / (1 + age)

    def __init__(self, params: Params, *args: Any, **options: Any) -> None:
        super().__init__(params, *args, **options)
        if any(group["nesterov"] for group in self.param_groups):
            raise UserError(
                "optimizer.nesterov=True: lowered_momentum may end at no momentum, which has no "
                "Nesterov form; type optimizer.nesterov=false"
            )


class GapAware(_DelayedSGD):
    """Each element's gradient is divided by how far its weight has gone since.

    Barkai, Hakimi, Schuster 2020 (arXiv 1909.10802), with w' the weights that g was computed on:

        C = lr_max (sqrt(E[v^2]) + eps)             how far one step goes
        g <- (g + wd w) / (1 + |w - w'| / C)

    E is an average that decays by 0.999 a step, corrected for its start; lr_max is the highest
    learning rate so far.

    Args:
        params, lr, momentum, weight_decay, nesterov, options: see torch.optim.SGD.
        decay: of the average.
        eps: added to its root.
    """

    def __init__(
        self, params: Params, *args: Any, decay: float = 0.999, eps: float = 1e-8, **options: Any
    ) -> None:
        super().__init__(params, *args, **options)
        if not 0 <= decay < 1:
            raise UserError(
                f"optimizer.decay={decay}: must be in [0, 1); type optimizer.decay=0.999"
            )
        if any(group["momentum"] == 0 for group in self.param_groups):
            raise UserError(
                "optimizer.momentum=0: gap_aware measures gaps in steps of the velocity; "
                "type optimizer.momentum=0.9"
            )
        self.eps = eps
        self.decay = decay
        self.defaults["max_lr"] = 0.0
        for group in self.param_groups:
            group.setdefault("max_lr", 0.0)

    @torch.no_grad()
    def compensate(self, stale: Mapping[Tensor, Tensor]) -> None:
        """Divide the gradients, and what SGD will add for the decay, by the penalty."""
        for group in self.param_groups:
            group["max_lr"] = max(group["max_lr"], group["lr"])
            for p in group["params"]:
                state = self.state[p]
                known = "mean_square" in state and group["max_lr"] > 0
                if p.grad is None or p not in stale or not known:
                    continue
                corrected = state["mean_square"] / (1 - self.decay ** state["averaged"])
                one_step = corrected.sqrt_().add_(self.eps).mul_(group["max_lr"])
                penalty = (p - stale[p]).abs_().div_(one_step).add_(1)
                p.grad.div_(penalty)
                if group["weight_decay"]:  # SGD adds wd w to it
                    p.grad.add_(p * (1 / penalty - 1), alpha=group["weight_decay"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make SGD's step and average v^2."""
        loss = _SGD_STEP(self, closure)
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                v = state.get("momentum_buffer")
                if p.grad is None or v is None:
                    continue
                if "mean_square" not in state:
                    state["mean_square"], state["averaged"] = torch.zeros_like(v), 0
                state["mean_square"].mul_(self.decay).addcmul_(v, v, value=1 - self.decay)
                state["averaged"] += 1
        return loss


class DelayCompensated(_DelayedSGD):
    """DC-ASGD: the gradient is carried over to the present weights by a diagonal Hessian.

    Zheng et al. 2017 (arXiv 1609.08326), with w' the weights that g was computed on:

        g <- g + lambda g g (w - w')

    and, `adaptive`, lambda / sqrt(E[g^2] + 1e-7) for lambda, E an average that decays by 0.95.

    Args:
        params, lr, momentum, weight_decay, nesterov, options: see torch.optim.SGD.
        variance: lambda; the paper's for CIFAR-10 are, from memory, 0.04, and 2 where adaptive.
        adaptive: DC-ASGD-a instead of DC-ASGD-c.
        decay: of the average.
    """

    def __init__(
        self,
        params: Params,
        *args: Any,
        variance: float = 0.04,
        adaptive: bool = False,
        decay: float = 0.95,
        **options: Any,
    ) -> None:
        super().__init__(params, *args, **options)
        if not variance >= 0:
            raise UserError(
                f"optimizer.variance={variance}: must not be negative; type optimizer.variance=0.04"
            )
        if not 0 <= decay < 1:
            raise UserError(
                f"optimizer.decay={decay}: must be in [0, 1); type optimizer.decay=0.95"
            )
        self.variance = variance
        self.adaptive = adaptive
        self.decay = decay

    @torch.no_grad()
    def compensate(self, stale: Mapping[Tensor, Tensor]) -> None:
        """Add the first-order term of each gradient's change since."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None or p not in stale:
                    continue
                square = p.grad.square()
                change = square * (p - stale[p])
                if self.adaptive:
                    state = self.state[p]
                    mean = state.setdefault("mean_square", torch.zeros_like(p.grad))
                    mean.mul_(self.decay).add_(square, alpha=1 - self.decay)
                    change.div_((mean + 1e-7).sqrt_())
                p.grad.add_(change, alpha=self.variance)


class Dana(_DelayedSGD):
    """DANA: a worker computes on where the weights will be when its gradient arrives.

    Hakimi, Barkai, Gabel, Schuster 2019 (arXiv 1907.11612), DANA-Zero. Of the N = D + 1 workers,
    who take turns, each has a velocity of its own:

        v_i <- m v_i + g_i,    w <- w - lr v_i,    it is sent    w - lr m sum_j v_j

    With `velocities=shared`, one velocity is extrapolated over the delay instead (the look-ahead
    that is known as MSNAG):

        it is sent    w - lr (m - m^(D+1)) / (1 - m) v

    Without delay the first is Nesterov's method, in the form in which gradients are taken ahead,
    and the second is SGD.

    Args:
        params, lr, momentum, weight_decay, options: see torch.optim.SGD.
        velocities: worker (N times the weights in memory) or shared.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        velocities: str = "worker",
        **options: Any,
    ) -> None:
        if velocities not in ("worker", "shared"):
            raise UserError(
                f"optimizer.velocities={velocities}: there is worker, shared; "
                "type optimizer.velocities=worker"
            )
        if not momentum > 0:
            raise UserError(
                f"optimizer.momentum={momentum}: without momentum there is nothing to look ahead "
                "along; type optimizer.momentum=0.9 or optimizer=sgd"
            )
        if options.get("nesterov"):
            raise UserError(
                "optimizer.nesterov=True: dana looks ahead by itself; type optimizer.nesterov=false"
            )
        super().__init__(params, lr, momentum, weight_decay, **options)
        self.velocities = velocities

    def at_update(self, update: int) -> None:
        """Say whose turn it is: updates that a loss scale skips take theirs, too."""
        for group in self.param_groups:
            group["turn"] = update % (group["delay"] + 1)

    @torch.no_grad()
    def sent_weights(self, parameters: list[Tensor]) -> list[Tensor]:
        """Return the estimated weights of the time when the gradients will be applied."""
        groups = {p: group for group in self.param_groups for p in group["params"]}
        return [self._ahead(p, groups[p]) for p in parameters]

    def _ahead(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        state, m = self.state[p], group["momentum"]
        if self.velocities == "worker":
            if "velocity_sum" not in state:
                return p.detach().clone()
            return p.detach().sub(state["velocity_sum"], alpha=group["lr"] * m)
        if state.get("momentum_buffer") is None:
            return p.detach().clone()
        horizon = (m - m ** (group["delay"] + 1)) / (1 - m)
        return p.detach().sub(state["momentum_buffer"], alpha=group["lr"] * horizon)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Let the worker whose turn it is make a step of SGD with its own velocity."""
        if self.velocities == "shared":
            return _SGD_STEP(self, closure)
        for group in self.param_groups:
            turn = group.get("turn", 0)
            for p in group["params"]:
                state = self.state[p]
                if "worker_velocities" in state:
                    v = state["worker_velocities"][turn]
                    state["velocity_sum"].sub_(v)
                    state["momentum_buffer"] = v
        loss = _SGD_STEP(self, closure)
        for group in self.param_groups:
            turn, workers = group.get("turn", 0), group["delay"] + 1
            for p in group["params"]:
                state = self.state[p]
                v = state.get("momentum_buffer")
                if v is None:
                    continue
                if "worker_velocities" not in state:
                    state["worker_velocities"] = [torch.zeros_like(v) for _ in range(workers)]
                    state["velocity_sum"] = torch.zeros_like(v)
                state["worker_velocities"][turn] = v
                state["velocity_sum"].add_(v)
            group["turn"] = (turn + 1) % workers
        return loss
