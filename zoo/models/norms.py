"""Normalisation by a word, with the convolution before it and the activation after it.

    batch      mean and variance of a channel over the batch (arXiv 1502.03167)
    group      of a group of channels over a sample (arXiv 1803.08494)
    group_ws   the same, of convolutions whose filters are standardised (arXiv 1903.10520)
    frn        filter response norm: a channel of a sample over its root mean square, then
               max(y, tau) with a learned threshold for an activation (arXiv 1911.09737)
    online     mean and variance over the samples before (arXiv 1905.05894)
    none       nothing

All but the first take batches of one.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from timm.layers import FilterResponseNormTlu2d, StdConv2d
from torch import nn

from zoo.errors import UserError
from zoo.models.online_norm import OnlineNorm2d

Norm = Literal["batch", "group", "group_ws", "frn", "online", "none"]
GROUPED = ("group", "group_ws")


@dataclass(frozen=True)
class Layers:
    """The layers of a network, as its normalisation wants them.

    Args:
        norm: batch, group, group_ws, frn, online or none.
        group_size: channels of one group, where norm is group or group_ws.
        first_width: where given, `group_size` is that of a layer of so many channels, and grows
            with the width: twice the channels, groups twice as large.

    Raises:
        UserError: an unknown word, or groups that grow where there are none.
    """

    norm: Norm = "batch"
    group_size: int = 2
    first_width: int | None = None

    def __post_init__(self) -> None:
        words = get_args(Norm)
        if self.norm not in words:
            raise UserError(
                f"model.norm={self.norm}: no such normalisation; type one of {', '.join(words)}"
            )
        if self.first_width is not None and self.norm not in GROUPED:
            raise UserError(
                f"model.group_size_doubles=true: model.norm={self.norm} has no groups; "
                "type model.norm=group or model.norm=group_ws"
            )

    def make_conv(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, biased: bool = True
    ) -> nn.Conv2d:
        """Return a convolution that keeps the image's size at stride 1.

        Args:
            inputs, outputs: channels.
            kernel, stride: of the window, in pixels.
            biased: whether it has a bias where norm is none; elsewhere the norm has one.

        Raises:
            UserError: filters of one weight, which have no variance to be standardised.
        """
        padding = kernel // 2
        if self.norm != "group_ws":
            biased = biased and self.norm == "none"
            return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=biased)
        if inputs * kernel**2 == 1:
            raise UserError(
                "model.norm=group_ws: a filter of one weight has no variance to be standardised; "
                "type model.width=2 or model.norm=group"
            )
        return StdConv2d(inputs, outputs, kernel, stride, padding, bias=False)

    def make_norm(self, channels: int) -> nn.Module:
        """Return the normalisation of a layer's output.

        Raises:
            UserError: groups that do not divide the channels.
        """
        if self.norm == "batch":
            return nn.BatchNorm2d(channels)
        if self.norm in GROUPED:
            return nn.GroupNorm(channels // self._group_size(channels), channels)
        if self.norm == "frn":
            return FilterResponseNormTlu2d(channels, eps=1e-6)  # the paper's
        return OnlineNorm2d(channels) if self.norm == "online" else nn.Identity()

    def make_act(self, *, inplace: bool = False) -> nn.Module:
        """Return the activation after a normalisation: ReLU, or nothing where it has its own."""
        return nn.Identity() if self.norm == "frn" else nn.ReLU(inplace=inplace)

    def _group_size(self, channels: int) -> int:
        growth = 1 if self.first_width is None else channels // self.first_width
        size = self.group_size * growth
        if size < 1 or channels % size:
            raise UserError(
                f"model.group_size={self.group_size}: does not divide a layer of {channels} channels; "
                f"type model.group_size=2 or another divisor of {channels}"
            )
        return size
