"""A run's folder belongs to one process at a time: a lock that the system frees when it dies."""

import contextlib
import fcntl
import time
from pathlib import Path
from typing import IO

PATIENCE_S = 1.0  # who only looks whether a file is locked holds it for an instant


def lock(path: Path, patience_s: float = PATIENCE_S) -> IO[str] | None:
    """Return the file, locked until it is closed; None where another process has it."""
    file = open(path, "a")  # noqa: SIM115 (held as long as the run lasts)
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > until:
                file.close()
                return None
            time.sleep(0.02)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock; a file that is not there is free."""
    with contextlib.suppress(FileNotFoundError), open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
