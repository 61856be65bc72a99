"""Adaptive Braking: momentum that brakes where gradient and velocity agree.

Venigalla, Kosson, Chiley, Koester 2020, "Adaptive Braking for Mitigating Gradient Delay" (arXiv
2007.01397). With v the velocity before this step and <.,.> taken over a filter, a tensor or the
whole model:

    alpha = 1 - rho <g, v> / max(|g| |v|, eps)
    v <- m v + alpha g
    w <- w - lr v

A gradient that goes on pushing the way the weights already move counts less, one that opposes the
motion counts more. There is no clamp: with rho > 1, alpha is negative where the cosine exceeds
1 / rho. rho = 0 is the optimizer that is braked, to the bit.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.sgd import sgd

from zoo.errors import UserError, suggest
from zoo.optim import filters
from zoo.optim.filters import Granularity, cosine_of, parts_of, rows_of, sums_of
from zoo.optim.schedules import Cosine, Linear, Schedule

GRANULARITIES = ("filter", "tensor", "model")
SCHEDULES: dict[str, Schedule | None] = {"constant": None, "linear": Linear(), "cosine": Cosine()}

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

# The steps themselves: around them torch calls a user's hooks, which here see ours.
_SGD_STEP, _ADAMW_STEP = inspect.unwrap(SGD.step), inspect.unwrap(AdamW.step)

_SGD_OPTIONS = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize")


class _Brake(Optimizer):
    """The brake on an optimizer of torch: gradients are scaled by alpha, then it makes its step.

    What the optimizer does with a gradient (momentum, Nesterov's look-ahead, Adam's moments, a
    decay) it then does with the braked one. As with clipping, `p.grad` is changed in place.
    """

    velocity: str  # under which name the state of a parameter holds v

    def _set_brake(
        self,
        rho: float,
        granularity: Granularity,
        brake_weight_decay: bool,
        eps: float,
        rho_schedule: str,
    ) -> None:
        if granularity not in GRANULARITIES:
            raise UserError(
                f"optimizer.granularity={granularity}: there is {', '.join(GRANULARITIES)}"
                f"{suggest(str(granularity), GRANULARITIES)}; type optimizer.granularity=filter"
            )
        if rho_schedule not in SCHEDULES:
            raise UserError(
                f"optimizer.rho_schedule={rho_schedule}: there is {', '.join(SCHEDULES)}; "
                "type optimizer.rho_schedule=constant"
            )
        if not eps > 0:
            raise UserError(f"optimizer.eps={eps}: must be positive; type optimizer.eps=1e-30")
        self.granularity = granularity
        self.brake_weight_decay = brake_weight_decay
        self.eps = eps
        self._rho_schedule = SCHEDULES[rho_schedule]
        self._alignments: list[tuple[float, Tensor]] = []  # of the last step: rho and cosines
        # In the groups, so that a resumed run goes on with them; the factor is the schedule's.
        self.defaults |= {"rho": float(rho), "rho_factor": 1.0}
        for group in self.param_groups:
            group.setdefault("rho", float(rho))
            group.setdefault("rho_factor", 1.0)
            if group.get("maximize"):
                raise UserError(
                    "optimizer.maximize=True: a brake is for going down; type optimizer.maximize=false"
                )

    def at_progress(self, progress: float) -> None:
        """Set rho to where its schedule stands after this share of the budget, in [0, 1]."""
        if self._rho_schedule is not None:
            for group in self.param_groups:
                group["rho_factor"] = self._rho_schedule(progress)

    @torch.no_grad()
    def brake(self) -> None:
        """Scale every gradient by its alpha; `step` does this by itself.

        A parameter without a velocity, before its first step, has a cosine of 0.
        """
        for group in self.param_groups:
            rho = group["rho"] * group["rho_factor"]
            held = [(p.grad, self.state.get(p, {}).get(self.velocity)) for p in group["params"]]
            moving = [(g, v) for g, v in held if g is not None and v is not None]
            if rho == 0 or not moving:
                continue
            gradients, velocities = map(list, zip(*moving, strict=True))
            parts = parts_of(tuple(g.shape for g in gradients))
            cosine = parts.cosine(gradients, velocities, self.granularity, self.eps)
            parts.scale(gradients, 1 - rho * cosine)
            self._alignments.append((rho, cosine))

    def measures(self) -> dict[str, float]:
        """Return the alignment and the distribution of alpha of the last step, over its filters.

        `num/brake/cosine` is the mean of <g, v> / |g||v|, `num/brake/alpha_*` are the mean, the
        5th, 50th and 95th percentile of alpha, and `num/brake/negative` the share below 0.
        """
        if not self._alignments:
            return {}
        alpha = torch.cat([1 - rho * cosine for rho, cosine in self._alignments]).double()
        quantiles = torch.quantile(
            alpha, torch.tensor([0.05, 0.5, 0.95], dtype=torch.double, device=alpha.device)
        )
        names = ("alpha_p05", "alpha_p50", "alpha_p95")
        found = {
            "cosine": float(torch.cat([c for _, c in self._alignments]).mean(dtype=torch.double)),
            "alpha_mean": float(alpha.mean()),
            "negative": float((alpha < 0).double().mean()),
            **dict(zip(names, quantiles.tolist(), strict=True)),
        }
        return {f"num/brake/{name}": value for name, value in found.items()}


def _evaluate(closure: Callable[[], float] | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


class AdaptiveBraking(_Brake, SGD):
    """SGD with momentum, braked (arXiv 2007.01397; the form of the equation is ours to check).

    Args:
        params: parameters, or groups of them; a group may have its own `rho`.
        lr: learning rate.
        momentum: m, heavy ball in PyTorch's convention: v sums raw gradients.
        rho: strength of the brake; 0: plain SGD, to the bit; 1: alpha in [0, 2].
        granularity: what a cosine is taken over: each filter (an index of a weight's first
            dimension; a vector is one), each tensor, or the whole of a parameter group.
        weight_decay: wd; wd w is added to the gradient.
        brake_weight_decay: add it before the cosine is taken, so that it is braked as well.
        eps: below this, the product of the norms counts as eps; it only guards v = 0.
        nesterov: step along alpha g + m v instead of v; an extension.
        rho_schedule: constant, or linear or cosine down to 0 over the training; an extension.
        options: further arguments of torch.optim.SGD (foreach, fused, ...).

    Raises:
        UserError: no momentum to brake, or an unknown word.
    """

    velocity = "momentum_buffer"

    def __init__(
        self,
        params: Params,
        lr: float = 0.1,
        momentum: float = 0.9,
        rho: float = 2.0,
        granularity: Granularity = "filter",
        weight_decay: float = 0.0,
        brake_weight_decay: bool = False,
        eps: float = 1e-30,
        *,
        nesterov: bool = False,
        rho_schedule: str = "constant",
        **options: Any,
    ) -> None:
        if not momentum > 0:
            raise UserError(
                f"optimizer.momentum={momentum}: without momentum there is no velocity to brake; "
                "type optimizer.momentum=0.9 or optimizer=sgd"
            )
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
            **options,
        )
        self._set_brake(rho, granularity, brake_weight_decay, eps, rho_schedule)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Brake the gradients and make SGD's step."""
        loss = _evaluate(closure)
        decays = [group["weight_decay"] for group in self.param_groups]
        stepped: list[tuple[Tensor, Tensor | None]] = []
        if self.brake_weight_decay:
            for group in self.param_groups:
                if group["weight_decay"]:
                    held = [p for p in group["params"] if p.grad is not None]
                    gradients = [p.grad for p in held]
                    torch._foreach_add_(gradients, held, alpha=group["weight_decay"])
                    group["weight_decay"] = 0.0
        try:
            self._alignments = []
            if self.granularity == "filter":
                stepped = self._step_large_ones()
            self.brake()
            _SGD_STEP(self)
        finally:
            for p, gradient in stepped:
                p.grad = gradient
            for group, decay in zip(self.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        return loss

    def _step_large_ones(self) -> list[tuple[Tensor, Tensor | None]]:
        """Brake and update weights that no cache holds, a block of filters at a time.

        The three sums, the scaling and SGD's three passes then read memory once and not six times.

        Returns:
            These weights and their gradients, which are taken from them: they have been used.
        """
        stepped: list[tuple[Tensor, Tensor | None]] = []
        for group in self.param_groups:
            rho = group["rho"] * group["rho_factor"]
            large = [
                p for p in group["params"] if rho and p.numel() >= filters.BLOCK and not p.is_cuda
            ]
            for p in large:
                g, v = p.grad, self.state.get(p, {}).get(self.velocity)
                if g is None or v is None or p.dim() < 2:
                    continue
                rows = max(1, filters.BLOCK * p.shape[0] // p.numel())
                for w_block, *pair in zip(p.split(rows), g.split(rows), v.split(rows), strict=True):
                    cosine = cosine_of(*sums_of(*rows_of([pair[0]], [pair[1]])), self.eps)
                    g_block, v_block = pair
                    g_block.mul_((1 - rho * cosine).view(-1, *(1,) * (p.dim() - 1)))
                    options = {name: group[name] for name in _SGD_OPTIONS}
                    sgd([w_block], [g_block], [v_block], foreach=True, **options)
                    self._alignments.append((rho, cosine))
                stepped.append((p, g))
                p.grad = None
        return stepped


class AdaptiveBrakingAdamW(_Brake, AdamW):
    """AdamW whose gradients are braked along its first moment; an extension, not the paper's.

    g' = alpha g enters both moments; v in alpha is the first moment before this step, uncorrected
    (a cosine does not see a scale). The decay is decoupled and not braked.

    Args:
        params: parameters, or groups of them; a group may have its own `rho`.
        lr: learning rate.
        betas: decay of the first and second moment; the first is what is braked.
        eps: AdamW's.
        weight_decay: multiplied by the learning rate.
        rho, granularity, rho_schedule: see `AdaptiveBraking`.
        options: further arguments of torch.optim.AdamW.

    Raises:
        UserError: no momentum to brake, or an unknown word.
    """

    velocity = "exp_avg"

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        rho: float = 2.0,
        granularity: Granularity = "filter",
        *,
        rho_schedule: str = "constant",
        **options: Any,
    ) -> None:
        if not betas[0] > 0:
            raise UserError(
                f"optimizer.betas={list(betas)}: without a first moment there is no velocity to "
                "brake; type optimizer.betas=[0.9,0.999] or optimizer=adamw"
            )
        super().__init__(
            params,
            lr=lr,
            betas=tuple(betas),  # type: ignore[arg-type]
            eps=eps,
            weight_decay=weight_decay,
            **options,
        )
        self._set_brake(rho, granularity, False, 1e-30, rho_schedule)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Brake the gradients and make AdamW's step."""
        loss = _evaluate(closure)
        self._alignments = []
        self.brake()
        _ADAMW_STEP(self)
        return loss
