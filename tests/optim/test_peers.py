"""Peers of delayed training against their equations, in whole copies of the weights."""

import copy
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from tests.delay.test_constant import batches, fit, network
from zoo.delay import ConstantDelay
from zoo.optim import Dana, DelayCompensated, GapAware
from zoo.precision import FloatFormat
from zoo.precision.casts import Casts
from zoo.precision.loss_scale import LossScale
from zoo.precision.plugin import EmulatedPrecision


class Ahead(Callback):
    """Note the weights that forward passes see."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Tensor) -> None:
        self.seen.append(pl_module.net[7].weight.detach().clone())


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_dana_sends_what_its_equations_say(delay: int) -> None:
    lr, m, n = 0.02, 0.9, delay + 1
    look = Ahead()
    net = fit(network(), lambda p: Dana(p, lr=lr, momentum=m), ConstantDelay(delay), look)

    # By the equations, in whole copies: one velocity for each of N workers in turn.
    net2 = network()
    held = [p for p in net2.parameters() if p.requires_grad]
    v = [[torch.zeros_like(p) for p in held] for _ in range(n)]
    sent: list[list[Tensor]] = []
    expected = []
    for t, (x, y) in enumerate(batches()):
        ahead = [p.detach() - lr * m * sum(w[i] for w in v) for i, p in enumerate(held)]
        sent.append(ahead if t else [p.detach().clone() for p in held])
        old = copy.deepcopy(net2)
        there = [p for p in old.parameters() if p.requires_grad]
        for p, w in zip(there, sent[max(0, t - delay)], strict=True):
            p.data.copy_(w)
        expected.append(old[7].weight.detach().clone())
        F.cross_entropy(old(x), y).backward()
        for i, (p, q) in enumerate(zip(held, there, strict=True)):
            v[t % n][i] = m * v[t % n][i] + q.grad
            p.data.sub_(lr * v[t % n][i])
        for (_, a), (_, b) in zip(net2.named_buffers(), old.named_buffers(), strict=True):
            a.copy_(b)
    for a, b in zip(look.seen, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(net.parameters(), net2.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_shared_look_ahead_goes_where_the_velocity_alone_would() -> None:
    """After D updates without gradients, the weights are where they were sent."""
    p = nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimizer = Dana([p], lr=0.1, momentum=0.8, velocities="shared")
    optimizer.param_groups[0]["delay"] = 6
    p.grad = torch.randn_like(p)
    optimizer.step()
    (sent,) = optimizer.sent_weights([p])
    p.grad = torch.zeros_like(p)
    for _ in range(6):
        optimizer.step()
    torch.testing.assert_close(p.detach(), sent)


def test_gap_aware_divides_by_the_gap_in_steps() -> None:
    lr, wd, delay = 0.02, 1e-2, 3
    ours = fit(network(), lambda p: GapAware(p, lr=lr, weight_decay=wd), ConstantDelay(delay))
    net = network()
    held = [p for p in net.parameters() if p.requires_grad]
    v, mean = [torch.zeros_like(p) for p in held], [torch.zeros_like(p) for p in held]
    versions = []
    for t, (x, y) in enumerate(batches()):
        versions.append([p.detach().clone() for p in held])
        stale = versions[max(0, t - delay)]
        old = copy.deepcopy(net)
        there = [p for p in old.parameters() if p.requires_grad]
        for p, w in zip(there, stale, strict=True):
            p.data.copy_(w)
        F.cross_entropy(old(x), y).backward()
        for i, (p, q) in enumerate(zip(held, there, strict=True)):
            g = q.grad + wd * p.detach()
            if t > 0:
                step = lr * ((mean[i] / (1 - 0.999**t)).sqrt() + 1e-8)
                g = g / (1 + (p.detach() - stale[i]).abs() / step)
            v[i] = 0.9 * v[i] + g
            mean[i] = 0.999 * mean[i] + 0.001 * v[i] ** 2
            p.data.sub_(lr * v[i])
        for (_, a), (_, b) in zip(net.named_buffers(), old.named_buffers(), strict=True):
            a.copy_(b)
    for a, b in zip(ours.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("adaptive", [False, True])
def test_dc_asgd_adds_the_diagonal_term(adaptive: bool) -> None:
    p = nn.Parameter(torch.randn(4, 3))
    before, stale, g = p.detach().clone(), torch.randn(4, 3), torch.randn(4, 3)
    optimizer = DelayCompensated([p], lr=0.1, momentum=0.0, variance=0.5, adaptive=adaptive)
    p.grad = g.clone()
    optimizer.compensate({p: stale})
    optimizer.step()
    factor = 0.5 / (0.05 * g**2 + 1e-7).sqrt() if adaptive else 0.5
    torch.testing.assert_close(p.detach(), before - 0.1 * (g + factor * g * g * (before - stale)))


@pytest.mark.parametrize("precision", ["fp32", "scaled"])
def test_dana_takes_turns_whatever_is_skipped(precision: str) -> None:
    """Update t is worker t mod N's, also where the first D updates, or some of them, are not made."""
    held: list[Tensor] = []
    seen: list[list[bool]] = []

    class Look(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            (optimizer,) = trainer.optimizers
            state = optimizer.state[held[0]]
            velocities = state.get("worker_velocities", [torch.zeros(1)] * 3)
            seen.append([bool(v.abs().sum() > 0) for v in velocities])
            if "velocity_sum" in state:
                torch.testing.assert_close(
                    state["velocity_sum"], sum(velocities), rtol=1e-4, atol=1e-6
                )

    def make(parameters: Any) -> Optimizer:
        held.append(parameters[0])
        return Dana(parameters, lr=0.01)

    fmt, kinds = FloatFormat(5, 2), ("weights", "activations", "gradients", "weight_gradients")
    scaled = EmulatedPrecision(
        Casts(dict.fromkeys(kinds, fmt)),  # type: ignore[arg-type]
        LossScale(2.0**30, dynamic=True),
    )
    delay = ConstantDelay(2, "skip" if precision == "fp32" else "fill")
    fit(
        network(), make, delay, Look(), log_every_n_steps=1,
        plugins=[scaled] if precision == "scaled" else None,
    )  # fmt: skip
    first = next(t for t, moved in enumerate(seen) if any(moved))
    assert seen[first] == [i == first % 3 for i in range(3)]
    assert first == 2 if precision == "fp32" else first > 0
