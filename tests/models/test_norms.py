"""Normalisation at batch size one: against the papers' formulas, sample by sample."""

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import FilterResponseNormTlu2d, StdConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UserError
from zoo.models import CifarResNet, CifarVGG
from zoo.models.norms import Layers, Norm
from zoo.models.online_norm import OnlineNorm2d, recurrence
from zoo.precision.casts import Casts
from zoo.precision.formats import FORMATS
from zoo.precision.products import RoundProducts

SMALL: tuple[Norm, ...] = ("group", "group_ws", "frn", "online", "none")  # take batches of one


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def resnet(norm: Norm, **options: Any) -> CifarResNet:
    return CifarResNet(in_chans=1, depth=8, width=4, norm=norm, **options)


def vgg(norm: Norm, **options: Any) -> CifarVGG:
    return CifarVGG(in_chans=1, width=4, norm=norm, dropout=0.0, **options)


# -- filter response norm ------------------------------------------------------------------------


def test_frn_is_its_formula() -> None:
    """Singh & Krishnan 2020, equations 1 and 4: y = gamma x / sqrt(nu^2 + eps) + beta, max(y, tau)."""
    norm = Layers("frn").make_norm(3)
    for p in norm.parameters():
        nn.init.normal_(p)
    x = torch.randn(2, 3, 4, 5)
    y = norm(x)
    gamma, beta, tau = (p.detach() for p in norm.parameters())
    for b in range(2):
        for c in range(3):
            nu2 = float((x[b, c] ** 2).sum() / 20)
            expected = gamma[c] * x[b, c] / (nu2 + 1e-6) ** 0.5 + beta[c]
            assert torch.allclose(y[b, c], expected.clamp_min(float(tau[c])), atol=1e-6)


def test_the_threshold_of_frn_takes_the_place_of_relu() -> None:
    net = resnet("frn")
    assert not any(isinstance(m, nn.ReLU) for m in net.modules())
    assert not any(isinstance(m, nn.ReLU) for m in CifarVGG(width=4, norm="frn").features)
    norms = [m for m in net.modules() if isinstance(m, FilterResponseNormTlu2d)]
    for norm in norms:
        nn.init.constant_(norm.tau, -3.0)
    seen: list[Tensor] = []
    net.blocks[0].conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(torch.randn(1, 1, 8, 8))
    assert seen[0].min() < 0  # no ReLU after a threshold that lets negative values through


@pytest.mark.parametrize("norm", [n for n in SMALL if n != "frn"])
def test_the_others_have_a_relu(norm: Norm) -> None:
    net = resnet(norm)
    seen: list[Tensor] = []
    for m in net.modules():
        if isinstance(m, nn.Conv2d) and m is not net.stem:
            m.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(torch.randn(1, 1, 8, 8))
    assert len(seen) == 8
    assert all(x.min() == 0 for x in seen)


# -- group norm, and weight standardisation ------------------------------------------------------


def test_a_standardised_convolution_is_its_formula() -> None:
    """Qiao et al. 2019, equations 5 to 7: a filter minus its mean over its standard deviation."""
    conv = Layers("group_ws").make_conv(3, 5, 3, 2)
    x = torch.randn(2, 3, 8, 8)
    w = torch.stack(
        [(f - f.mean()) / (((f - f.mean()) ** 2).mean() + 1e-6).sqrt() for f in conv.weight]
    )
    assert torch.allclose(conv(x), F.conv2d(x, w, None, 2, 1), atol=1e-5)


def test_every_convolution_of_group_ws_is_standardised_before_a_group_norm() -> None:
    net = resnet("group_ws")
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 9
    assert all(isinstance(m, StdConv2d) and m.bias is None for m in convolutions)
    plain = CifarResNet(in_chans=1, depth=8, width=4, norm="group")
    assert net.state_dict().keys() == plain.state_dict().keys()
    net.eval()
    x = torch.randn(2, 1, 8, 8)
    before = net(x)
    with torch.no_grad():  # neither scale nor mean of a filter matters
        for m in convolutions:
            m.weight.mul_(3).add_(1)
    assert torch.allclose(net(x), before, atol=1e-3)


@pytest.mark.parametrize("norm", ["group", "group_ws"])
@pytest.mark.parametrize("model", [CifarResNet, CifarVGG])
def test_groups_grow_with_the_width(model: Any, norm: Norm) -> None:
    net = model(width=8, norm=norm, group_size=2, group_size_doubles=True)
    groups = [m for m in net.modules() if isinstance(m, nn.GroupNorm)]
    assert {m.num_groups for m in groups} == {4}
    sizes = {m.num_channels: m.num_channels // m.num_groups for m in groups}
    assert sizes == {8 * 2**i: 2 * 2**i for i in range(len(sizes))}
    same = model(width=8, norm=norm, group_size=2)
    assert {
        m.num_channels // m.num_groups for m in same.modules() if isinstance(m, nn.GroupNorm)
    } == {2}


# -- online normalisation ------------------------------------------------------------------------


class Loop:
    """Chiley et al. 2019, equations 8, 9, 11 and 12, one sample and one channel at a time."""

    def __init__(self, channels: int, a_f: float, a_b: float, eps: float) -> None:
        self.a_f, self.a_b, self.eps = a_f, a_b, eps
        self.mu, self.var = [0.0] * channels, [1.0] * channels
        self.u, self.v = [0.0] * channels, [0.0] * channels

    def forward(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self.sigmas = torch.empty(x.shape[:2], dtype=x.dtype)
        for t in range(x.shape[0]):
            for c in range(x.shape[1]):
                sigma = (self.var[c] + self.eps) ** 0.5
                y[t, c] = (x[t, c] - self.mu[c]) / sigma
                self.sigmas[t, c] = sigma
                mean = float(x[t, c].mean())
                spread = float(((x[t, c] - mean) ** 2).mean())
                a = self.a_f
                self.var[c] = (
                    a * self.var[c] + (1 - a) * spread + a * (1 - a) * (mean - self.mu[c]) ** 2
                )
                self.mu[c] = a * self.mu[c] + (1 - a) * mean
        self.y = y
        return y

    def backward(self, grad: Tensor) -> Tensor:
        out = torch.empty_like(grad)
        for t in range(grad.shape[0]):
            for c in range(grad.shape[1]):
                g = grad[t, c] - (1 - self.a_b) * self.v[c] * self.y[t, c]
                self.v[c] += float((g * self.y[t, c]).mean())
                out[t, c] = g / self.sigmas[t, c] - (1 - self.a_b) * self.u[c]
                self.u[c] += float(out[t, c].mean())
        return out


@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    a_f=st.floats(0.5, 0.999),
    a_b=st.floats(0.5, 0.99),
    seed=st.integers(0, 99),
)
def test_online_norm_is_the_loop_over_samples(
    sizes: list[int], a_f: float, a_b: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    norm = OnlineNorm2d(2, a_f, a_b).double()
    loop = Loop(2, a_f, a_b, norm.eps)
    for size in sizes:  # states go on from batch to batch
        x = 1 + torch.randn(size, 2, 3, 2, dtype=torch.float64, generator=generator)
        grad = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        x.requires_grad_()
        y = norm.normalise(x)
        y.backward(grad)
        assert torch.allclose(y, loop.forward(x.detach()))
        assert x.grad is not None
        assert torch.allclose(x.grad, loop.backward(grad))
        states = (norm.running_mean, norm.running_var, norm.error_1, norm.error_y)
        for state, expected in zip(states, (loop.mu, loop.var, loop.u, loop.v), strict=True):
            assert state.tolist() == pytest.approx(expected)


def test_layer_scaling_and_affine_are_their_formulas_and_gradients() -> None:
    norm = OnlineNorm2d(3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    norm.eval()
    y = x / (1 + norm.eps) ** 0.5 * norm.weight[:, None, None] + norm.bias[:, None, None]
    z = torch.stack([s / ((s**2).mean() + norm.eps) ** 0.5 for s in y])
    assert torch.allclose(norm(x), z)
    parameters = [norm.weight, norm.bias, x.requires_grad_()]
    ours = torch.autograd.grad(norm(x).square().sum() + norm(x).sum(), parameters)
    theirs = torch.autograd.grad(z.square().sum() + z.sum(), parameters[:2])
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=False))
    assert torch.autograd.gradcheck(norm, (x,))


def test_one_batch_is_the_samples_one_by_one() -> None:
    whole = OnlineNorm2d(4).double()
    single = copy.deepcopy(whole)
    x, grad = torch.randn(2, 7, 4, 3, 3, dtype=torch.float64)
    x.requires_grad_()
    (gx,) = torch.autograd.grad(whole(x), x, grad)
    for t in range(7):
        (g,) = torch.autograd.grad(single(x[t : t + 1]), x, grad[t : t + 1])
        assert torch.allclose(g[t], gx[t])
    for a, b in zip(whole.buffers(), single.buffers(), strict=True):
        assert torch.allclose(a, b)


def test_the_gradient_is_batch_norms_over_all_samples_in_expectation() -> None:
    """The paper's point: unbiased. Without the control it is not even near."""
    inputs = torch.rand(4096, 6) @ torch.randn(6, 6) + 1
    aims = 0.5 + inputs @ torch.randn(6, 2)  # gradients of y with a share along 1 and along y
    weight = torch.randn(6, 2)
    w = weight.clone().requires_grad_()
    y = F.batch_norm((inputs @ w)[..., None, None], None, None, training=True)
    (exact,) = torch.autograd.grad((y[..., 0, 0] * aims).sum(1).mean(), w)

    def streamed(alpha_backward: float) -> Tensor:
        """Return the mean gradient of weights that stay, each sample seen with those before it."""
        norm = OnlineNorm2d(2, 0.9995, alpha_backward)
        total = torch.zeros_like(weight)
        for epoch in range(5):
            for i in torch.randperm(4096).split(64):
                y = norm.normalise((inputs[i] @ w)[..., None, None])
                (g,) = torch.autograd.grad((y[..., 0, 0] * aims[i]).sum(), w)
                if epoch:  # the first pass is for the statistics
                    total += g / (4 * 4096)
        return total

    error, uncontrolled = ((streamed(a) - exact).norm() / exact.norm() for a in (0.99, 1.0))
    assert error < 0.05
    assert uncontrolled > 1


def test_gradients_are_orthogonal_to_one_and_to_y_in_the_long_run() -> None:
    """Their sums over all samples are the control's states, which stay bounded (section 3.2)."""
    norm = OnlineNorm2d(3).double()
    sums = torch.zeros(2, 3, dtype=torch.float64)
    raw = torch.zeros(2, 3, dtype=torch.float64)
    samples = 4000
    for _ in range(samples // 50):
        x = (2 + 3 * torch.randn(50, 3, 4, 4, dtype=torch.float64)).requires_grad_()
        y = norm.normalise(x)
        grad = (0.7 * y + 1 + torch.randn_like(y)).detach()  # far from orthogonal to both
        v = norm.error_y.clone()
        (g,) = torch.autograd.grad(y, x, grad)
        sums[0] += g.mean((2, 3)).sum(0)
        sums[1] += norm.error_y - v
        raw += torch.stack([grad.mean((2, 3)).sum(0), (grad * y).mean((2, 3)).sum(0)])
    assert torch.allclose(sums[0], norm.error_1)
    assert (raw / samples > 0.5).all()
    assert (sums.abs() / samples < 0.03).all()


def test_the_recurrence_takes_any_length() -> None:
    for length in range(1, 20):
        decay, drive, state = torch.randn(length, 3), torch.randn(length, 3), torch.randn(3)
        found = recurrence(decay, drive, state)
        assert len(found) == length + 1
        assert torch.equal(found[0], state)
        for t in range(length):
            state = decay[t] * state + drive[t]
            assert torch.allclose(found[t + 1], state, rtol=1e-3, atol=1e-4)


def test_evaluation_leaves_the_statistics_and_training_moves_them() -> None:
    net = resnet("online")
    states = [b.clone() for b in net.buffers()]
    x = torch.randn(3, 1, 8, 8)
    net.eval()
    assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-6)
    net(x).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(states, net.buffers(), strict=True))
    net.train()
    net(x).square().sum().backward()
    assert not any(torch.equal(a, b) for a, b in zip(states, net.buffers(), strict=True))


def test_an_overflowed_gradient_leaves_no_trace() -> None:
    norm = OnlineNorm2d(2)
    x = torch.randn(2, 2, 3, 3, requires_grad=True)
    norm(x).square().sum().backward()
    kept = [norm.error_1.clone(), norm.error_y.clone()]
    torch.autograd.grad(norm(x), x, torch.full_like(x, torch.inf))
    assert torch.equal(norm.error_1, kept[0])
    assert torch.equal(norm.error_y, kept[1])


def test_the_state_of_online_norm_is_saved_and_loaded() -> None:
    net = resnet("online")
    x = torch.randn(3, 1, 8, 8)
    net(x).square().sum().backward()
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = resnet("online")
    other.load_state_dict(torch.load(file, weights_only=True))
    for n in (net, other):
        n.zero_grad()
        n(x).square().sum().backward()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]


# -- all of them ---------------------------------------------------------------------------------


# A plain VGG without normalisation starts too slowly for a few steps.
LEARNS = [(resnet, n) for n in SMALL] + [(vgg, n) for n in SMALL if n != "none"]


@pytest.mark.parametrize(("model", "norm"), LEARNS)
def test_training_at_batch_size_one_learns(model: Any, norm: Norm) -> None:
    """Four samples over and over: finite throughout, and the loss goes down."""
    net = model(norm)
    images = torch.randn(4, 1, *((8, 8) if model is resnet else (32, 32)))
    optimizer = torch.optim.SGD(net.parameters(), lr=2e-3, momentum=0.95)
    losses = []
    for step in range(120):
        i = step % 4
        loss = F.cross_entropy(net(images[i : i + 1]), torch.tensor([i]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(bool(p.isfinite().all()) for p in net.parameters())
    assert sum(losses[-16:]) < 0.7 * sum(losses[:16])


@pytest.mark.parametrize("norm", SMALL)
def test_memory_layout_changes_nothing(norm: Norm) -> None:
    # Wide enough for every processor: see zoo/models/layout.py.
    net = CifarResNet(in_chans=1, depth=8, width=16, norm=norm)
    other = copy.deepcopy(net).to(memory_format=torch.channels_last)
    x = torch.randn(3, 1, 8, 8)
    for n, images in ((net, x), (other, x.contiguous(memory_format=torch.channels_last))):
        n(images).square().sum().backward()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("norm", ["group_ws", "frn", "online"])
def test_compiled_layers_compute_the_same(norm: Norm) -> None:
    """Traced as torch.compile does; its code generator is too slow to try here."""
    layers = Layers(norm)
    net = nn.Sequential(layers.make_conv(2, 4, 3), layers.make_norm(4), layers.make_act())
    other = copy.deepcopy(net)
    torch._dynamo.reset()
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 2, 4, 4)
    for _ in range(2):
        for n in (net, compiled):
            n(x).square().mean().backward()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-5)
    for a, b in zip(net.buffers(), other.buffers(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("norm", SMALL)
def test_only_products_are_rounded(norm: Norm) -> None:
    """A norm by itself is fp32 in an emulated format; a convolution's operands are not."""
    fmt = FORMATS["fp169"]
    kinds = ("weights", "activations", "gradients", "weight_gradients")
    rounding = RoundProducts(Casts(dict.fromkeys(kinds, fmt)))  # type: ignore[arg-type]
    layers = Layers(norm)
    layer, conv = layers.make_norm(4), layers.make_conv(4, 4, 3)
    other = copy.deepcopy(layer)
    x = torch.randn(2, 4, 5, 5)
    with rounding:
        rounded, product = layer(x), conv(x)
    assert torch.equal(rounded, other(x))
    assert not torch.equal(product, conv(x))
    net = resnet(norm)
    with rounding:
        net(x[:1, :1]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize("norm", SMALL)
def test_autocast_keeps_the_types_of_the_layers_around(norm: Norm) -> None:
    net = resnet(norm)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.randn(2, 1, 8, 8))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    assert all(b.dtype == torch.float32 for b in net.buffers())


def test_timm_makes_them_too() -> None:
    net = timm.create_model("cifar_resnet8", width=4, norm="group_ws", group_size_doubles=True)
    assert isinstance(net.stem, StdConv2d)


def mistakes() -> Iterator[tuple[Any, str]]:
    yield lambda: Layers("batsh"), "model.norm=batsh: no such normalisation; type one of batch"  # type: ignore[arg-type]
    yield (
        lambda: CifarResNet(norm="frn", group_size_doubles=True),
        "model.group_size_doubles=true: model.norm=frn has no groups; type model.norm=group",
    )
    yield (
        lambda: CifarResNet(in_chans=1, width=1, norm="group_ws", group_size=1),
        "model.norm=group_ws: a filter of one weight has no variance .* type model.width=2",
    )
    yield (
        lambda: CifarVGG(width=8, norm="group_ws", group_size=3, group_size_doubles=True),
        "model.group_size=3: does not divide a layer of 8 channels; type model.group_size=2",
    )


@pytest.mark.parametrize(("make", "sentence"), list(mistakes()))
def test_a_mistake_is_one_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()
