"""What products cost whatever computes them: FLOPs weighted by bits, and bytes moved.

A product of two operands of b1 and b2 bits that takes f FLOPs (2 per multiply-add) takes
f·b1·b2/32² bit-weighted FLOPs: the area of a multiplier grows with both widths, and fp32 is 1. Its
bytes are those of its operands, read once, and of its result, written once, each at its width.
Backward, each operand that needs a gradient is another product, of the result's gradient and of the
other operand. Counted on the meta device, where nothing is computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.example import Example, call
from zoo.precision.casts import Casts
from zoo.precision.kinds import Kind
from zoo.precision.products import ADDENDS, RoundProducts


@dataclass(slots=True)
class Cost:
    """Of one update: bit-weighted FLOPs, and bytes.

    `escaped` is the share of the forward pass's FLOPs in functions that no rule knows.
    """

    bit_flops: float = 0.0
    bytes_moved: float = 0.0
    escaped: float = 0.0


def cost_of_products(net: nn.Module, inputs: Example, bits: Mapping[Kind, int]) -> Cost:
    """Count a model's products in one forward and backward pass.

    Args:
        net: on the meta device.
        inputs: a batch on the meta device.
        bits: width of each kind of tensor.
    """
    cost = Cost()
    counting = _Counting(_Noting(), bits, cost)
    with FlopCounterMode(display=False) as everything, counting:
        call(net, inputs)
    total = everything.get_total_flops()
    cost.escaped = (total - counting.seen) / total if total else 0.0
    return cost


class _Noting(Casts):
    """Casts nothing; notes the operands of the next product."""

    def __init__(self) -> None:
        super().__init__({})
        self.operands: list[tuple[Tensor, Kind]] = []

    def weight(self, x: Tensor) -> Tensor:
        self.operands.append((x, "weights"))
        return x

    def activation(self, x: Tensor) -> Tensor:
        self.operands.append((x, "activations"))
        return x

    def result(self, x: Tensor) -> Tensor:
        return x

    def table(self, x: Tensor) -> Tensor:
        return x  # few of its rows are read: they are the result

    def rows(self, x: Tensor) -> Tensor:
        return x


class _Counting(RoundProducts):
    def __init__(self, casts: _Noting, bits: Mapping[Kind, int], cost: Cost) -> None:
        super().__init__(casts)
        self.noted = casts
        self.bits = bits
        self.cost = cost
        self.seen = 0

    def compute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        operands, self.noted.operands = self.noted.operands, []
        with FlopCounterMode(display=False) as counter:
            result = func(*args, **kwargs)
        flops = counter.get_total_flops()
        self.seen += flops
        if not isinstance(result, Tensor):
            return result
        # An addend or a bias is read, and multiplied with nothing.
        pair = operands[1:3] if func in ADDENDS else operands[:2]
        self._forward(flops, operands, pair, result)
        self._backward(flops, operands, pair, result)
        return result

    def _forward(
        self,
        flops: float,
        operands: list[tuple[Tensor, Kind]],
        pair: list[tuple[Tensor, Kind]],
        result: Tensor,
    ) -> None:
        widths = [self.bits[kind] for _, kind in pair]
        if len(widths) == 2:
            self.cost.bit_flops += flops * widths[0] * widths[1] / 32**2
        for x, kind in operands:
            self.cost.bytes_moved += x.numel() * self.bits[kind] / 8
        self.cost.bytes_moved += result.numel() * self.bits["activations"] / 8

    def _backward(
        self,
        flops: float,
        operands: list[tuple[Tensor, Kind]],
        pair: list[tuple[Tensor, Kind]],
        result: Tensor,
    ) -> None:
        upstream = self.bits["gradients"]
        for x, kind in operands:
            if not x.requires_grad:
                continue
            others = [(y, k) for y, k in pair if y is not x]
            written = self.bits["weight_gradients" if kind == "weights" else "gradients"]
            self.cost.bytes_moved += (result.numel() * upstream + x.numel() * written) / 8
            if any(x is y for y, _ in pair):
                for y, k in others[:1]:
                    self.cost.bit_flops += flops * upstream * self.bits[k] / 32**2
                    self.cost.bytes_moved += y.numel() * self.bits[k] / 8
