"""A run's checkpoints on disk: the last one and the one before it, each with a sum of its bytes.

last.ckpt        the newest; of a run that has ended, its final weights
previous.ckpt    the one before, as long as the run trains: used where the newest is damaged

torch writes a zip archive and never asks whether its bytes are still the same: a flipped one becomes
another weight. So the archive's comment, its very end, holds the sha256 of all bytes before it; torch
reads such a file like any other. A file without a comment, of an earlier version, is asked by the
CRC-32 of the archive's members.
"""

import errno
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from zoo.errors import UserError
from zoo.leaderboard.store import write_atomically

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"

MARK = b"sha256:"
COMMENT = len(MARK) + 64  # bytes, with the hex digits of the sum
CHUNK = 1 << 20


def save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all; `last.ckpt` keeps the one before as `previous.ckpt`."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(-2, os.SEEK_END)  # a zip archive ends with the length of its comment: 0
    file.write(COMMENT.to_bytes(2, "little"))
    with file.getbuffer() as written:
        digest = hashlib.sha256(written).hexdigest()
    file.write(MARK + digest.encode())
    keep = path.with_name(PREVIOUS) if path.name == LAST else None
    with file.getbuffer() as content:
        write_atomically(path, content, keep)


def damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint's bytes; None: nothing.

    Raises:
        OSError: the file cannot be read, which says nothing of its bytes.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - COMMENT, 0))
        comment = file.read()
        if comment.startswith(MARK):
            digest = hashlib.sha256()
            file.seek(0)
            for start in range(0, size - COMMENT, CHUNK):
                digest.update(file.read(min(CHUNK, size - COMMENT - start)))
            intact = digest.hexdigest().encode() == comment[len(MARK) :]
            return None if intact else "its bytes are not those of its sha256"
        if not comment.endswith(b"\0\0"):  # the length of no comment
            return "it is no whole zip archive"
        return _damaged_member(file)


def _damaged_member(file: Any) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if not entries or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
                return "it is none of torch's zip archives"
            member = archive.testzip()
    except Exception as error:  # zipfile raises whatever the damage leads to
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        return "it is no whole zip archive"
    return None if member is None else f"{member} is not what its CRC-32 says"


def newest(folder: Path, run: str, *, is_main: bool = True) -> Path | None:
    """Return the file from which a run goes on; None: there is none, and it begins.

    A damaged one is named in one sentence and removed, so that it never takes the place of the one
    before.

    Args:
        folder: of the run.
        run: its id.
        is_main: says so and removes; not in the other processes of a run on several devices.

    Raises:
        UserError: its bytes are right, and torch does not read them.
        OSError: it cannot be read.
    """
    wrong: dict[str, str] = {}
    chosen = None
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            found = damage(path)
        except FileNotFoundError:
            continue
        if found is None:
            chosen = path
            break
        wrong[path.name] = found
    if chosen is not None:
        _must_load(chosen, run)
    if wrong and is_main:
        said = " and ".join(f"{name} is damaged ({why})" for name, why in wrong.items())
        then = f"it goes on from {chosen.name}" if chosen else "it begins anew"
        print(f"run {run}: {said}; {then}")
        for name in wrong:
            (folder / name).unlink(missing_ok=True)
    return chosen


def forget(folder: Path, *names: str) -> None:
    """Remove these checkpoints of a run, where they are there."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _must_load(path: Path, run: str) -> None:
    try:
        torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # torch raises whatever the content leads to
        raise UserError(
            f"run {run}: its checkpoint {path} cannot be read ({type(error).__name__}); "
            "delete that file to start over"
        ) from None
