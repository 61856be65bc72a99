"""What a training batch adds to the record: of all ranks, each of which has a part of the batch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from zoo.tasks.base import Task
from zoo.tasks.meter import Extent


class Counts(NamedTuple):
    """How much there is in a batch.

    Attributes:
        samples: of it.
        tokens: without padding; None where there are none.
        extent: None where all batches are alike.
    """

    samples: int
    tokens: int | None
    extent: Extent | None


class Counted:
    """The counts of a batch, perhaps on a device that has not summed them yet.

    Args:
        here: this rank's.
        sums: their sum over the ranks, in the order of `_flat`; None: there is one rank.
    """

    def __init__(self, here: Counts, sums: Tensor | None = None) -> None:
        self._here = here
        self._sums = sums

    def read(self) -> Counts:
        """Return the counts of all ranks; on a GPU this waits for the device."""
        if self._sums is None:
            return self._here
        samples, tokens, *extent = (round(x) for x in self._sums.tolist())
        return Counts(
            samples,
            None if self._here.tokens is None else tokens,
            None if self._here.extent is None else Extent(*extent),
        )


def over_ranks(
    trainer: Trainer, task: Task, metrics: Mapping[str, Tensor], batch: Any
) -> tuple[dict[str, Tensor], Counted]:
    """Return a training batch's metrics and counts, of all ranks; every rank calls it.

    Metrics are means over targets, as the loss is: each rank's has the share `task.share`.

    Args:
        trainer: knows the ranks.
        task: that was trained on the batch.
        metrics: this rank's.
        batch: this rank's.
    """
    here = Counts(*task.count(batch), task.extent(batch))
    share = task.share
    own = {key: value if share is None else value * share for key, value in metrics.items()}
    if trainer.world_size == 1:
        return own, Counted(here)
    # In one message, and in fp64, where counts are exact.
    values = [value.double() / trainer.world_size for value in own.values()]
    counts = torch.tensor(_flat(here), dtype=torch.float64, device=task.device)
    message = torch.cat([torch.stack(values), counts]) if values else counts
    sums = trainer.strategy.reduce(message, reduce_op="sum")
    assert isinstance(sums, Tensor)
    return dict(zip(own, sums.float(), strict=False)), Counted(here, sums[len(own) :])


def _flat(counts: Counts) -> list[int]:
    extent = counts.extent or Extent(0, 0, 0, 0, 0, 0)
    return [counts.samples, counts.tokens or 0, *extent]
