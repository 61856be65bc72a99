"""Images laid out as NHWC in memory, where that is safe."""

import torch
from torch import nn

from zoo import hardware
from zoo.errors import UserError

# Of an AVX2 register, in floats. Measured with torch 2.14 by ONEDNN_MAX_CPU_ISA=AVX2, where 1 to 7
# input channels end in "double free or corruption", and 8 and more do not.
REGISTER = 8


def channels_last(net: nn.Module, device: str) -> nn.Module:
    """Return `net` with its weights, and so its activations, in channels-last order.

    Raises:
        UserError: it has a convolution whose backward pass would write beyond its memory here.
    """
    if device == "cpu" and hardware.instructions() != "AVX512":
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d) and _overruns(module):
                raise UserError(
                    f"trainer.channels_last=true: on a processor without AVX-512, torch's backward pass of "
                    f"{name}, a 1x1 convolution of {module.in_channels} channels with a stride, writes beyond "
                    "its memory; type trainer.channels_last=false, or a larger model.width"
                )
    return net.to(memory_format=torch.channels_last)


def _overruns(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (1, 1)
        and max(conv.stride) > 1
        and conv.groups == 1
        and conv.in_channels < REGISTER
    )
