"""Documents from files of text, one by one: *.jsonl, *.jsonl.gz (a column `text`) and *.txt.

In a .txt file blank lines part the documents, as in BERT's own input format. What is left out is
counted: documents without a letter, and broken lines where that was asked for.
"""

import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt")


@dataclass
class LeftOut:
    """How many documents were left out, and why."""

    empty: int = 0
    broken: int = 0


def read_files(paths: Iterable[Path], *, skip_broken: bool, left_out: LeftOut) -> Iterator[str]:
    """Yield the documents of files, in order; see `read_file`."""
    for path in paths:
        yield from read_file(path, skip_broken=skip_broken, left_out=left_out)


def read_file(path: Path, *, skip_broken: bool, left_out: LeftOut) -> Iterator[str]:
    """Yield the documents of one file.

    Args:
        path: of a file with one of the endings in `SUFFIXES`.
        skip_broken: leave out lines that hold no document, and count them.
        left_out: counts.

    Raises:
        UserError: a line that holds no document, with its number; a file that cannot be unpacked.
    """
    pack = gzip.open if path.suffix == ".gz" else open
    try:
        with pack(path, "rb") as lines:
            parts = _paragraphs(lines) if path.suffix == ".txt" else enumerate(lines, start=1)
            read = _plain if path.suffix == ".txt" else _json_text
            yield from _checked(parts, read, path.name, skip_broken, left_out)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path.name}: cannot be unpacked to its end ({error}); download the file again"
        ) from None


def _checked(
    lines: Iterable[tuple[int, bytes]],
    read: Callable[[bytes], str],
    name: str,
    skip_broken: bool,
    left_out: LeftOut,
) -> Iterator[str]:
    for number, line in lines:
        try:
            text = read(line)
        except ValueError as error:  # json's, and Unicode's, are such
            if not skip_broken:
                raise UserError(
                    f"{name}, line {number}: {error}; mend that line, or type "
                    "data.skip_broken=true to leave such lines out"
                ) from None
            left_out.broken += 1
            continue
        if not text.strip():
            left_out.empty += 1
            continue
        yield text


def _json_text(line: bytes) -> str:
    if not line.strip():
        return ""  # a blank line holds an empty document
    try:
        document = json.loads(line)
    except UnicodeDecodeError:
        raise ValueError("is not in UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise ValueError("has no text under the key `text`")
    try:
        text.encode()
    except UnicodeEncodeError:  # \ud800 and the like are JSON, and no characters
        raise ValueError("has half a character (a lone surrogate)") from None
    return text


def _plain(part: bytes) -> str:
    try:
        return part.decode().strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not in UTF-8") from None


def _paragraphs(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield what stands between blank lines, with the number of its first line."""
    part: list[bytes] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if line.strip():
            if not part:
                first = number
            part.append(line)
        elif part:
            yield first, b"".join(part)
            part = []
    if part:
        yield first, b"".join(part)


def first(
    texts: Iterable[str], documents: int | None = None, text_bytes: int | None = None
) -> Iterator[str]:
    """Yield the first texts: so many at most, of so many bytes together at most.

    >>> list(first(["one", "three", "x"], text_bytes=8)), list(first(["one", "three"], 1))
    (['one', 'three'], ['one'])
    """
    read = 0
    for text in itertools.islice(texts, documents):
        if text_bytes is not None:
            read += len(text.encode())
            if read > text_bytes:
                return
        yield text
