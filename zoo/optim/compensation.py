"""Spike Compensation: a gradient that comes late makes up for the steps that it missed.

Kosson, Chiley, Venigalla, Hestness, Koester 2020, "Pipelined Backpropagation at Scale" (arXiv
2003.11666). With v summing raw gradients, as in torch:

    v <- m v + g
    w <- w - lr (a v + b g),    a = m^D,  b = (1 - m^D) / (1 - m)

A gradient that is D updates late would have moved the weights by 1 + m + ... + m^(D-1) times itself
by now. The spike b makes up for that at once, and a lets the rest go on from where it would be; in
the end every gradient weighs 1 / (1 - m), as in SGD. D = 0 is SGD and D = 1 is Nesterov's method,
both to the bit of torch's.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.errors import UserError
from zoo.optim import kernel

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

VELOCITY = "momentum_buffer"  # torch's name for it

PREDICTIONS = ("velocity", "weight", "spectrain")


def spike_coefficients(momentum: float, delay: float) -> tuple[float, float]:
    """Return a = m^D and b = (1 - m^D) / (1 - m).

    >>> spike_coefficients(0.5, 0)
    (1.0, 0.0)
    >>> spike_coefficients(0.5, 1)
    (0.5, 1.0)
    >>> spike_coefficients(0.5, 2)
    (0.25, 1.5)
    """
    a = momentum**delay
    return a, (1 - a) / (1 - momentum)


class CompensatedSGD(Optimizer):
    """SGD with momentum, each parameter compensated for its own delay.

    Args:
        params: parameters, or groups of them; a group may have its own `delay`.
        lr: learning rate.
        momentum: m, heavy ball in PyTorch's convention.
        delay: D in updates, of parameters whose delay no callback tells (`delays`).
        spike_compensation: false: plain SGD, a = 1 and b = 0.
        weight_decay: wd; wd w is added to the gradient.
        a, b: in the place of the coefficients of every D: generalised spike compensation.
        anneal: K: during the first K updates the learning rate is lr / D^(1 - k / K) at update k
            (PipeMare's first technique, Yang et al. 2020, arXiv 1910.05124); None: lr throughout.
        prediction: which prediction a delay callback is to make along this optimizer's velocity:
            velocity, weight, spectrain, or None; see zoo.delay.prediction.
        correction: C of PipeMare's second technique, with which a delay callback is to correct the
            weights of backward passes; see zoo.delay.correction. None: it does not.
        horizon: of the prediction, in updates: a number, or a multiple of the delay such as "2D".

    Raises:
        UserError: hyperparameters that make no sense, or an unknown word.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        momentum: float = 0.9,
        *,
        delay: int = 0,
        spike_compensation: bool = True,
        weight_decay: float = 0.0,
        a: float | None = None,
        b: float | None = None,
        anneal: int | None = None,
        prediction: str | None = None,
        horizon: float | str | None = None,
        correction: float | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise UserError(
                f"optimizer.momentum={momentum}: must be in [0, 1); type optimizer.momentum=0.9"
            )
        if delay < 0:
            raise UserError(f"optimizer.delay={delay}: must be 0 or more; type optimizer.delay=0")
        if a is not None and not spike_compensation:
            raise UserError(
                f"optimizer.a={a}: is of spike compensation, which is off; "
                "type optimizer.spike_compensation=true or optimizer.a=null optimizer.b=null"
            )
        if horizon is not None and prediction is None:
            raise UserError(
                f"optimizer.horizon={horizon}: is of a prediction, and there is none; "
                "type optimizer.prediction=velocity or optimizer.horizon=null"
            )
        if (a is None) != (b is None):
            raise UserError(
                f"optimizer.a={a} optimizer.b={b}: both or neither; type optimizer.a=null "
                "optimizer.b=null for those of the delay"
            )
        if anneal is not None and not (isinstance(anneal, int) and anneal > 0):
            raise UserError(
                f"optimizer.anneal={anneal}: must be a positive number of updates; "
                "type optimizer.anneal=1000"
            )
        if prediction is not None and prediction not in PREDICTIONS:
            raise UserError(
                f"optimizer.prediction={prediction}: there is {', '.join(PREDICTIONS)}; "
                "type optimizer.prediction=velocity"
            )
        if correction is not None and not 0 < correction < 1:
            raise UserError(
                f"optimizer.correction={correction}: must be in (0, 1); "
                "type optimizer.correction=0.135, or null for none"
            )
        self.prediction = prediction
        self.correction = correction
        self.horizon = horizon
        self.delays: dict[Tensor, float] = {}  # of each parameter, told by a delay callback
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "delay": delay,
            "spike_compensation": spike_compensation,
            "weight_decay": weight_decay,
            "a": a,
            "b": b,
            "anneal": anneal,
            "updates": 0,
        }
        super().__init__(params, defaults)

    def coefficients(self, group: dict[str, Any], delay: float) -> tuple[float, float]:
        """Return a and b of parameters of a group with this delay."""
        if not group["spike_compensation"]:
            return 1.0, 0.0
        if group["a"] is not None:
            return group["a"], group["b"]
        return spike_coefficients(group["momentum"], delay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one update."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            quick, others = kernel.divide(group["params"], self.state, VELOCITY)
            for held in quick:
                delays = [self._delay(group, w) for w, _, _ in held]
                found = {d: (self._rate(group, d), *self.coefficients(group, d)) for d in {*delays}}
                each = [found[d] for d in delays]
                kernel.compensate(held, each, group["momentum"], group["weight_decay"])
            by_delay: dict[float, list[Tensor]] = {}
            for p in others:
                by_delay.setdefault(self._delay(group, p), []).append(p)
            for delay, parameters in by_delay.items():
                lr = self._rate(group, delay)
                self._update(parameters, group, lr, *self.coefficients(group, delay))
            group["updates"] += 1
        return loss

    def _delay(self, group: dict[str, Any], p: Tensor) -> float:
        return self.delays.get(p, group["delay"])

    @staticmethod
    def _rate(group: dict[str, Any], delay: float) -> float:
        if group["anneal"] is None:
            return group["lr"]
        left = 1 - min(group["updates"] / group["anneal"], 1)
        return group["lr"] / max(1, delay) ** left

    def _update(
        self, ps: list[Tensor], group: dict[str, Any], lr: float, a: float, b: float
    ) -> None:
        """V <- m v + g;  w <- w - lr (a v + b g), in torch's operations and their order."""
        gs: list[Any] = [p.grad for p in ps]
        if group["weight_decay"]:
            gs = list(torch._foreach_add(gs, ps, alpha=group["weight_decay"]))
        first = [i for i, p in enumerate(ps) if VELOCITY not in self.state[p]]
        if first:
            for i in first:  # as torch's SGD: v = g
                self.state[ps[i]][VELOCITY] = gs[i].detach().clone()
        going = [i for i in range(len(ps)) if i not in set(first)]
        vs = [self.state[p][VELOCITY] for p in ps]
        if going:
            torch._foreach_mul_([vs[i] for i in going], group["momentum"])
            torch._foreach_add_([vs[i] for i in going], [gs[i] for i in going])
        if b == 0 and a == 1:
            torch._foreach_add_(ps, vs, alpha=-lr)
            return
        spike = gs if b == 1 else torch._foreach_mul(gs, b)
        torch._foreach_add_(ps, torch._foreach_add(spike, vs, alpha=a), alpha=-lr)
