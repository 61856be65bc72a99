"""Sentences with labels, or pairs of them, for encoders that are tuned to tell the labels.

Training is shuffled anew each epoch (zoo.data.stream); a batch is that of zoo.data.rows with

    labels    (B,) int64 classes; float32 where a number is told
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from zoo.data.rows import Rows, lay_out
from zoo.data.stream import BucketOrder, EpochOrder
from zoo.data.text_data import Batch, EvalLoader, TextData
from zoo.data.tokenizers import TextTokenizer


@dataclass(frozen=True)
class Sentences:
    """A split as it is stored.

    Args:
        texts: one or two columns.
        labels: (N,) int64 classes, or float32.
    """

    texts: tuple[list[str], ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> "Sentences":
        texts = tuple([column[i] for i in index] for column in self.texts)
        return Sentences(texts, self.labels[index])

    @property
    def sha256(self) -> str:
        """Fingerprint of the texts and their labels, in order."""
        digest = hashlib.sha256(self.labels.tobytes())
        for column in self.texts:
            for text in column:
                content = text.encode()
                digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()


@dataclass(frozen=True)
class Scored:
    """How the answers to a set of sentences are scored.

    Args:
        labels: names of the classes; a single one: a number is told.
        scores: what is measured; see zoo.tasks.scores.
        score: those of them whose mean is the score.
        further: names of the further test splits, whose score is averaged with the first one's.
    """

    labels: tuple[str, ...]
    scores: tuple[str, ...] = ("acc",)
    score: tuple[str, ...] = ("acc",)
    further: tuple[str, ...] = field(default=())


class SentenceData(TextData):
    """Sentences with labels as rows of tokens.

    Args:
        name: of the set, for the record.
        splits: train, validation, test, and those of `scored.further`.
        tokenizer: of the model.
        scored: the labels, and what is measured.
        subset: the splits that are a part of the public ones; None where that is not known.
        bucket: put rows of similar length into a batch.
        max_length: tokens of a row at most.
        options: see `TextData`.

    Raises:
        UserError: see `lay_out`.
    """

    def __init__(
        self,
        name: str,
        splits: dict[str, Sentences],
        tokenizer: TextTokenizer,
        *,
        scored: Scored,
        subset: Sequence[str] | None,
        bucket: bool,
        max_length: int,
        **options: Any,
    ) -> None:
        self.scored = scored
        self.subset = None if subset is None else list(subset)
        self.bucket = bucket
        self.rows_of: dict[str, Rows] = {
            split: lay_out(part.texts, tokenizer, max_length) for split, part in splits.items()
        }
        self.labels = {split: torch.from_numpy(part.labels) for split, part in splits.items()}
        super().__init__(name, splits, tokenizer, max_length=max_length, **options)
        for split in scored.further:  # counted in no record: beside the test split
            del self.sizes[split]

    def rows(self, split: str) -> int:
        return len(self.rows_of[split])

    def make_order(self) -> EpochOrder:
        if not self.bucket:
            return super().make_order()
        lengths = torch.from_numpy(self.rows_of["train"].lengths)
        return BucketOrder(lengths, self.batch_size, self.seed)

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        return self.eval_batch("train", self.order[number][rank::world].numpy())

    def eval_batch(self, split: str, rows: np.ndarray) -> Batch:
        assert self.tokenizer.pad is not None, "checked when rows were laid out"
        batch = self.rows_of[split].batch(rows, self.tokenizer.pad)
        return {**batch, "labels": self.labels[split][torch.from_numpy(rows)]}

    def test_dataloader(self) -> list[EvalLoader]:
        """Return the pass of the test scores, and one for each further test split."""
        return [self.eval_loader(split) for split in ("test", *self.scored.further)]

    def eval_loader(self, split: str) -> EvalLoader:
        self.eval_rows.setdefault(split, np.arange(self.rows(split)))
        batches = self.eval_batches(split, self.eval_batch_size)
        return EvalLoader(batches, partial(self.eval_batch, split))

    def task_arguments(self) -> dict[str, Any]:
        return {**super().task_arguments(), "scored": self.scored}

    def model_arguments(self) -> dict[str, Any]:
        return {**super().model_arguments(), "labels": self.scored.labels}
