"""Against torch's own AdamW, and every name that timm knows."""

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

from zoo.errors import UserError
from zoo.optim import DecoupledAdamW, timm_optimizer


def trained(make, schedule=(1.0,) * 20):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    x, y = torch.randn(32, 5), torch.randn(32, 1)
    optimizer = make(net.parameters())
    peaks = [g["lr"] for g in optimizer.param_groups]
    for factor in schedule:
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


def test_decoupled_adamw_is_adamw_with_the_decay_over_the_peak() -> None:
    """MosaicBERT's 1e-5 at a peak of 5e-4 is 0.02 for torch."""
    schedule = [min(1.0, (t + 1) / 5) * (1 - t / 25) for t in range(20)]
    options = {"betas": (0.9, 0.98), "eps": 1e-6}
    ours = trained(lambda p: DecoupledAdamW(p, lr=5e-4, weight_decay=1e-5, **options), schedule)
    theirs = trained(
        lambda p: torch.optim.AdamW(p, lr=5e-4, weight_decay=1e-5 / 5e-4, **options), schedule
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("lr", [1e-4, 1e-2])
def test_the_decay_of_a_step_at_the_peak_is_wd_whatever_the_peak(lr: float) -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    p.grad = torch.zeros_like(p)
    optimizer = DecoupledAdamW([p], lr=lr, weight_decay=0.1)
    optimizer.step()
    assert torch.allclose(p, torch.full_like(p, 0.9))
    optimizer.param_groups[0]["lr"] = lr / 2
    optimizer.step()
    assert torch.allclose(p, torch.full_like(p, 0.9 * 0.95))


def test_groups_keep_their_own_decay_and_peak() -> None:
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = [{"params": [a], "weight_decay": 0.0}, {"params": [b], "lr": 0.1}]
    optimizer = DecoupledAdamW(groups, lr=1e-3, weight_decay=0.01)
    assert [g["weight_decay"] for g in optimizer.param_groups] == pytest.approx([0.0, 0.1])


def test_a_peak_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="optimizer.lr=0"):
        DecoupledAdamW([nn.Parameter(torch.ones(1))], lr=0.0)


NEEDS_MORE = {
    # not usable by parameters and a learning rate alone
    "adahessian": "needs backward(create_graph=True)",
    "lookahead": "a wrapper",
}


@pytest.mark.parametrize("name", [n for n in list_optimizers() if n not in NEEDS_MORE])
def test_every_timm_optimizer_takes_a_step(name: str) -> None:
    try:
        with torch.compiler.set_stance("force_eager"):  # kron would compile itself for 10 s
            weights = trained(
                lambda p: timm_optimizer(p, name, lr=1e-2, weight_decay=1e-4), (1.0,) * 2
            )
    except (ImportError, ModuleNotFoundError, AssertionError) as error:
        if "apex" in str(error).lower() or "bnb" in name or "fused" in name:
            pytest.skip(f"{name} needs a GPU library: {error}")
        raise
    assert all(w.isfinite().all() for w in weights)


def test_timm_decays_every_parameter_as_the_config_says() -> None:
    net = nn.Linear(3, 3)
    optimizer = timm_optimizer(net.parameters(), "adamw", lr=0.1, weight_decay=0.1)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.1]


def test_an_unknown_name_has_the_nearest() -> None:
    with pytest.raises(
        UserError, match="optimizer.name=lambb: timm has no such optimizer; did you mean lamb"
    ):
        timm_optimizer([nn.Parameter(torch.ones(1))], "lambb", lr=0.1)
