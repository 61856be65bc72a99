"""A pair as tokens.

    <|endoftext|> source separator          the prompt, after which a model writes
    <|endoftext|> source separator target <|endoftext|>          a row that is learned from

The target stands behind a space, as any word does; space around source and target does not count. What
is too long is cut at the end of its source: separator and target stay whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.pairs.pair import Pair
from zoo.data.rows import Rows
from zoo.data.tokenizers import TextTokenizer
from zoo.errors import UserError

TOGETHER = 1000  # pairs that are lists of numbers at a time; rows take a tenth of that


class Cut(NamedTuple):
    """How much did not fit.

    Attributes:
        tokens: of all sources, that are cut.
        whole: of all sources, before.
        sources: how many are cut.
        all: how many there are.
    """

    tokens: int = 0
    whole: int = 0
    sources: int = 0
    all: int = 0

    def plus(self, other: "Cut") -> "Cut":
        """Return both together."""
        return Cut(*(a + b for a, b in zip(self, other, strict=True)))


def separator_of(typed: str) -> str:
    r"""Return the text of a separator as it is typed, where \n is a line break."""
    return typed.replace("\\n", "\n")


def prompts(
    sources: Sequence[str],
    tokenizer: TextTokenizer,
    separator: str,
    rooms: Sequence[int] | None = None,
) -> tuple[list[list[int]], Cut]:
    """Return sources as prompts.

    Args:
        sources: texts.
        tokenizer: has an end-of-text token.
        separator: as it is typed.
        rooms: tokens of each prompt at most, enough for what is not cut and one more; None: nothing
            is cut.
    """
    end = tokenizer.end_of_text
    assert end is not None, "refused before"
    after = tokenizer.encode([separator_of(separator)])[0]
    encoded = tokenizer.encode([source.strip() for source in sources])
    lefts = [len(ids) for ids in encoded]
    if rooms is not None:
        lefts = [min(n, room - 1 - len(after)) for n, room in zip(lefts, rooms, strict=True)]
    found = [[end, *ids[:left], *after] for ids, left in zip(encoded, lefts, strict=True)]
    over = [len(ids) - left for ids, left in zip(encoded, lefts, strict=True)]
    cut = Cut(sum(over), sum(map(len, encoded)), sum(n > 0 for n in over), len(over))
    return found, cut


def targets(texts: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
    """Return targets as tokens, the space before them among these."""
    return tokenizer.encode([f" {text.strip()}" for text in texts])


def lay_out(
    pairs: Sequence[Pair], tokenizer: TextTokenizer, separator: str, max_length: int
) -> tuple[Rows, Cut]:
    """Return pairs as rows, whose second text is the target.

    Args:
        pairs: any number.
        tokenizer: see `prompts`.
        separator: as it is typed.
        max_length: tokens of a row at most.

    Raises:
        UserError: a target leaves no room for a source.
    """
    end = tokenizer.end_of_text
    around = 2 + len(tokenizer.encode([separator_of(separator)])[0])
    rows: list[np.ndarray] = []
    seconds: list[int] = []
    cut = Cut()
    for first in range(0, len(pairs), TOGETHER):
        some = pairs[first : first + TOGETHER]
        wanted = targets([pair.target for pair in some], tokenizer)
        for pair, ids in zip(some, wanted, strict=True):
            if around + len(ids) + 1 > max_length:
                raise UserError(
                    f"{pair.where}: its target has {len(ids)} tokens, and data.max_length={max_length} has "
                    f"{max_length - around - 1} beside the separator and a source; type "
                    f"data.max_length={around + len(ids) + 1} or more, or shorten it"
                )
        rooms = [max_length - len(ids) - 1 for ids in wanted]
        begins, own = prompts([pair.source for pair in some], tokenizer, separator, rooms)
        cut = cut.plus(own)
        for begin, ids in zip(begins, wanted, strict=True):
            rows.append(np.array([*begin, *ids, end], dtype=np.int32))
            seconds.append(len(begin))
    return Rows.of(rows, seconds, cut.tokens), cut
