"""The plugin inside of Lightning: accumulation, clipping, skipped steps, checkpoints, refusals."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.precision.oracles import same
from zoo.errors import UserError
from zoo.precision import FORMATS, EmulatedPrecision, emulated, native, quantize
from zoo.precision.casts import Casts
from zoo.precision.kinds import KINDS
from zoo.precision.loss_scale import LossScale

FP169 = FORMATS["fp169"]
ALL = dict.fromkeys(KINDS, FP169)


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 3)
        self.gradients: list[list[Tensor]] = []
        self.outputs: list[Tensor] = []
        self.boost: dict[int, float] = {}
        self.before_steps = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        return loss * self.boost.get(index, 1.0)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.outputs.append(self(batch[0]))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.before_steps += 1

    def on_after_backward(self) -> None:
        self.gradients.append([p.grad.clone() for p in self.parameters() if p.grad is not None])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loader(batch_size: int = 8) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(48, 4, generator=generator)
    return DataLoader(
        TensorDataset(x, torch.randint(0, 3, (48,), generator=generator)), batch_size=batch_size
    )


def trainer(plugin: EmulatedPrecision, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        plugins=[plugin],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "enable_checkpointing": False, **options},
    )


def weights(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def all_same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(same(x, y) for x, y in zip(a, b, strict=True))


def test_weights_stay_in_fp32_and_gradients_are_of_the_format() -> None:
    net = Net()
    trainer(EmulatedPrecision(Casts(ALL))).fit(net, loader())
    assert all(same(g, quantize(g, FP169)) for step in net.gradients for g in step)
    assert not all(same(w, quantize(w, FP169)) for w in weights(net))


def test_validation_rounds_as_training_does() -> None:
    net = Net()
    trainer(EmulatedPrecision(Casts(ALL))).validate(net, loader(), verbose=False)
    exact = [net(batch[0]) for batch in loader()]
    for ours, fp32 in zip(net.outputs, exact, strict=True):
        assert same(ours, quantize(ours, FP169))
        assert not same(ours, fp32)


def test_a_scale_by_a_power_of_two_changes_nothing_where_the_range_is_wide_enough() -> None:
    plain, scaled = Net(), Net()
    trainer(EmulatedPrecision(Casts(ALL))).fit(plain, loader())
    trainer(EmulatedPrecision(Casts(ALL), LossScale(1024))).fit(scaled, loader())
    assert all_same(weights(plain), weights(scaled))
    assert scaled.gradients[0][0].abs().max() > 100 * plain.gradients[0][0].abs().max()


def test_gradients_are_clipped_after_they_are_unscaled() -> None:
    plain, scaled = Net(), Net()
    options = {"gradient_clip_val": 0.01}
    trainer(EmulatedPrecision(Casts(ALL)), **options).fit(plain, loader())
    trainer(EmulatedPrecision(Casts(ALL), LossScale(4096)), **options).fit(scaled, loader())
    assert all_same(weights(plain), weights(scaled))
    free = Net()
    trainer(EmulatedPrecision(Casts(ALL))).fit(free, loader())
    assert not all_same(weights(plain), weights(free))


def test_accumulated_gradients_are_added_in_fp32() -> None:
    net = Net()
    trainer(
        EmulatedPrecision(Casts(ALL), LossScale(256)), accumulate_grad_batches=3, max_steps=1
    ).fit(net, loader())
    first, _, last = net.gradients
    assert all(same(g, quantize(g, FP169)) for g in first)
    assert not all(same(g, quantize(g, FP169)) for g in last)


def test_an_overflow_skips_the_update_and_nothing_else_moves() -> None:
    narrow = dict.fromkeys(KINDS, FORMATS["fp16"])
    plugin = EmulatedPrecision(Casts(narrow), LossScale(2.0**10, dynamic=True))
    net = Net()
    net.boost = {2: 1e6}
    seen: list[list[Tensor]] = []

    net.on_train_batch_end = lambda *_: seen.append(weights(net))  # type: ignore[method-assign]
    trainer(plugin).fit(net, loader())
    assert all_same(seen[1], seen[2])
    assert not all_same(seen[2], seen[3])
    assert plugin.measures() == {"num/loss_scale": 512.0, "num/skipped_steps": 1.0}
    assert net.before_steps == 5  # not told of the one that was skipped
    assert all(w.isfinite().all() for w in weights(net))


def test_a_loss_that_overflows_for_good_is_divergence() -> None:
    from zoo.errors import Diverged

    plugin = EmulatedPrecision(Casts(ALL), LossScale(2.0**-12, dynamic=True))
    net = Net()
    net.boost = dict.fromkeys(range(6), float("nan"))
    with pytest.raises(Diverged):
        trainer(plugin).fit(net, loader())


def test_the_scale_survives_a_checkpoint(tmp_path: Path) -> None:
    def plugin() -> EmulatedPrecision:
        return EmulatedPrecision(
            Casts(dict.fromkeys(KINDS, FORMATS["fp16"])), LossScale(2.0**15, dynamic=True, window=2)
        )

    boost = {1: 100.0}  # overflows in each epoch
    whole = plugin()
    net = Net()
    net.boost = boost
    trainer(whole, max_epochs=2).fit(net, loader())

    first, half = plugin(), Net()
    half.boost = boost
    run = trainer(first, max_epochs=1)
    run.fit(half, loader())
    run.save_checkpoint(tmp_path / "half.ckpt")
    second, rest = plugin(), Net()
    rest.boost = boost
    trainer(second, max_epochs=2).fit(
        rest, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True
    )
    assert second.loss_scale == whole.loss_scale
    assert whole.loss_scale is not None
    assert whole.loss_scale.skipped_steps > 0
    assert all_same(weights(rest), weights(net))


def test_an_exception_leaves_no_mode_behind() -> None:
    class Fails(Net):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            super().training_step(batch, index)
            raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        trainer(EmulatedPrecision(Casts(ALL))).fit(Fails(), loader())
    x = torch.randn(3, 4)
    w = torch.randn(4, 2)
    assert not same(x @ w, quantize(x @ w, FP169))


def test_manual_optimization() -> None:
    class Manual(Net):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: list[Tensor], index: int) -> None:  # type: ignore[override]
            optimizer = self.optimizers()
            optimizer.zero_grad()  # type: ignore[union-attr]
            self.manual_backward(super().training_step(batch, index))
            optimizer.step()  # type: ignore[union-attr]

    manual, automatic = Manual(), Net()
    trainer(EmulatedPrecision(Casts(ALL), LossScale(64))).fit(manual, loader())
    trainer(EmulatedPrecision(Casts(ALL), LossScale(64))).fit(automatic, loader())
    assert all_same(weights(manual), weights(automatic))


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (nn.Sequential(nn.Linear(2, 2).half()), "0.weight is torch.float16, and master weights"),
        (nn.Sequential(nn.LSTM(2, 2)), "0 computes products inside one kernel"),
        (nn.Sequential(torch.compile(nn.Linear(2, 2))), "type trainer.compile=false"),
    ],
)
def test_what_cannot_be_rounded_is_refused(module: nn.Module, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        EmulatedPrecision(Casts(ALL)).convert_module(module)


@pytest.mark.parametrize("supported", [False, True])
def test_bf16_warns_where_the_processor_has_none(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.precision.arithmetic.multiplies_bf16", lambda: supported)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        native("bf16-mixed", device="cpu")
        native("bf16-mixed", device="cuda")
        native("32-true", device="cpu")
    assert len(said) == (not supported)
    assert all("precision=fp32" in str(warning.message) for warning in said)


def test_fp16_is_emulated_on_a_cpu_with_its_loss_scale() -> None:
    arithmetic = native("16-mixed", device="cpu")
    assert arithmetic.emulated
    plugin = arithmetic.trainer["plugins"][0]
    assert plugin.casts.formats == dict.fromkeys(KINDS, FORMATS["fp16"])
    assert plugin.loss_scale == LossScale(2.0**15, dynamic=True)
    on_gpu = native("16-mixed", device="cuda")
    assert (on_gpu.trainer, on_gpu.emulated) == ({"precision": "16-mixed"}, False)


def test_each_kind_has_its_switch() -> None:
    for kind in KINDS:
        others = dict.fromkeys((k for k in KINDS if k != kind), "none")
        plugin = emulated(6, 9, quantize=others, device="cpu").trainer["plugins"][0]
        assert [k for k, fmt in plugin.casts.formats.items() if fmt] == [kind]
        named = emulated(6, 9, quantize={kind: "bf16"}, device="cpu").trainer["plugins"][0]
        assert named.casts.formats == ALL | {kind: FORMATS["bf16"]}


@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_give_the_same_bits(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = []
        for _ in range(2):
            net = Net()
            trainer(EmulatedPrecision(Casts(ALL))).fit(net, loader())
            found.append(weights(net))
        assert all_same(*found)
    finally:
        torch.set_num_threads(before)
