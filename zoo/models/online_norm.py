"""Online Normalization: statistics of a stream of samples, and a gradient that answers for them.

Chiley et al. 2019 (arXiv 1905.05894). Batch norm takes the mean and the variance of a channel over
a batch, and its gradient sees that they depend on the inputs. Here both come from the samples
before, one after the other, whatever batch they arrive in; the gradient, which cannot reach back
to those samples, is kept orthogonal to 1 and to y, as batch norm's is, by a control process: what
is left of the two projections is summed up over the samples and taken off little by little.

For sample t and one channel, E and Var over its pixels, x' and y' the gradients of x and y:

    forward    y_t = (x_t - mu_{t-1}) / sigma_{t-1}
               mu_t = a_f mu_{t-1} + (1 - a_f) E[x_t]
               sigma^2_t = a_f sigma^2_{t-1} + (1 - a_f) Var[x_t]
                           + a_f (1 - a_f) (E[x_t] - mu_{t-1})^2
    backward   g_t = y'_t - (1 - a_b) v_{t-1} y_t,              v_t = v_{t-1} + E[g_t y_t]
               x'_t = g_t / sigma_{t-1} - (1 - a_b) u_{t-1},    u_t = u_{t-1} + E[x'_t]

then a channel's gain and bias, and layer scaling: z = y / sqrt(E[y^2]), E over all channels and
pixels of a sample, which bounds what statistics that lag behind would let through. (The paper's
names of v and u are epsilon^(y) and epsilon^(1).) All four states are first-order recurrences in t,
so that a batch takes log2(B) passes over (B, C) numbers and no loop over its samples.
"""

from typing import Any

import torch
from torch import Tensor, nn


class OnlineNorm2d(nn.Module):
    """Online Normalization of (B, C, H, W), the samples of a batch one after the other.

    In evaluation the statistics are those of the training samples so far, and stay.

    Args:
        channels: C.
        alpha_forward: a_f, decay of the statistics a sample.
        alpha_backward: a_b, decay of the control process a sample.
        eps: added to variances and mean squares before their root.
    """

    running_mean: Tensor
    running_var: Tensor
    error_1: Tensor
    error_y: Tensor

    def __init__(
        self,
        channels: int,
        alpha_forward: float = 0.999,
        alpha_backward: float = 0.99,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.alpha_forward = alpha_forward
        self.alpha_backward = alpha_backward
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("error_1", torch.zeros(channels))  # u
        self.register_buffer("error_y", torch.zeros(channels))  # v

    def extra_repr(self) -> str:
        return f"{self.channels}, a_f={self.alpha_forward}, a_b={self.alpha_backward}"

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # In the parameters' fp32 also where the layers around compute in less.
        y = self.normalise(x_BCHW.to(self.weight.dtype))
        y = y * self.weight[:, None, None] + self.bias[:, None, None]
        z = y * (y.square().mean((1, 2, 3), keepdim=True) + self.eps).rsqrt()
        return z.to(x_BCHW.dtype)

    def normalise(self, x_BCHW: Tensor) -> Tensor:
        """Return y, with the statistics and, once its gradient comes, the control brought on."""
        if not self.training:
            scale_C = (self.running_var + self.eps).rsqrt()
            return (x_BCHW - self.running_mean[:, None, None]) * scale_C[:, None, None]
        mean_BC, var_BC = self._follow(x_BCHW)
        scale_BC = (var_BC + self.eps).rsqrt()
        keep = 1.0 - self.alpha_backward
        return _Controlled.apply(x_BCHW, mean_BC, scale_BC, self.error_1, self.error_y, keep)

    @torch.no_grad()
    def _follow(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and sigma^2 as they are before each sample, and go on with the last ones."""
        a = self.alpha_forward
        var_BC, mean_BC = torch.var_mean(x_BCHW, (2, 3), correction=0)
        decay_BC = torch.full_like(mean_BC, a)
        mu = recurrence(decay_BC, (1 - a) * mean_BC, self.running_mean)
        drive_BC = (1 - a) * (var_BC + a * (mean_BC - mu[:-1]).square())
        sigma2 = recurrence(decay_BC, drive_BC, self.running_var)
        self.running_mean.copy_(mu[-1])
        self.running_var.copy_(sigma2[-1])
        return mu[:-1], sigma2[:-1]


class _Controlled(torch.autograd.Function):
    """(x - mu) / sigma with the control process for a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean_BC: Tensor,
        scale_BC: Tensor,
        u_C: Tensor,
        v_C: Tensor,
        keep: float,
    ) -> Tensor:
        y = (x - mean_BC[..., None, None]) * scale_BC[..., None, None]
        ctx.save_for_backward(y, scale_BC)
        ctx.u, ctx.v, ctx.keep = u_C, v_C, keep  # states, which backward writes to
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        y, scale_BC = ctx.saved_tensors
        keep = ctx.keep
        # E[g y] of each sample is linear in v: so v is a recurrence whose decay varies.
        decay_BC = 1 - keep * y.square().mean((2, 3))
        v = recurrence(decay_BC, (grad * y).mean((2, 3)), ctx.v)
        g = grad - keep * v[:-1, :, None, None] * y
        drive_BC = g.mean((2, 3)) * scale_BC
        u = recurrence(torch.full_like(drive_BC, 1 - keep), drive_BC, ctx.u)
        grad_x = g * scale_BC[..., None, None] - keep * u[:-1, :, None, None]
        for state, new in ((ctx.u, u[-1]), (ctx.v, v[-1])):
            # A gradient that overflowed is skipped by the loss scale, and must not stay in here.
            state.copy_(torch.where(new.isfinite(), new, state))
        return grad_x, None, None, None, None, None


def recurrence(decay_BC: Tensor, drive_BC: Tensor, start_C: Tensor) -> Tensor:
    """Return s_0 = start and s_t = decay_t s_{t-1} + drive_t for t = 1..B, as (B + 1, C).

    Two steps in a row are one step of the same form (decay and drive of the pair), so that
    doubling the length of a step log2(B) times gives every prefix (Hillis & Steele 1986).

    >>> half, one = torch.full((3, 1), 0.5), torch.ones(3, 1)
    >>> recurrence(half, one, torch.zeros(1)).flatten().tolist()
    [0.0, 1.0, 1.5, 1.75]
    """
    length = 1
    while length < len(decay_BC):
        head, tail = drive_BC[:length], drive_BC[length:] + decay_BC[length:] * drive_BC[:-length]
        drive_BC = torch.cat([head, tail])
        decay_BC = torch.cat([decay_BC[:length], decay_BC[length:] * decay_BC[:-length]])
        length *= 2
    return torch.cat([start_C[None], drive_BC + decay_BC * start_C])
