"""Your own data as JSON lines: the lines of a file, and the object of a line."""

import json
from pathlib import Path
from typing import Any

from zoo.errors import UserError, first_line


def numbered_lines(path: Path, where: str, what: str) -> list[tuple[int, str]]:
    """Return the lines of a file that are not blank, with their numbers from 1.

    Args:
        path: of UTF-8 text.
        where: what the file is called in a sentence.
        what: "a question a line into it, {...}", for the sentence about an empty file.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{where}: cannot be read ({first_line(error)}); type a file of UTF-8 text"
        ) from None
    numbered = [(n, line) for n, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise UserError(f"{where}: is empty; write {what}")
    return numbered


def object_of(line: str) -> dict[str, Any] | None:
    """Return the JSON object of a line; None where it is none.

    >>> object_of('{"source": "a"}'), object_of("[1]"), object_of('{"source"')
    ({'source': 'a'}, None, None)
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def refuse_half_characters(text: str, where: str) -> None:
    r"""Refuse what JSON can write and no file can hold: \ud800 and the like.

    Raises:
        UserError: there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where}: has half a character (a lone surrogate); mend it") from None
