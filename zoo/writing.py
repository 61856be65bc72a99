"""Which option of a question is it that a language model writes for an answer?

    next token = argmax_v logit_v,   until the end-of-text token, or the most tokens that are allowed

What was written is matched with the options (zoo.data.questions.matching). What matches none is no
answer, and wrong. Options have no scores then: the model was not asked for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo import generation
from zoo.answering import Answer, Answerer, Settings
from zoo.data.questions.matching import match
from zoo.data.questions.prompt import Asked, ask
from zoo.data.questions.question import LETTERS, Question
from zoo.errors import UserError
from zoo.trained import Trained


@dataclass(frozen=True)
class Written(Answer):
    """What a model answers by writing; `scores` and `probabilities` are None.

    Attributes:
        written: its text as it is.
        tokens: of the text, the end-of-text token among them.
        ended: whether the model ended the text itself.
    """

    written: str
    tokens: int
    ended: bool


class Writer(Answerer):
    """A language model that writes its answers.

    Args:
        trained: the model, and its tokenizer.
        settings: how it is asked; `normalise` is none.
        max_new_tokens: of an answer, at most; None: what the longest option takes, and one more.
    """

    def __init__(
        self, trained: Trained, settings: Settings, max_new_tokens: int | None = None
    ) -> None:
        super().__init__(trained, settings)
        self.typed = max_new_tokens
        self.max_new_tokens = 0  # known when there are questions

    def ask(self, questions: Sequence[Question], names: Sequence[str]) -> Asked:
        """Return prompts as tokens; all are checked before the first is answered.

        Raises:
            UserError: an option is longer than what may be written, or no prompt fits before it; see
                zoo.data.questions.prompt.
        """
        form = self.settings.form
        self.max_new_tokens = self.typed or 1 + self._longest(questions, names, whole=True)
        if self.typed is not None:
            self._longest(questions, names, whole=not form.letters)
        left = form.max_length - self.max_new_tokens
        if left < 2:
            raise UserError(
                f"--max-new-tokens {self.max_new_tokens}: leaves no room for a question in the model's "
                f"context of {form.max_length}; type a smaller --max-new-tokens, or shorter options"
            )
        form = replace(form, max_length=left)
        return ask(questions, self.trained.tokenizer, form, names, with_options=False)

    def _longest(self, questions: Sequence[Question], names: Sequence[str], *, whole: bool) -> int:
        """Return the tokens of the longest answer there may be.

        Args:
            questions: all of them.
            names: what they are called in a sentence.
            whole: the option's text, behind its letter where these are listed; else the letter alone.

        Raises:
            UserError: it is longer than what was typed.
        """
        flat, owners = [], []
        for name, question in zip(names, questions, strict=True):
            for letter, option in zip(LETTERS, question.options, strict=False):
                text = f"{letter}. {option.strip()}" if self.settings.form.letters else option
                flat.append(f" {text.strip() if whole else letter}")
                owners.append(name)
        lengths = [len(ids) for ids in self.trained.tokenizer.encode(flat)]
        longest = int(np.argmax(lengths))
        if self.typed is not None and lengths[longest] > self.typed:
            raise UserError(
                f"--max-new-tokens {self.typed}: an option of {owners[longest]} has {lengths[longest]} "
                f"tokens, and could not be written; type --max-new-tokens {lengths[longest] + 1}, or "
                "leave it out"
            )
        return lengths[longest]

    def about(self) -> dict[str, Any]:
        """Return what a file of answers says of how they were made."""
        return {**super().about(), "by": "generation", "max_new_tokens": self.max_new_tokens}

    def answers(
        self, questions: Sequence[Question], asked: Asked, first: int = 0
    ) -> Iterator[Sequence[Written]]:
        """Yield the answers to questions, batch by batch; see `Answerer.answers`."""
        settings = generation.Settings(max_new_tokens=self.max_new_tokens)
        end = self.trained.tokenizer.end_of_text
        for begin in range(first, len(questions), self.settings.batch_size):
            places = range(begin, min(begin + self.settings.batch_size, len(questions)))
            prompts = [asked.prompts[place] for place in places]
            rows = generation.generate(self.trained, prompts, places, settings)
            batch = []
            for place, row in zip(places, rows, strict=True):
                ended = bool(row) and row[-1] == end
                text = self.trained.tokenizer.decode(row[:-1] if ended else row)
                found = self._matched(place, questions[place], text, int(asked.cut[place]))
                batch.append(Written(**vars(found), written=text, tokens=len(row), ended=ended))
            yield batch

    def _matched(self, place: int, question: Question, text: str, cut: int) -> Answer:
        best = match(text, question.options, letters=self.settings.form.letters)
        return Answer(
            place=place,
            id=question.id,
            question=question.question,
            answer=None if best is None else question.options[best],
            letter=None if best is None else LETTERS[best],
            right=None if question.label is None else best == question.label,
            options=question.options,
            scores=None,
            probabilities=None,
            cut=cut,
        )
