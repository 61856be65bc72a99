"""Records on disk: written whole or not at all, read by any number of readers.

A run writes `<output_dir>/<id>/record.json`; `leaderboards/records/<id>.json` are the curated,
committed ones. A writer fills a hidden file and renames it, so a reader never sees half a record.
"""

import contextlib
import gc
import json
import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from zoo.leaderboard.frontier import hardware_class
from zoo.leaderboard.record import Record

MAX_RECORD_BYTES = 20_000_000
HUGE = 1e100


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and where it stands: `curated` is in leaderboards/records, else it is local."""

    record: Record
    path: Path
    curated: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is no valid record, and why, in one sentence."""

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """The file, with its folder where every run's file has the same name."""
        local = self.path.name == "record.json"
        return f"{self.path.parent.name}/{self.path.name}" if local else self.path.name


def write_atomically(path: Path, content: bytes | memoryview, keep: Path | None = None) -> None:
    """Replace `path` by `content`, durably: after a crash the old or the new file is there.

    Args:
        path: of the file.
        content: all of it.
        keep: what the old file is called from then on; in its folder. `path` is there all the time,
            where the disk knows a file by two names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None:
            with contextlib.suppress(FileNotFoundError):
                _keep(path, keep)
        os.replace(scratch, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # a full disk names no file
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep(path: Path, keep: Path) -> None:
    """Call a file `keep`, too; or `keep` alone, where the disk has no second names."""
    second = keep.parent / f".{keep.name}.{os.getpid()}.tmp"
    try:
        os.link(path, second)
        os.replace(second, keep)
        second.unlink(missing_ok=True)  # left where both were one file already
    except FileNotFoundError:
        raise
    except OSError:
        os.replace(path, keep)


def write_record(record: Record, path: Path) -> None:
    """Store a record at `path`, replacing any earlier one of the same run."""
    write_atomically(path, record.to_json().encode())


def read_record(path: Path, *, curves: bool | Collection[str] = True) -> Record:
    """Read and validate one record.

    Args:
        path: of the file.
        curves: False leaves the curves and the ranges out, most of a record's bytes, without
            parsing them; names of metrics keep the curves of these.

    Raises:
        ValueError: what is wrong with the file, in one sentence.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_RECORD_BYTES:
        raise ValueError(f"{size:,} bytes; a record has at most {MAX_RECORD_BYTES:,}")
    content = path.read_bytes()
    if curves is not True:
        try:
            return Record.model_validate_json(_without_curves(content, curves or ()))
        except ValidationError:
            pass  # said below, of the whole file
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {said}{more}") from None


def _without_curves(content: bytes, keep: Collection[str]) -> bytes:
    """Empty the lines of curves and ranges in a record that `Record.to_json` has written.

    Args:
        content: of the file.
        keep: metrics whose curves stay.
    """
    for field, empty in ((b'\n"curve": ', b"{},"), (b'\n"ranges": ', b"null")):
        start = content.find(field)
        end = content.find(b"\n", start + 1)
        if 0 <= start < end:
            line = content[start + len(field) : end]
            rest = _only(line, keep) if keep and empty == b"{}," else empty
            content = content[:start] + field + rest + content[end:]
    return content


def _only(line: bytes, keep: Collection[str]) -> bytes:
    """Cut the curves to keep out of the line that holds all of them.

    A curve is an object of lists of numbers, so it ends with the next brace; a quote inside of a
    name has a backslash before it, so a name is never found within another one.
    """
    found = []
    curves = b", " + line[1:]
    for key in keep:
        name = json.dumps(key).encode()
        opening = b", " + name + b": {"
        start = curves.find(opening)
        if start >= 0:
            end = curves.index(b"}", start + len(opening)) + 1
            found.append(curves[start + 2 : end])
        elif name in line:
            return line  # not as `Record.to_json` writes it
    return b"{" + b", ".join(found) + b"},"


def _refuse_huge(record: Record) -> None:
    """Refuse numbers that no run has, and whose sums and squares overflow."""
    for key, value in record.metrics.items():
        if value is not None and not -HUGE < value < HUGE:
            raise ValueError(f"metrics.{key}: {value:g} is no measurement; the limit is {HUGE:g}")


def record_files(folder: Path) -> Iterator[Path]:
    """Yield `folder/*.json` and `folder/*/record.json`, sorted, without walking any deeper."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.name.endswith(".json"):
            yield Path(entry.path)
        elif entry.is_dir():
            path = os.path.join(entry.path, "record.json")
            if os.path.exists(path):
                yield Path(path)


def scan(
    output_dir: Path | None,
    curated_dir: Path | None,
    *,
    curves: bool | Collection[str] = True,
) -> tuple[list[Stored], list[Problem]]:
    """Read every record of both folders; with `curves` as for `read_record`, which is faster.

    A run that is in both, measured on the same kind of hardware, counts once: as the curated one
    where that is a copy of the local file, else as the local one, which the user has just made.

    Returns:
        The valid records and what is wrong with the other files.
    """
    with _nothing_collected():
        return _scanned(output_dir, curated_dir, curves)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python from looking for garbage among records, where there is none: a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _scanned(
    output_dir: Path | None, curated_dir: Path | None, curves: bool | Collection[str]
) -> tuple[list[Stored], list[Problem]]:
    found: dict[tuple[str, str], Stored] = {}
    problems: list[Problem] = []
    for folder, curated in ((curated_dir, True), (output_dir, False)):
        for path in record_files(folder) if folder is not None else ():
            try:
                record = read_record(path, curves=curves)
                expected = path.stem if path.name != "record.json" else path.parent.name
                _refuse_huge(record)
                if record.id != expected:
                    raise ValueError(f"holds the record {record.id}, not {expected}")
            except (ValueError, OSError) as error:
                problems.append(Problem(path, str(error)))
            else:
                key = (record.id, hardware_class(record))
                twin = found.get(key)
                if twin is None or twin.record.created_at != record.created_at:
                    found[key] = Stored(record, path, curated)
    return list(found.values()), problems


def load_records(*folders: str | os.PathLike[str]) -> list[Record]:
    """Return every valid record below the folders (`*.json` and `*/record.json`), each id once.

    A file that is no valid record is left out with a warning that names it and the reason.
    """
    found: dict[str, Record] = {}
    for folder in folders:
        stored, problems = scan(Path(folder), None)
        for item in stored:
            found.setdefault(item.record.id, item.record)
        _warn(problems)
    return list(found.values())


def _warn(problems: Iterable[Problem]) -> None:
    for problem in problems:
        warnings.warn(f"{problem.name}: {problem.reason}", stacklevel=3)
