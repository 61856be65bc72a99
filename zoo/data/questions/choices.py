"""Questions as rows for a model that reads from left to right: a prompt with all its options.

    prompt  option 1  option 2  option 3

A token sees the prompt and its own option, as if the others were not there, and its place is counted
on from the prompt's end. So each option has the states that it would have in a row of its own, and
the prompt is computed once. A batch is a mapping:

    input_ids       (B, S) int64, padded at the end of a row
    lengths         B numbers: real tokens of each row
    position_ids    (B, S) int64: places as in a row of its own
    branches        (B, S) int64: 0 in the prompt, 1 in the first option, ...; in padding the last one
    choices         B numbers: options of each question
    ends            (R,) int64: the last token of each of the R options, as a place in B x S
    asked           (U,) int64: places in B x S whose next token is in an option, each once
    answered        (M,) int64: of each token of the options the number in `asked` of the one before it
    targets         (M,) int64: these tokens
    owners          (M,) int64: of each the number of its option, 0 to R - 1
    option_tokens   (R,) int64: tokens of each option
    option_bytes    (R,) int64: UTF-8 bytes of each option's text
    labels          (B,) int64: the right option, counted from 0; -1 where it is not known
    rows            (B,) int64: which questions these are
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from zoo.data.questions.prompt import Asked


@dataclass(frozen=True)
class Choices:
    """Rows of prompts with their options.

    Args:
        ids: of all rows, one after the other; `positions` and `branches` likewise.
        starts: where each row begins there: (N,).
        lengths: its tokens: (N,).
        prompt_lengths: those of its prompt: (N,).
        counts: its options: (N,).
        first_option: the number of its first option among those of all rows: (N,).
        option_tokens: of the options of all rows; `option_bytes` likewise.
        labels: the right options: (N,); -1 where it is not known.
    """

    ids: np.ndarray
    positions: np.ndarray
    branches: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    prompt_lengths: np.ndarray
    counts: np.ndarray
    first_option: np.ndarray
    option_tokens: np.ndarray
    option_bytes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, asked: Asked, labels: list[int]) -> "Choices":
        """Lay questions out.

        Args:
            asked: their tokens.
            labels: the right options; -1 where it is not known.
        """
        ids: list[int] = []
        positions: list[int] = []
        branches: list[int] = []
        for prompt, options in zip(asked.prompts, asked.options, strict=True):
            ids += prompt
            positions += range(len(prompt))
            branches += [0] * len(prompt)
            for number, option in enumerate(options, start=1):
                ids += option
                positions += range(len(prompt), len(prompt) + len(option))
                branches += [number] * len(option)
        prompt_lengths = np.array([len(prompt) for prompt in asked.prompts])
        counts = np.array([len(options) for options in asked.options])
        option_tokens = np.array([len(o) for o in chain.from_iterable(asked.options)])
        first_option = np.cumsum(counts) - counts
        lengths = prompt_lengths + np.add.reduceat(option_tokens, first_option)
        return cls(
            np.array(ids, dtype=np.int32),
            np.array(positions, dtype=np.int32),
            np.array(branches, dtype=np.int8),
            np.cumsum(lengths) - lengths,
            lengths,
            prompt_lengths,
            counts,
            first_option,
            option_tokens,
            np.array(list(chain.from_iterable(asked.option_bytes))),
            np.array(labels),
        )

    def batch(self, rows: np.ndarray, pad: int) -> dict[str, Any]:
        """Return some questions as a model takes them.

        Args:
            rows: which: (B,).
            pad: fills what is behind a row's end.
        """
        lengths_B, counts_B = self.lengths[rows], self.counts[rows]
        S = int(lengths_B.max())
        place_S = np.arange(S)
        real_BS = place_S < lengths_B[:, None]
        source_BS = self.starts[rows][:, None] + np.minimum(place_S, lengths_B[:, None] - 1)
        ids_BS = np.where(real_BS, self.ids[source_BS], pad).astype(np.int64)
        branches_BS = self.branches[source_BS].astype(np.int64)
        positions_BS = self.positions[source_BS].astype(np.int64)

        # Tokens of options, row by row in order; the first of each follows the prompt's last one.
        b_M, s_M = np.nonzero(real_BS & (branches_BS > 0))
        prompt_B = self.prompt_lengths[rows]
        is_first_M = positions_BS[b_M, s_M] == prompt_B[b_M]
        before_M = b_M * S + np.where(is_first_M, prompt_B[b_M], s_M) - 1
        asked_U, answered_M = np.unique(before_M, return_inverse=True)
        begins_B = np.cumsum(counts_B) - counts_B
        owners_M = begins_B[b_M] + branches_BS[b_M, s_M] - 1
        options_R = np.concatenate(
            [np.arange(f, f + c) for f, c in zip(self.first_option[rows], counts_B, strict=True)]
        )
        tokens_R = self.option_tokens[options_R]
        ends_R = (b_M * S + s_M)[np.cumsum(tokens_R) - 1]
        return {
            "input_ids": torch.from_numpy(ids_BS),
            "lengths": lengths_B.tolist(),
            "position_ids": torch.from_numpy(positions_BS),
            "branches": torch.from_numpy(branches_BS),
            "choices": counts_B.tolist(),
            "ends": torch.from_numpy(ends_R),
            "asked": torch.from_numpy(asked_U),
            "answered": torch.from_numpy(answered_M),
            "targets": torch.from_numpy(ids_BS[b_M, s_M]),
            "owners": torch.from_numpy(owners_M),
            "option_tokens": torch.from_numpy(tokens_R),
            "option_bytes": torch.from_numpy(self.option_bytes[options_R]),
            "labels": torch.from_numpy(self.labels[rows]),
            "rows": torch.from_numpy(rows),
        }
