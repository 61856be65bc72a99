"""What the zoo says to its user: one sentence that names the key, the value and what to type."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user's mistake, or a limit of the machine; the message is one sentence for a person.

    It may quote what was typed, or a file; what ends a line there is a space here.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class Diverged(Exception):
    """The loss is no longer a finite number; the record is kept with status `diverged`."""


class Interrupted(Exception):
    """Training was asked to stop (Ctrl-C, SIGTERM) and has saved a checkpoint."""


def nearest(word: str, choices: Iterable[str], limit: int = 3) -> list[str]:
    """Return the choices that look most like `word`, best first; empty where none does."""
    pool = sorted(set(choices))
    found = difflib.get_close_matches(word, pool, n=limit, cutoff=0.5)
    found += [c for c in pool if word and (word in c or c in word) and c not in found]
    return found[:limit]


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return '; did you mean a, b?' or, where nothing is near, '; there are a, b, c'."""
    pool = sorted(set(choices))
    near = nearest(word, pool)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not pool:
        return ""
    shown = ", ".join(pool[:12]) + (", ..." if len(pool) > 12 else "")
    return f"; there is only {shown}" if len(pool) == 1 else f"; there are {shown}"


def first_line(error: BaseException) -> str:
    """Return what another library's error says first, or its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
