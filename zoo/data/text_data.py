"""What masked and causal text have in common: a data module over the tokens of three splits."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from lightning.pytorch import LightningDataModule

from zoo.data.masking import IGNORED
from zoo.data.stream import EpochOrder, TrainStream, eval_batches, rank_of
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError

Batch = dict[str, Any]


class Share(NamedTuple):
    """What part of an update's targets a batch has, for a loss that is a mean over targets.

    Attributes:
        batch: targets of this batch.
        update: of all batches of the update, on this rank.
    """

    batch: int
    update: int


class Split(Protocol):
    """What is asked of a split: how much there is of it, and a fingerprint of its texts."""

    @property
    def sha256(self) -> str: ...

    def __len__(self) -> int: ...


class TextData(LightningDataModule):
    """Rows of tokens. The attributes are those of `ImageData`.

    Training is one stream over the whole run; evaluation goes through the rows of a split once, in
    order. A subclass says what a row is: `rows`, `train_batch` and `eval_batch`.

    Args:
        name: the corpus, for the record.
        splits: the texts of train, validation and test.
        tokenizer: that made them.
        seed: the run's seed.
        batch_size: rows of an update over all ranks.
        eval_batch_size: rows of an evaluation batch.
        max_length: tokens of a row at most, special ones included.
        eval_samples: evaluate on so many rows of a split at most, evenly spaced; None: on all.
    """

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Split],
        tokenizer: TextTokenizer,
        *,
        seed: int,
        batch_size: int,
        eval_batch_size: int,
        max_length: int,
        eval_samples: int | None = None,
    ) -> None:
        super().__init__()
        for split, tokens in splits.items():
            if not len(tokens):
                raise UserError(
                    f"corpus {name}: has no {split} document with a word in it; type another "
                    "data.corpus, or data.folder"
                )
        self.dataset_name = name
        self.splits: dict[str, Any] = dict(splits)
        self.tokenizer = tokenizer
        self.sha256 = _fingerprint(splits, tokenizer)
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.max_length = max_length
        self.sizes = {split: self.rows(split) for split in splits}
        self.eval_rows = {
            split: evenly(self.sizes[split], eval_samples) for split in ("validation", "test")
        }
        self.sizes |= {split: len(rows) for split, rows in self.eval_rows.items()}
        self.order = self.make_order()
        self.batches_per_epoch = self.order.batches_per_epoch
        self.stream: TrainStream | None = None
        self.total_batches = 0
        self.accumulate = 1

    def rows(self, split: str) -> int:
        """Return how many rows a split has."""
        raise NotImplementedError

    def make_order(self) -> EpochOrder:
        """Return which rows stand in which batch."""
        return EpochOrder(self.rows("train"), self.batch_size, self.seed)

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        """Return a rank's rows of a training batch, counted from the start of the run."""
        raise NotImplementedError

    def eval_batch(self, split: str, rows: np.ndarray) -> Batch:
        """Return these rows of a split."""
        raise NotImplementedError

    def task_arguments(self) -> dict[str, Any]:
        """Return what a language-model task must know of the data."""
        return {"max_length": self.max_length}

    def model_arguments(self) -> dict[str, Any]:
        """Return what a language model must know of the data."""
        return {
            "vocab_size": self.tokenizer.vocab_size,
            "pad_token_id": self.tokenizer.pad,
            "max_length": self.max_length,
        }

    def train_dataloader(self) -> TrainStream:
        """Return the run's stream; `total_batches` says how long the run is.

        Where an update is of several batches, because gradients are accumulated (`accumulate`) or
        because there are several ranks, a batch has a further key `share`: see `Share`.
        """
        assert self.total_batches > 0, "the trainer sets total_batches before training"
        self.stream = TrainStream(self._train_batches, self.total_batches)
        return self.stream

    def _train_batches(self, first: int) -> Iterator[Batch]:
        rank, world = rank_of(self)
        if self.accumulate == world == 1:
            for number in range(first, self.total_batches):
                yield self.train_batch(number, rank, world)
            return
        update, skip = divmod(first, self.accumulate)
        for start in range(update * self.accumulate, self.total_batches, self.accumulate):
            batches = [
                self.train_batch(number, rank, world)
                for number in range(start, start + self.accumulate)
            ]
            targets = [int((batch["labels"] != IGNORED).sum()) for batch in batches]
            for batch, own in list(zip(batches, targets, strict=True))[skip:]:
                yield {**batch, "share": Share(own, sum(targets))}
            skip = 0

    def val_dataloader(self) -> "EvalLoader":
        return self.eval_loader("validation")

    def test_dataloader(self) -> "EvalLoader | list[EvalLoader]":
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> "EvalLoader":
        """Return one pass over this rank's rows of a split, in order."""
        return EvalLoader(
            self.eval_batches(split, self.eval_batch_size), partial(self.eval_batch, split)
        )

    def eval_batches(self, split: str, batch_size: int) -> list[np.ndarray]:
        """Return which rows of a split this rank evaluates together, at most so many."""
        rows = self.eval_rows[split]
        return [rows[places] for places in eval_batches(len(rows), batch_size, *rank_of(self))]


class EvalLoader:
    """One pass over rows in order.

    Args:
        rows: those of each batch, by their numbers.
        batch_of: makes a batch of some.
    """

    def __init__(self, rows: Sequence[np.ndarray], batch_of: Callable[[np.ndarray], Batch]) -> None:
        self._rows = rows
        self._batch_of = batch_of

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._batch_of, self._rows)


def evenly(available: int, count: int | None) -> np.ndarray:
    """Return `count` indices below `available`, evenly spaced; all where there are no more.

    >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
    ([0, 2, 5, 7], [0, 1, 2])
    """
    if count is None or count >= available:
        return np.arange(available)
    return np.arange(count) * available // count


def _fingerprint(splits: Mapping[str, Split], tokenizer: TextTokenizer) -> str:
    """Return the sha256 over the texts of every split and over what decides their tokens."""
    digest = hashlib.sha256(tokenizer.sha256.encode())
    for split, tokens in splits.items():
        digest.update(f"{split} {tokens.sha256}".encode())
    return digest.hexdigest()
