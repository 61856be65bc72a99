"""Questions as batches for a model with a head.

Each question has as many scores as options, or as there are labels. Beside what the model takes, which
is in zoo.data.questions.choices for a decoder and in zoo.data.rows for an encoder, a batch has

    choices    B numbers: scores of each question
    labels     (B,) int64: the right option
    rows       (B,) int64: which questions of the split these are
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from zoo.data.questions.choices import Choices
from zoo.data.questions.pairs import SPECIAL, pairs, special_of
from zoo.data.questions.prompt import Asked, Form, ask
from zoo.data.questions.question import Question, fingerprint
from zoo.data.rows import Rows
from zoo.data.text_data import Batch, TextData
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError

Layout = Literal["choices", "pairs"]


@dataclass(frozen=True)
class Part:
    """The questions of a split."""

    questions: list[Question]

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def sha256(self) -> str:
        return fingerprint(self.questions)


class QuestionRows:
    """Questions laid out: the one place where they become tokens, are cut and padded.

    Args:
        questions: with as many options as there may be.
        tokenizer: of the model.
        form: how a question is written.
        layout: choices, for a decoder; pairs, for an encoder.
        labels: what the head tells apart; None: it scores options.
        names: what the questions are called in a sentence; None: by their ids.

    Raises:
        UserError: a special token is missing, or the options leave no room for a question.
    """

    def __init__(
        self,
        questions: list[Question],
        tokenizer: TextTokenizer,
        form: Form,
        layout: Layout,
        labels: tuple[str, ...] | None,
        names: list[str] | None = None,
    ) -> None:
        if layout == "pairs":
            special_of(tokenizer)
            form = form.without_end_of_text(SPECIAL)
        elif tokenizer.pad is None or (form.end_of_text and tokenizer.end_of_text is None):
            raise UserError(
                f"data.tokenizer={tokenizer.label}: has no padding token and no end-of-text token, and "
                "rows of different lengths want one; type data.tokenizer=auto, bpe or gpt2"
            )
        assert tokenizer.pad is not None, "seen above"
        self.pad = tokenizer.pad
        self.asked: Asked = ask(questions, tokenizer, form, names, with_options=labels is None)
        self.labels = np.array([-1 if q.label is None else q.label for q in questions])
        self.counts = np.array([len(labels or q.options) for q in questions])
        self.scored = labels is None  # each option
        self.rows: Choices | Rows
        if layout == "pairs":
            self.rows = pairs(self.asked, tokenizer)
        elif self.scored:
            self.rows = Choices.of(self.asked, self.labels.tolist())
        else:
            self.rows = Rows.of(self.asked.prompts)
        self._first = np.cumsum(self.counts) - self.counts  # row of each question's first option

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def cut(self) -> np.ndarray:
        """Tokens of each prompt that did not fit: (N,)."""
        return self.asked.cut

    def batch(self, rows: np.ndarray) -> Batch:
        """Return these questions as a model takes them: (B,) numbers."""
        if isinstance(self.rows, Choices):
            return self.rows.batch(rows, self.pad)
        taken = rows
        if self.scored:
            begins, counts = self._first[rows], self.counts[rows]
            taken = np.concatenate(
                [np.arange(b, b + c) for b, c in zip(begins, counts, strict=True)]
            )
        return {
            **self.rows.batch(taken, self.pad),
            "choices": self.counts[rows].tolist(),
            "labels": torch.from_numpy(self.labels[rows]),
            "rows": torch.from_numpy(rows),
        }


def told_cut(asked: list[Asked], max_length: int) -> str | None:
    """Say how much of some prompts was cut; None: nothing."""
    cut = np.concatenate([part.cut for part in asked])
    if not cut.any():
        return None
    whole = np.concatenate([part.whole for part in asked])
    return (
        f"data.max_length={max_length}: {cut.sum():,} of the {whole.sum():,} tokens of the prompts "
        f"are cut, in {(cut > 0).sum():,} of {len(cut):,} questions"
    )


class QuestionData(TextData):
    """Questions with options, or with the same labels.

    Args:
        name: of the set, for the record.
        splits: train, validation and test; every question has its answer.
        tokenizer: of the model; has the markers where the form wants tokens.
        form: how a question is written.
        layout: choices or pairs.
        labels: what the head tells apart; None: it scores options.
        new_words: how many words the tokenizer has that the checkpoint has not.
        subset: those of train and test that are a part of the public ones; None: not known.
        options: see `TextData`.

    Raises:
        UserError: see `QuestionRows`.
    """

    def __init__(
        self,
        name: str,
        splits: dict[str, list[Question]],
        tokenizer: TextTokenizer,
        *,
        form: Form,
        layout: Layout,
        labels: tuple[str, ...] | None,
        new_words: int,
        subset: list[str] | None,
        **options: Any,
    ) -> None:
        self.layout = layout
        self.labels = labels
        self.new_words = new_words
        self.subset = subset
        self.rows_of = {
            split: QuestionRows(part, tokenizer, form, layout, labels)
            for split, part in splits.items()
        }
        told = Counter(q.label for q in splits["train"])
        self.most_frequent = min(told, key=lambda label: (-told[label], label))
        parts = {split: Part(questions) for split, questions in splits.items()}
        super().__init__(name, parts, tokenizer, max_length=form.max_length, **options)

    def rows(self, split: str) -> int:
        return len(self.rows_of[split])

    def ids(self, split: str) -> list[str]:
        """Return what the questions of a split are called."""
        return [q.id for q in self.splits[split].questions]

    def train_batch(self, number: int, rank: int, world: int) -> Batch:
        return self.eval_batch("train", self.order[number][rank::world].numpy())

    def eval_batch(self, split: str, rows: np.ndarray) -> Batch:
        return self.rows_of[split].batch(rows)

    def cut(self) -> str | None:
        """Say how much of the prompts was cut; None: nothing."""
        return told_cut([rows.asked for rows in self.rows_of.values()], self.max_length)

    def task_arguments(self) -> dict[str, Any]:
        return {
            **super().task_arguments(),
            "layout": self.layout,
            "labels": self.labels,
            "most_frequent": self.most_frequent,
        }

    def model_arguments(self) -> dict[str, Any]:
        known = {**super().model_arguments(), "labels": self.labels}
        return {**known, "new_words": self.new_words} if self.layout == "choices" else known
