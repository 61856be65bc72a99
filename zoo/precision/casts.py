"""The cast: what rounds a tensor of one of the four kinds, and its gradient.

A cast rounds on the way forward and rounds the gradient on the way back; in between it is the
identity (straight through). The master copy that it was made from stays as it is.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.precision.formats import FloatFormat
from zoo.precision.kinds import KINDS, Kind
from zoo.precision.rounding import quantize


class Observer(Protocol):
    """Sees every tensor before it is rounded."""

    def site(self) -> str:
        """Return the layer that computes now."""
        ...

    def see(self, kind: Kind, site: str, x: Tensor) -> None:
        """Take notice of a tensor of a layer."""
        ...


class Casts:
    """Which kind of tensor is rounded to which format.

    Args:
        formats: of each kind; a kind that is left out, or None, stays as it is.
    """

    def __init__(self, formats: Mapping[Kind, FloatFormat | None]) -> None:
        self.formats: dict[Kind, FloatFormat | None] = {k: formats.get(k) for k in KINDS}
        self.observer: Observer | None = None
        self._copies: list[tuple[Tensor, Tensor]] | None = None  # weights and their rounded copies

    @property
    def watches_only(self) -> bool:
        """Whether nothing is rounded."""
        return all(fmt is None for fmt in self.formats.values())

    def weight(self, x: Tensor) -> Tensor:
        """Cast a weight; its gradient is a weight gradient."""
        cast = self._cast(x, "weights", "weight_gradients")
        if self._copies is not None and cast is not x:
            # By `data`, whose version is its own: writing there is no error to autograd.
            self._copies.append((x.data, cast.data))
        return cast

    def follow_weights(self, on: bool) -> None:
        """Take notice of rounded copies (on), then make them anew of what the weights are (off).

        For a backward pass that is to see other weights than the forward pass saw.
        """
        copies, self._copies = self._copies, [] if on else None
        fmt = self.formats["weights"]
        for weight, copy in copies or []:
            if not on and fmt is not None:
                copy.copy_(quantize(weight, fmt))

    def activation(self, x: Tensor) -> Tensor:
        """Cast an activation, an operand of a product; its gradient is an activation gradient."""
        return self._cast(x, "activations", "gradients")

    def result(self, x: Tensor) -> Tensor:
        """Cast the result of a product, an activation as well.

        Where only its gradient is wanted, a hook takes it: the model may go on to write into its own
        result (an activation function in place), and not into a view of it.
        """
        if self.formats["activations"] is not None:
            return self.activation(x)
        if not x.is_floating_point():
            return x
        site = self.observer.site() if self.observer else ""
        _apply(self, "activations", site, x)
        if x.requires_grad and (self.formats["gradients"] or self.observer):
            x.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: _apply(self, "gradients", site, gradient)
            )
        return x

    def table(self, x: Tensor) -> Tensor:
        """Leave a table of embeddings as it is, of which few rows are read, and cast its gradient."""
        if self.observer is not None:
            self.observer.see("weights", self.observer.site(), x.detach())
        return self._cast(x, None, "weight_gradients")

    def rows(self, x: Tensor) -> Tensor:
        """Cast what was read from a table: weights that are activations from here on."""
        fmt = self.formats["weights"]
        if fmt is not None and fmt != self.formats["activations"]:
            x = _Cast.apply(x, self, "weights", None)
        return self.result(x)

    def _cast(self, x: Tensor, forward: Kind | None, backward: Kind) -> Tensor:
        idle = all(self.formats[kind] is None for kind in (forward, backward) if kind)
        if (idle and self.observer is None) or not x.is_floating_point():
            return x
        return _Cast.apply(x, self, forward, backward)


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, casts: Casts, forward: Kind | None, backward: Kind | None
    ) -> Tensor:
        ctx.casts, ctx.kind = casts, backward
        ctx.site = casts.observer.site() if casts.observer else ""
        cast = x if forward is None else _apply(casts, forward, ctx.site, x)
        return x.view_as(x) if cast is x else cast

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _apply(ctx.casts, ctx.kind, ctx.site, gradient), None, None, None


def _apply(casts: Casts, kind: Kind | None, site: str, x: Tensor) -> Tensor:
    """Return what a tensor becomes: itself, where its kind is not rounded."""
    if kind is None:
        return x
    if x.is_sparse:  # the gradient of a sparse embedding
        x = x.coalesce()
        values = _apply(casts, kind, site, x.values())
        return torch.sparse_coo_tensor(
            x.indices(), values, x.shape, is_coalesced=True, check_invariants=False
        )
    # Rounding is no product: what watches over products has nothing to do with it.
    with torch._C.DisableTorchFunction():
        if casts.observer is not None:
            casts.observer.see(kind, site, x)
        fmt = casts.formats[kind]
        return x if fmt is None else quantize(x.detach(), fmt)
