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

from zoo.errors import UserError, suggest
from zoo.optim import kernel
from zoo.optim.filters import Granularity, parts_of
from zoo.optim.schedules import Cosine, Linear, Schedule

GRANULARITIES = ("filter", "tensor", "model")
SCHEDULES: dict[str, Schedule | None] = {"constant": None, "linear": Linear(), "cosine": Cosine()}

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

# The steps themselves: around them torch calls a user's hooks, which here see ours.
_SGD_STEP, _ADAMW_STEP = inspect.unwrap(SGD.step), inspect.unwrap(AdamW.step)


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
        # Of the last step: rho, cosines, and of how many filters each is; None: of one.
        self._alignments: list[tuple[float, Tensor, list[int] | None]] = []
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
            self._brake_group(group)

    def _brake_group(
        self, group: dict[str, Any], step: dict[str, Any] | None = None
    ) -> list[Tensor]:
        """Brake a group; with the options of SGD's step the kernel makes it, too.

        Returns:
            The parameters whose step is made.
        """
        rho = group["rho"] * group["rho_factor"]
        if rho == 0:
            return []
        quick, others = kernel.divide(group["params"], self.state, self.velocity)
        if self.granularity == "model" and (others or len(quick) > 1):  # all of them in one sum
            quick, others = [], group["params"]
        self._brake_with_torch(rho, others)
        for held in quick:
            options = {"rho": rho, "eps": self.eps, **(step or {})}
            cosine = kernel.brake(held, self.granularity, **options)
            by_filter = self.granularity == "filter"
            filters = None if by_filter else [len(w) if w.dim() > 1 else 1 for w, _, _ in held]
            self._alignments.append((rho, cosine, filters))
        return [w for held in quick for w, _, _ in held] if step else []

    def _brake_with_torch(self, rho: float, parameters: list[Tensor]) -> None:
        held = [(p.grad, self.state.get(p, {}).get(self.velocity)) for p in parameters]
        moving = [(g, v) for g, v in held if g is not None and v is not None]
        if not moving:
            return
        gradients, velocities = map(list, zip(*moving, strict=True))
        parts = parts_of(tuple(g.shape for g in gradients))
        cosine = parts.cosine(gradients, velocities, self.granularity, self.eps)
        parts.scale(gradients, 1 - rho * cosine)
        self._alignments.append((rho, cosine, None))

    def measures(self) -> dict[str, float]:
        """Return the alignment and the distribution of alpha of the last step, over its filters.

        `num/brake/cosine` is the mean of <g, v> / |g||v|, `num/brake/alpha_*` are the mean, the
        5th, 50th and 95th percentile of alpha, and `num/brake/negative` the share below 0.
        """
        if not self._alignments:
            return {}
        cosines = [
            c if n is None else c.repeat_interleave(torch.tensor(n, device=c.device))
            for _, c, n in self._alignments
        ]
        rhos = [rho for rho, _, _ in self._alignments]
        alpha = torch.cat([1 - rho * c for rho, c in zip(rhos, cosines, strict=True)]).double()
        quantiles = torch.quantile(
            alpha, torch.tensor([0.05, 0.5, 0.95], dtype=torch.double, device=alpha.device)
        )
        names = ("alpha_p05", "alpha_p50", "alpha_p95")
        found = {
            "cosine": float(torch.cat(cosines).mean(dtype=torch.double)),
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
        moved: list[tuple[Tensor, Tensor | None]] = []
        if self.brake_weight_decay:
            for group in self.param_groups:
                held = [p for p in group["params"] if p.grad is not None]
                if group["weight_decay"] and held:
                    gradients = [p.grad for p in held]
                    torch._foreach_add_(gradients, held, alpha=group["weight_decay"])
                    group["weight_decay"] = 0.0
        try:
            self._alignments = []
            for group in self.param_groups:
                moved += [(p, p.grad) for p in self._brake_group(group, _step_of(group))]
            if len(moved) < sum(p.grad is not None for g in self.param_groups for p in g["params"]):
                for p, _ in moved:  # torch is to leave alone what the kernel has moved
                    p.grad = None
                _SGD_STEP(self)
        finally:
            for p, gradient in moved:
                p.grad = gradient
            for group, decay in zip(self.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        return loss


def _step_of(group: dict[str, Any]) -> dict[str, Any] | None:
    """Return the options of SGD's step as the kernel makes it; None: it does not."""
    if group["fused"] or group["differentiable"] or group["maximize"]:
        return None
    names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    return {"step": 1, **{name: group[name] for name in names}}


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
