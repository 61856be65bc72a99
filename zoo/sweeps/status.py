"""How far each run of a sweep is, read from the output folder: any process can look, at any time."""

import contextlib
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.errors import UserError
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import read_record, write_atomically
from zoo.locks import is_locked
from zoo.sweeps.fingerprints import Fingerprints
from zoo.sweeps.jobs import Job, job_key

State = Literal["done", "diverged", "running", "failed", "cut off", "left"]
ENDED: tuple[State, ...] = (
    "done",
    "diverged",
)  # a run that diverged has a record: a result like others

FAILURES = "failures"  # in sweeps/ of the output folder: the last words of jobs that failed


@dataclass(frozen=True)
class Status:
    """A run of a sweep and how far it is.

    Args:
        job: what it is.
        id: of the run; None where its data or its checkpoint cannot be read yet.
        state: how far it is.
        reason: why it failed, or cannot be told.
        record: of a run that has ended, without curves.
        running_s: since it was started; 0 where it is not running.
    """

    job: Job
    id: str | None
    state: State
    reason: str = ""
    record: Record | None = None
    running_s: float = 0.0


def statuses(
    jobs: Sequence[Job],
    prints: Fingerprints,
    before: Sequence[Status] = (),
    since: float = math.inf,
) -> list[Status]:
    """Look at every run.

    Args:
        jobs: of the sweep.
        prints: knows their ids.
        before: what an earlier look has found; what had ended then is not read again.
        since: when the sweep began, in seconds of the system's clock: a run that is forced has ended
            where its record was written from then on.

    Raises:
        UserError: what keeps all of them from being run, such as data that are nowhere.
    """
    ended = {s.job.key: s for s in before if s.state in ENDED}
    found = [ended.get(job.key) or _status(job, prints, since) for job in jobs]
    reasons = [s.reason for s in found if s.id is None and s.state == "left"]
    if found and len(reasons) == len(found):
        raise UserError(reasons[0])
    return found


def _status(job: Job, prints: Fingerprints, since: float) -> Status:
    folder = Path(job.settings["paths"]["output_dir"])
    failed = _failure(folder, job.key)
    try:
        run = prints.id(job.settings)
    except UserError as error:
        return Status(job, None, "failed" if failed else "left", failed or str(error))
    home = folder / run
    if is_locked(home / ".lock"):
        # The clock may have been set back since.
        return Status(job, run, "running", running_s=max(0.0, time.time() - _since(home)))
    with contextlib.suppress(OSError, ValueError):
        record = read_record(home / "record.json", curves=False)
        if not _to_be_made_again(job.settings, home / "record.json", since):
            ended: State = "done" if record.status == "finished" else "diverged"
            return Status(job, run, ended, record=record)
        return Status(job, run, "failed" if failed else "left", failed)
    if failed:
        return Status(job, run, "failed", failed)
    begun = any((home / name).exists() for name in ("last.ckpt", "previous.ckpt"))
    return Status(job, run, "cut off" if begun else "left")


def _since(home: Path) -> float:
    with contextlib.suppress(OSError):
        return (home / ".lock").stat().st_mtime
    return time.time()


def _to_be_made_again(settings: dict[str, Any], path: Path, since: float) -> bool:
    """Whether a record does not end the matter; `Run` decides by the same rules."""
    if settings["force"]:
        return path.stat().st_mtime < since
    watched = (settings.get("callbacks") or {}).get("ranges")
    return bool(watched) and read_record(path).ranges is None


def note_failure(settings: dict[str, Any], reason: str) -> None:
    """Keep why a job failed, until it is tried again."""
    path = _failure_path(Path(settings["paths"]["output_dir"]), job_key(settings))
    # A disk that cannot take the reason is the reason, and it was said.
    with contextlib.suppress(OSError):
        write_atomically(path, json.dumps({"reason": reason}).encode())


def forget_failure(settings: dict[str, Any]) -> None:
    """Take a job's earlier failure away: it is being tried again."""
    path = _failure_path(Path(settings["paths"]["output_dir"]), job_key(settings))
    with contextlib.suppress(OSError):
        path.unlink()


def _failure_path(folder: Path, key: str) -> Path:
    return folder / "sweeps" / FAILURES / f"{key}.json"


def _failure(folder: Path, key: str) -> str:
    try:
        return str(json.loads(_failure_path(folder, key).read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def count(found: Iterable[Status], *states: State) -> int:
    """Return how many runs are in these states."""
    return sum(s.state in states for s in found)
