"""Normalisation by a word: batch, group or none."""

from typing import Literal

from torch import nn

from zoo.errors import UserError

Norm = Literal["batch", "group", "none"]


def make_norm(norm: Norm, channels: int, group_size: int) -> nn.Module:
    """Return the normalisation of a layer's output.

    Args:
        norm: batch, group or none (the identity).
        channels: of the tensor.
        group_size: channels of one group, where norm is group.

    Raises:
        UserError: an unknown word, or groups that do not divide the channels.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        if group_size < 1 or channels % group_size:
            raise UserError(
                f"model.group_size={group_size}: does not divide a layer of {channels} channels; "
                f"type model.group_size=2 or another divisor of {channels}"
            )
        return nn.GroupNorm(channels // group_size, channels)
    if norm == "none":
        return nn.Identity()
    raise UserError(f"model.norm={norm}: no such normalisation; there are batch, group, none")
