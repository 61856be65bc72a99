"""The W&B server, through W&B's own client: what is there, and how to send what lacks.

Every method says `Lost` where the server did not answer well, which may be tried again, and raises
a `UserError` where trying again is of no use. None is sure to have had no effect when it is lost, so
whoever sends looks again: see `deliver`.
"""

import contextlib
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import wandb
import wandb_workspaces.reports.v2 as wr
from wandb.sdk.lib.service.service_connection import WandbApiFailedError
from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

from zoo.errors import UserError, first_line
from zoo.network import PRIVATE, wandb_server
from zoo.publishing.boards import RUN, Boards
from zoo.publishing.report import MARK, TITLE
from zoo.publishing.run import Run

RECORD = "record"  # the job type of a record's run
# In a run's notes: what it was made from, and what its curve is of where that is told apart.
NOTES = re.compile(r"sha256:([0-9a-f]{64})(?: curve:([0-9a-f]{64}|other))?")
RECORDS = "records"  # the artifact, and its type
OTHER = "other"  # a curve that a training has sent


class Lost(Exception):
    """The server did not answer, or with an error of its own; trying again may help."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for.

    `timeout_s` is of one request, `wait_s` the pause before a request is sent again, which doubles;
    `tries` of them the client does, and as often `deliver` looks again without any progress.
    """

    timeout_s: float = 60.0
    wait_s: float = 1.0
    tries: int = 5


@dataclass(frozen=True, slots=True)
class There:
    """A run as the server has it. `digest` is None where `zoo publish` did not make it."""

    digest: str | None
    curve: str | None
    finished: bool
    running: bool
    points: int
    tags: tuple[str, ...]


class Server:
    """A project on a W&B server.

    Args:
        project: W&B project, made when the first run is sent.
        entity: W&B user or team; None for the account's default.
        patience: how long to wait for it.

    Nothing is asked before `open`.
    """

    def __init__(self, project: str, entity: str | None, patience: Patience) -> None:
        self.patience = patience
        self.project = project
        self.entity = entity or ""
        # Below /tmp: W&B's client sends the place of its temporary copies along with an artifact.
        below = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108 - made for this user only
        self.folder = Path(tempfile.mkdtemp(prefix="zoo-", dir=below))
        names = (*_FOLDERS, *_OF_SOMEBODY)
        self._kept = {name: value for name in names if (value := os.environ.get(name)) is not None}
        for name in _OF_SOMEBODY:
            os.environ.pop(name, None)
        os.environ.update(dict.fromkeys(_FOLDERS, str(self.folder)))

    def open(self) -> None:
        """Ask the server whose key this is."""
        with _failures():
            self.entity = self.entity or str(self._api().default_entity)

    def close(self) -> None:
        """Forget the client's copies; what the server lacks is made from records again."""
        for name in _FOLDERS:
            os.environ.pop(name, None)
        os.environ.update(self._kept)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def path(self) -> str:
        return f"{self.entity}/{self.project}"

    def runs(self) -> dict[str, There]:
        """Return the project's runs by id; none where there is no such project."""
        with _failures():
            api = self._api()
            if not self._exists(api):
                return {}
            return {run.id: _there(run) for run in api.runs(self.path, per_page=500)}

    def send(self, run: Run, there: There | None) -> None:
        """Send a record's run, or what the server lacks of it.

        Args:
            run: what is to be there.
            there: what is. Its curve is gone on with where it is the same one. Another curve stays,
                as no request replaces one: the rest becomes the record's, and the notes tell.
        """
        curve = run.curve if there is None else there.curve or OTHER
        notes = f"Made by zoo publish from a record. sha256:{run.digest} curve:{curve}"
        if curve != run.curve:
            notes += " (of an earlier making, or from its training)"
        again = there is not None
        with self._run(
            run.id, run.name, RECORD, notes, run.tags, run.config, again=again
        ) as sending:
            for step, row in run.rows if curve == run.curve else ():
                # Counted by the server when the run was opened: more may have come since we looked.
                if step >= sending.starting_step:
                    sending.log(row, step=step, commit=True)
            sending.summary.update(run.summary)

    def tag(self, run_id: str, tags: tuple[str, ...]) -> None:
        """Set the tags of a run, and nothing else."""
        with _failures():
            run = self._api().run(f"{self.path}/{run_id}")
            run.tags = list(tags)
            run.update()

    def send_boards(self, boards: Boards, *, again: bool) -> None:
        """Send the run of the boards, with the records as an artifact of it.

        Args:
            boards: what to send.
            again: the run is there; it gets one more row in its history.
        """
        notes = f"Made by zoo publish from boards and records. sha256:{boards.digest}"
        with self._run(RUN, RUN, RUN, notes, (), {}, again=again) as sending:
            content: dict[str, Any] = {}
            for shown in boards.shown:
                table = wandb.Table(
                    columns=shown.table.columns, data=shown.table.rows, allow_mixed_types=True
                )
                frontier = wandb.Table(columns=shown.frontier.columns, data=shown.frontier.rows)
                content[f"board/{shown.name}"] = table
                content[f"picture/{shown.name}"] = wandb.Html(shown.picture, inject=False)
                content[f"frontier/{shown.name}"] = wandb.plot.line(
                    frontier, shown.cost, shown.quality, stroke="kind", title=shown.title
                )
            sending.log(content)
            records = wandb.Artifact(
                RECORDS, RECORDS, description="one JSON file a run", metadata=boards.about_files
            )
            for name, text in boards.files.items():
                with records.new_file(name, encoding="utf-8") as file:
                    file.write(text)
            sending.log_artifact(records).wait(timeout=math.ceil(self.patience.timeout_s))

    def has_boards(self, boards: Boards) -> bool:
        """Whether every table, picture and record of the boards' run has arrived."""
        with _failures():
            api = self._api()
            run = api.run(f"{self.path}/{RUN}")
            files = {file.name for file in run.files(per_page=500)}
            for shown in boards.shown:
                for key in ("board/{}", "picture/{}", "frontier/{}_table"):
                    sent = run.summary.get(key.format(shown.name)) or {}
                    if sent.get("path") not in files:
                        return False
            charts = run.rawconfig.get("_wandb", {}).get("visualize", {})
            if any(f"frontier/{shown.name}" not in charts for shown in boards.shown):
                return False
            name = f"{self.path}/{RECORDS}:latest"
            if not api.artifact_exists(name, type=RECORDS):
                return False
            return bool(api.artifact(name, type=RECORDS).metadata == boards.about_files)

    def project_id(self) -> str:
        """Return the server's number of the project."""
        with _failures():
            runset = wr.Runset(entity=self.entity, project=self.project)
            return str(runset._to_model().project.id)

    def reports(self) -> list[tuple[str, str]]:
        """Return id and description of the reports that `zoo publish` made, the oldest first."""
        with _failures():
            api = self._api()
            if not self._exists(api):
                return []
            ours = [
                r for r in api.reports(self.path, per_page=100) if MARK in (r.description or "")
            ]
            return [(r.id, r.description) for r in sorted(ours, key=lambda r: (r.created_at, r.id))]

    def save_report(self, report: wr.Report, report_id: str | None) -> None:
        """Write a report in the place of another one; with None, a new one."""
        with _failures():
            report.id = report_id or ""
            report.save()

    def report_url(self, report_id: str) -> str:
        """Return where a report is read."""
        with _failures():
            report = wr.Report(project=self.project, entity=self.entity, title=TITLE)
            report.id = report_id
            return str(report.url)

    def delete_report(self, report_id: str) -> None:
        """Remove a report of ours: one that a lost answer made twice."""
        with _failures():
            twin = wr.Report(project=self.project, entity=self.entity)
            twin.id = report_id
            twin.delete()

    def _api(self) -> wandb.Api:
        wandb.setup(settings=self._settings())  # once, and again after a failure
        return wandb.Api(timeout=self.patience.timeout_s)

    def _exists(self, api: wandb.Api) -> bool:
        return any(p.name == self.project for p in api.projects(self.entity))

    @contextlib.contextmanager
    def _run(
        self,
        run_id: str,
        name: str,
        kind: str,
        notes: str,
        tags: tuple[str, ...],
        config: dict[str, Any],
        *,
        again: bool,
    ) -> Iterator[Any]:
        with _failures():
            wandb.setup(settings=self._settings())
            run = wandb.init(
                entity=self.entity,
                project=self.project,
                id=run_id,
                name=name,
                job_type=kind,
                notes=notes,
                tags=tags,
                config=config,  # at once with the notes, which say what is there
                resume="allow" if again else None,
                reinit="create_new",
                dir=str(self.folder),
                settings=self._settings(),
            )
            try:
                yield run
            except BaseException:
                run.finish(exit_code=1)
                raise
            run.finish()

    def _settings(self) -> wandb.Settings:
        p = self.patience
        # Every kind of request is sent again a few times; then `deliver` decides.
        retries: dict[str, Any] = {
            f"x_{kind}_{key}": value
            for kind in ("graphql", "file_stream", "file_transfer")
            for key, value in (
                ("retry_max", p.tries),
                ("retry_wait_min_seconds", p.wait_s),
                ("retry_wait_max_seconds", 8 * p.wait_s),
                ("timeout_seconds", p.timeout_s),
            )
        }
        return wandb.Settings(
            **PRIVATE,
            mode="online",
            program="zoo publish",
            email="",
            username="",
            x_save_requirements=False,
            init_timeout=2 * p.timeout_s,
            finish_timeout=2 * p.timeout_s,
            finish_timeout_raises=True,
            **retries,
        )


# Where W&B's client keeps its copies.
_FOLDERS = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
# Settings for a training of one's own: they say who and where, or would change what is sent.
_OF_SOMEBODY = tuple(
    f"WANDB_{name}"
    for name in (
        "DESCRIPTION", "DOCKER", "GIT_COMMIT", "GIT_REMOTE_URL", "HOST", "JOB_NAME", "JOB_TYPE",
        "LAUNCH", "MODE", "NAME", "NOTEBOOK_NAME", "NOTES", "PROGRAM", "RESUME", "RUN_GROUP",
        "RUN_ID", "SWEEP_ID", "TAGS", "USERNAME", "USER_EMAIL",
    )
)  # fmt: skip


def _there(run: Any) -> There:
    found = NOTES.search(run.notes or "")
    return There(
        digest=found[1] if found else None,
        curve=found[2] if found else None,
        finished=run.state == "finished",
        running=run.state == "running",
        points=int(run._attrs.get("historyLineCount") or 0),
        tags=tuple(sorted(run.tags or ())),
    )


# What W&B's servers and client say of a key that is none, or of another account.
KEY_REFUSED = re.compile(
    r"\b40[13]\b|unauthori[sz]ed|permission denied|not logged in|relogin|api.key", re.IGNORECASE
)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Say what W&B's many errors come down to: the key, or a server that can be asked again."""
    try:
        yield
    except (wandb.errors.Error, WandbApiFailedError, ServerResponseError, OSError, ValueError) as e:
        said = first_line(e)[:160]
        # What is still on its way belongs to a client that goes on trying: nothing of it may come
        # after what is sent next.
        _end_client()
        if KEY_REFUSED.search(said):
            raise UserError(
                f"W&B at {wandb_server()} does not take the key ({said}); type wandb login --relogin, "
                "or set WANDB_API_KEY, and zoo publish again: nothing is lost or sent twice"
            ) from e
        raise Lost(said) from e


END_S = 30.0  # seconds that W&B's client has to end


def _end_client() -> None:
    """End W&B's client with what it still sends, whatever its service waits for.

    wandb 0.31 waits without a limit for its service, a process of its own, which was once seen to
    wait for itself after requests had been lost.
    """
    service = [p for p in psutil.Process().children() if p.name().startswith("wandb-core")]

    def kill() -> None:
        for process in service:
            with contextlib.suppress(psutil.Error):
                process.kill()

    limit = threading.Timer(END_S, kill)
    limit.start()
    try:
        with contextlib.suppress(SystemExit):  # how wandb says that its service did not end well
            wandb.teardown(exit_code=1)
    finally:
        limit.cancel()
