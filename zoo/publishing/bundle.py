"""Everything that is published, gathered from records and boards without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.leaderboard.boards import Board, View, select, view
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import Problem, Stored
from zoo.publishing.boards import Boards, boards_of
from zoo.publishing.run import Run, one_of_each, refusal, run_of


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is sent, and what is not: a record that is refused is on no board of it either."""

    runs: list[Run]
    views: list[View]
    boards: Boards
    refused: list[Problem]


def gather(stored: Sequence[Stored], boards: Mapping[str, Board]) -> Bundle:
    """Return what is published of these records, on these boards."""
    records: list[Record] = []
    refused: list[Problem] = []
    for item in stored:
        reason = refusal(item.record)
        if reason is None:
            records.append(item.record)
        else:
            refused.append(Problem(item.path, reason))
    views = [filled for board in boards.values() if (filled := view(board, records)).groups]
    on: dict[str, list[str]] = {}
    for filled in views:
        for record in select(filled.board, records):
            names = on.setdefault(record.id, [])
            if filled.board.name not in names:
                names.append(filled.board.name)
    runs = [run_of(record, on.get(record.id, ())) for record in one_of_each(records)]
    return Bundle(runs, views, boards_of(views, records), refused)


def listing(bundle: Bundle) -> dict[str, Any]:
    """Return what would be sent, to be read by a person."""
    return {
        "runs": [
            {
                "id": run.id, "name": run.name, "tags": list(run.tags),
                "configuration": len(run.config), "summary": len(run.summary),
                "points": len(run.rows), "sha256": run.digest,
            }
            for run in bundle.runs
        ],
        "boards": [
            {
                "name": shown.name, "rows": len(shown.table.rows),
                "on_frontier": len(shown.frontier.rows), "picture_bytes": len(shown.picture),
            }
            for shown in bundle.boards.shown
        ],
        "files": {name: len(text) for name, text in bundle.boards.files.items()},
        "refused": [{"file": p.name, "reason": p.reason} for p in bundle.refused],
    }  # fmt: skip
