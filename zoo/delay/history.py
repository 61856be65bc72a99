"""The weights of some updates ago, and how a model computes on them for a while.

Of each parameter, with a delay of its own, a ring of whole copies: with the delay D that is w(t - D)
to w(t - 1), so sum_p D_p |p| of memory and no more. To compute on old weights nothing is copied: the
parameter takes the copy's memory (`lend`), and its own again (`give_back`). An update costs one copy
of the weights (`push`).

Where N batches make an update and delays are counted in batches, batch j = 0, ..., N - 1 of an update
is ceil((D - j) / N) updates late, none where j >= D, and a ring has ceil(D / N) copies.
"""

from typing import Any

import torch
from torch import Tensor


class History:
    """The last weights of some parameters; before the first update, all are the first weights.

    Args:
        parameters: whose weights are remembered.
        delays: of each of them, in batches; 0: nothing is remembered.
        ahead: the rings hold one copy more, and what update t computes on is pushed before it and
            not after: for what is sent in the place of the weights.
        per_update: N. 1 as well where all batches of an update are equally late.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        delays: list[int],
        *,
        ahead: bool = False,
        per_update: int = 1,
    ) -> None:
        self.parameters = parameters
        self.ahead = ahead
        self.per_update = per_update
        self.updates = 0  # pushed so far
        late = [
            [max(0, -((j - delay) // per_update)) for delay in delays] for j in range(per_update)
        ]
        self._rings = [
            [p.detach().clone() for _ in range(longest + ahead)]
            for p, longest in zip(parameters, late[0], strict=True)
        ]
        # Of each batch of an update: which parameters it sees in a copy, and how old that is.
        self._borrowers = [
            [(i, age) for i, age in enumerate(ages) if age or ahead] for ages in late
        ]
        self._batch = 0  # of the update under way, the one that is lent to, or was
        self._lent: list[tuple[int, Tensor]] = []  # which parameters have which copies
        self._own: list[Tensor] = []  # and their own memory
        self._kept: list[Tensor] | None = None  # what the copies held before `converge`
        self._lending = self._pushes = False

    @property
    def bytes(self) -> int:
        """Bytes of the copies."""
        return sum(w.numel() * w.element_size() for ring in self._rings for w in ring)

    def _copies(self, batch: int) -> list[tuple[int, Tensor]]:
        """Return what this batch of the update under way sees, where it is a copy."""
        next_ = self.updates - self.ahead  # w(t) is in the rings already, or would be the next
        rings = self._rings
        return [(i, rings[i][(next_ - age) % len(rings[i])]) for i, age in self._borrowers[batch]]

    def _oldest(self) -> list[tuple[int, Tensor]]:
        """Return the copies that are forgotten next."""
        return [(i, ring[self.updates % len(ring)]) for i, ring in enumerate(self._rings) if ring]

    def newest(self) -> list[tuple[int, Tensor]]:
        """Return which parameter had which weights before the last update, where there are any."""
        assert not self.ahead, "the rings do not hold the weights"
        last = self.updates - 1
        return [(i, ring[last % len(ring)]) for i, ring in enumerate(self._rings) if ring]

    def stale(self) -> dict[Tensor, Tensor]:
        """Return, by parameter, what the last batch was computed on; not while it is lent."""
        assert not self._lending
        return {self.parameters[i]: copy for i, copy in self._copies(self._batch)}

    def lend(self, batch: int = 0) -> None:
        """Put old weights in the place of the present ones, for a forward and a backward pass.

        Args:
            batch: j of the update under way; counts modulo N.
        """
        assert not self._lending, "the old weights are lent already"
        self._batch = batch % self.per_update
        self._lent = self._copies(self._batch)
        self._own = [self.parameters[i].data for i, _ in self._lent]
        for i, copy in self._lent:
            self.parameters[i].data = copy
        self._lending = True

    @torch.no_grad()
    def give_back(self) -> None:
        """Put the present weights in their place again; nothing where they are."""
        if not self._lending:
            return
        for (i, _), own in zip(self._lent, self._own, strict=True):
            self.parameters[i].data = own
        if self._kept:
            torch._foreach_copy_([copy for _, copy in self._lent], self._kept)
        self.updates += self._pushes
        self._own, self._kept = [], None
        self._lending = self._pushes = False

    @torch.no_grad()
    def converge(self, weights: list[Tensor] | None = None) -> bool:
        """Let a backward pass see the present weights, or these, after a forward pass on old ones.

        They are written into the memory that is lent, under what autograd has saved of it; without
        a change of its version, since this is on purpose. Where every update has one batch, what was
        lent is not seen again: nothing has to be kept of it, and present weights are pushed thereby.

        Returns:
            Whether giving back is the push of this update.
        """
        assert self._lending
        if weights is not None:  # also where this batch is punctual, and others are not
            lent = {i for i, _ in self._lent}
            punctual = [i for i, ring in enumerate(self._rings) if ring and i not in lent]
            self._lent += [(i, self.parameters[i].data) for i in punctual]
            self._own += [self.parameters[i].data for i in punctual]
        copies = [copy for _, copy in self._lent]
        new = self._own if weights is None else [weights[i] for i, _ in self._lent]
        if self.per_update > 1:
            self._kept = [copy.clone() for copy in copies]
        else:
            self._pushes = weights is None and not self.ahead
        if copies:
            torch._foreach_copy_(copies, new)
        return self._pushes

    def present(self) -> list[Tensor]:
        """Return the present weights of all parameters, while old ones are lent."""
        assert self._lending
        held = [p.data for p in self.parameters]
        for (i, _), own in zip(self._lent, self._own, strict=True):
            held[i] = own
        return held

    @torch.no_grad()
    def distances(self) -> list[tuple[float, float]]:
        """Return |lent - present| and |present| of each parameter, while they are lent."""
        return distances([p.data for p in self.parameters], self.present())

    @torch.no_grad()
    def push(self, weights: list[Tensor] | None = None) -> None:
        """Remember the present weights, or these in their place, and forget the oldest."""
        assert not self._lending
        oldest = self._oldest()
        if oldest:
            new = self.parameters if weights is None else weights
            torch._foreach_copy_([copy for _, copy in oldest], [new[i] for i, _ in oldest])
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all copies: for each parameter one tensor, (copies, ...)."""
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


def distances(weights: list[Tensor], present: list[Tensor]) -> list[tuple[float, float]]:
    """Return |weights - present| and |present|, tensor by tensor."""
    if not weights:
        return []
    far = torch._foreach_norm(torch._foreach_sub(weights, present))
    size = torch._foreach_norm(present)
    return list(zip(torch.stack(far).tolist(), torch.stack(size).tolist(), strict=True))
