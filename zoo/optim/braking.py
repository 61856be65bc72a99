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

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from zoo.errors import UserError, suggest
from zoo.optim.schedules import Cosine, Linear, Schedule

Granularity = Literal["filter", "tensor", "model"]
GRANULARITIES = ("filter", "tensor", "model")
SCHEDULES: dict[str, Schedule | None] = {"constant": None, "linear": Linear(), "cosine": Cosine()}

Params = Iterable[Tensor] | Iterable[dict[str, Any]]

# The steps themselves: around them torch calls a user's hooks, which here see ours.
_SGD_STEP, _ADAMW_STEP = inspect.unwrap(SGD.step), inspect.unwrap(AdamW.step)

# Elements that are reduced and scaled at a time on a CPU: g and v of them stay in its cache.
BLOCK = 1 << 16


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
        self._rho_factor = 1.0
        self._alignments: list[tuple[float, Tensor]] = []  # of the last step: rho and cosines
        for group in self.param_groups:
            group["rho"] = float(group.get("rho", rho))

    def at_progress(self, progress: float) -> None:
        """Set rho to where its schedule stands after this share of the budget, in [0, 1]."""
        if self._rho_schedule is not None:
            self._rho_factor = self._rho_schedule(progress)

    @torch.no_grad()
    def brake(self) -> None:
        """Scale every gradient by its alpha; `step` does this by itself.

        A parameter without a velocity, before its first step, has a cosine of 0.
        """
        self._alignments = []
        for group in self.param_groups:
            rho = group["rho"] * self._rho_factor
            moving = [p for p in group["params"] if p.grad is not None and self._velocity(p)]
            if rho == 0 or not moving:
                continue
            gradients = [p.grad for p in moving]
            velocities = [self.state[p][self.velocity] for p in moving]
            parts = _parts(tuple(g.shape for g in gradients))
            cosine = parts.cosine(gradients, velocities, self.granularity, self.eps)
            parts.scale(gradients, 1 - rho * cosine)
            self._alignments.append((rho, cosine))

    def _velocity(self, p: Tensor) -> bool:
        return self.state[p].get(self.velocity) is not None if p in self.state else False

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


class Parts:
    """The filters of a list of tensors, in the order in which they are summed and scaled.

    An operation on a small tensor costs more than its work does, so those of one shape are stacked;
    large ones are taken in blocks of filters that a cache holds.

    Args:
        shapes: of the tensors. A filter is an index of the first dimension; a vector (a bias, the
            gain of a norm) is one filter.
    """

    def __init__(self, shapes: Iterable[torch.Size]) -> None:
        alike: dict[torch.Size, list[int]] = {}
        for i, shape in enumerate(shapes):
            alike.setdefault(shape, []).append(i)
        self.stacks: list[tuple[list[int], int, int]] = []  # tensors, first and last filter
        self.order: list[int] = []  # of the tensors
        self.filters: list[int] = []  # of each tensor, in that order
        for shape, tensors in alike.items():
            rows = shape[0] if len(shape) > 1 else 1
            together = max(1, BLOCK // max(1, shape.numel()))
            at_once = max(1, min(rows, BLOCK * rows // max(1, shape.numel())))
            for i in range(0, len(tensors), together):
                for row in range(0, rows, at_once):
                    last = min(row + at_once, rows)
                    self.stacks.append((tensors[i : i + together], row, last))
            self.order += tensors
            self.filters += [rows] * len(tensors)

    def cosine(
        self, gs: list[Tensor], vs: list[Tensor], granularity: Granularity, eps: float
    ) -> Tensor:
        """Return <g, v> / max(|g| |v|, eps) of every filter; alike within what it is taken over."""
        dots, norms = [], []
        for tensors, first, last in self.stacks:
            both = [_filters(x[i], first, last) for x in (gs, vs) for i in tensors]
            both_2LRN = torch.stack(both).view(2, len(tensors), last - first, -1)
            dots.append(torch.linalg.vecdot(both_2LRN[0], both_2LRN[1]).flatten())
            norms.append(torch.linalg.vector_norm(both_2LRN, dim=-1).view(2, -1))
        dot, (g_norm, v_norm) = torch.cat(dots), torch.cat(norms, 1)
        if granularity == "model":
            dot, g_norm, v_norm = dot.sum(), g_norm.norm(), v_norm.norm()
        elif granularity == "tensor":
            lengths = torch.tensor(self.filters, device=dot.device)
            dot, gg, vv = (
                torch.segment_reduce(x, "sum", lengths=lengths).repeat_interleave(lengths)
                for x in (dot, g_norm.square(), v_norm.square())
            )
            g_norm, v_norm = gg.sqrt(), vv.sqrt()
        cosine = dot / (g_norm * v_norm).clamp_min(eps)
        return cosine.expand(sum(self.filters))

    def scale(self, gs: list[Tensor], alpha: Tensor) -> None:
        """Multiply every filter by its alpha, in place."""
        factors = [
            a.view(-1, *(1,) * (gs[i].dim() - 1)) if gs[i].dim() else a[0]
            for i, a in zip(self.order, torch.split(alpha, self.filters), strict=True)
        ]
        torch._foreach_mul_([gs[i] for i in self.order], factors)


@functools.lru_cache(maxsize=64)
def _parts(shapes: tuple[torch.Size, ...]) -> Parts:
    return Parts(shapes)


def _filters(x: Tensor, first: int, last: int) -> Tensor:
    if x.dim() == 4 and not x.is_contiguous():  # channels last: the order in memory
        x = x.permute(0, 2, 3, 1)
    return x if x.dim() < 2 or last - first == x.shape[0] else x[first:last]


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
        if self.brake_weight_decay:
            for group in self.param_groups:
                if group["weight_decay"]:
                    held = [p for p in group["params"] if p.grad is not None]
                    gradients = [p.grad for p in held]
                    torch._foreach_add_(gradients, held, alpha=group["weight_decay"])
                    group["weight_decay"] = 0.0
        try:
            self.brake()
            _SGD_STEP(self)
        finally:
            for group, decay in zip(self.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        return loss


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
        self.brake()
        _ADAMW_STEP(self)
        return loss
