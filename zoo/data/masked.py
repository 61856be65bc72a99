"""Text for masked language models: one document a row, [CLS] ... [SEP], masked anew each time.

A document is cut to `max_length` and never joined with another, as in MosaicBERT (section 2 of its
code's recipe). A batch is a mapping:

    input_ids        (B, S) int64, S the longest row of the batch
    attention_mask   (B, S) int64, 1 where there is a token; None where nothing is padding
    labels           (B, S) int64, -100 where there is no target
    lengths          B numbers: real tokens of each row
    targets          (M,) int64: where the labels are, as indices into the B*S tokens
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.masking import EVAL_RATE, IGNORED, Masker, Rate
from zoo.data.stream import BucketOrder, EpochOrder
from zoo.data.text_data import Batch, EvalLoader, TextData
from zoo.data.tokenizers import TextTokenizer
from zoo.data.tokens import Tokens
from zoo.errors import UserError


class MaskedTextData(TextData):
    """Masked rows.

    Args:
        bucket: put rows of similar length into a batch.
        rate: the masking rate of training.
        eval_lengths: test with rows of so many tokens at most, too, one pass for each.
        name, splits, tokenizer, options: see `TextData`.

    Raises:
        UserError: the tokenizer lacks a special token.
    """

    def __init__(
        self,
        name: str,
        splits: dict[str, Tokens],
        tokenizer: TextTokenizer,
        *,
        bucket: bool,
        rate: Rate,
        eval_lengths: Sequence[int] = (),
        **options: Any,
    ) -> None:
        wanted = {t: getattr(tokenizer, t) for t in ("pad", "cls", "sep", "mask")}
        missing = [t for t, number in wanted.items() if number is None]
        if missing:
            raise UserError(
                f"data.tokenizer={tokenizer.label}: has no [{missing[0].upper()}] token, which "
                "data.objective=masked wants; type data.tokenizer=wordpiece or "
                "data.tokenizer=bert-base-uncased"
            )
        self.bucket = bucket
        self.rate = rate
        self.eval_lengths = tuple(eval_lengths)
        self._masker = Masker(wanted["mask"], tokenizer.vocab_size, tokenizer.special)
        super().__init__(name, splits, tokenizer, **options)

    def rows(self, split: str) -> int:
        return len(self.splits[split])

    def make_order(self) -> EpochOrder:
        if not self.bucket:
            return super().make_order()
        lengths = np.minimum(self.splits["train"].lengths, self.max_length - 2)
        return BucketOrder(torch.from_numpy(lengths), self.batch_size, self.seed)

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        index = self.order[number].numpy()
        rate = self.rate.at(number, self.total_batches)
        drawn = self._masker.for_training(self.seed, number, self.batch_size, self.max_length)
        mine = slice(rank, None, world)
        ids, lengths = self._lay_out("train", index[mine], self.max_length)
        u, words = (part[mine, : ids.shape[1]] for part in drawn)
        if world == 1 or self._masker.chance_gives_targets(ids, u, rate):
            return _batch(ids, lengths, *self._masker(ids, u, words, rate))
        # Whether the batch of all ranks is without a target, so that one is made, its rows tell.
        whole, _ = self._lay_out("train", index, self.max_length)
        u, words = (part[:, : whole.shape[1]] for part in drawn)
        inputs, labels = (
            part[mine, : ids.shape[1]] for part in self._masker(whole, u, words, rate)
        )
        return _batch(ids, lengths, inputs, labels)

    def eval_batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        length = length or self.max_length
        ids, lengths = self._lay_out(split, rows, length)
        drawn = self._masker.for_evaluation(rows, length)
        u, words = (part[:, : ids.shape[1]] for part in drawn)
        return _batch(ids, lengths, *self._masker(ids, u, words, EVAL_RATE, each_row=True))

    def test_dataloader(self) -> list[EvalLoader]:
        """Return the pass of the test scores, and one for each of `eval_lengths`.

        Rows longer than those of training come fewer at a time, so that a batch has no more tokens.
        """
        further = [
            EvalLoader(
                self.eval_batches("test", self._rows_at(length)),
                partial(self.eval_batch, "test", length=length),
            )
            for length in self.eval_lengths
        ]
        return [self.eval_loader("test"), *further]

    def _rows_at(self, length: int) -> int:
        rows = self.eval_batch_size * self.max_length // length
        return min(self.eval_batch_size, max(1, rows))

    def task_arguments(self) -> dict[str, Any]:
        return {**super().task_arguments(), "eval_lengths": self.eval_lengths}

    def model_arguments(self) -> dict[str, Any]:
        longest = max(self.max_length, *self.eval_lengths, 0)
        return {**super().model_arguments(), "max_length": longest}

    def _lay_out(self, split: str, index: np.ndarray, limit: int) -> tuple[Tensor, np.ndarray]:
        t = self.tokenizer
        assert t.cls is not None, "checked when it was made"
        assert t.sep is not None, "checked, too"
        assert t.pad is not None, "checked, too"
        return lay_out(self.splits[split], index, limit, first=t.cls, last=t.sep, pad=t.pad)


def lay_out(
    tokens: Tokens,
    index: np.ndarray,
    limit: int,
    *,
    first: int,
    last: int,
    pad: int,
) -> tuple[Tensor, np.ndarray]:
    """Lay documents out as rows, one a document: first, tokens, last, padded on the right.

    Padded to the longest of the batch, not to the limit: a model that skips padding does not care,
    and one that does not is spared what nobody needs.

    Args:
        tokens: of the split.
        index: which documents: (B,).
        limit: tokens of a row at most; longer documents are cut.
        first, last: special tokens around a document.
        pad: fills the rest.

    Returns:
        The rows (B, S) of int64, and their lengths (B,).
    """
    words_B = np.minimum(tokens.lengths[index], limit - 2)
    lengths_B = words_B + 2
    place_S = np.arange(int(words_B.max()))
    body_BS = tokens.take(index[:, None], np.minimum(place_S, words_B[:, None] - 1))
    rows_BS = np.full((len(index), int(lengths_B.max())), pad, dtype=np.int64)
    rows_BS[:, 0] = first
    rows_BS[:, 1:-1] = np.where(place_S < words_B[:, None], body_BS, pad)
    rows_BS[np.arange(len(index)), lengths_B - 1] = last
    return torch.from_numpy(rows_BS), lengths_B


def _batch(ids: Tensor, lengths: np.ndarray, inputs: Tensor, labels: Tensor) -> Batch:
    mask = None
    if lengths.min() < ids.shape[1]:
        real = np.arange(ids.shape[1]) < lengths[:, None]
        mask = torch.from_numpy(real.astype(np.int64))
    return {
        "input_ids": inputs,
        "attention_mask": mask,
        "labels": labels,
        "lengths": lengths.tolist(),
        "targets": torch.from_numpy(np.flatnonzero(labels.numpy() != IGNORED)),
    }
