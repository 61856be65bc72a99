"""Sending what the server lacks: look, send, look again, until nothing lacks.

A request whose answer is lost may have had its effect or not. So nothing counts as published because
it was sent: the server is asked what it has, which is also how a `zoo publish` that was cut off goes
on, from any machine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from zoo.errors import UserError
from zoo.network import wandb_server
from zoo.publishing.boards import RUN
from zoo.publishing.bundle import Bundle
from zoo.publishing.journal import Journal
from zoo.publishing.report import report_of
from zoo.publishing.run import Run
from zoo.publishing.server import Lost, Patience, Server, There

T = TypeVar("T")


@dataclass(slots=True)
class Delivered:
    """What was found at the first look, and is mended now: new, changed or known.

    A run is `training` where a run of training with its id is still going on; it is left alone.
    """

    runs: dict[str, str] = field(default_factory=dict)
    boards: str = ""
    report: str = ""
    report_id: str = ""

    def count(self, word: str) -> int:
        return sum(1 for found in self.runs.values() if found == word)


def lacks(run: Run, there: There | None) -> str | None:
    """Say what a server lacks of a run: all of it (`new`), some (`changed`), its `tags`; None: nothing.

    `training` is one that is not to be touched yet: a run of training that is still going on.
    """
    if there is None:
        return "new"
    if there.digest is None:
        return "training" if there.running else "changed"
    # A curve that is of something else stays as it is: see `Server.send`.
    whole = there.curve != run.curve or there.points == len(run.rows)
    if there.digest == run.digest and there.finished and whole:
        return None if there.tags == run.tags else "tags"
    return "changed"


def deliver(
    bundle: Bundle,
    server: Server,
    journal_path: Path,
    *,
    tell: Callable[[int], None] = lambda done: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Delivered:
    """Bring a server to the state of the bundle.

    Args:
        bundle: everything that is to be there.
        server: where.
        journal_path: of the file that is told what is seen to be there.
        tell: called with the number of runs that are there or sent.
        sleep: waits for so many seconds.

    Raises:
        UserError: the server is lost, or does not take the key; it says how far it came.
    """
    done = Delivered()
    bring = partial(_bring, patience=server.patience, sleep=sleep)
    journal = Journal(journal_path, f"{wandb_server()} {server.project}")
    try:
        bring(partial(_open, server), lambda _: None)
        bring(
            partial(_look_at_runs, bundle, server, journal, done, tell),
            partial(_send_run, server),
        )
        bring(
            partial(_look_at_boards, bundle, server, journal, done),
            lambda there: server.send_boards(bundle.boards, again=there is not None),
        )
        report = report_of(bundle.views, server.entity, server.project, None)
        bring(
            partial(_look_at_reports, report.description, server, journal, done),
            partial(_mend_report, bundle, server),
        )
    except Lost as error:
        known = sum(journal.has("run", run.id, run.digest) for run in bundle.runs)
        raise UserError(
            f"W&B does not answer any more ({error}); {known} of {len(bundle.runs)} runs were seen to "
            "be there: type zoo publish again to go on, nothing is lost or sent twice"
        ) from error
    return done


def _bring(
    look: Callable[[], Sequence[T]],
    act: Callable[[T], None],
    *,
    patience: Patience,
    sleep: Callable[[float], None],
) -> None:
    """Look for what lacks and mend it, until nothing lacks.

    Raises:
        Lost: there was no progress for as many tries as the patience has.
    """
    least: int | None = None
    fruitless, acted = 0, False
    while True:
        try:
            todo = look()
            if todo and acted:
                # A server may be slow to show what it has; better to look twice than to send twice.
                sleep(patience.wait_s)
                todo = look()
            if not todo:
                return
            fruitless = 0 if least is None or len(todo) < least else fruitless + 1
            least = len(todo) if least is None else min(least, len(todo))
            acted = False
            if fruitless > patience.tries:
                raise Lost("what was sent does not appear")
            for item in todo:
                act(item)
            acted = True
        except Lost:
            fruitless += 1
            if fruitless > patience.tries:
                raise
            sleep(min(patience.wait_s * 2**fruitless, 60.0))


def _open(server: Server) -> Sequence[None]:
    server.open()
    return ()  # nothing lacks


def _look_at_runs(
    bundle: Bundle,
    server: Server,
    journal: Journal,
    done: Delivered,
    tell: Callable[[int], None],
) -> list[tuple[Run, There | None, str]]:
    there = server.runs()
    todo = []
    for run in bundle.runs:
        found = there.get(run.id)
        lacking = lacks(run, found)
        done.runs.setdefault(run.id, {None: "known", "tags": "changed"}.get(lacking, str(lacking)))
        if lacking is None:
            journal.add("run", run.id, run.digest)
        elif lacking != "training":
            todo.append((run, found, lacking))
    tell(len(bundle.runs) - len(todo))
    return todo


def _send_run(server: Server, item: tuple[Run, There | None, str]) -> None:
    run, there, lacking = item
    if lacking == "tags":
        server.tag(run.id, run.tags)
    else:
        server.send(run, there)


def _look_at_boards(
    bundle: Bundle, server: Server, journal: Journal, done: Delivered
) -> list[There | None]:
    there = server.runs().get(RUN)
    digest = bundle.boards.digest
    whole = (
        there is not None
        and there.digest == digest
        and there.finished
        and server.has_boards(bundle.boards)
    )
    done.boards = done.boards or ("known" if whole else "changed" if there else "new")
    if whole:
        journal.add("boards", RUN, digest)
    return [] if whole else [there]


def _look_at_reports(
    description: str, server: Server, journal: Journal, done: Delivered
) -> list[tuple[str, str | None]]:
    """Return what to do: save into the oldest report that is ours, or a new one; delete the others."""
    ours = server.reports()
    todo: list[tuple[str, str | None]] = [("delete", twin) for twin, _ in ours[1:]]
    if not ours or ours[0][1] != description:
        todo.insert(0, ("save", ours[0][0] if ours else None))
    done.report = done.report or ("known" if not todo else "changed" if ours else "new")
    if not todo:
        done.report_id = ours[0][0]
        journal.add("report", done.report_id, description.rpartition(":")[2])
    return todo


def _mend_report(bundle: Bundle, server: Server, item: tuple[str, str | None]) -> None:
    what, report_id = item
    if what == "delete":
        assert report_id is not None
        server.delete_report(report_id)
    else:
        report = report_of(bundle.views, server.entity, server.project, server.project_id())
        server.save_report(report, report_id)
