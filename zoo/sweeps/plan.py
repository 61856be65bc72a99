"""A sweep as it stands: its jobs, how far each is, and how long the rest takes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zoo import hardware
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import scan
from zoo.overrides import ROOT
from zoo.sweeps.estimate import Estimate
from zoo.sweeps.fingerprints import Fingerprints
from zoo.sweeps.jobs import Job
from zoo.sweeps.status import ENDED, State, Status, count, statuses


@dataclass(frozen=True)
class Left:
    """What is to be done: seconds of one process, as far as runs like them tell."""

    runs: int
    seconds: float
    unknown: int  # runs like none before, not in the seconds


class Plan:
    """A sweep's jobs and what is known of them.

    Args:
        name: of the sweep's file; none where it was typed.
        jobs: composed and checked.

    Raises:
        UserError: what keeps all of them from being run.
    """

    def __init__(self, name: str, jobs: Sequence[Job]) -> None:
        self.name = name
        self.jobs = list(jobs)
        self._prints = Fingerprints()
        self._began = time.time()
        self.found: list[Status] = statuses(self.jobs, self._prints, since=self._began)

    def look_again(self) -> list[Status]:
        """Read the output folder again."""
        self.found = statuses(self.jobs, self._prints, self.found, self._began)
        return self.found

    def words(self, job: Job) -> str:
        """Return what tells a job from the others, for a person."""
        common = set.intersection(*(set(j.overrides) for j in self.jobs))
        own = [o for o in job.overrides if o not in common]
        return " ".join(own or job.overrides)

    def start(self, job: Job) -> Status | None:
        """Return the run of this sweep that a job starts from, which has to come before it.

        It is named by its id, or by its job's key where its data cannot be read.
        """
        checkpoint = job.settings["model"].get("checkpoint")
        if checkpoint is None:
            return None
        name = Path(checkpoint).name
        return next((s for s in self.found if name in (s.id, s.job.key)), None)

    @property
    def to_run(self) -> list[Job]:
        """The jobs that have not ended and that nobody is running."""
        return [s.job for s in self.found if s.state not in (*ENDED, "running")]

    def count(self, *states: State) -> int:
        """Return how many runs are in these states."""
        return count(self.found, *states)

    @cached_property
    def _estimate(self) -> Estimate:
        """By runs on this kind of machine, whatever the number of threads."""
        here = {s["paths"]["output_dir"] for s in (j.settings for j in self.jobs)}
        records: dict[str, Record] = {}
        cpu = (hardware.cpu_name(), hardware.instructions())
        devices = {hardware.device_type(j.settings["trainer"]["accelerator"]) for j in self.jobs}
        for folder in sorted(here):
            stored, _ = scan(Path(folder), ROOT / "leaderboards" / "records", curves=False)
            records |= {
                s.record.id: s.record
                for s in stored
                if (s.record.hardware.cpu_name, s.record.hardware.instructions) == cpu
                and s.record.hardware.device in devices
            }
        return Estimate(records.values(), self._prints)

    @property
    def left(self) -> Left:
        """What is to be done, the rest of running runs included; what has failed is not."""
        runs, seconds, unknown = 0, 0.0, 0
        for status in self.found:
            if status.state in (*ENDED, "failed"):
                continue
            runs += 1
            expected = None if status.id is None else self._estimate.seconds(status.job.settings)
            if expected is None:
                unknown += 1
            else:
                seconds += max(0.0, expected - status.running_s)
        return Left(runs, seconds, unknown)
