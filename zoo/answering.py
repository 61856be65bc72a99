"""Which option of a question does a language model hold to be the answer?

    score of an option = (1 / n) sum_i log p(token i of the option | prompt, its tokens before i)

with n = 1, the tokens of the option, or its UTF-8 bytes; the option with the largest score is the
answer. The prompt is computed once and its options reuse its keys and values (zoo.data.questions.choices).
Probabilities are the softmax of the scores: what the model holds of these options, not of the world.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.data.questions.choices import Choices
from zoo.data.questions.prompt import Asked, Form, ask
from zoo.data.questions.question import LETTERS, Question, fingerprint
from zoo.errors import UserError
from zoo.example import moved
from zoo.lines import fill
from zoo.models.biomedlm import BioMedLM
from zoo.trained import Trained

Normalise = Literal["none", "token", "byte"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How questions are asked and options scored.

    Attributes:
        form: how a question is written.
        normalise: by what a log-likelihood is divided: nothing, tokens or bytes.
        batch_size: questions at once.
    """

    form: Form = field(default_factory=Form)
    normalise: Normalise = "token"
    batch_size: int = 8


@dataclass(frozen=True)
class Answer:
    """What a model answers.

    Attributes:
        place: of the question in its file, from 0.
        id: of the question.
        question: its text.
        answer: the option's text; None where what was written is none of them (zoo.writing).
        letter: that of the option; None likewise.
        right: whether it is the right one; None where that is not known.
        options: all of them.
        scores: of each; None where the answer was written.
        probabilities: softmax of the scores; None likewise.
        cut: tokens of the prompt that did not fit.
    """

    place: int
    id: str
    question: str
    answer: str | None
    letter: str | None
    right: bool | None
    options: tuple[str, ...]
    scores: list[float] | None
    probabilities: list[float] | None
    cut: int


def normalised(log_p: Tensor, batch: dict[str, Any], normalise: Normalise) -> Tensor:
    """Return scores of log-likelihoods.

    Args:
        log_p: (R,), of the options of a batch.
        batch: of zoo.data.questions.choices.
        normalise: by what they are divided.
    """
    if normalise == "none":
        return log_p
    return log_p / batch["option_tokens" if normalise == "token" else "option_bytes"]


class Answerer:
    """A language model that answers questions.

    Args:
        trained: the model, and its tokenizer.
        settings: how it is asked.
    """

    def __init__(self, trained: Trained, settings: Settings) -> None:
        self.trained = trained
        self.settings = settings

    @cached_property
    def _net(self) -> BioMedLM:
        return BioMedLM.of(self.trained.model)

    def ask(self, questions: Sequence[Question], names: Sequence[str]) -> Asked:
        """Return questions as tokens; all are checked before the first is answered.

        Raises:
            UserError: see zoo.data.questions.prompt.
        """
        return ask(questions, self.trained.tokenizer, self.settings.form, names)

    def scores(self, rows: Choices, places: np.ndarray) -> list[list[float]]:
        """Return the scores of the options of some questions.

        Raises:
            UserError: one is no finite number.
        """
        found = self.compute(rows, places)
        if not np.isfinite(np.concatenate(found)).all():
            raise UserError(
                "the model's scores are no finite numbers, so its weights are broken; train it again"
            )
        return found

    def compute(self, rows: Choices, places: np.ndarray) -> list[list[float]]:
        """Return the scores as the model gives them."""
        end = self.trained.tokenizer.end_of_text
        assert end is not None
        batch = moved(rows.batch(places, end), self.trained.model.device)
        with torch.inference_mode():
            log_p = self._net.option_log_likelihoods(**batch)
            scores = normalised(log_p, batch, self.settings.normalise).cpu()
        return [part.tolist() for part in torch.split(scores, batch["choices"])]

    def laid_out(self, questions: Sequence[Question], asked: Asked) -> Choices:
        """Return rows of tokens, of which batches are made."""
        return Choices.of(asked, [-1 if q.label is None else q.label for q in questions])

    def answers(
        self, questions: Sequence[Question], asked: Asked, first: int = 0
    ) -> Iterator[Sequence[Answer]]:
        """Yield the answers to questions, batch by batch.

        Args:
            questions: all of them.
            asked: what `ask` made of them.
            first: the question to begin with, the first of a batch.
        """
        rows = self.laid_out(questions, asked)
        for begin in range(first, len(questions), self.settings.batch_size):
            places = range(begin, min(begin + self.settings.batch_size, len(questions)))
            found = self.scores(rows, np.array(places))
            yield [
                answer(place, questions[place], scores, int(asked.cut[place]))
                for place, scores in zip(places, found, strict=True)
            ]

    def about(self) -> dict[str, Any]:
        """Return what a file of answers says of how they were made."""
        return asdict(self.settings)

    def into_file(
        self, questions: Sequence[Question], names: Sequence[str], out: Path
    ) -> Iterator[int]:
        """Write a line of JSON for each question; see zoo.lines.

        Raises:
            UserError: the file is of another job; and see `ask`.
        """
        asked = self.ask(questions, names)  # what is wrong is said before a file is there

        def batches(first: int) -> Iterator[list[dict[str, Any]]]:
            for batch in self.answers(questions, asked, first):
                yield [asdict(one) for one in batch]

        about = {
            **self.about(),
            "model": self.trained.fingerprint,
            "questions": fingerprint(questions)[:16],
        }
        yield from fill(
            out, about, len(questions), self.settings.batch_size, batches,
            lambda number, row: row["place"] == number, what="answers to other questions",
        )  # fmt: skip


def answer(place: int, question: Question, scores: list[float], cut: int) -> Answer:
    """Return the answer that scores give; of equal ones the first."""
    best = int(np.argmax(scores))
    return Answer(
        place=place,
        id=question.id,
        question=question.question,
        answer=question.options[best],
        letter=LETTERS[best],
        right=None if question.label is None else best == question.label,
        options=question.options,
        scores=scores,
        probabilities=torch.tensor(scores, dtype=torch.float64).softmax(0).tolist(),
        cut=cut,
    )
