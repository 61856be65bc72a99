"""The boards as one W&B run: for each a table, its frontier as a chart, and as a picture."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.leaderboard.boards import View, get, show
from zoo.leaderboard.certainty import membership_of
from zoo.leaderboard.frontier import Group
from zoo.leaderboard.page.figure import frontier_svg
from zoo.leaderboard.record import Record

RUN = "boards"  # the run's id, and its job type


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text and numbers; None where there is none."""

    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is sent of a board that has records."""

    name: str
    table: Table
    frontier: Table  # columns: row, cost, quality, kind
    cost: str
    quality: str
    title: str
    picture: str  # SVG


@dataclass(frozen=True, slots=True)
class Boards:
    """What is sent beside the records' runs: every board, and the records as files."""

    shown: list[Shown]
    files: dict[str, str]  # the artifact's, by name
    digest: str

    @property
    def about_files(self) -> dict[str, Any]:
        """What tells one set of files from another."""
        content = json.dumps(self.files, sort_keys=True).encode()
        return {"records": len(self.files), "sha256": hashlib.sha256(content).hexdigest()}


def boards_of(views: Sequence[View], records: Sequence[Record]) -> Boards:
    """Return what is sent of these boards and records.

    Args:
        views: boards that have records.
        records: all, also those that are on no board.
    """
    shown = [_shown(view) for view in views]
    files = _files(records)
    content = json.dumps(
        [[s.table.columns, s.table.rows, s.frontier.rows, s.title, s.picture] for s in shown]
        + [files],
        sort_keys=True,
    )
    return Boards(shown, files, hashlib.sha256(content.encode()).hexdigest())


def _files(records: Sequence[Record]) -> dict[str, str]:
    files: dict[str, str] = {}
    for record in sorted(records, key=lambda r: (r.id, r.created_at)):
        # The same run on another kind of hardware is a file of its own.
        twins = sum(name.startswith(record.id) for name in files)
        files[f"{record.id}{f'.{twins + 1}' if twins else ''}.json"] = record.to_json()
    return files


def _shown(view: View) -> Shown:
    board = view.board
    chances = membership_of(view)
    metrics = [board.quality.key, *dict.fromkeys(axis.key for axis in board.costs)]
    columns = ["on frontier", *view.columns]
    for key in metrics:
        columns += [key, f"{key} low", f"{key} high", f"{key} std"]
    columns += ["n", "diverged", "sure", "hardware", "runs"]
    rows: list[list[Any]] = []
    for group in view.groups:
        row: list[Any] = [group.on_frontier, *(show(get(group.config, c)) for c in view.columns)]
        for key in metrics:
            row += _cells(group, key)
        diverged = sum(r.status == "diverged" for r in group.records)
        row += [len(group.records), diverged, chances.get(group.key), group.hardware]
        rows.append([*row, " ".join(r.id for r in group.records)])
    return Shown(
        board.name, Table(columns, rows), _frontier(view), view.cost.key, board.quality.key,
        f"{board.title}: the frontier", frontier_svg(view),
    )  # fmt: skip


def _cells(group: Group, key: str) -> list[float | None]:
    cell = group.cells[key]
    interval = cell.interval
    low, high = (interval.low, interval.high) if interval is not None else (None, None)
    return [cell.mean, low, high, cell.std]


def _frontier(view: View) -> Table:
    """The rows on the frontier along the cost: a chart's line, one for each kind."""
    quality = view.board.quality.key
    rows = []
    for group in view.groups:
        cost, merit = group.cells[view.cost.key].mean, group.cells[quality].mean
        if group.on_frontier:
            kind = ", ".join(filter(None, (group.hardware, view.board.kind(group))))
            rows.append([view.label(group), cost, merit, kind])
    rows.sort(key=lambda r: (r[3], r[1]))
    return Table(["row", view.cost.key, quality, "kind"], rows)
