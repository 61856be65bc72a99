"""Whether a model and a run's samples fit, asked before any training."""

import torch
from torch import nn

from zoo.errors import UserError, first_line
from zoo.example import Example, call, moved, tensors_of


def check_batch_norm(net: nn.Module, name: str, batch_size: int, devices: int) -> None:
    """Refuse batch norm on one sample a device, in a model that has no key to say so, such as timm's.

    Raises:
        UserError: it has batch norm, and nothing to take a variance of.
    """
    if batch_size > devices:
        return
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules()):
        raise UserError(
            f"data.batch_size={batch_size}: model={name} has batch norm, which has no variance to "
            "take at one sample a device; type a larger data.batch_size, or a model without batch norm"
        )


def check_takes(net: nn.Module, name: str, example: Example) -> None:
    """Tell a model that cannot be counted from one that cannot take these samples at all.

    Raises:
        UserError: a forward pass fails.
    """
    sample = moved(example, "cpu")
    try:
        with torch.no_grad():
            call(net.eval(), sample)
    except Exception as error:
        shape = "x".join(map(str, next(tensors_of(sample)).shape[1:]))
        raise UserError(
            f"model={name}: cannot take samples of {shape} ({first_line(error)}); "
            "type another data.image_size, or another model"
        ) from error
    net.train()
