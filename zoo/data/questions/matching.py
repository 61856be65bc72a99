"""Which option is it that a model has written?

The first line of what was written is compared with the options, strictly first, then more loosely; the
first way in which one option alone is the same is taken:

    as it is        but for space around it
    case, space     neither counts
    marks           nor do the marks of a sentence, quotes, brackets, and hyphens between letters

Signs that change what is said (+, -, %, <, a point or comma between digits) always count: -2 is not 2.
Where the prompt lists letters a letter is its option too: `B`, `(b)`, `B. zinc`.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from zoo.data.questions.question import LETTERS

DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
MARKS = re.compile(
    r"""[;:!?"'`\u2018\u2019\u201c\u201d()\[\]{}]"""
    r"|(?<!\d)[.,]|[.,](?!\d)"  # 1.5 is not 15
    r"|(?<=[^\W\d_])-(?=[^\W\d_])"  # beta-blocker is beta blocker
)


def plain(text: str) -> str:
    r"""Return a text without case, and with one space where there is any.

    >>> plain(" Beta-Blocker \u2212 2")
    'beta-blocker - 2'
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(DASHES).casefold().split())


def bare(text: str) -> str:
    """Return a plain text without the marks of a sentence.

    >>> bare("(Beta-blocker), 1.5 mg."), bare("Ca2+")
    ('beta blocker 1.5 mg', 'ca2+')
    """
    return " ".join(MARKS.sub(" ", plain(text)).split())


WAYS: tuple[Callable[[str], str], ...] = (str.strip, plain, bare)


def match(written: str, options: Sequence[str], *, letters: bool) -> int | None:
    r"""Return the place of the option that was written; None: it is none, or may be several.

    Args:
        written: by a model.
        options: to choose from.
        letters: whether the prompt lists their letters.

    >>> match(" Zinc.\nQuestion:", ["iron", "zinc"], letters=False)
    1
    >>> match("b) zinc", ["iron", "zinc"], letters=True)
    1
    >>> match("B", ["iron", "zinc"], letters=False), match("2", ["-2", "+2"], letters=False)
    (None, None)
    """
    first, *_ = written.strip().splitlines() or [""]
    names = [[option] for option in options]
    if letters:
        for letter, own in zip(LETTERS, names, strict=False):
            own += [letter, f"{letter}. {own[0]}"]
    for way in WAYS:
        said = way(first)
        same = [place for place, own in enumerate(names) if said and said in map(way, own)]
        if len(same) == 1:
            return same[0]
    return None
