"""LayerNorm in the arithmetic of the matrix products around it.

Under autocast torch normalises in fp32, which costs a copy of the activations each way. Low
precision LayerNorm (MosaicBERT, arXiv 2312.17482) casts input, weight and bias to autocast's own
dtype instead; sums inside the kernel stay fp32. Without autocast the two are the same.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the last dimension, which is the model's width.

    Args:
        width: size of the last dimension.
        eps: added to the variance.
        low_precision: what autocast's dtype is also this layer's.
    """

    def __init__(self, width: int, eps: float, low_precision: bool) -> None:
        super().__init__(width, eps=eps)
        self.low_precision = low_precision

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        dtype = autocast_dtype(x.device)
        if dtype is None:
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)
        if not self.low_precision:
            dtype = torch.float32
        with torch.autocast(x.device.type, enabled=False):
            return F.layer_norm(
                x.to(dtype), self.normalized_shape, weight.to(dtype), bias.to(dtype), self.eps
            )


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Return what autocast casts to on a device, None where it is off."""
    kind = device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)
