"""Hydra's basic sweeper, resumable: mistakes stop it before its first run, what is done is not run
again, what fails is named, and a worker that is killed takes no other run with it.

Hydra picks sweepers by name among its own and those of a package `hydra_plugins`; this one stands in
for the basic one under its name (zoo.plugins), so that `hydra/launcher=joblib` and the others work.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from zoo.errors import UserError
from zoo.sweeps import glue
from zoo.sweeps.jobs import Job, jobs_of

POLL_S = 15.0  # between two looks at what workers have done


class ResumableSweeper(Sweeper):
    """Runs what is left of a sweep.

    Args:
        max_batch_size: jobs that a launcher gets at a time; None: all.
        params: the axes of a sweep's file, each in Hydra's grammar.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}
        self.launched = 0

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives a sweeper, and make the launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.show = getattr(task_function, "show", None)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Expand, check, and launch what is left.

        Raises:
            UserError: a mistake in any job, before the first one runs.
            Exception: the first job's that failed, when all others have ended.
        """
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        axes = [f"{key}={values}" for key, values in self.params.items()]
        parsed = parser.parse_overrides([*axes, *arguments])
        (overrides,) = BasicSweeper.split_arguments(parsed, None)
        is_glue = any(glue.ALL in typed for typed in overrides)
        if not overrides:
            raise UserError(
                f"{' '.join([*axes, *arguments])}: stands for no run at all; type values, for example "
                "seed=range(0,3)"
            )
        jobs = jobs_of(loader, self.config, glue.expanded(loader, self.config, overrides))

        from zoo.sweeps.plan import Plan  # imports torch: not before the check

        name = OmegaConf.select(self.config, "hydra.runtime.choices.sweeps")
        plan = Plan("" if name in (None, "none") else name, jobs)
        if self.show is not None:
            self.show(plan)
            return []
        try:
            return self._run(plan)
        finally:
            if is_glue:
                glue.show_scores(plan)

    def _run(self, plan: Any) -> Any:
        from zoo.sweeps.screen import line
        from zoo.sweeps.status import forget_failure

        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        for job in plan.to_run:
            forget_failure(job.settings)
        plan.look_again()
        _say(line(plan, self._workers))
        for other in (s for s in plan.found if s.state == "running"):
            _say(f"run {other.id} is being trained by another process: {plan.words(other.job)}")
        later = [job for job in plan.to_run if plan.start(job) is not None]
        with self._told(plan):
            failed = self._launch_all(plan, [job for job in plan.to_run if job not in later])
            stuck = [(job, s) for job in later if (s := plan.start(job)).state != "done"]
            failed += [
                _stuck(job, plan.words(job), start, plan.words(start.job)) for job, start in stuck
            ]
            waiting = [job for job, _ in stuck]
            failed += self._launch_all(plan, [job for job in later if job not in waiting])
        for status in plan.found:
            if status.state == "failed":
                _say(f"failed: {plan.words(status.job)}: {status.reason}")
        if not self._one_by_one:
            _say(line(plan))
        if failed:
            _ = failed[0].return_value  # raises its error
        return []

    @property
    def _one_by_one(self) -> bool:
        return type(self.launcher).__name__ == "BasicLauncher"

    @property
    def _workers(self) -> int:
        """How many jobs run at a time, where the launcher says so."""
        asked = OmegaConf.select(self.config, "hydra.launcher.n_jobs")
        if not isinstance(asked, int):
            return 1
        from joblib import effective_n_jobs

        return int(effective_n_jobs(asked))

    def _batches(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        size = 1 if self._one_by_one else self.max_batch_size or max(1, len(jobs))
        for first in range(0, len(jobs), size):
            yield list(jobs[first : first + size])

    def _launch_all(self, plan: Any, jobs: Sequence[Job]) -> list[JobReturn]:
        """Run jobs that do not wait for each other; return what the failed ones left."""
        from zoo.sweeps.screen import line

        failed: list[JobReturn] = []
        for batch in self._batches(jobs):
            failed += self._launch(plan, batch)
            if self._one_by_one:
                plan.look_again()
                _say(line(plan))
        plan.look_again()
        return failed

    def _launch(self, plan: Any, batch: list[Job]) -> list[JobReturn]:
        """Run a batch; return what its failed jobs left."""
        rest, alone = batch, False
        failed: list[JobReturn] = []
        while rest:
            tried = rest[:1] if alone else rest
            try:
                done = self.launcher.launch([list(j.overrides) for j in tried], self.launched)
            except Exception as error:
                if not _is_a_killed_worker(error):
                    raise
                # The pool ends with its worker. What it has not done is begun again, and when that
                # is of no use, one by one, so that the job that gets killed is known.
                if alone:
                    failed.append(_killed(tried[0], plan.words(tried[0])))
                    rest = rest[1:]
                else:
                    plan.look_again()
                    still = {job.key for job in plan.to_run}
                    before, rest = len(rest), [job for job in rest if job.key in still]
                    alone = len(rest) == before
                    _say(f"a worker was killed; {len(rest)} runs go on")
            else:
                failed += [job for job in done if job.status == JobStatus.FAILED]
                rest = rest[len(tried) :]
            self.launched += len(tried)
        return failed

    @contextmanager
    def _told(self, plan: Any) -> Iterator[None]:
        """Say how far a parallel sweep is, now and then, as long as the block lasts."""
        if self._one_by_one:
            yield
            return
        from zoo.sweeps.screen import line

        over = threading.Event()

        def tell() -> None:
            said = plan.count("done", "diverged", "failed")
            while not over.wait(POLL_S):
                try:
                    plan.look_again()
                except UserError:
                    continue
                if plan.count("done", "diverged", "failed") != said:
                    said = plan.count("done", "diverged", "failed")
                    _say(line(plan, self._workers))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()


def _is_a_killed_worker(error: Exception) -> bool:
    return any(
        t.__name__ in ("TerminatedWorkerError", "BrokenProcessPool") for t in type(error).__mro__
    )


def _killed(job: Job, words: str) -> JobReturn:
    return _failed(
        job,
        words,
        "its process was killed, as the system does where memory runs out; type a smaller "
        "data.batch_size, or fewer workers",
    )


def _stuck(job: Job, words: str, start: Any, of: str) -> JobReturn:
    how = {"left": "has not ended", "cut off": "was cut off", "running": "is still running"}
    reason = f"it starts from the run of {of}, which {how.get(start.state, 'has ' + start.state)}"
    return _failed(job, words, f"{reason}; type the same command again when that one has finished")


def _failed(job: Job, words: str, reason: str) -> JobReturn:
    from zoo.sweeps.status import note_failure

    note_failure(job.settings, reason)
    return JobReturn(
        overrides=job.overrides,
        status=JobStatus.FAILED,
        _return_value=UserError(f"{words}: {reason}"),
    )


def _say(text: str) -> None:
    print(f"sweep: {text}", file=sys.stderr, flush=True)
