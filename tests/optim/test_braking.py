"""Adaptive Braking against torch's optimizers at rho = 0, and against its equation elsewhere."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW

import zoo.models  # noqa: F401 - registers its networks with timm
from zoo.errors import UserError
from zoo.optim import AdaptiveBraking, AdaptiveBrakingAdamW

Step = tuple[Tensor, Tensor]


def network(channels_last: bool = False) -> nn.Module:
    torch.manual_seed(0)
    # Of 8, where channels are last: zoo/models/layout.py says why.
    net = timm.create_model("cifar_resnet8", width=8 if channels_last else 4)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def batches(count: int) -> Iterator[Step]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(8, 3, 8, 8, generator=generator)
        yield x, torch.randint(10, (8,), generator=generator)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[Tensor]:
    for t, (x, y) in enumerate(batches(steps)):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - t / 400)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_without_a_brake_it_is_torchs_sgd_to_the_bit(
    nesterov: bool, foreach: bool, channels_last: bool
) -> None:
    """Over 200 steps of a real network, its schedule and its decay; variants of it over 40."""
    steps = 40 if channels_last or foreach else 200
    options: dict[str, Any] = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": nesterov}
    ours, theirs = network(channels_last), network(channels_last)
    brake = AdaptiveBraking(ours.parameters(), lr=0.05, rho=0.0, foreach=foreach, **options)
    sgd = SGD(theirs.parameters(), lr=0.05, foreach=foreach, **options)
    for a, b in zip(train(ours, brake, steps), train(theirs, sgd, steps), strict=True):
        assert torch.equal(a, b)


def test_without_a_brake_adamw_is_torchs_to_the_bit() -> None:
    ours, theirs = network(), network()
    brake = AdaptiveBrakingAdamW(ours.parameters(), lr=0.05, rho=0.0)
    for a, b in zip(
        train(ours, brake, 50), train(theirs, AdamW(theirs.parameters()), 50), strict=True
    ):
        assert torch.equal(a, b)


def cosines(g: Tensor, v: Tensor, granularity: str, whole: Tensor) -> Tensor:
    """Return <g, v> / |g||v|, shaped to multiply g."""
    if granularity == "model":
        return whole
    rows = g.shape[0] if granularity == "filter" and g.dim() > 1 else 1
    cosine = F.cosine_similarity(g.reshape(rows, -1), v.reshape(rows, -1), dim=1, eps=1e-30)
    return cosine.view(-1, *(1,) * (g.dim() - 1)) if rows > 1 else cosine.squeeze()


@pytest.mark.parametrize("granularity", ["filter", "tensor", "model"])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_step_is_the_equation(
    granularity: str, inside: bool, nesterov: bool, channels_last: bool
) -> None:
    """alpha = 1 - rho cos(g, v);  v <- m v + alpha g + wd w;  w <- w - lr v, in fp64."""
    lr, m, rho, wd = 0.05, 0.9, 1.7, 1e-2
    net = network(channels_last).double()
    optimizer = AdaptiveBraking(
        net.parameters(),
        lr,
        m,
        rho,
        granularity,
        wd,
        inside,
        nesterov=nesterov,  # type: ignore[arg-type]
    )
    weights = [p.detach().clone() for p in net.parameters()]
    velocities = [torch.zeros_like(p) for p in weights]
    for x, y in batches(8):
        optimizer.zero_grad()
        F.cross_entropy(net(x.double()), y).backward()
        gs = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        if inside:
            gs = [g + wd * w for g, w in zip(gs, weights, strict=True)]
        flat_g, flat_v = (torch.cat([t.flatten() for t in ts]) for ts in (gs, velocities))
        whole = F.cosine_similarity(flat_g, flat_v, dim=0, eps=1e-30)
        for i, g in enumerate(gs):
            braked = (1 - rho * cosines(g, velocities[i], granularity, whole)) * g
            braked = braked if inside else braked + wd * weights[i]
            velocities[i] = m * velocities[i] + braked
            weights[i] = weights[i] - lr * (
                braked + m * velocities[i] if nesterov else velocities[i]
            )
        optimizer.step()
        for p, w in zip(net.parameters(), weights, strict=True):
            torch.testing.assert_close(p.detach(), w, rtol=1e-9, atol=1e-12)


def test_adamw_brakes_along_its_first_moment() -> None:
    p = nn.Parameter(torch.randn(6, 5, dtype=torch.float64))
    q = nn.Parameter(p.detach().clone())
    ours = AdaptiveBrakingAdamW([p], lr=1e-2, rho=1.5)
    theirs = AdamW([q], lr=1e-2)
    for _ in range(6):
        g = torch.randn_like(p)
        p.grad, q.grad = g.clone(), g.clone()
        if q in theirs.state:
            q.grad *= 1 - 1.5 * cosines(g, theirs.state[q]["exp_avg"], "filter", g)
        ours.step()
        theirs.step()
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


@settings(max_examples=40)
@given(
    st.sampled_from(["filter", "tensor", "model"]),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([{"nesterov": True}, {"dampening": 0.3}, {}]),
    st.integers(0, 10**6),
)
def test_the_step_is_torchs_with_the_braked_gradient_to_the_bit(
    granularity: str, dtype: torch.dtype, decay: float, options: dict[str, Any], seed: int
) -> None:
    """In all sizes and layouts; a gradient that is read after the step is the braked one."""
    torch.manual_seed(seed)
    ours = list(map(nn.Parameter, tensors(dtype)))
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": decay, **options}
    brake = AdaptiveBraking(ours, granularity=granularity, **options)
    sgd = SGD(theirs, **options)
    for _ in range(3):
        raw = tensors(dtype)
        for p, g in zip(ours, raw, strict=True):
            p.grad = (
                g.clone() if seed % 3 else g.clone(memory_format=torch.contiguous_format)
            )  # not in the order of p
        brake.step()
        for p, q in zip(ours, theirs, strict=True):
            q.grad = p.grad
        sgd.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(p, q)
            assert torch.equal(brake.state[p]["momentum_buffer"], sgd.state[q]["momentum_buffer"])


def tensors(dtype: torch.dtype) -> list[Tensor]:
    shapes = [(), (1,), (37,), (3, 1), (5, 67), (1, 40)]
    images = torch.randn(6, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    return [
        images,
        torch.randn(7, 5, dtype=dtype).t(),
        *(torch.randn(s, dtype=dtype) for s in shapes),
    ]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_torchs_operations_brake_alike(seed: int, adamw: bool, dtype: torch.dtype) -> None:
    """Without a compiler, too. Sums of whole numbers are exact, and so the bits are the same."""
    generator = torch.Generator().manual_seed(seed)

    def whole(like: Tensor) -> Tensor:
        numbers = torch.randint(-9, 10, like.shape, generator=generator)
        return torch.empty_like(like).copy_(numbers)

    ws, gs, vs = ([whole(x) for x in tensors(dtype)] for _ in range(3))
    found: list[list[Any]] = []
    measured: list[dict[str, float]] = []
    for compiler in ("1", "0"):
        parameters = [nn.Parameter(w.clone()) for w in ws]
        optimizer = (AdaptiveBrakingAdamW if adamw else AdaptiveBraking)(parameters, rho=1.5)
        for p, g, v in zip(parameters, gs, vs, strict=True):
            p.grad, optimizer.state[p][optimizer.velocity] = g.clone(), v.clone()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ZOO_COMPILE", compiler)
            optimizer.brake() if adamw else optimizer.step()
        found.append([*parameters, *(p.grad for p in parameters)])
        measured.append(optimizer.measures())
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert measured[0] == pytest.approx(measured[1], rel=1e-5, abs=1e-6)


def one_step(v: list[float], g: list[float], rho: float, **options: Any) -> Tensor:
    """Return alpha of one tensor: how much of g entered the velocity."""
    p = nn.Parameter(torch.zeros(1, len(g), dtype=torch.float64))
    optimizer = AdaptiveBraking([p], lr=1.0, momentum=0.5, rho=rho, **options)
    optimizer.state[p]["momentum_buffer"] = torch.tensor([v], dtype=torch.float64)
    p.grad = torch.tensor([g], dtype=torch.float64)
    optimizer.step()
    entered = optimizer.state[p]["momentum_buffer"] - 0.5 * torch.tensor([v], dtype=torch.float64)
    return entered[0] / torch.tensor(g, dtype=torch.float64)


@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0, 4.0])
def test_alpha_at_its_landmarks(rho: float) -> None:
    """Agreement counts less, opposition more; there is no clamp."""
    assert one_step([1.0, 2.0], [3.0, 6.0], rho).tolist() == pytest.approx([1 - rho] * 2)
    assert one_step([1.0, 2.0], [-3.0, -6.0], rho).tolist() == pytest.approx([1 + rho] * 2)
    assert one_step([1.0, 1.0], [1.0, -1.0], rho).tolist() == pytest.approx([1.0] * 2)
    assert one_step([0.0, 0.0], [1.0, -1.0], rho).tolist() == pytest.approx([1.0] * 2)


@settings(max_examples=50)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 10**6))
def test_scales_of_loss_and_velocity_do_not_matter(g_exp: float, v_exp: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    v, g = (torch.randn(7, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = one_step(v.tolist(), g.tolist(), 2.0)
    scaled = one_step((v * 10**v_exp).tolist(), (g * 10**g_exp).tolist(), 2.0)
    torch.testing.assert_close(scaled, plain, rtol=1e-6, atol=1e-6)


def test_the_first_step_is_plain() -> None:
    p, q = (nn.Parameter(torch.ones(4, 3)) for _ in range(2))
    p.grad, q.grad = torch.randn(4, 3), torch.zeros(4, 3)
    q.grad.copy_(p.grad)
    AdaptiveBraking([p], lr=0.1).step()
    SGD([q], lr=0.1, momentum=0.9).step()
    assert torch.equal(p, q)


def test_rho_follows_its_schedule_and_its_group() -> None:
    a, b = (nn.Parameter(torch.ones(1, 2)) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "rho": 1.0}]
    optimizer = AdaptiveBraking(groups, lr=0.1, rho=2.0, rho_schedule="linear")
    for p in (a, b):
        optimizer.state[p]["momentum_buffer"] = torch.ones(1, 2)
    optimizer.at_progress(0.25)
    for p in (a, b):
        p.grad = torch.ones(1, 2)
    optimizer.brake()
    assert a.grad is not None
    assert b.grad is not None
    torch.testing.assert_close(a.grad, torch.full((1, 2), 1 - 2.0 * 0.75))
    torch.testing.assert_close(b.grad, torch.full((1, 2), 1 - 1.0 * 0.75))


def test_what_is_measured_is_the_last_step() -> None:
    p = nn.Parameter(torch.zeros(3, 2))
    optimizer = AdaptiveBraking([p], lr=0.1, rho=2.0)
    assert optimizer.measures() == {}
    optimizer.state[p]["momentum_buffer"] = torch.tensor([[1.0, 0.0]] * 3)
    p.grad = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 5.0]])
    optimizer.step()
    found = optimizer.measures()
    assert found["num/brake/cosine"] == pytest.approx(0.0)
    assert found["num/brake/alpha_mean"] == pytest.approx(1.0)
    assert found["num/brake/alpha_p50"] == pytest.approx(1.0)
    assert found["num/brake/alpha_p05"] == pytest.approx(-0.8)
    assert found["num/brake/alpha_p95"] == pytest.approx(2.8)
    assert found["num/brake/negative"] == pytest.approx(1 / 3)


def test_a_users_hooks_see_one_step() -> None:
    SGD([nn.Parameter(torch.ones(1))], lr=0.1)  # from now on torch calls hooks around SGD's step
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    optimizer = AdaptiveBraking([p], lr=0.1)
    calls: list[int] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append(1))
    optimizer.step()
    assert calls == [1]


def test_its_state_goes_on() -> None:
    net, other = network(), network()
    optimizer = AdaptiveBraking(net.parameters(), lr=0.05)
    train(net, optimizer, 3)
    other.load_state_dict(net.state_dict())
    resumed = AdaptiveBraking(other.parameters(), lr=0.05)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for a, b in zip(train(net, optimizer, 3), train(other, resumed, 3), strict=True):
        assert torch.equal(a, b)


def test_timm_knows_it_by_name() -> None:
    optimizer = timm.optim.create_optimizer_v2(network(), "adaptivebraking", lr=0.1, rho=1.0)
    assert isinstance(optimizer, AdaptiveBraking)
    assert {g["rho"] for g in optimizer.param_groups} == {1.0}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: AdaptiveBraking(p, momentum=0.0), "optimizer.momentum=0.0: without momentum"),
        (lambda p: AdaptiveBraking(p, granularity="row"), "optimizer.granularity=row: there is"),
        (lambda p: AdaptiveBraking(p, eps=0.0), "optimizer.eps=0.0: must be positive"),
        (lambda p: AdaptiveBraking(p, rho_schedule="up"), "optimizer.rho_schedule=up: there is"),
        (lambda p: AdaptiveBrakingAdamW(p, betas=(0.0, 0.9)), "without a first moment"),
    ],
)
def test_mistakes_say_what_to_type(make: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        make([nn.Parameter(torch.ones(1))])
    assert "type optimizer" in str(caught.value)


def test_nothing_is_made_of_nothing() -> None:
    """Elements that do not move have no direction: NaN would be one."""
    assert math.isfinite(one_step([0.0, 0.0], [1e-30, 1e-30], 2.0)[0])


def test_the_schedule_of_rho_goes_on_with_the_state() -> None:
    p = nn.Parameter(torch.ones(2, 2))
    optimizer = AdaptiveBraking([p], rho=2.0, rho_schedule="linear")
    optimizer.at_progress(0.75)
    resumed = AdaptiveBraking([p], rho=2.0, rho_schedule="linear")
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["rho_factor"] == pytest.approx(0.25)


@pytest.mark.parametrize("granularity", ["filter", "tensor", "model"])
def test_shapes_that_could_be_taken_for_one_another(granularity: str) -> None:
    """A large weight, one whose filters are as long as its number in the list, vectors, a scalar."""
    shapes = [(2,), (1024, 2), (512, 512), (4, 1), (1,), (), (3, 1024), (1024,)]
    parameters = [nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in shapes]
    optimizer = AdaptiveBraking(parameters, 0.1, 0.9, 2.0, granularity)  # type: ignore[arg-type]
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer.step()
    before = [optimizer.state[p]["momentum_buffer"].clone() for p in parameters]
    gs = [torch.randn_like(p) for p in parameters]
    for p, g in zip(parameters, gs, strict=True):
        p.grad = g.clone()
    optimizer.step()
    flat = [torch.cat([t.flatten() for t in ts]) for ts in (gs, before)]
    whole = F.cosine_similarity(flat[0], flat[1], dim=0)
    for p, g, v in zip(parameters, gs, before, strict=True):
        alpha = 1 - 2.0 * cosines(g, v, granularity, whole)
        torch.testing.assert_close(optimizer.state[p]["momentum_buffer"], 0.9 * v + alpha * g)


def test_gradient_and_velocity_may_lie_in_memory_differently() -> None:
    p = nn.Parameter(torch.randn(4, 3, 2, 2, dtype=torch.float64))
    v = torch.randn_like(p)
    g = torch.randn_like(p).to(memory_format=torch.channels_last)
    optimizer = AdaptiveBraking([p], lr=0.1, rho=2.0)
    optimizer.state[p]["momentum_buffer"] = v.clone()
    p.grad = g.clone()
    optimizer.step()
    alpha = 1 - 2.0 * cosines(g, v, "filter", g)
    torch.testing.assert_close(optimizer.state[p]["momentum_buffer"], 0.9 * v + alpha * g)


def test_a_group_may_be_added() -> None:
    a, b = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = AdaptiveBraking([a], rho=1.5)
    optimizer.add_param_group({"params": [b]})
    assert [g["rho"] for g in optimizer.param_groups] == [1.5, 1.5]


def test_going_up_is_refused() -> None:
    with pytest.raises(UserError, match="type optimizer.maximize=false"):
        AdaptiveBraking([nn.Parameter(torch.ones(1))], maximize=True)
