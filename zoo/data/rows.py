"""Rows of tokens for encoders and decoders: laid out once, padded batch by batch, in this one place.

A row is one text, or a pair of them, with the special tokens around:

    [CLS] first [SEP]            [CLS] first [SEP] second [SEP]

Rows stand one after the other in a single array, so that a batch is one gather. Padding stands at the
end of a row, and only as far as the longest row of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError


@dataclass(frozen=True)
class Rows:
    """Rows of tokens, special ones included.

    Args:
        ids: of all rows, one after the other.
        starts: where each row begins there: (N,).
        lengths: its tokens: (N,).
        seconds: the place in the row from which on it is the second text: (N,); its length: nowhere.
        cut: tokens that were left out, because a row is no longer than the limit.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    seconds: np.ndarray
    cut: int = 0

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int] | np.ndarray],
        seconds: Sequence[int] | None = None,
        cut: int = 0,
    ) -> "Rows":
        """Return rows that are laid out already."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = np.concatenate([np.empty(0, np.int32), *(np.asarray(row, np.int32) for row in rows)])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        places = lengths if seconds is None else np.array(seconds, dtype=np.int64)
        return cls(flat, starts, lengths, places, cut)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: np.ndarray, pad: int) -> dict[str, Any]:
        """Return some rows as a model takes them.

        Args:
            index: which: (B,).
            pad: fills what is behind a row's end.

        Returns:
            input_ids       (B, S) int64, S the longest of these rows
            attention_mask  (B, S) int64, 1 where there is a token; None where nothing is padding
            token_type_ids  (B, S) int64, 1 on second texts; None where there are none
            lengths         B numbers: real tokens of each row
        """
        lengths_B, seconds_B = self.lengths[index], self.seconds[index]
        place_S = np.arange(int(lengths_B.max()))
        real_BS = place_S < lengths_B[:, None]
        within_BS = np.minimum(place_S, lengths_B[:, None] - 1)
        ids_BS = self.ids[self.starts[index][:, None] + within_BS].astype(np.int64)
        ids_BS[~real_BS] = pad
        types_BS = (real_BS & (place_S >= seconds_B[:, None])).astype(np.int64)
        is_pair, is_padded = bool((seconds_B < lengths_B).any()), not bool(real_BS.all())
        return {
            "input_ids": torch.from_numpy(ids_BS),
            "attention_mask": torch.from_numpy(real_BS.astype(np.int64)) if is_padded else None,
            "token_type_ids": torch.from_numpy(types_BS) if is_pair else None,
            "lengths": lengths_B.tolist(),
        }


def lay_out(texts: Sequence[Sequence[str]], tokenizer: TextTokenizer, limit: int) -> Rows:
    """Return texts or pairs of texts as rows for an encoder.

    Args:
        texts: one or two columns of equal length.
        tokenizer: of the encoder.
        limit: tokens of a row at most, special ones included; of a pair the longer text is cut.

    Raises:
        UserError: the tokenizer lacks a special token, or the limit leaves no room for a text.
    """
    first, last = tokenizer.cls, tokenizer.sep
    if first is None or last is None or tokenizer.pad is None:
        raise UserError(
            f"data.tokenizer={tokenizer.label}: lacks [CLS], [SEP] or [PAD], which sentences with labels "
            "want; type data.tokenizer=auto, wordpiece or bert-base-uncased"
        )
    columns = [tokenizer.encode(list(column)) for column in texts]
    room = limit - 1 - len(columns)
    rows, seconds, cut = [], [], 0
    for parts in zip(*columns, strict=True):
        kept = share(room, *map(len, parts))[: len(parts)]
        cut += sum(map(len, parts)) - sum(kept)
        row = [first, *parts[0][: kept[0]], last]
        seconds.append(len(row))
        for part, count in zip(parts[1:], kept[1:], strict=True):
            row += [*part[:count], last]
        rows.append(row)
    return Rows.of(rows, seconds, cut)


def share(room: int, first: int, second: int = 0) -> tuple[int, int]:
    """Return how many tokens of two texts stay: the longer one is cut until both fit.

    >>> share(10, 3, 4), share(10, 3, 40), share(10, 40, 40), share(9, 40, 40), share(5, 8)
    ((3, 4), (3, 7), (5, 5), (5, 4), (5, 0))
    """
    if first + second <= room:
        return first, second
    half = room // 2
    if first <= second:
        first = min(first, room - half)
        return first, room - first
    second = min(second, half)
    return room - second, second
