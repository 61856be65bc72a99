"""The weights of some updates ago, and how a model computes on them for a while.

Of each parameter, with a delay D of its own, a ring of D whole copies: w(t - D) to w(t - 1), which
is sum_p D_p |p| of memory and no more. To compute on old weights nothing is copied: parameter and
ring trade their memory (`lend`), and trade it back (`give_back`). An update costs one copy of the
weights (`push`).
"""

from typing import Any

import torch
from torch import Tensor


class History:
    """The last weights of some parameters; before the first update, all are the first weights.

    Args:
        parameters: whose weights are remembered.
        delays: of each of them, in updates; 0: nothing is remembered.
        ahead: the rings hold D + 1 copies, and what update t computes on is pushed before it and
            not after: for optimizers that send something else than the weights.
    """

    def __init__(self, parameters: list[Tensor], delays: list[int], *, ahead: bool = False) -> None:
        self.parameters = parameters
        self.ahead = ahead
        self.updates = 0  # pushed so far
        self._lent = self._converged = False
        self._rings = [
            [p.detach().clone() for _ in range(delay + ahead)]
            for p, delay in zip(parameters, delays, strict=True)
        ]

    @property
    def bytes(self) -> int:
        """Bytes of the copies."""
        return sum(w.numel() * w.element_size() for ring in self._rings for w in ring)

    def _oldest(self) -> list[tuple[int, int]]:
        """Return which copy of which parameter is the oldest, where there is one."""
        return [(i, self.updates % len(ring)) for i, ring in enumerate(self._rings) if ring]

    def stale(self) -> dict[Tensor, Tensor]:
        """Return, by parameter, what the update under way was computed on; not while it is lent."""
        assert not self._lent
        return {self.parameters[i]: self._rings[i][j] for i, j in self._oldest()}

    def lend(self) -> None:
        """Put the oldest weights in the place of the present ones, for a forward and a backward."""
        assert not self._lent, "the old weights are lent already"
        self._trade()
        self._lent = True

    def give_back(self) -> None:
        """Put the present weights in their place again; nothing where they are."""
        if self._lent:
            self._trade()
            self._lent = False
            if self._converged and not self.ahead:
                self.updates += 1
            self._converged = False

    def _trade(self) -> None:
        for i, j in self._oldest():
            p, ring = self.parameters[i], self._rings[i]
            p.data, ring[j] = ring[j], p.data

    @torch.no_grad()
    def converge(self, weights: list[Tensor] | None = None) -> None:
        """Let a backward pass see the present weights, or these, after a forward pass on old ones.

        They are written into the memory that is lent, under what autograd has saved of it; without
        a change of its version, since this is on purpose. The oldest copies are used up thereby:
        giving back counts as the push of the present weights, where the rings have no more to hold.
        """
        assert self._lent
        oldest = self._oldest()
        if oldest:
            present = self._rings if weights is None else None
            new = [
                present[i][j] if present is not None else weights[i]  # type: ignore[index]
                for i, j in oldest
            ]
            torch._foreach_copy_([self.parameters[i].data for i, _ in oldest], new)
        self._converged = True

    def present(self) -> list[Tensor]:
        """Return the present weights of all parameters, while old ones are lent."""
        assert self._lent
        held = [p.data for p in self.parameters]
        for i, j in self._oldest():
            held[i] = self._rings[i][j]
        return held

    def distances(self) -> list[tuple[float, float]]:
        """Return |lent - present| and |present| of each parameter, while they are lent."""
        pairs = zip(self.parameters, self.present(), strict=True)
        return [(float((p.detach() - w).norm()), float(w.norm())) for p, w in pairs]

    @torch.no_grad()
    def push(self, weights: list[Tensor] | None = None) -> None:
        """Remember the present weights, or these in their place, and forget the oldest."""
        assert not self._lent
        oldest = self._oldest()
        if oldest:
            new = self.parameters if weights is None else weights
            copies = [self._rings[i][j] for i, j in oldest]
            torch._foreach_copy_(copies, [new[i] for i, _ in oldest])
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all copies: for each parameter one tensor, (D, ...)."""
        return {
            "updates": self.updates,
            "rings": [torch.stack(ring) if ring else None for ring in self._rings],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the copies of a checkpoint."""
        self.updates = state["updates"]
        for ring, saved in zip(self._rings, state["rings"], strict=True):
            for copy, weights in zip(ring, saved if saved is not None else [], strict=True):
                copy.copy_(weights)
