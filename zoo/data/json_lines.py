"""Your own data as JSON lines: which files are of which split, and the lines of one of them."""

import json
from pathlib import Path
from typing import Any

from zoo.data.corpus import split_of
from zoo.errors import UserError, first_line


def files_by_split(folder: str) -> dict[str, list[Path]]:
    """Return the .jsonl files of a folder by their splits, in the order of their names.

    Names that begin or end with train, validation (valid, val, dev) or test say the split; others
    are of train.

    Args:
        folder: as it was typed; or one file.

    Raises:
        UserError: there are none.
    """
    place = Path(folder).expanduser()
    paths = [place] if place.is_file() else sorted(place.rglob("*.jsonl"))
    if not paths:
        what = "has no .jsonl file" if place.exists() else "is not there"
        raise UserError(
            f"data.folder={folder}: {what}; type a folder of such files, or one of them"
        )
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(split_of(path.name), []).append(path)
    return files


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
