"""The plugin against mixed precision written out by hand: every cast a line, rounded by gfloat.

The reference knows nothing of modes, plugins or cast functions. It chains vector-Jacobian products
of single operations, and rounds between them with an oracle that is not ours.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.precision.oracles import expected, same
from zoo.precision import FORMATS, EmulatedPrecision, FloatFormat
from zoo.precision.casts import Casts
from zoo.precision.kinds import KINDS
from zoo.precision.loss_scale import LossScale

LR, MOMENTUM, STEPS, BATCH = 0.1, 0.9, 3, 8
State = dict[str, Tensor]


def vjp(f: Callable[..., Tensor], inputs: list[Tensor], gradient: Tensor) -> tuple[Tensor, ...]:
    """Pull a gradient back through one operation."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        y = f(*leaves)
    return torch.autograd.grad(y, leaves, gradient)


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, bias=False)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv1(x)).relu()
        return self.head(self.conv2(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


def conv_net_by_hand(p: State, x: Tensor, y: Tensor, formats: Any, scale: float) -> State:
    w, a, g, wg = (rounder(formats[kind]) for kind in KINDS)

    def conv1(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.conv2d(x, w, b, padding=1)

    def norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, w, b, training=True).relu()

    def conv2(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, stride=2)

    def pool(x: Tensor) -> Tensor:
        return x.relu().mean((2, 3))

    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(x, y) * scale

    a0, w1, b1 = a(x), w(p["conv1.weight"]), w(p["conv1.bias"])
    c1 = a(conv1(a0, w1, b1))
    n1 = norm(c1, p["bn.weight"], p["bn.bias"])
    a1, w2 = a(n1), w(p["conv2.weight"])
    c2 = a(conv2(a1, w2))
    n2 = pool(c2)
    a2, w3, b3 = a(n2), w(p["head.weight"]), w(p["head.bias"])
    c3 = a(F.linear(a2, w3, b3))

    (d,) = vjp(loss, [c3], torch.tensor(1.0))
    d, dw3, db3 = vjp(F.linear, [a2, w3, b3], g(d))
    (d,) = vjp(pool, [c2], g(d))
    d, dw2 = vjp(conv2, [a1, w2], g(d))
    d, dbnw, dbnb = vjp(norm, [c1, p["bn.weight"], p["bn.bias"]], g(d))
    _, dw1, db1 = vjp(conv1, [a0, w1, b1], g(d))
    return {
        "conv1.weight": wg(dw1),
        "conv1.bias": wg(db1),
        "bn.weight": dbnw,
        "bn.bias": dbnb,
        "conv2.weight": wg(dw2),
        "head.weight": wg(dw3),
        "head.bias": wg(db3),
        "logits": c3,
    }


class AttentionNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(o)
        return self.head(x.mean(1))  # type: ignore[no-any-return]


def attention_net_by_hand(p: State, x: Tensor, y: Tensor, formats: Any, scale: float) -> State:
    w, a, g, wg = (rounder(formats[kind]) for kind in KINDS)
    nw, nb = p["norm.weight"], p["norm.bias"]

    def norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.layer_norm(x, (8,), w, b)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)

    def scores(q: Tensor, k: Tensor) -> Tensor:
        return q @ k.transpose(-2, -1) * 4**-0.5

    def shares(s: Tensor) -> Tensor:
        return s.softmax(-1)

    def together(o: Tensor) -> Tensor:
        return o.transpose(1, 2).flatten(2)

    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(x, y) * scale

    rows = a(w(p["table.weight"][x]))
    n = norm(rows, nw, nb)
    a1, w1, b1 = a(n), w(p["qkv.weight"]), w(p["qkv.bias"])
    c1 = a(F.linear(a1, w1, b1))
    q, k, v = (a(t) for t in heads(c1))
    s = a(scores(q, k))
    ps = a(shares(s))
    o = a(ps @ v)
    a2, w2, b2 = a(together(o)), w(p["out.weight"]), w(p["out.bias"])
    c2 = a(F.linear(a2, w2, b2))
    a3, w3 = a((rows + c2).mean(1)), w(p["head.weight"])
    c3 = a(F.linear(a3, w3))

    (d,) = vjp(loss, [c3], torch.tensor(1.0))
    d, dw3 = vjp(F.linear, [a3, w3], g(d))
    (residual,) = vjp(lambda t: t.mean(1), [rows + c2], g(d))
    d, dw2, db2 = vjp(F.linear, [a2, w2, b2], g(residual))
    (d,) = vjp(together, [o], g(d))
    dps, dv = vjp(torch.matmul, [ps, v], g(d))
    (ds,) = vjp(shares, [s], g(dps))
    dq, dk = vjp(scores, [q, k], g(ds))
    (d,) = vjp(heads, [c1], torch.stack([g(dq), g(dk), g(dv)]))
    d, dw1, db1 = vjp(F.linear, [a1, w1, b1], g(d))
    d, dnw, dnb = vjp(norm, [rows, nw, nb], g(d))
    (dt,) = vjp(lambda t: F.embedding(x, t), [p["table.weight"]], g(residual + d))
    return {
        "table.weight": wg(dt),
        "norm.weight": dnw,
        "norm.bias": dnb,
        "qkv.weight": wg(dw1),
        "qkv.bias": wg(db1),
        "out.weight": wg(dw2),
        "out.bias": wg(db2),
        "head.weight": wg(dw3),
        "logits": c3,
    }


def rounder(fmt: FloatFormat | None) -> Callable[[Tensor], Tensor]:
    return lambda x: round_to(x, fmt)


def round_to(x: Tensor, fmt: FloatFormat | None) -> Tensor:
    return x if fmt is None else expected(x.detach(), fmt).float()


class Fitted(LightningModule):
    """A plain module around a net, as a user would write it; keeps what every step saw."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen: list[State] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        logits = self.net(batch[0])
        self.seen.append({"logits": logits.detach().clone()})
        return F.cross_entropy(logits, batch[1])

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        gradients = {
            k: p.grad.clone() for k, p in self.net.named_parameters() if p.grad is not None
        }
        self.seen[-1].update(gradients)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=LR, momentum=MOMENTUM)


def data(kind: str) -> TensorDataset:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 5, (STEPS * BATCH,), generator=generator)
    if kind == "conv":
        return TensorDataset(torch.randn(STEPS * BATCH, 3, 9, 9, generator=generator), labels)
    return TensorDataset(torch.randint(0, 11, (STEPS * BATCH, 6), generator=generator), labels)


def fit(net: nn.Module, kind: str, plugin: EmulatedPrecision, **options: Any) -> Fitted:
    task = Fitted(net)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        plugins=[plugin],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(task, DataLoader(data(kind), batch_size=BATCH))
    return task


CASES = {
    "1/6/9": (dict.fromkeys(KINDS, FORMATS["fp169"]), None),
    "1/6/9 flushed": (dict.fromkeys(KINDS, FORMATS["fp169_ftz"]), None),
    "binary16, scaled": (dict.fromkeys(KINDS, FORMATS["fp16"]), 1024.0),
    "fp8, scaled": (
        {
            "weights": FORMATS["fp8_e4m3"],
            "activations": FORMATS["fp8_e4m3"],
            "gradients": FORMATS["fp8_e5m2"],
            "weight_gradients": FORMATS["fp8_e5m2"],
        },
        256.0,
    ),
    "gradients only": ({"gradients": FORMATS["fp8_e5m2"]}, None),
    "weights and weight gradients": (
        {"weights": FORMATS["fp169"], "weight_gradients": FORMATS["bf16"]},
        None,
    ),
    "nothing": ({}, None),
}
NETS = {"conv": (ConvNet, conv_net_by_hand), "attention": (AttentionNet, attention_net_by_hand)}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Where nothing is rounded, attention stays in its fused kernel: nothing to write out by hand.
@pytest.mark.parametrize(
    ("kind", "case"),
    [(k, c) for k in NETS for c in CASES if (k, c) != ("attention", "nothing")],
)
def test_forward_gradients_and_updates_equal_the_scheme_by_hand(kind: str, case: str) -> None:
    formats, scale = CASES[case]
    make, by_hand = NETS[kind]
    torch.manual_seed(0)
    net = make()
    reference = {k: p.detach().clone() for k, p in net.named_parameters()}
    plugin = EmulatedPrecision(Casts(formats), LossScale(scale) if scale else None)  # type: ignore[arg-type]
    task = fit(net, kind, plugin)

    momentum: State = {}
    samples, labels = data(kind).tensors
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        chosen = {k: formats.get(k) for k in KINDS}  # type: ignore[attr-defined]
        want = by_hand(reference, samples[part], labels[part], chosen, scale or 1.0)
        for key in reference:
            want[key] = want[key] / (scale or 1.0)
        for key, value in want.items():
            assert same(task.seen[step][key], value), f"step {step}: {key}"
        for key, value in reference.items():
            before = momentum.get(key)
            momentum[key] = want[key] if before is None else before * MOMENTUM + want[key]
            reference[key] = value.add(momentum[key], alpha=-LR)
    for key, parameter in net.named_parameters():
        assert same(parameter.detach(), reference[key]), key
