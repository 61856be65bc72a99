"""A sweep on one screen: done, running, failed and why, left, the time, and the frontier so far."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zoo.leaderboard.store import Stored, read_record
from zoo.sweeps.plan import Left, Plan
from zoo.sweeps.status import ENDED, State, Status

SHOWN = 8  # rows of a kind; the rest is counted


def duration(seconds: float) -> str:
    """Return a duration for a person.

    >>> duration(42), duration(600), duration(7200), duration(200_000)
    ('42 s', '10 min', '2.0 h', '2.3 days')
    """
    for unit, size, most in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def time_left(left: Left, workers: int = 1) -> str:
    """Return how long the rest takes, in a phrase."""
    if left.runs == 0:
        return "nothing left"
    unknown = (
        f"{left.unknown} of them unlike any run here before, so not in it" if left.unknown else ""
    )
    if left.unknown == left.runs:
        return f"{left.runs} left, {'all ' if left.runs > 1 else ''}unlike any run here before, so no time is known"
    spread = f" ({workers} at a time)" if workers > 1 else ""
    words = [f"{left.runs} left", f"about {duration(left.seconds / workers)}{spread}", unknown]
    return ", ".join(w for w in words if w)


def line(plan: Plan, workers: int = 1) -> str:
    """Return the sweep in a line."""
    kinds: list[tuple[str, tuple[State, ...]]] = [
        ("done", ENDED),
        ("of them diverged", ("diverged",)),
        ("running", ("running",)),
        ("failed", ("failed",)),
        ("cut off", ("cut off",)),
    ]
    counts = [
        f"{plan.count(*states)} {word}"
        for word, states in kinds
        if word == "done" or plan.count(*states)
    ]
    runs = f"{len(plan.jobs)} run{'' if len(plan.jobs) == 1 else 's'}"
    return f"{runs}: {', '.join(counts)}; {time_left(plan.left, workers)}"


def screen(plan: Plan) -> RenderableType:
    """Return the sweep for a terminal."""
    running = plan.count("running")
    parts: list[RenderableType] = [
        Text(f"{plan.name or 'sweep'}: {line(plan, max(1, running))}", style="bold"),
        ProgressBar(total=len(plan.jobs), completed=plan.count(*ENDED), width=60),
        Text(),
    ]
    for state, heading in (("running", "running"), ("failed", "failed"), ("diverged", "diverged")):
        rows = [s for s in plan.found if s.state == state]
        if rows:
            parts.append(_table(heading, plan, rows))
    return Group(*parts)


def _table(heading: str, plan: Plan, rows: list[Status]) -> Table:
    table = Table.grid(padding=(0, 2))
    for status in rows[:SHOWN]:
        about = status.reason
        if status.state == "running":
            about = f"for {duration(status.running_s)}"
        table.add_row(
            Text(f"  {heading}", style="red" if heading == "failed" else "cyan"),
            Text(status.id or ""),
            Text(plan.words(status.job)),
            Text(about),
        )
    if len(rows) > SHOWN:
        table.add_row("", "", Text(f"and {len(rows) - SHOWN} more"), "")
    return table


def frontier_so_far(console: Console, plan: Plan, leaderboards: Path) -> None:
    """Print the boards that this sweep fills, from its own runs alone."""
    from zoo.leaderboard.boards import load_boards, view
    from zoo.leaderboard.terminal import print_board

    stored = []
    for status in plan.found:
        if status.record is not None and status.id is not None:
            home = Path(status.job.settings["paths"]["output_dir"]) / status.id
            record = read_record(home / "record.json")
            stored.append(Stored(record, home / "record.json", curated=False))
    for board in load_boards(leaderboards).values():
        if plan.name and plan.name in board.sweeps:
            filled = view(board, [s.record for s in stored])
            if filled.groups:
                print_board(console, filled, stored, top=SHOWN)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the sweep as plain data."""
    left = plan.left
    return {
        "sweep": plan.name,
        "runs": len(plan.jobs),
        "left": {"runs": left.runs, "seconds": left.seconds, "unknown": left.unknown},
        "jobs": [
            {
                "id": s.id, "state": s.state, "reason": s.reason or None,
                "overrides": list(s.job.overrides),
            }
            for s in plan.found
        ],
    }  # fmt: skip
