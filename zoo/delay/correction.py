"""PipeMare's correction of the backward weights: they are brought back to the forward pass's time.

Yang, Zhang, Li, Re, Aberger, De Sa 2020, "PipeMare: Asynchronous Pipeline Parallel DNN Training"
(arXiv 1910.05124), its second technique. With tau_f and tau_b the delays of the forward and of the
backward weights, in updates,

    delta(t) = gamma delta(t - 1) + (1 - gamma) (w(t) - w(t - 1)),    delta(0) = 0
    backward weights = w(t - tau_b) - (tau_f - tau_b) delta(t),    gamma = C^(1 / (tau_f - tau_b))

so that the two passes nearly agree, at the cost of one copy of the weights instead of many. In this
pipeline tau_f = D and tau_b = 0. The formulas and C = 0.135 are from memory; the sign, the form and
the constant follow so: where w moves by the same step every update, delta is that step and
w(t) - D delta is w(t - D). Where it moves along a parabola, the average of the steps lags gamma /
(1 - gamma) behind the last one, and w(t) - D delta is w(t - D) if and only if gamma = 1 - 2/(D + 1);
then gamma^D tends to exp(-2) = 0.1353 as D grows.
"""

from typing import Any

import torch
from torch import Tensor


class Correction:
    """Corrects the backward weights of parameters, each for its own delay.

    Args:
        decay: C in (0, 1): how much of a step the average still holds D updates later.
        delays: D of each parameter, updates; it may be a fraction. None is corrected where D = 0.
        parameters: of whose weights the averages are.
    """

    def __init__(self, decay: float, delays: list[float], parameters: list[Tensor]) -> None:
        self._late = [i for i, delay in enumerate(delays) if delay]
        self._delays = [float(delays[i]) for i in self._late]
        self._gammas = [decay ** (1 / delay) for delay in self._delays]
        self._deltas = [torch.zeros_like(parameters[i].detach()) for i in self._late]

    @property
    def bytes(self) -> int:
        """Bytes of the averages."""
        return sum(d.numel() * d.element_size() for d in self._deltas)

    @torch.no_grad()
    def update(self, parameters: list[Tensor], before: list[tuple[int, Tensor]]) -> None:
        """Take notice of an update.

        Args:
            parameters: with their weights after it.
            before: which parameter had which weights before it, of those with a delay.
        """
        if not self._late:
            return
        assert [i for i, _ in before] == self._late
        steps = torch._foreach_sub([parameters[i] for i in self._late], [w for _, w in before])
        torch._foreach_mul_(steps, [1 - gamma for gamma in self._gammas])
        torch._foreach_mul_(self._deltas, self._gammas)
        torch._foreach_add_(self._deltas, steps)

    @torch.no_grad()
    def returned(self, present: list[Tensor]) -> list[Tensor]:
        """Return what a backward pass sees where the present weights are these."""
        corrected = list(present)
        if self._late:
            back = torch._foreach_mul(self._deltas, self._delays)
            now = [present[i] for i in self._late]
            for i, w in zip(self._late, torch._foreach_sub(now, back), strict=True):
                corrected[i] = w
        return corrected

    def state_dict(self) -> dict[str, Any]:
        return {"deltas": self._deltas}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for delta, saved in zip(self._deltas, state["deltas"], strict=True):
            delta.copy_(saved)
