"""Costs against hand counts, and against the FLOPs that torch counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conftest import TINY
from zoo.precision.cost import cost_of_products
from zoo.precision.kinds import KINDS, Kind

BITS: dict[Kind, int] = dict.fromkeys(KINDS, 32)
MIXED: dict[Kind, int] = {
    "weights": 8,
    "activations": 16,
    "gradients": 4,
    "weight_gradients": 32,
}


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 5), nn.Linear(5, 7, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())  # type: ignore[no-any-return]


def test_two_layers_by_hand() -> None:
    net, x = Two().to("meta"), torch.empty(10, 3, device="meta")
    cost = cost_of_products(net, x, MIXED)
    one, two = 2 * 10 * 3 * 5, 2 * 10 * 5 * 7
    forward = (one + two) * 8 * 16
    weights = (one + two) * 4 * 16  # the result's gradient and the activation
    inputs = two * 4 * 8  # the images need no gradient
    assert cost.bit_flops == (forward + weights + inputs) / 32**2
    read = (30 + 50) * 16 + (15 + 5 + 35) * 8
    written = (50 + 70) * 16
    upstream = (50 + 50 + 70 + 70) * 4  # read for the weight and the bias, for weight and input
    back = 15 * 32 + 5 * 32 + 35 * 32 + 50 * 4
    others = 30 * 16 + 50 * 16 + 35 * 8
    assert cost.bytes_moved == (read + written + upstream + back + others) / 8


def test_fp32_weighs_what_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from zoo.models.resnet import CifarResNet

    net = CifarResNet(depth=8).to("meta")
    x = torch.empty(4, 3, 32, 32, device="meta")
    with FlopCounterMode(display=False) as counter:
        net(x).sum().backward()
    assert cost_of_products(net, x, BITS).bit_flops == counter.get_total_flops()
    half = cost_of_products(net, x, dict.fromkeys(KINDS, 16))
    whole = cost_of_products(net, x, BITS)
    assert half.bit_flops == whole.bit_flops / 4
    assert half.bytes_moved == whole.bytes_moved / 2


def test_attention_is_two_products() -> None:
    class Attends(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    x = torch.empty(2, 3, 10, 8, device="meta")
    cost = cost_of_products(Attends(), x, BITS)
    assert cost.bit_flops == 2 * (2 * 2 * 3 * 10 * 10 * 8)


def test_an_embedding_moves_its_rows_and_multiplies_nothing() -> None:
    net = nn.Embedding(1000, 8).to("meta")
    cost = cost_of_products(net, torch.empty(4, 5, dtype=torch.long, device="meta"), MIXED)
    assert cost.bit_flops == 0
    assert cost.bytes_moved == 20 * 8 * 16 / 8


def test_runs_of_two_formats_are_comparable(train_here: Callable[..., Any], tiny: Any) -> None:
    whole = tiny.metrics
    half = train_here(*TINY, "precision=169").metrics
    eighth = train_here(*TINY, "precision=fp8_e5m2").metrics
    assert whole["cost/bit_flops"] == whole["flops/total"]
    assert half["cost/bit_flops"] == whole["cost/bit_flops"] / 4
    assert eighth["cost/bytes_moved"] == whole["cost/bytes_moved"] / 4
    native = train_here(*TINY, "precision=bf16").metrics
    assert native["cost/bit_flops"] == half["cost/bit_flops"]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_update_of_several_batches(train_here: Callable[..., Any], accumulate: int) -> None:
    found = train_here(*TINY, f"trainer.accumulate={accumulate}").metrics
    assert found["cost/bit_flops"] == found["flops/total"]
