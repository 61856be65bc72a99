"""What sequences take, against whole batches counted on the meta device."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.precision.cost import cost_of_products
from zoo.precision.kinds import KINDS
from zoo.tasks.base import meta
from zoo.tasks.meter import SequenceMeter, extent_of

BITS = dict.fromkeys(KINDS, 32)


class Toy(torch.nn.Module):
    """An embedding, attention, and a head on the targets alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(50, 16)
        self.qkv = torch.nn.Linear(16, 48)
        self.head = torch.nn.Linear(16, 50)

    def forward(self, input_ids: torch.Tensor, targets: torch.Tensor, **_: Any) -> Any:
        x = self.table(input_ids)
        q, k, v = self.qkv(x)[:, None].chunk(3, -1)
        x = torch.nn.functional.scaled_dot_product_attention(q, k, v)[:, 0]
        return {"logits": self.head(x.flatten(0, 1)[targets])}


def batch(rows: int, length: int, targets: int) -> dict[str, Any]:
    return {
        "input_ids": meta(rows, length, dtype=torch.long),
        "targets": meta(rows * targets, dtype=torch.long),
    }


def test_a_batch_takes_what_is_counted_whole() -> None:
    net = Toy().to("meta")
    meter = SequenceMeter(net, batch, BITS)
    inputs = batch(5, 40, 7)
    with FlopCounterMode(display=False) as forward:
        logits = net(**inputs)["logits"]
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    ahead, back = forward.get_total_flops(), backward.get_total_flops()
    cost = cost_of_products(net, inputs, BITS)
    found = meter.of(extent_of([40] * 5, [7] * 5))
    assert found[:2] == (ahead, ahead + back)
    assert found[2:] == pytest.approx((cost.bit_flops, cost.bytes_moved), rel=1e-9)


def test_rows_of_different_lengths_take_what_they_take_alone() -> None:
    meter = SequenceMeter(Toy().to("meta"), batch, BITS)
    together = meter.of(extent_of([5, 30], [1, 4]))
    alone = [meter.of(extent_of([n], [t])) for n, t in ((5, 1), (30, 4))]
    assert together[1] == alone[0][1] + alone[1][1]
    # The weights are read once for both.
    assert together[3] < alone[0][3] + alone[1][3]


def test_metrics_are_sums_over_the_run() -> None:
    meter = SequenceMeter(Toy().to("meta"), batch, BITS)
    one, two = extent_of([5, 30], [1, 4]), extent_of([8, 8], [2, 2])
    found = meter.taken(2, 4, two.plus(one.plus(None)))
    assert found["flops/total"] == meter.of(one)[1] + meter.of(two)[1]
    assert found["flops/step"] == found["flops/total"] / 2
    assert meter.taken(0, 0, None) == {}


def test_what_is_no_such_sum_is_not_counted() -> None:
    class Cubic(Toy):
        def forward(self, input_ids: torch.Tensor, targets: torch.Tensor, **_: Any) -> Any:
            n = input_ids.shape[1]
            return {"logits": self.head.weight.new_zeros(n, n) @ self.head.weight.new_ones(n, n)}

    with pytest.raises((ValueError, RuntimeError)):
        SequenceMeter(Cubic().to("meta"), batch, BITS)
