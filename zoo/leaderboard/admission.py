"""Records from elsewhere: admitted, or refused with a reason and set aside. None is ever executed.

What a record of one's own cannot have, because the zoo wrote it, one from elsewhere may: an id that is
not of its content, text that changes the terminal or hides what it says, code to be built, thousands
of metrics, numbers that overflow a board's sums. `zoo merge --from` and `zoo records --quarantine`
ask here.
"""

import datetime
import hashlib
import json
import math
import re
import shlex
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.leaderboard.record import SCHEMA_VERSION, Record, decides_result, identity
from zoo.leaderboard.store import HUGE, MAX_RECORD_BYTES, read_record, write_atomically

MAX_METRICS = 5_000  # names of metrics and of curves; the most of any run here is some hundred
MAX_TEXT = 2_000  # characters of a string
# What begins a path, or is an address or a key: a record has none.
PRIVATE = re.compile(r"^(/|~|file:|[A-Za-z]:\\)|[\w.+-]+@[\w-]+\.\w|\b[0-9a-f]{40}\b")


def admit(path: Path) -> Record:
    """Read a record that somebody else has written.

    Raises:
        ValueError: why it is refused, in one sentence.
        OSError: it cannot be read.
    """
    if path.is_symlink() or not path.is_file():
        raise ValueError("is no regular file")
    _check_schema(path)
    record = read_record(path)
    sentence = objection(record)
    if sentence is not None:
        raise ValueError(sentence)
    return record


def objection(record: Record) -> str | None:
    """Say what is wrong with a record that fits the schema, in one sentence; None: nothing."""
    return next(_objections(record), None)


def _check_schema(path: Path) -> None:
    """Say of a record of another age that it is one, not which of its keys are unknown."""
    if path.stat().st_size > MAX_RECORD_BYTES:
        return  # said by `read_record`
    try:
        version = json.loads(path.read_bytes())["schema_version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # likewise
    if version != SCHEMA_VERSION:
        age = "older" if isinstance(version, int) and version < SCHEMA_VERSION else "other"
        raise ValueError(
            f"schema_version: {_short(version)} is an {age} one than {SCHEMA_VERSION}; make the run again"
        )


def _objections(record: Record) -> Iterator[str]:
    for place, text in _strings(record.model_dump(exclude={"git", "data", "id"}), ""):
        if len(text) > MAX_TEXT:
            yield f"{_short(place)}: {len(text):,} characters; the limit is {MAX_TEXT:,}"
        if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text):
            yield f"{_short(place)}: holds a control character, which could hide what it says"
        if PRIVATE.search(text):
            yield f"{_short(place)}: holds a path, an address or a key, and a record has none"
        if place.endswith("._target_") and not _is_ours(text):
            yield f"{_short(place)}: {_short(text)} is nothing that a run builds"
    count = len(record.metrics) + len(record.curve)
    if count > MAX_METRICS:
        yield f"metrics: {count:,} names; the limit is {MAX_METRICS:,}"
    for place, value in _numbers(record):
        if not -HUGE < value < HUGE:
            shown = f"{value:g}" if isinstance(value, float) else _short(value)
            yield f"{_short(place)}: {shown} is no measurement; the limit is {HUGE:g}"
    if record.seed != record.config.get("seed"):
        yield f"seed: {record.seed}, and {_short(record.config.get('seed'))} in the configuration"
    try:
        datetime.datetime.fromisoformat(record.created_at)
    except ValueError:
        yield f"created_at: {_short(record.created_at)} is no time"
    yield from _about_the_command(record.command)
    try:
        own = identity(record.config, record.data.sha256, record.zoo_version)
    except ValueError:  # NaN in the configuration
        own = ""
    if own != record.id:
        yield f"id: {record.id} is not the hash of its configuration, data and version"


def _about_the_command(command: str) -> Iterator[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if words[:2] != ["python", "train.py"]:
        yield f"command: {_short(command)} is no `python train.py`"
    for word in words[2:]:
        key = word.lstrip("+~").partition("=")[0]
        if word.startswith("-") or key.startswith("hydra") or not decides_result(key):
            yield f"command: {_short(word)} decides no result"


def _is_ours(target: str) -> bool:
    from zoo.build import allowed_packages

    parts = target.split(".")
    return parts[0] in allowed_packages() and all(p.isidentifier() and p[0] != "_" for p in parts)


def _strings(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every string below, keys too, with its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{place} (a key)", str(key)
            yield from _strings(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, place)
    elif isinstance(node, str):
        yield place, node


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    for key, value in record.metrics.items():
        if value is not None:
            yield f"metrics.{key}", value
    for key, curve in record.curve.items():
        for column in (curve.step, curve.samples, curve.tokens or [], curve.train_s, curve.value):
            for number in column:
                if number is not None:
                    yield f"curve.{key}", number


def _short(value: Any) -> str:
    """Return a value as it can be shown: printable, and not long."""
    text = str(value)
    shown = "".join(c if c.isprintable() else "?" for c in text[:80])
    return shown + ("..." if len(text) > 80 else "")


def set_aside(path: Path, reason: str, quarantine: Path, *, move: bool) -> Path:
    """Put a refused file where no board reads it, with the reason beside it.

    Args:
        path: the file; one that is no regular file or is oversized stays where it is.
        reason: one sentence.
        quarantine: made here.
        move: take it away from where it is.

    Returns:
        The file of the reason.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{path.parent.name}_{path.name}").lstrip(".")[-80:]
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    quarantine.mkdir(parents=True, exist_ok=True)
    regular = path.is_file() and not path.is_symlink()
    if regular and move:
        shutil.move(path, quarantine / f"{digest}_{name}.refused")
    elif regular and path.stat().st_size <= MAX_RECORD_BYTES:
        shutil.copyfile(path, quarantine / f"{digest}_{name}.refused")
    said = quarantine / f"{digest}_{name}.reason.txt"
    write_atomically(said, f"{path.name}: {reason}\n".encode())
    return said


def same_run(one: Record, other: Record) -> bool:
    """Whether two records of one id say the same; thinning a curve changes nothing that they say."""
    blank: dict[str, Any] = {"curve": {}, "ranges": None}
    return one.model_copy(update=blank) == other.model_copy(update=blank) and not any(
        math.isfinite(a) and a != b
        for key in one.curve.keys() & other.curve.keys()
        for a, b in _shared_points(one.curve[key], other.curve[key])
    )


def _shared_points(one: Any, other: Any) -> Iterator[tuple[float, float]]:
    known = {s: v for s, v in zip(other.step, other.value, strict=True) if v is not None}
    for step, value in zip(one.step, one.value, strict=True):
        if value is not None and step in known:
            yield value, known[step]
