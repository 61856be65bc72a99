"""Dropout whose mask costs little on a CPU.

torch draws one Bernoulli number for each element, which takes as long there as the linear layer
before it. Here each 64 random bits decide over four elements: one is kept where its 16 bits, as a
signed number, are below a threshold. The probability is rounded to a multiple of 2^-16, and kept
elements are divided by the rounded one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """`nn.Dropout`, several times as fast on the CPU; elsewhere it is that very function."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.training or not 0 < self.p < 1:
            return F.dropout(x, self.p, self.training)
        return x * keep_mask(x, 1 - self.p)


def keep_mask(like: Tensor, keep: float) -> Tensor:
    """Return 1 / keep with probability `keep` and 0 else, in the shape and dtype of a tensor."""
    threshold = min(max(round(keep * 2**16), 1), 2**16 - 1)
    size = like.numel()
    words = torch.empty((size + 3) // 4, dtype=torch.int64, device=like.device)
    bits = words.random_(-(2**63), None).view(torch.int16)[:size].view(like.shape)
    # Written as numbers at once: a product with a boolean mask is slow.
    mask = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    return torch.lt(bits, threshold - 2**15, out=mask).mul_(2**16 / threshold)
