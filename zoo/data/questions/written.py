"""Questions whose right options a language model learns to write: loss on these alone.

    <|endoftext|> prompt option <|endoftext|>

as `zoo answer` asks, by likelihood and by writing; the other options teach nothing.
"""

from dataclasses import replace
from typing import Any

from zoo.data.causal import keeps_bytes_and_ends
from zoo.data.pairs.pair_data import PairData
from zoo.data.questions.prompt import Asked, Form, ask
from zoo.data.questions.question import Question
from zoo.data.questions.question_data import Part, told_cut
from zoo.data.rows import Rows
from zoo.data.tokenizers import TextTokenizer
from zoo.processes import say


def written_answers(
    name: str,
    splits: dict[str, list[Question]],
    tokenizer: TextTokenizer,
    form: Form,
    **options: Any,
) -> PairData:
    """Return questions as rows of a language model; say how much of them is cut.

    Args:
        name: of the set, for the record.
        splits: train, validation and test; every question has its answer.
        tokenizer: of the model.
        form: how a question is written.
        options: see `PairData`.

    Raises:
        UserError: the tokenizer does not fit, or the options leave no room for a question.
    """
    keeps_bytes_and_ends(tokenizer)
    closed = replace(form, max_length=form.max_length - 1)  # the end-of-text token behind an answer
    asked = {split: ask(questions, tokenizer, closed) for split, questions in splits.items()}
    data = PairData(
        name,
        {split: Part(questions) for split, questions in splits.items()},
        {split: _rows(asked[split], questions, tokenizer) for split, questions in splits.items()},
        tokenizer,
        max_length=form.max_length,
        **options,
    )
    said = told_cut(list(asked.values()), form.max_length)
    if said is not None:
        say(said)
    return data


def _rows(asked: Asked, questions: list[Question], tokenizer: TextTokenizer) -> Rows:
    rows = []
    for prompt, options, question in zip(asked.prompts, asked.options, questions, strict=True):
        assert question.label is not None, "it is learned from"
        assert tokenizer.end_of_text is not None, "refused before"
        rows.append([*prompt, *options[question.label], tokenizer.end_of_text])
    return Rows.of(rows, [len(prompt) for prompt in asked.prompts])
