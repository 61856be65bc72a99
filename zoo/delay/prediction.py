"""Linear weight prediction: a forward pass on where the weights will be.

Kosson et al. 2020 (arXiv 2003.11666), with v summing raw gradients:

    velocity:   w' = w - lr T v                     LWPv
    weight:     w' = w + T (w - w_before)           LWPw

T, the horizon, is the delay D unless it is given: as many updates pass until the gradient comes, D / N
in the mean where N batches make an update. The
two are one under plain SGD with a constant learning rate. SpecTrain (Chen et al. 2018) predicts along
the velocity for both passes, to one moment for the whole pipeline: T = 2S - 1 - s ahead of the
forward and s - 1 ahead of the backward pass of stage s of S, as its schedule is on this clock.
"""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from zoo.errors import UserError
from zoo.optim.compensation import PREDICTIONS, CompensatedSGD


class Prediction:
    """Predicts the weights of parameters, each to its own horizon.

    Args:
        kind: velocity, weight or spectrain.
        horizon: updates; a multiple of each delay such as "2D"; None: the delay.
        delays: D of each parameter, in batches.
        stages: S; SpecTrain's horizons are made of it.
        per_update: N batches make an update; horizons are in updates, and D and SpecTrain's are
            divided by N.

    Raises:
        UserError: an unknown word, or SpecTrain with a horizon.
    """

    def __init__(
        self,
        kind: str,
        horizon: float | str | None,
        delays: list[int],
        stages: int,
        per_update: int = 1,
    ) -> None:
        if kind not in PREDICTIONS:
            raise UserError(
                f"delay.prediction={kind}: there is {', '.join(PREDICTIONS)}; "
                "type delay.prediction=velocity"
            )
        self.kind = kind
        self._before: list[Tensor] | None = None  # the weights before the last update
        multiple = re.fullmatch(r"(\d+\.?\d*|\.\d+|)D", str(horizon))
        if kind == "spectrain":
            if horizon is not None:
                raise UserError(
                    f"delay.horizon={horizon}: SpecTrain's horizons are those of its schedule; "
                    "type delay.horizon=null"
                )
            # D = 2 (S - s), so s = S - D / 2.
            self.forward = [(stages - 1 + d // 2) / per_update for d in delays]
            self.backward: list[float] | None = [(stages - 1 - d // 2) / per_update for d in delays]
            return
        self.backward = None
        if horizon is None:
            self.forward = [d / per_update for d in delays]
        elif multiple is not None:
            self.forward = [float(multiple[1] or 1) * (d / per_update) for d in delays]
        elif isinstance(horizon, int | float) and not isinstance(horizon, bool) and horizon >= 0:
            self.forward = [float(horizon)] * len(delays)
        else:
            raise UserError(
                f"delay.horizon={horizon}: must be a number of updates, or a multiple of the delay; "
                "type delay.horizon=2D"
            )

    @property
    def bytes(self) -> int:
        """Bytes of the weights that it keeps."""
        return sum(w.numel() * w.element_size() for w in self._before or [])

    @torch.no_grad()
    def sent(self, optimizer: Any, parameters: list[Tensor]) -> list[Tensor]:
        """Return what a forward pass will see that starts from the present weights.

        It may share their memory, as below.
        """
        if self.kind != "weight":
            return _along_velocity(optimizer, parameters, parameters, self.forward)
        held = [p.detach() for p in parameters]
        if self._before is None:
            self._before = [w.clone() for w in held]
            return held
        ahead = list(held)
        far = [i for i, horizon in enumerate(self.forward) if horizon]
        if far:
            now = [held[i] for i in far]
            steps = torch._foreach_sub(now, [self._before[i] for i in far])
            torch._foreach_mul_(steps, [self.forward[i] for i in far])
            torch._foreach_add_(steps, now)
            _put(ahead, far, steps)
        torch._foreach_copy_(self._before, held)
        return ahead

    @torch.no_grad()
    def returned(
        self, optimizer: Any, parameters: list[Tensor], present: list[Tensor]
    ) -> list[Tensor] | None:
        """Return what a backward pass sees; None: the present weights."""
        if self.backward is None:
            return None
        return _along_velocity(optimizer, parameters, present, self.backward)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self._before}

    def load_state_dict(self, state: dict[str, Any], parameters: list[Tensor]) -> None:
        if state["before"] is not None:
            pairs = zip(state["before"], parameters, strict=True)
            self._before = [w.to(p.device) for w, p in pairs]


def _along_velocity(
    optimizer: Any, parameters: list[Tensor], weights: list[Tensor], horizons: list[float]
) -> list[Tensor]:
    """Return w - lr T v of each parameter, whose present weights are these."""
    rates = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    ahead = [w.detach() for w in weights]
    far, velocities, steps = [], [], []
    for i, (p, horizon) in enumerate(zip(parameters, horizons, strict=True)):
        v = optimizer.state[p].get("momentum_buffer") if p in optimizer.state else None
        step = rates[p] * horizon
        if v is not None and step:
            far.append(i)
            velocities.append(v)
            steps.append(step)
    if far:
        way = torch._foreach_mul(velocities, steps)
        _put(ahead, far, torch._foreach_sub([ahead[i] for i in far], way))
    return ahead


def _put(weights: list[Tensor], places: list[int], new: Iterable[Tensor]) -> None:
    for i, w in zip(places, new, strict=True):
        weights[i] = w


def has_velocity(optimizer: Any) -> bool:
    """Whether an optimizer moves its weights along a velocity of raw gradients, as SGD does."""
    moves = all(group.get("momentum", 0) for group in optimizer.param_groups)
    return moves and isinstance(optimizer, SGD | CompensatedSGD)
