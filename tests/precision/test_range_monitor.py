"""The monitor against brute force, and that it changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from tests.conftest import TINY
from tests.precision.test_plugin import Net, all_same, loader, weights
from zoo.errors import UserError
from zoo.precision import FORMATS, EmulatedPrecision, RangeMonitor
from zoo.precision.casts import Casts
from zoo.precision.exponents import LOWEST, Exponents
from zoo.precision.kinds import KINDS
from zoo.precision.range_monitor import MAX_STEPS

Train = Callable[..., Any]


def fit(net: Net, monitor: RangeMonitor | None, *plugins: Any, **options: Any) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        plugins=list(plugins),
        callbacks=[monitor] if monitor else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(net, loader())
    return trainer


def test_it_sees_every_tensor_of_every_product_under_its_layers_name() -> None:
    net, monitor = Net(), RangeMonitor(every_steps=100)
    before = weights(net)  # of the first step, the only one that is watched
    x = next(iter(loader()))[0]
    hidden = net.one(x)
    fit(net, monitor)
    assert set(monitor.by_layer) == {"one", "two"}
    one, two = monitor.by_layer["one"], monitor.by_layer["two"]
    want = Exponents.of(before[0], {})
    want.add(Exponents.of(before[1], {}))
    assert torch.equal(one["weights"].counts, want.counts)
    want = Exponents.of(x, {})
    want.add(Exponents.of(hidden, {}))
    assert torch.equal(one["activations"].counts, want.counts)
    assert one["activations"].zeros == want.zeros
    want = Exponents.of(net.gradients[0][2], {})
    want.add(Exponents.of(net.gradients[0][3], {}))
    assert torch.equal(two["weight_gradients"].counts, want.counts)
    assert two["gradients"].total == 8 * 3 + 8 * 8  # of its output, and of its input


@pytest.mark.parametrize("emulated", [False, True])
def test_it_changes_no_bit(emulated: bool) -> None:
    found = []
    for monitor in (None, RangeMonitor(every_steps=1)):
        casts = Casts(dict.fromkeys(KINDS, FORMATS["fp169"]))
        net = Net()
        fit(net, monitor, *([EmulatedPrecision(casts)] if emulated else []))
        found.append(weights(net))
        assert casts.observer is None
    assert all_same(*found)


def test_it_watches_only_its_steps_and_leaves_no_hook() -> None:
    monitor = RangeMonitor(every_steps=4)
    fit(Net(), monitor)
    assert sorted(monitor.over_training) == [1, 5]  # the first update, and every fourth after it
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert not torch.nn.modules.module._global_forward_hooks
    assert torch._C._len_torch_function_stack() == 0


def test_it_watches_all_batches_of_an_update() -> None:
    one, three = RangeMonitor(every_steps=2), RangeMonitor(every_steps=2)
    fit(Net(), one)
    fit(Net(), three, accumulate_grad_batches=3)
    assert sorted(three.over_training) == [1]
    assert (
        three.over_training[1]["activations"].total == 3 * one.over_training[1]["activations"].total
    )


def test_it_does_not_watch_the_optimizer() -> None:
    class Multiplies(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            found = super().step(closure)
            _ = torch.ones(50, 50) @ torch.ones(50, 50)
            return found

    net, monitor = Net(), RangeMonitor()
    net.configure_optimizers = lambda: Multiplies(net.parameters(), lr=0.1)  # type: ignore[method-assign]
    fit(net, monitor)
    assert set(monitor.by_layer) == {"one", "two"}


def test_clipping_is_the_same_where_gradients_could_share_memory() -> None:
    class Adds(Net):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Parameter(torch.ones(8, 3))
            self.second = torch.nn.Parameter(torch.ones(8, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            w = self.two.weight.t()[:4]
            return torch.addmm(self.first, x, w) + torch.addmm(self.second, x, w)

    found = []
    for monitor in (None, RangeMonitor(every_steps=1)):
        net = Adds()
        fit(net, monitor, gradient_clip_val=0.01)
        found.append(weights(net))
    assert all_same(*found)


def test_a_failure_leaves_no_hook() -> None:
    class Fails(Net):
        def training_step(self, batch: Any, index: int) -> Any:
            super().training_step(batch, index)
            raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        fit(Fails(), RangeMonitor())
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert torch._C._len_torch_function_stack() == 0


def test_many_steps_share_columns_and_lose_no_count() -> None:
    monitor = RangeMonitor()
    one = Exponents.of(torch.ones(10), {})
    for step in range(1000):
        monitor._keep(step, {"weights": Exponents.of(torch.ones(10), {})})
    assert len(monitor.over_training) <= MAX_STEPS
    total = sum(kinds["weights"].total for kinds in monitor.over_training.values())
    assert total == 1000 * one.total
    assert min(monitor.over_training) == 0
    spacing = {b - a for a, b in zip(*[sorted(monitor.over_training)[i:] for i in (0, 1)])}  # noqa: B905
    assert len(spacing) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"formats": ("fp61",)}, "callbacks.ranges.formats=fp61: no such format"),
        ({"formats": "fp61"}, "callbacks.ranges.formats=fp61: no such format"),
        ({"every_steps": 0}, "callbacks.ranges.every_steps=0: must be a whole number"),
        ({"every_steps": 1.5}, "callbacks.ranges.every_steps=1.5: must be a whole number"),
    ],
)
def test_mistakes(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        RangeMonitor(**arguments)


def test_a_run_records_its_ranges(train_here: Train) -> None:
    plain = train_here(*TINY)
    record = train_here(*TINY, "callbacks=ranges", "callbacks.ranges.every_steps=2")
    assert record.ranges is not None
    assert plain.ranges is None
    assert record.metrics["test/loss"] == plain.metrics["test/loss"]  # it only watches
    assert record.id == plain.id  # so it is the same run, which is trained again to be seen
    assert set(record.ranges.over_training) == set(KINDS)
    assert record.ranges.over_training["weights"].step == [1, 3, 5]
    layers = record.ranges.by_layer["weights"].layer
    assert layers[0] == "stem"
    assert len(layers) == 10  # eight, and two projections of shortcuts
    gradients = record.ranges.over_training["gradients"]
    assert gradients.low >= LOWEST
    key = "num/gradients/fp16/subnormal"
    assert 0 < record.metrics[key] < 1
    assert record.curve[key].step == [1, 3, 5]


def test_the_order_of_layers_is_the_models(train_here: Train) -> None:
    record = train_here(
        *TINY[1:], "callbacks=ranges", "model=timm", "model.name=vit_tiny_patch16_224",
        "data.image_size=32", "+model.img_size=32", "+model.depth=2", "trainer.max_steps=1",
    )  # fmt: skip
    assert record.ranges is not None
    layers = record.ranges.by_layer["activations"].layer
    assert layers[0] == "patch_embed.proj"
    assert layers.index("blocks.0.attn.qkv") < layers.index("blocks.1.attn.qkv")
    assert layers[-1] == "head"
