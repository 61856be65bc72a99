"""The scaling rule: what it keeps, and that an optimizer gets what it says."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.conftest import TINY
from zoo.optim import scale_hyperparameters
from zoo.optim.scaling import scaled

sizes = st.integers(1, 4096)
rates = st.floats(1e-6, 10)
momenta = st.floats(0, 0.9999)


def scale(lr: float, momentum: float, old: int, new: int) -> tuple[float, float]:
    return scale_hyperparameters(lr, momentum, batch_size=old, new_batch_size=new)


@given(rates, momenta, sizes)
def test_the_same_size_changes_nothing(lr: float, momentum: float, size: int) -> None:
    assert scale(lr, momentum, size, size) == (lr, momentum)


@given(rates, st.floats(1e-3, 0.9999), sizes, sizes, sizes)
def test_two_steps_are_one(lr: float, momentum: float, a: int, b: int, c: int) -> None:
    assume(b / a < 20)  # a momentum of 1e-60 remembers nothing of where it came from
    there = scale(*scale(lr, momentum, a, b), b, c)
    assert there == pytest.approx(scale(lr, momentum, a, c), rel=1e-6)


@given(rates, st.floats(1e-3, 0.9999), sizes, sizes)
def test_what_is_kept(lr: float, momentum: float, old: int, new: int) -> None:
    """The velocity's memory in samples, and a sample's whole contribution to the weights."""
    assume(new / old < 20)
    new_lr, new_momentum = scale(lr, momentum, old, new)
    assert new_momentum ** (old / new) == pytest.approx(momentum, abs=1e-9)
    contribution = lr / (1 - momentum) / old
    assert new_lr / (1 - new_momentum) / new == pytest.approx(contribution, rel=1e-6)
    assert 0 <= new_momentum < 1


@pytest.mark.parametrize(
    ("size", "momentum", "lr"),
    [(128, 0.999177, 6.428e-5), (256, 0.999589, 1.607e-5), (32, 0.996713, 1.027e-3)],
)
def test_from_a_batch_at_momentum_09_to_one_sample(size: int, momentum: float, lr: float) -> None:
    found = scale(1.0, 0.9, size, 1)
    assert found == (pytest.approx(lr, rel=5e-4), pytest.approx(momentum, abs=5e-7))


def test_without_momentum_the_rule_is_linear() -> None:
    assert scale(0.1, 0.0, 128, 32) == pytest.approx((0.025, 0.0))


def test_the_contribution_of_a_sample_is_what_sgd_makes_of_it() -> None:
    """One gradient of 1 in a batch of N, zeros ever after: how far the weight has gone in the end."""
    travelled = []
    for size in (128, 16, 4):
        lr, momentum = scale(0.1, 0.9, 128, size)
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum)
        for step in range(200 * 128 // size):
            w.grad = torch.full_like(w, 1 / size if step == 0 else 0.0)
            optimizer.step()
        travelled.append(float(w.detach()))
    assert travelled == pytest.approx([travelled[0]] * 3, rel=1e-6)


@pytest.mark.parametrize(
    ("lr", "momentum", "old", "new"),
    [(-1.0, 0.9, 1, 1), (0.1, 1.0, 1, 1), (0.1, -0.1, 1, 1), (0.1, 0.9, 0, 1), (0.1, 0.9, 1, 0)],
)
def test_nonsense_is_refused(lr: float, momentum: float, old: int, new: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        scale(lr, momentum, old, new)


def test_a_section_keeps_everything_else() -> None:
    section = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    assert scaled(section, 1) == section
    with_scale = {**section, "scale_from": {"batch_size": 128}}
    lr, momentum = scale(0.1, 0.9, 128, 1)
    assert scaled(with_scale, 1) == {**section, "lr": lr, "momentum": momentum}
    assert "scale_from" in with_scale


BATCH_ONE = [*TINY, "data.batch_size=1", "trainer.log_every_steps=1", "scheduler=constant"]


@pytest.mark.parametrize("norm", ["group", "group_ws", "frn", "online"])
def test_a_recipe_for_batches_trains_at_batch_size_one(train_here, norm: str) -> None:
    record = train_here(
        *BATCH_ONE, f"model.norm={norm}", "model.group_size=1", "optimizer.scale_from.batch_size=64"
    )
    assert record.status == "finished"
    assert record.metrics["train/samples"] == 6
    assert record.metrics["test/acc"] is not None
    lr, _ = scale(0.1, 0.9, 64, 1)
    assert record.curve["train/lr"].value == pytest.approx([lr] * 6)
    assert record.config["optimizer"]["lr"] == 0.1
    assert record.config["optimizer"]["scale_from"] == {"batch_size": 64}


def test_the_optimizer_gets_the_scaled_values_of_its_update(train_here, monkeypatch) -> None:
    given_to = []
    init = torch.optim.SGD.__init__

    def spy(self, params, **options):
        given_to.append(options)
        init(self, params, **options)

    monkeypatch.setattr(torch.optim.SGD, "__init__", spy)
    train_here(
        *TINY, "data.batch_size=8", "trainer.accumulate=4", "optimizer.scale_from.batch_size=128"
    )
    lr, momentum = scale(0.1, 0.9, 128, 32)
    assert given_to
    assert all((o["lr"], o["momentum"]) == (lr, momentum) for o in given_to)
    assert all(o["weight_decay"] == 1e-4 for o in given_to)


def test_from_its_own_size_a_run_is_the_plain_run(train_here) -> None:
    plain = train_here(*TINY)
    scaled_run = train_here(*TINY, "optimizer.scale_from.batch_size=64")
    assert scaled_run.id != plain.id
    assert scaled_run.metrics["test/loss"] == plain.metrics["test/loss"]


def test_online_norm_goes_on_where_it_was_cut_off(train_here, monkeypatch) -> None:
    from zoo.callbacks import Recorder
    from zoo.errors import UserError as Cut

    options = [
        *TINY,
        "model.norm=online",
        "data.batch_size=2",
        "callbacks.checkpoint.every_steps=1",
    ]
    whole = train_here(*options, output="whole")
    step_end = Recorder.on_train_batch_end

    def cut(self, trainer, module, out, b, i):
        step_end(self, trainer, module, out, b, i)
        if i == 3:
            raise Cut("cut")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", cut)
        with pytest.raises(Cut):
            train_here(*options, output="cut")
    resumed = train_here(*options, output="cut")
    assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]


@pytest.mark.parametrize("norm", ["group_ws", "frn", "online"])
def test_a_number_format_and_memory_layout_with_every_norm(train_here, norm: str) -> None:
    # Not TINY's width, which zoo/models/layout.py refuses on processors without AVX-512.
    words = ["precision=169", "trainer.channels_last=true", f"model.norm={norm}"]
    record = train_here(*TINY, "model.width=16", *words)
    assert record.status == "finished"
    assert record.emulated
