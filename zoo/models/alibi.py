"""ALiBi for encoders: attention scores fall with distance, to both sides alike.

Press et al. 2022 (arXiv 2108.12409), in the symmetric form of MosaicBERT (arXiv 2312.17482):

    score_h(i, j) = q_i . k_j / sqrt(d) - m_h |i - j|

m_h are the slopes, one of each head, fixed and not learned.
"""

import math
from typing import Any

import torch
from torch import Tensor


def alibi_slopes(heads: int) -> list[float]:
    """Return the slope of each head.

    For a power of two: m_k = r^k with r = 2^(-8 / heads), k = 1 .. heads. Otherwise those of the
    largest power of two below, and then every second one of twice that power.

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(6)
    [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * k / power) for k in range(1, power + 1)]
    between = [2.0 ** (-8 * k / (2 * power)) for k in range(1, 2 * power + 1, 2)]
    return slopes + between[: heads - power]


class Alibi:
    """The bias of an encoder's heads, made once for each device and never larger than H x s x s.

    It holds no weights and is no buffer: a copy of the model, on whatever device, makes its own.

    Args:
        heads: H.
    """

    def __init__(self, heads: int) -> None:
        self.slopes = alibi_slopes(heads)
        self._made: dict[torch.device, Tensor] = {}

    def slopes_on(self, device: torch.device) -> Tensor:
        """Return the slopes (H,) in fp32."""
        return torch.tensor(self.slopes, dtype=torch.float32, device=device)

    def bias(self, length: int, device: torch.device) -> Tensor:
        """Return -m_h |i - j| for sequences of this length, (H, length, length) in fp32.

        A view of the largest that was asked for so far.
        """
        made = self._made.get(device)
        if made is None or made.shape[-1] < length:
            # Never an inference tensor, though evaluation asks first: training uses it again.
            with torch.inference_mode(False):
                made = self.bias_between(torch.arange(length, device=device))
            self._made[device] = made
        return made[:, :length, :length]

    def bias_between(self, positions: Tensor) -> Tensor:
        """Return -m_h |p_i - p_j| for positions p of shape (..., s): (..., H, s, s) in fp32."""
        distance = (positions.unsqueeze(-1) - positions.unsqueeze(-2)).abs().float()
        slopes = self.slopes_on(positions.device)
        return -slopes[:, None, None] * distance.unsqueeze(-3)

    def __deepcopy__(self, memo: Any) -> "Alibi":
        return Alibi(len(self.slopes))

    def __getstate__(self) -> dict[str, Any]:
        return {"slopes": self.slopes, "_made": {}}
