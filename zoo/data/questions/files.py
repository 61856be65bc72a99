"""Your own questions: JSON lines, one question each.

{"question": "Is thrombin an enzyme?", "options": ["yes", "no"], "answer": "yes"}

question   the text
options    a list of texts, or a mapping {"A": ..., "B": ...}
answer     the right option's text, its letter, or its place from 0; may be left out
context    what it is asked about; may be left out
id         a name of it; else the line's number
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.data.json_lines import numbered_lines, object_of, refuse_half_characters
from zoo.data.questions.question import LETTERS, Question, checked, label_of
from zoo.errors import UserError

EXAMPLE = '{"question": "Is thrombin an enzyme?", "options": ["yes", "no"]}'


def read_questions(path: Path, *, key: str = "--file ") -> list[Question]:
    """Return the questions of a file, in order.

    Args:
        path: of JSON lines.
        key: what the path was typed for, as a sentence begins with it.

    Raises:
        UserError: the file cannot be read, a line is no question (with its number), or two have one
            id.
    """
    where = f"{key}{path}"
    numbered = numbered_lines(path, where, f"a question a line into it, {EXAMPLE}")
    questions = [question_of(line, f"{where} line {n}", str(n)) for n, line in numbered]
    seen: dict[str, int] = {}
    for question, (number, _) in zip(questions, numbered, strict=True):
        if question.id in seen:
            raise UserError(
                f"{where} line {number}: the id {question.id!r} is that of line {seen[question.id]}, "
                "too; type another"
            )
        seen[question.id] = number
    return questions


def question_of(line: str, where: str, name: str) -> Question:
    """Return the question of a line.

    Args:
        line: JSON.
        where: what the line is called in a sentence.
        name: its id, where it says none.

    Raises:
        UserError: it is no question.
    """
    told = object_of(line)
    if told is None or not isinstance(told.get("question"), str):
        raise UserError(f"{where}: is no JSON with a question; write {EXAMPLE}")
    question = checked(
        Question(
            id=str(told.get("id", name)),
            question=told["question"],
            options=_options(told.get("options"), where),
            context=_text(told, "context", where),
            subject=_text(told, "subject", where),
        ),
        where,
    )
    refuse_half_characters("".join([question.question, question.context, *question.options]), where)
    return replace(question, label=label_of(told.get("answer"), question.options, where))


def _text(told: dict[str, Any], key: str, where: str) -> str:
    text = told.get(key)
    if text is not None and not isinstance(text, str):
        raise UserError(f"{where}: {key} is {text!r}, and no text; write a text")
    return text or ""


def _options(told: Any, where: str) -> tuple[str, ...]:
    if told is None:
        return ()  # which is said of any question without options
    if isinstance(told, dict) and list(told) == list(LETTERS[: len(told)]):
        told = list(told.values())
    if not isinstance(told, list) or not all(isinstance(option, str) for option in told):
        raise UserError(f"{where}: options are {told!r}, and no list of texts; write {EXAMPLE}")
    return tuple(told)
