"""Gated linear units (Dauphin et al. 2017; GeGLU: Shazeer 2020, arXiv 2002.05202).

GeGLU(x) = GELU(x W1^T) * (x W2^T)        W1, W2: (I, d), one above the other in one weight
"""

from torch import Tensor
from torch.nn import functional as F


def geglu(x: Tensor, weight: Tensor) -> Tensor:
    """Return GeGLU of x (N, d) with both weights in one (2 I, d): (N, I). GELU is the exact one.

    As two products: halves of one wide product would be read with a stride, and the gradient glued
    together again.
    """
    gate, value = weight.chunk(2)
    return F.gelu(F.linear(x, gate)) * F.linear(x, value)


def matched_intermediate_size(intermediate_size: int) -> int:
    """Return the I whose three matrices have as many weights as two of the given size.

    2/3 of it, to the nearest multiple of 16: matrix products are fastest there.

    >>> matched_intermediate_size(3072), matched_intermediate_size(4096)
    (2048, 2736)
    """
    return round(2 * intermediate_size / 3 / 16) * 16
