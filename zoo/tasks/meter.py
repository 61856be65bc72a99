"""What a training takes, whatever computes it: FLOPs, bit-weighted FLOPs, bytes moved.

Counted operation by operation on the meta device, where nothing is computed. Where all samples have
one shape an update is counted once (`StepMeter`). Sequences have lengths: what a batch of them takes
is a sum over its rows, its tokens, the pairs of tokens that attention compares, the rows of the loss,
the pairs of these with tokens, and its width, of which a table of positions is read once. A few small batches tell the factors (`SequenceMeter`), and the
recorder adds up how much of each there was (`Extent`). Padding is no token: FLOPs are those of the
real tokens, also of a model that computes on the padding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.example import Example, call, tensors_of
from zoo.precision.cost import Cost, cost_of_products
from zoo.precision.kinds import Kind


class Meter(Protocol):
    """Tells what a training has taken.

    Attributes:
        escaped: the share of the FLOPs in products that no rule of an emulated format knows.
    """

    @property
    def escaped(self) -> float: ...

    def taken(self, steps: int, samples: int, extent: "Extent | None") -> dict[str, float]:
        """Return the metrics `flops/*` and `cost/*` of so many updates, samples, and all batches."""
        ...


def run_once(net: nn.Module, example: Example) -> tuple[int, int]:
    """Return the FLOPs of a forward and of its backward pass; `net` and `example` on meta."""
    with FlopCounterMode(display=False) as forward:
        output = call(net, example)
    with FlopCounterMode(display=False) as backward:
        scalar_of(output).backward()  # type: ignore[no-untyped-call]
    return forward.get_total_flops(), backward.get_total_flops()


def scalar_of(output: Any) -> Tensor:
    """Return a sum of what a model returned, from which a backward pass reaches all of it."""
    if isinstance(output, Mapping) and output.get("loss") is not None:
        return output["loss"]
    return next(tensors_of(output)).sum()


class StepMeter:
    """Of an update that is always the same.

    Args:
        flops: forward FLOPs of a sample, and forward and backward FLOPs of an update.
        cost: of an update; None where it could not be counted.
    """

    def __init__(self, flops: tuple[int, int], cost: Cost | None) -> None:
        self.flops = flops
        self.cost = cost

    @property
    def escaped(self) -> float:
        return self.cost.escaped if self.cost is not None else 0.0

    def taken(self, steps: int, samples: int, extent: "Extent | None") -> dict[str, float]:
        forward, step = self.flops
        found: dict[str, float] = {
            "flops/sample_forward": forward,
            "flops/step": step,
            "flops/total": step * steps,
        }
        if self.cost is not None:
            found["cost/bit_flops"] = self.cost.bit_flops * steps
            found["cost/bytes_moved"] = self.cost.bytes_moved * steps
        return found


class Extent(NamedTuple):
    """How much there is in some batches of sequences.

    Attributes:
        batches: passes over the weights.
        rows: sequences.
        tokens: without padding.
        pairs: sum of the squared lengths.
        targets: tokens that the loss is of.
        reads: sum over the rows of length times targets.
        width: sum over the batches of the longest row's length.
    """

    batches: int
    rows: int
    tokens: int
    pairs: int
    targets: int
    reads: int
    width: int = 0  # checkpoints of before have none

    def plus(self, other: "Extent | None") -> "Extent":
        return self if other is None else Extent(*(a + b for a, b in zip(self, other, strict=True)))


def extent_of(lengths: Sequence[int], targets: Sequence[int]) -> Extent:
    """Return the extent of a batch, of the length and the number of targets of each row.

    >>> extent_of([3, 5], [1, 2])
    Extent(batches=1, rows=2, tokens=8, pairs=34, targets=3, reads=13, width=5)
    """
    return Extent(
        1,
        len(lengths),
        sum(lengths),
        sum(n * n for n in lengths),
        sum(targets),
        sum(n * t for n, t in zip(lengths, targets, strict=True)),
        max(lengths, default=0),
    )


# Rows, length and targets of each row of the batches that are counted: more of them than factors.
PROBES = (
    (1, 8, 1),
    (2, 8, 1),
    (1, 16, 1),
    (1, 24, 2),
    (2, 16, 3),
    (1, 16, 4),
    (3, 8, 2),
    (2, 24, 5),
    (4, 16, 1),
    (1, 32, 3),
)


class SequenceMeter:
    """Of updates that differ in the lengths of their sequences.

    Args:
        net: the model, on the meta device.
        example: makes a batch of so many rows of such a length, each with so many targets.
        bits: width of each kind of tensor.

    Raises:
        ValueError: what the model takes is no such sum.
    """

    def __init__(
        self,
        net: nn.Module,
        example: Callable[[int, int, int], Example],
        bits: Mapping[Kind, int],
    ) -> None:
        extents, counts = [], []
        for rows, length, targets in PROBES:
            inputs = example(rows, length, targets)
            forward, backward = run_once(net, inputs)
            cost = cost_of_products(net, inputs, bits)
            extents.append(extent_of([length] * rows, [targets] * rows))
            counts.append((forward, forward + backward, cost.bit_flops, cost.bytes_moved))
            self.escaped = cost.escaped
        a, b = np.array(extents, dtype=float), np.array(counts, dtype=float)
        self._factors, *_ = np.linalg.lstsq(a, b, rcond=None)
        if not np.allclose(a @ self._factors, b, rtol=1e-6):
            raise ValueError("the FLOPs are no sum over rows, tokens, pairs, targets and width")

    def of(self, extent: Extent) -> tuple[float, float, float, float]:
        """Return forward FLOPs, all FLOPs, bit-weighted FLOPs and bytes moved."""
        forward, flops, bit_flops, moved = np.array(extent, dtype=float) @ self._factors
        return float(round(forward)), float(round(flops)), float(bit_flops), float(moved)

    def taken(self, steps: int, samples: int, extent: Extent | None) -> dict[str, float]:
        if extent is None or not steps:
            return {}
        forward, flops, bit_flops, moved = self.of(extent)
        return {
            "flops/sample_forward": forward / samples,
            "flops/step": flops / steps,
            "flops/total": flops,
            "cost/bit_flops": bit_flops,
            "cost/bytes_moved": moved,
        }
