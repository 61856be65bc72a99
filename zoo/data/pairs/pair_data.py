"""Rows of which the second text is to be told: the batches of zoo.data.causal, loss on targets alone.

    input_ids    <|endoftext|> source separator target <|endoftext|>
    labels            -100      -100    -100    target <|endoftext|>

Labels are token i at place i, as transformers has them. What is counted is of the targets: tokens, nats
and bytes, the space before a target among its bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.data.causal import keeps_bytes_and_ends, labelled
from zoo.data.masking import IGNORED
from zoo.data.rows import Rows
from zoo.data.text_data import Batch, Split, TextData
from zoo.data.tokenizers import TextTokenizer


@dataclass(frozen=True)
class ToWrite:
    """Pairs whose targets a trained model is to write by itself.

    Attributes:
        ids: of the pairs.
        sources: their texts.
        targets: what should be written.
        prompts: the sources as tokens, cut to their room.
        max_new_tokens: of a text at most.
    """

    ids: Sequence[str]
    sources: Sequence[str]
    targets: Sequence[str]
    prompts: Sequence[list[int]]
    max_new_tokens: int

    def __len__(self) -> int:
        return len(self.ids)


class PairData(TextData):
    """Rows with second texts, which are learned.

    Args:
        name: for the record.
        splits: the texts of train, validation and test.
        rows: of the same.
        tokenizer: made them.
        subset: those of train and test that are a part of the public ones; None: not known.
        options: see `TextData`.

    Attributes:
        to_write: what is written of the test split when training has ended; None: nothing.
    """

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Split],
        rows: Mapping[str, Rows],
        tokenizer: TextTokenizer,
        *,
        subset: list[str] | None = None,
        **options: Any,
    ) -> None:
        keeps_bytes_and_ends(tokenizer)
        self.rows_of = rows
        self.subset = subset
        self.to_write: ToWrite | None = None
        super().__init__(name, splits, tokenizer, **options)

    def rows(self, split: str) -> int:
        return len(self.rows_of[split])

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        return self.eval_batch("train", self.order[number][rank::world].numpy())

    def eval_batch(self, split: str, rows: np.ndarray) -> Batch:
        assert self.tokenizer.pad is not None, "the end-of-text token stands in for it"
        batch = self.rows_of[split].batch(rows, self.tokenizer.pad)
        is_second_BS = batch.pop("token_type_ids").numpy() == 1
        labels_BS = np.where(is_second_BS, batch["input_ids"].numpy(), IGNORED)
        return {**batch, **labelled(labels_BS, self.tokenizer)}
