"""Cross-entropy over a vocabulary, a few rows at a time, while they are in the cache.

    loss = mean_i [ log sum_v exp(x_iv) - x_i,y_i ]        d loss / d x_iv = (p_iv - [v = y_i]) / M

torch's passes each go through the whole (M, V) in memory, the largest tensor of a language model,
and in fp32 whatever the logits are. Here the gradient is made in the forward pass, in the dtype of
the logits, with every step between in fp32 and in the cache. On other devices it is torch's own,
and in fp16, where a gradient that is not scaled yet underflows, and a loss scale overflows.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ROWS = 8  # times a vocabulary of 30,528 in fp32: 1 MB


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (M, V) and classes (M,), in fp32.

    With no row at all it is 0 and its gradients are zeros, not NaN.
    """
    if not len(targets):
        return logits.float().sum()
    if logits.device.type != "cpu" or logits.dtype == torch.float16:
        return F.cross_entropy(logits.float(), targets)
    return _CrossEntropy.apply(logits, targets)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(logits) if wants_gradient else logits
        losses = torch.empty(len(targets), 1, dtype=torch.float32)
        pieces = (logits, gradient, targets.unsqueeze(1), losses)
        for x, dx, y, loss in zip(*(torch.split(t, ROWS) for t in pieces), strict=True):
            largest = x.amax(-1, keepdim=True).float()
            p = F.softmax(x, -1, dtype=torch.float32)
            # log sum exp, from the probability of the largest, which never underflows
            total = largest - p.amax(-1, keepdim=True).log()
            torch.sub(total, x.gather(1, y), out=loss)
            if wants_gradient:
                p.scatter_add_(1, y, p.new_full(y.shape, -1.0))
                dx.copy_(p.mul_(1 / len(targets)))
        if wants_gradient:
            ctx.save_for_backward(gradient)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient if scale.item() == 1 else gradient * scale.to(gradient.dtype)), None
