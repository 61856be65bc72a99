"""Rows in which several options follow one prompt, each as if it alone did.

    branch      0 0 0 1 1 2 2 2        a prompt of three tokens, an option of two, one of three
    place       0 1 2 3 4 3 4 5
    token i looks at token j  <=>  j <= i and branch_j in (0, branch_i)

So the options reuse the keys and values of the prompt, which is computed once. On a CPU the real
tokens of all rows stand in one row, whose pieces attend by themselves; elsewhere rows are padded, and
one mask is for all of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.models.biomedlm.documents import SDPA


def mask(branches: Tensor) -> Tensor:
    """Return (B, 1, S, S), true where a token may look, for branches (B, S)."""
    S = branches.shape[1]
    back = torch.ones(S, S, dtype=torch.bool, device=branches.device).tril()
    key = branches[:, None, :]
    return (back & ((key == 0) | (key == branches[:, :, None])))[:, None]


def arguments(
    branches: Tensor, lengths: Sequence[int], way: str
) -> tuple[Tensor | None, Tensor | None, dict[str, Any]]:
    """Return how the layers are to be called.

    Args:
        branches: (B, S).
        lengths: real tokens of each row, which stand at its begin.
        way: the attention's, see zoo.models.biomedlm.documents.

    Returns:
        The places in B x S of the real tokens (T,), where all rows are to be one, (1, T); a mask
        (B, 1, S, S), where they are not; and what else the attention is told.
    """
    if way == SDPA and branches.device.type == "cpu":
        S = branches.shape[1]
        real = torch.cat([torch.arange(b * S, b * S + n) for b, n in enumerate(lengths)])
        masks = [mask(branches[b : b + 1, :n]) for b, n in enumerate(lengths)]
        return real, None, {"documents": list(lengths), "masks": masks}
    return None, mask(branches), {}
