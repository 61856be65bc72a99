"""Dynamic masking for masked language models (Devlin et al. 2019), new in every pass.

Each token that is no special one is a target with probability `rate`, independently. Of the
targets, 80% are replaced by [MASK], 10% by a word drawn from the whole vocabulary, and 10% stay.
One number u, uniform in [0, 1), decides all of it for a token:

    u < 0.8 rate      target, [MASK]
    u < 0.9 rate      target, a random word
    u < rate          target, stays
    else              no target: its label is -100

So a row of n tokens has no target at all with probability (1 - rate)^n: such a row adds nothing to
the loss, which is a mean over targets. A training batch always has one: where chance gives none,
its token with the smallest u becomes [MASK]. In evaluation this holds row by row, so that it does
not depend on which rows share a batch.
"""

import numpy as np
import torch
from torch import Tensor

from zoo.budget import ENDLESS
from zoo.seeding import MASK, generator

IGNORED = -100  # the label of what is no target
EVAL_RATE = 0.15  # evaluation always masks so much, so that losses compare
EVAL_SEED = 0  # and always the same tokens, whatever the run's seed
_TRAINING, _EVALUATION = 0, 1  # streams


class Masker:
    """Masks batches of rows [CLS] ... [SEP], padded on the right.

    Args:
        mask_id: the token [MASK].
        vocab_size: random words are drawn from [0, vocab_size).
        special: ids that are never targets.
    """

    def __init__(self, mask_id: int, vocab_size: int, special: tuple[int, ...]) -> None:
        self.mask_id = mask_id
        self.vocab_size = vocab_size
        # Of every id, whether it may be a target; looked up by the id.
        self._maskable = np.ones(vocab_size, dtype=bool)
        self._maskable[list(special)] = False

    def __call__(
        self, ids_BS: Tensor, u_BS: Tensor, words_BS: Tensor, rate: float, *, each_row: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mask a batch.

        Args:
            ids_BS: tokens, int64; the second one of a row is no special one.
            u_BS: uniform in [0, 1), fp32; decides.
            words_BS: random words, int64.
            rate: share of targets, in (0, 1].
            each_row: see that each row has a target, not only the batch.

        Returns:
            The inputs and the labels, both (B, S) of int64.
        """
        # In numpy: torch wakes its other threads even for so little, and waits for them.
        ids, words = ids_BS.numpy(), words_BS.numpy()
        u = np.where(self._maskable[ids], u_BS.numpy(), np.float32(2))
        _see_to_targets(u, rate, each_row)
        labels = np.where(u < rate, ids, IGNORED)
        inputs = np.where(u < 0.9 * rate, words, ids)
        inputs[u < 0.8 * rate] = self.mask_id
        return torch.from_numpy(inputs), torch.from_numpy(labels)

    def chance_gives_targets(self, ids_BS: Tensor, u_BS: Tensor, rate: float) -> bool:
        """Return whether there are targets without making one."""
        return bool((self._maskable[ids_BS.numpy()] & (u_BS.numpy() < rate)).any())

    def draw(self, rows: int, length: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw what `__call__` wants for so many rows of this length."""
        u = torch.rand(rows, length, generator=random)
        return u, torch.randint(self.vocab_size, (rows, length), generator=random)

    def for_training(self, seed: int, batch: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Draw for a batch of the run: a function of (seed, batch) alone, for the batch of all
        ranks at its full length, so that neither ranks nor padding change a row's targets.
        """
        return self.draw(rows, length, generator(MASK, _TRAINING, seed, batch))

    def for_evaluation(self, rows: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        """Draw for these rows of a split: each by its own stream, so that it does not matter which
        rows share a batch.
        """
        drawn = [
            self.draw(1, length, generator(MASK, _EVALUATION, EVAL_SEED, row))
            for row in rows.tolist()
        ]
        u, words = zip(*drawn, strict=True)
        return torch.cat(u), torch.cat(words)


def _see_to_targets(u_BS: np.ndarray, rate: float, each_row: bool) -> None:
    """Make the smallest u of a batch or a row 0 where none is below the rate.

    Args:
        u_BS: 2 where there is no word to mask; changed in place.
        rate: the masking rate.
        each_row: look at each row, not at the batch.
    """
    smallest_B = u_BS.min(1)
    rows = np.flatnonzero(smallest_B >= rate)
    if not each_row:
        rows = rows[:0] if len(rows) < len(u_BS) else smallest_B.argmin(keepdims=True)
    # In a row of unknown words alone it is the first of them, behind [CLS].
    places = np.where(smallest_B[rows] > 1, 1, u_BS[rows].argmin(1))
    u_BS[rows, places] = 0


class Rate:
    """The masking rate of each batch: `first`, or on a line from `first` to `last` over the run.

    Args:
        first: in (0, 1].
        last: of the run's end; None: constant.
    """

    def __init__(self, first: float, last: float | None = None) -> None:
        self.first = first
        self.last = last

    def at(self, batch: int, total: int) -> float:
        """Return the rate of a batch of a run of `total` batches.

        >>> Rate(0.5, 0.25).at(50, 100)
        0.375
        """
        if self.last is None:
            return self.first
        assert 0 < total < ENDLESS, "a schedule runs over a number of batches"
        return self.first + (self.last - self.first) * batch / total
