"""Questions as rows for an encoder, each option with a prompt of its own.

[CLS] prompt [SEP] option [SEP]         a row an option, for its score
[CLS] prompt [SEP]                      a row a question, for the labels
"""

from collections.abc import Sequence

from zoo.data.questions.prompt import Asked
from zoo.data.rows import Rows
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError

SPECIAL = 3  # [CLS] and two [SEP]


def special_of(tokenizer: TextTokenizer) -> tuple[int, int]:
    """Return what opens and what closes a text.

    Raises:
        UserError: the tokenizer lacks one of them, or the padding token.
    """
    first, last = tokenizer.cls, tokenizer.sep
    if first is None or last is None or tokenizer.pad is None:
        raise UserError(
            f"data.tokenizer={tokenizer.label}: lacks [CLS], [SEP] or [PAD], which an encoder wants; "
            "type data.tokenizer=auto, wordpiece or bert-base-uncased"
        )
    return first, last


def pairs(asked: Asked, tokenizer: TextTokenizer) -> Rows:
    """Return a row for each option; of a question without options one row."""
    first, last = special_of(tokenizer)
    rows: list[Sequence[int]] = []
    seconds = []
    for prompt, options in zip(asked.prompts, asked.options, strict=True):
        begin = [first, *prompt, last]
        for ending in [[*option, last] for option in options] or [[]]:
            rows.append([*begin, *ending])
            seconds.append(len(begin))
    return Rows.of(rows, seconds)
