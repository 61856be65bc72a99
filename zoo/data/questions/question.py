"""A question with options, one of which is right: choices of an exam, or yes, no and maybe."""

import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import UserError

LETTERS = string.ascii_uppercase  # by which options are called; so there are 26 at most
YES_NO = ("yes", "no")
YES_NO_MAYBE = ("yes", "no", "maybe")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        id: by which two models are compared question by question.
        question: its text.
        options: the answers to choose from, 2 to 26 of them.
        context: what it is asked about, an abstract for example; may be empty.
        label: the place of the right option; None where that is not known.
        subject: of the exam, where there are several; else empty.
    """

    id: str
    question: str
    options: tuple[str, ...]
    context: str = ""
    label: int | None = None
    subject: str = ""


def checked(question: Question, where: str) -> Question:
    """Return a question that can be asked.

    Args:
        question: as it was read.
        where: what it is called in a sentence.

    Raises:
        UserError: it is empty, has too few or too many options, an empty one, or a label that is
            none of them.
    """
    count = len(question.options)
    if not (question.question or "").strip():  # a column of a public set may hold nothing
        raise UserError(f'{where}: has an empty question; type e.g. "Is thrombin an enzyme?"')
    if count < 2:
        has = "no options" if count == 0 else f"one option, {question.options[0]!r}"
        raise UserError(f"{where}: has {has}, and a choice wants two; add another")
    if count > len(LETTERS):
        raise UserError(
            f"{where}: has {count} options, and letters are for {len(LETTERS)}; leave some out"
        )
    for letter, option in zip(LETTERS, question.options, strict=False):
        if not (option or "").strip():
            raise UserError(f"{where}: option {letter} is empty; write something, or leave it out")
    if question.label is not None and not 0 <= question.label < count:
        raise UserError(
            f"{where}: the label {question.label} is outside of its options, 0 to {count - 1}; mend it"
        )
    return question


def label_of(answer: Any, options: Sequence[str], where: str) -> int | None:
    """Return the place of an answer among the options.

    Args:
        answer: an option's text, its letter, its place from 0, or None.
        options: of the question.
        where: what the question is called in a sentence.

    Raises:
        UserError: it is none of them.
    """
    if answer is None:
        return None
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    if answer in options:
        return list(options).index(answer)
    letters = LETTERS[: len(options)]
    if isinstance(answer, str) and len(answer) == 1 and answer.upper() in letters:
        return letters.index(answer.upper())
    raise UserError(
        f"{where}: the answer {answer!r} is outside of its options; type one of "
        f"{', '.join(map(repr, options[:4]))}{', ...' if len(options) > 4 else ''}, or a letter, "
        f"{letters[0]} to {letters[-1]}"
    )


def fingerprint(questions: Sequence[Question]) -> str:
    """Return the sha256 of questions, their options and labels, in order."""
    digest = hashlib.sha256()
    for q in questions:
        for text in (q.id, q.context, q.question, str(q.label), *q.options):
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
        digest.update(len(q.options).to_bytes(8, "little"))
    return digest.hexdigest()
