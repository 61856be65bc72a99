"""Files of JSON lines that a long job fills batch by batch, and goes on with where it was cut off.

The first line says what the job is; each further one is the result of one thing that was asked, in
order. What is there is never taken away, and nothing is written twice: whole batches stay as they are,
what follows them is made again, so that the file ends with the same bytes wherever it was cut off.
"""

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from zoo.errors import UserError


def fill(
    out: Path,
    about: dict[str, Any],
    count: int,
    batch_size: int,
    batches: Callable[[int], Iterable[list[dict[str, Any]]]],
    is_of: Callable[[int, dict[str, Any]], bool],
    *,
    what: str,
) -> Iterator[int]:
    """Write the lines that a file lacks; yield how many there are, whenever there are more.

    Args:
        out: the file.
        about: what the job is; a file of another one is refused.
        count: lines of the whole job, the first one apart.
        batch_size: lines that are made together.
        batches: called with a line's number, makes them from there on.
        is_of: whether a line that is there is the one of this number.
        what: "texts of other prompts", for the sentence about another job's file.

    Raises:
        UserError: the file is of another job, or another process is writing it.
    """
    header = json.dumps(about, sort_keys=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--out {out}: another process is writing it; wait for it, or type another --out"
            ) from None
        file.seek(0)
        kept = _whole(file.read(), header, count, batch_size, is_of)
        if kept is None:
            raise UserError(f"--out {out}: holds {what}, settings or weights; type another --out")
        file.truncate(sum(map(len, kept)))
        if not kept:
            kept = [f"{header}\n".encode()]
            file.write(kept[0])
            file.flush()
        done = len(kept) - 1
        yield done
        for batch in batches(done):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in batch]
            file.write("".join(lines).encode())
            file.flush()
            done += len(batch)
            yield done


def _whole(
    content: bytes,
    header: str,
    count: int,
    batch_size: int,
    is_of: Callable[[int, dict[str, Any]], bool],
) -> list[bytes] | None:
    """Return the lines of a file that are whole and in whole batches; None: they are of another job."""
    begin = f"{header}\n".encode()
    lines = [line + b"\n" for line in content.split(b"\n")[:-1]]  # the last one is not whole
    if not lines:
        return [] if begin.startswith(content) else None
    first, *done = lines
    if first != begin or len(done) > count:
        return None
    for number, line in enumerate(done):
        try:
            is_same = is_of(number, json.loads(line))
        except (ValueError, KeyError, TypeError):
            is_same = False
        if not is_same:
            return None
    whole = count if len(done) == count else len(done) // batch_size * batch_size
    return lines[: 1 + whole]
