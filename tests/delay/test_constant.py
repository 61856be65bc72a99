"""ConstantDelay under Lightning equals a plain loop that keeps whole copies of the model."""

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader

from zoo.delay import ConstantDelay, History
from zoo.errors import UserError
from zoo.optim import AdaptiveBraking, Dana
from zoo.precision import FloatFormat
from zoo.precision.casts import Casts
from zoo.precision.loss_scale import LossScale
from zoo.precision.plugin import EmulatedPrecision

Make = Callable[[Any], Optimizer]
BATCHES = 24


def network() -> nn.Module:
    """Convolutions in two layouts, batch norm with its buffers, a frozen layer."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, bias=False).to(memory_format=torch.channels_last),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 10),
        nn.Linear(10, 5),
    )
    net[6].bias.requires_grad_(False)
    return net


def batches(count: int = BATCHES) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(8, 1, 8, 8, generator=generator),
            torch.randint(5, (8,), generator=generator),
        )
        for _ in range(count)
    ]


class Module(LightningModule):
    def __init__(self, net: nn.Module, make: Make, lrs: Callable[[int], float]) -> None:
        super().__init__()
        self.net, self.make, self.lrs = net, make, lrs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        optimizer = self.make([p for p in self.net.parameters() if p.requires_grad])
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lrs)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def fit(
    net: nn.Module,
    make: Make,
    *callbacks: Callback,
    lrs: Callable[[int], float] = lambda t: 1.0,
    data: list[Any] | None = None,
    **options: Any,
) -> nn.Module:
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    ).fit(Module(net, make, lrs), DataLoader(data or batches(), batch_size=None))
    return net


def by_hand(
    net: nn.Module,
    make: Make,
    delay: int,
    *,
    lrs: Callable[[int], float] = lambda t: 1.0,
    accumulate: int = 1,
    clip: float | None = None,
    skip: bool = False,
    data: list[Any] | None = None,
) -> nn.Module:
    """Keep D + 1 whole copies of the model; nothing here is shared with zoo.delay."""
    optimizer = make([p for p in net.parameters() if p.requires_grad])
    peak = optimizer.param_groups[0]["lr"]
    versions = [copy.deepcopy(net) for _ in range(delay + 1)]
    stream = iter(data or batches())
    for t in itertools.count():
        update = list(itertools.islice(stream, accumulate))
        if not update:
            return net
        versions.append(copy.deepcopy(net))
        old = versions[-1 - delay]
        for (_, here), (_, there) in zip(net.named_buffers(), old.named_buffers(), strict=True):
            there.copy_(here)  # one set of running statistics for all
        old.zero_grad()
        for x, y in update:
            (F.cross_entropy(old(x), y) / accumulate).backward()
        for (_, here), (_, there) in zip(net.named_buffers(), old.named_buffers(), strict=True):
            here.copy_(there)
        for p, q in zip(net.parameters(), old.parameters(), strict=True):
            p.grad = q.grad
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        for group in optimizer.param_groups:
            group["lr"] = peak * lrs(t)
        if not (skip and t < delay):
            optimizer.step()
    return net


def assert_same_bits(a: nn.Module, b: nn.Module) -> None:
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), name


OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "adamw": lambda p: AdamW(p, lr=0.01),
    "braking": lambda p: AdaptiveBraking(p, lr=0.02, weight_decay=1e-2),
}


@pytest.mark.parametrize("delay", [0, 1, 5, 32])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_delayed_run_is_a_loop_over_whole_copies(optimizer: str, delay: int) -> None:
    make = OPTIMIZERS[optimizer]
    lrs = lambda t: 1.0 - t / 40  # noqa: E731
    ours = fit(network(), make, ConstantDelay(delay), lrs=lrs)
    assert_same_bits(ours, by_hand(network(), make, delay, lrs=lrs))


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate": 3},
        {"clip": 0.05},
        {"skip": True},
        {"accumulate": 5, "clip": 0.05, "skip": True},
    ],
    ids=str,
)
def test_accumulation_clipping_and_skipping_are_what_they_say(options: dict[str, Any]) -> None:
    make, accumulate = OPTIMIZERS["sgd"], options.get("accumulate", 1)
    # Whole updates: of a shorter last one Lightning divides the loss by `accumulate` all the same.
    data = batches(BATCHES - BATCHES % accumulate)
    ours = fit(
        network(),
        make,
        ConstantDelay(4, "skip" if options.get("skip") else "fill"),
        data=data,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=options.get("clip"),
    )
    assert_same_bits(ours, by_hand(network(), make, 4, data=data, **options))


def test_no_delay_is_no_callback() -> None:
    make = OPTIMIZERS["sgd"]
    assert_same_bits(fit(network(), make, ConstantDelay(0)), fit(network(), make))


def test_a_delay_changes_the_run() -> None:
    make = OPTIMIZERS["sgd"]
    with pytest.raises(AssertionError):
        assert_same_bits(fit(network(), make, ConstantDelay(1)), fit(network(), make))


def test_a_queue_of_gradients_is_the_skipping_delay_on_shifted_batches() -> None:
    """w after t updates has seen gradients at the same weights, of the batches D later."""
    make, delay, data = OPTIMIZERS["sgd"], 3, batches()
    ours = fit(network(), make, ConstantDelay(delay, "skip"), data=data)

    net = network()
    optimizer = make([p for p in net.parameters() if p.requires_grad])
    for x in data[:delay]:  # batch norm's statistics see them in both
        net(x[0])
    queue: list[list[Tensor | None]] = []
    weights = [copy.deepcopy(net.state_dict())]
    for t, (x, y) in enumerate(data[delay:]):
        net.zero_grad()
        old = copy.deepcopy(net)
        old.load_state_dict({**weights[max(0, t - delay)], **dict(net.named_buffers())})
        F.cross_entropy(old(x), y).backward()
        for (_, here), (_, there) in zip(net.named_buffers(), old.named_buffers(), strict=True):
            here.copy_(there)
        queue.append([p.grad for p in old.parameters()])
        for p, g in zip(net.parameters(), queue.pop(0), strict=True):
            p.grad = g
        optimizer.step()
        weights.append(copy.deepcopy(net.state_dict()))
    assert_same_bits(ours, net)


def test_what_is_seen_outside_of_a_step_are_the_present_weights() -> None:
    seen: list[Tensor] = []

    class Look(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(net[7].weight.detach().clone())

    net = network()
    parameters = list(net.parameters())
    fit(net, OPTIMIZERS["sgd"], ConstantDelay(3), Look())
    assert all(p is q for p, q in zip(net.parameters(), parameters, strict=True))
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(seen))
    assert torch.equal(seen[-1], net[7].weight)


@pytest.mark.parametrize("precision", ["169", "scaled"])
def test_precision_and_delay_go_together(precision: str) -> None:
    """A scale that overflows skips updates; the history goes on all the same."""
    fmt = FloatFormat(6, 9) if precision == "169" else FloatFormat(5, 2)
    kinds = ("weights", "activations", "gradients", "weight_gradients")
    scale = None if precision == "169" else LossScale(2.0**30, dynamic=True)
    delay = ConstantDelay(3)
    plugin = EmulatedPrecision(Casts(dict.fromkeys(kinds, fmt)), scale)  # type: ignore[arg-type]
    net = fit(network(), OPTIMIZERS["sgd"], delay, plugins=[plugin], log_every_n_steps=1)
    assert all(torch.isfinite(p).all() for p in net.parameters())
    assert (scale is None) or (0 < scale.skipped_steps < BATCHES)
    assert delay._history is not None
    assert delay._history.updates == BATCHES
    made = BATCHES - (scale.skipped_steps if scale else 0)
    assert delay._made == made
    assert delay.measures()["num/delay/updates"] == 3


# -- the ring ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    delays=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    updates=st.integers(0, 20),
    resume=st.integers(0, 20),
)
def test_a_history_remembers_each_parameter_at_its_own_delay(
    delays: list[int], updates: int, resume: int
) -> None:
    parameters = [nn.Parameter(torch.full((2, i + 1), 0.0)) for i in range(len(delays))]
    history = History(list(parameters), delays)
    assert history.bytes == sum(d * p.numel() * 4 for d, p in zip(delays, parameters, strict=True))
    for t in range(updates):
        if t == resume:  # from its state, in another object
            state, history = history.state_dict(), History(list(parameters), delays)
            history.load_state_dict(state)
        history.lend()
        for p, d in zip(parameters, delays, strict=True):
            assert (p == max(0, t - d)).all()
        history.give_back()
        for p, d in zip(parameters, delays, strict=True):
            assert (p == t).all()
            assert d == 0 or (history.stale()[p] == max(0, t - d)).all()
        history.push()
        for p in parameters:
            p.data.add_(1)


@settings(max_examples=60)
@given(
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    size=st.integers(1, 5),
    ahead=st.booleans(),
    converging=st.sampled_from([None, "present", "others"]),
    updates=st.integers(0, 12),
)
def test_a_history_counts_in_batches_where_several_make_an_update(
    delays: list[int], size: int, ahead: bool, converging: str | None, updates: int
) -> None:
    """The weights before update t are t, or 100 + t where something is sent ahead."""
    parameters = [nn.Parameter(torch.full((2, i + 1), 0.0)) for i in range(len(delays))]
    history = History(list(parameters), delays, ahead=ahead, per_update=size)
    copies = [math.ceil(d / size) + ahead for d in delays]
    assert history.bytes == sum(c * p.numel() * 4 for c, p in zip(copies, parameters, strict=True))
    for t in range(updates):
        pushed = ahead
        if ahead:
            history.push([p.detach() + 100 for p in parameters])
        for batch in range(size):
            history.lend(batch)
            for p, d in zip(parameters, delays, strict=True):
                seen = max(0, (t * size + batch - d) // size)
                # Before the first push of all, what is sent are the first weights themselves.
                first = ahead and t * size + batch - d < 0
                assert (p == seen + 100 * (ahead and not first)).all()
            assert all((w == t).all() for w in history.present())
            if converging is not None:
                others = [torch.full_like(p, -1.0) for p in parameters]
                pushed |= history.converge(others if converging == "others" else None)
                for p, d in zip(parameters, delays, strict=True):
                    assert (p == (-1 if converging == "others" and (d or ahead) else t)).all()
            history.give_back()
            assert all((p == t).all() for p in parameters)
        if not pushed:
            history.push()
        for p in parameters:
            p.data.add_(1)
    assert history.updates == updates


# -- mistakes, and what is seen ------------------------------------------------------------------


@pytest.mark.parametrize("steps", [-1, 2.5, "many", True])
def test_a_delay_that_is_no_number_of_updates_is_refused(steps: Any) -> None:
    with pytest.raises(UserError, match=r"delay.steps=.*type delay.steps=8"):
        ConstantDelay(steps)


def test_an_unknown_warm_up_is_refused() -> None:
    with pytest.raises(UserError, match=r"delay.warmup=queue: there is fill, skip"):
        ConstantDelay(3, "queue")


def test_manual_optimization_is_refused() -> None:
    module = Module(network(), OPTIMIZERS["sgd"], lambda t: 1.0)
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[ConstantDelay(2)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module.automatic_optimization = False
    with pytest.raises(UserError, match="automatic optimization"):
        trainer.fit(module, DataLoader(batches(), batch_size=None))


def test_the_effective_delay_grows_to_the_delay() -> None:
    seen: list[dict[str, float]] = []
    delay = ConstantDelay(5)

    class Poll(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(delay.measures())

    fit(network(), OPTIMIZERS["sgd"], delay, Poll(), log_every_n_steps=2)
    updates = [m["num/delay/updates"] for m in seen if m]
    assert updates == [min(t, 5) for t in range(1, BATCHES, 2)]
    distances = [m["num/delay/distance"] for m in seen if m]
    assert all(0 < d < 1 and math.isfinite(d) for d in distances)


def test_the_memory_is_the_delay_times_the_weights() -> None:
    net = network()
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    for make, copies in ((OPTIMIZERS["sgd"], 6), (lambda p: Dana(p, lr=0.01), 7)):
        delay = ConstantDelay(6)
        fit(network(), make, delay)
        assert delay.history_bytes == copies * 4 * trained


def test_a_step_without_a_loss_is_a_step_without_an_update() -> None:
    class Sometimes(Module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx % 3 == 1 else super().training_step(batch, batch_idx)

    net = network()
    delay = ConstantDelay(4)
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[delay], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Sometimes(net, OPTIMIZERS["sgd"], lambda t: 1.0)
    trainer.fit(module, DataLoader(batches(), batch_size=None))
    assert delay.history.updates == BATCHES
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_a_callback_may_be_used_again() -> None:
    delay = ConstantDelay(4)
    fit(network(), OPTIMIZERS["sgd"], delay, log_every_n_steps=1)
    again = fit(network(), OPTIMIZERS["sgd"], delay, data=batches(3), log_every_n_steps=1)
    assert delay.measures()["num/delay/updates"] == 2
    assert_same_bits(again, by_hand(network(), OPTIMIZERS["sgd"], 4, data=batches(3)))
