"""The training stream: one pass over it is the whole run, epoch after epoch, resumable anywhere.

Batch i belongs to epoch i // batches_per_epoch; the epoch's order is a permutation drawn from
(seed, epoch). So the stream can start at any batch, which is all that a resumed run needs, and
its state is one number. The last samples that do not fill a batch wait for the next epoch's
permutation.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.seeding import ORDER, generator

Batch = Any


def rank_of(data: Any) -> tuple[int, int]:
    """Return which of how many processes a data module is in."""
    return (data.trainer.global_rank, data.trainer.world_size) if data.trainer else (0, 1)


class EpochOrder:
    """Which samples stand in which batch.

    Args:
        samples: size of the training split.
        batch_size: samples of a batch, over all ranks.
        seed: the run's seed.

    Raises:
        UserError: a batch is larger than the data.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        if batch_size > samples:
            raise UserError(
                f"data.batch_size={batch_size}: the training split has only {samples} samples; "
                f"type a smaller data.batch_size"
            )
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.batches_per_epoch = samples // batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def __getitem__(self, batch: int) -> Tensor:
        """Return the indices of a batch, counted from the start of the run: (batch_size,)."""
        epoch, place = divmod(batch, self.batches_per_epoch)
        if epoch != self._epoch:
            self._order = self.of_epoch(epoch)
            self._epoch = epoch
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

    def of_epoch(self, epoch: int) -> Tensor:
        """Return the indices of an epoch in their order; its first batch comes first."""
        return torch.randperm(self.samples, generator=generator(ORDER, self.seed, epoch))


class BucketOrder(EpochOrder):
    """Rows of similar length in a batch, so that little of it is padding.

    The epoch's permutation is cut into pools of `POOL` batches; a pool is sorted by length and cut
    into batches, and all batches are shuffled. Which rows wait for the next epoch is decided before
    sorting, so no length is left out more often than another.

    Args:
        lengths: of all training rows: (samples,).
        batch_size, seed: see `EpochOrder`.
    """

    POOL = 50

    def __init__(self, lengths: Tensor, batch_size: int, seed: int) -> None:
        super().__init__(len(lengths), batch_size, seed)
        self.lengths = lengths

    def of_epoch(self, epoch: int) -> Tensor:
        used = super().of_epoch(epoch)[: self.batches_per_epoch * self.batch_size]
        pools = torch.split(used, self.POOL * self.batch_size)
        by_length = [pool[torch.argsort(self.lengths[pool], stable=True)] for pool in pools]
        batches = torch.cat(by_length).view(self.batches_per_epoch, self.batch_size)
        shuffled = generator(ORDER, self.seed, epoch, 1)
        return batches[torch.randperm(len(batches), generator=shuffled)].flatten()


class TrainStream:
    """The batches of a run from the first to the last, as Lightning's training loader.

    Args:
        start: called with the first batch's number, returns an iterator over batches from there.
        length: batches of the whole run.
    """

    def __init__(self, start: Callable[[int], Iterator[Batch]], length: int) -> None:
        self._start = start
        self._length = length
        self._next = 0
        self.wait_s = 0.0  # seconds in which training waited for data

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        batches = self._start(self._next)
        while self._next < self._length:
            began = time.perf_counter()
            batch = next(batches)
            self.wait_s += time.perf_counter() - began
            self._next += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"batch": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next = state["batch"]


def eval_batches(rows: int, size: int, rank: int = 0, world: int = 1) -> list[np.ndarray]:
    """Return which of so many rows stand in each batch of a rank; ranks take turns row by row.

    All ranks have equally many batches, none empty: what the ranks compute together in each of them
    would otherwise be waited for in vain.

    >>> [b.tolist() for r in range(2) for b in eval_batches(9, 4, r, 2)]
    [[0, 2, 4], [6, 8], [1, 3], [5, 7]]

    Args:
        rows: of the split.
        size: rows of a batch at most; of several ranks with single rows, a batch may have two.
        rank, world: of the processes.

    Raises:
        UserError: there are fewer rows than ranks.
    """
    if rows < world:
        raise UserError(
            f"trainer.devices={world}: a split that is evaluated has only {rows} samples; "
            f"type trainer.devices={max(rows, 1)}"
        )
    mine = np.arange(rank, rows, world)
    if world == 1:
        return [mine[first : first + size] for first in range(0, rows, size)]
    count = math.ceil(math.ceil(rows / world) / size)
    return np.array_split(mine, min(count, rows // world))
