"""Boards and records as tables that fit a terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.leaderboard.boards import (
    View,
    curves_needed,
    get,
    load_boards,
    select,
    show,
    show_cell,
    view,
)
from zoo.leaderboard.frontier import Group, group_key, hardware_class
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import Problem, Stored, scan

# What a run is told by, in this order, where it has them.
SCORES = (
    "test/acc", "val/acc", "test/bits_per_byte", "val/bits_per_byte", "test/loss", "val/loss",
)  # fmt: skip


def board_table(filled: View, groups: list[Group], stored: list[Stored]) -> Table:
    """Return a board as a table, best quality first; `*` marks the Pareto frontier.

    Args:
        filled: the board.
        groups: the rows, of the board's groups.
        stored: the records, for where they stand.
    """
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=filled.board.title, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    quality_key = filled.board.quality.key
    for column in filled.columns:
        table.add_column(_heading(column, filled.columns))
    width = max(
        (len(show_cell(g.cells[quality_key], filled.board.quality)) for g in groups), default=0
    )
    table.add_column(filled.board.quality.label, justify="right", min_width=width)
    table.add_column("n", justify="right")
    for axis in filled.board.costs:
        table.add_column(axis.label, justify="right")
    table.add_column("where")
    curated = {id(s.record) for s in stored if s.curated}
    for group in groups:
        quality = group.cells[quality_key]
        diverged = sum(r.status == "diverged" for r in group.records)
        row = [
            "*" if group.on_frontier else "",
            *(show(get(group.config, c)) for c in filled.columns),
        ]
        row.append(show_cell(quality, filled.board.quality))
        row.append(f"{len(group.records)}" + (f" ({diverged} diverged)" if diverged else ""))
        row += [show_cell(group.cells[a.key], a) for a in filled.board.costs]
        row.append(_where(group, curated))
        # Text, not markup: a name with brackets in it is only a name.
        table.add_row(*(Text(cell) for cell in row), style="bold" if group.on_frontier else None)
    return table


def _heading(column: str, columns: Sequence[str]) -> str:
    """Shorten a key as far as the others let it: there are 80 columns for all of them."""
    if column.endswith(".name"):
        return column.removesuffix(".name")
    last = column.rpartition(".")[2]
    return last if sum(c.rpartition(".")[2] == last for c in columns) == 1 else column


def _where(group: Group, curated: set[int]) -> str:
    count = sum(id(r) in curated for r in group.records)
    total = len(group.records)
    where = (
        ("curated" if count else "local") if count in (0, total) else f"{count} of {total} curated"
    )
    return where + (", emulated" if any(r.emulated for r in group.records) else "")


def print_board(console: Console, filled: View, stored: list[Stored], *, top: int = 0) -> None:
    """Print a board and what its marks mean: the frontier and the `top` best rows (0: all)."""
    if not filled.groups:
        console.print(
            f"{filled.board.title}: no records yet; make one with: python train.py", markup=False
        )
        return
    shown = [g for i, g in enumerate(filled.groups) if not top or i < top or g.on_frontier]
    console.print(board_table(filled, shown, stored))
    hidden = len(filled.groups) - len(shown)
    n1 = sum(len(g.records) == 1 for g in filled.groups)
    notes = [
        f"* on the Pareto frontier against {filled.cost.label}",
        "mean ± standard deviation over n seeds",
    ]
    if filled.board.target is not None:
        notes.append(str(filled.board.target))
    if hidden:
        notes.append(f"{hidden:,} rows more with --top 0")
    if n1:
        notes.append(f"{n1} of {len(filled.groups)} groups have one seed only")
    if len(filled.hardware) > 1:
        notes.append(
            f"times come from {len(filled.hardware)} kinds of hardware: {'; '.join(filled.hardware)}"
        )
    console.print("; ".join(notes) + ".\n", style="dim", markup=False)


def print_problems(console: Console, problems: list[Problem]) -> None:
    """Name the files that are no valid records."""
    for problem in problems:
        console.print(
            f"left out {problem.path.name}: {problem.reason}", style="yellow", markup=False
        )


def report(record: Record, output_dir: Path, curated_dir: Path, boards_dir: Path) -> None:
    """Print what was trained, how well, how fast, where the record is, and its rank on the boards."""
    console = Console()
    table = Table(box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    c = record.config
    words = [str(get(c, f"{k}.name")) for k in ("model", "data", "precision", "optimizer", "delay")]
    table.add_row(
        "trained", Text(" + ".join(w for w in words if w != "none") + f", seed {record.seed}")
    )
    scores = [(k, record.metrics.get(k)) for k in SCORES]
    table.add_row(
        "how well", "  ".join(_score(k, v) for k, v in scores if v is not None) or record.status
    )
    table.add_row("how fast", _speed(record))
    boards = [b for b in load_boards(boards_dir).values() if select(b, [record])]
    stored, _ = scan(output_dir, curated_dir, curves=curves_needed(boards))
    for board in boards:
        # Ranks are among runs on the same hardware, as their times are.
        rivals = [s.record for s in stored if hardware_class(s.record) == hardware_class(record)]
        filled = view(board, rivals)
        place = next((i for i, g in enumerate(filled.groups) if g.key == group_key(record)), None)
        if place is not None and record.status == "finished":
            on = "on" if filled.groups[place].on_frontier else "not on"
            table.add_row(
                "rank",
                Text(f"{place + 1} of {len(filled.groups)} on board {board.name}, {on} its frontier "
                     f"(zoo board {board.name})"),
            )  # fmt: skip
    console.print(table)
    path = output_dir / record.id / "record.json"
    console.print(f"  record     {path}", markup=False, highlight=False, soft_wrap=True)


def one_line(record: Record) -> str:
    """Return the record in a line, for a sweep that goes over what is done before."""
    quality = next(
        (
            f", {_score(k, v)}"
            for k in ("test/acc", "test/bits_per_byte", "test/loss")
            if (v := record.metrics.get(k)) is not None
        ),
        "",
    )
    return f"run {record.id} was done before ({record.status}{quality}): {record.command}"


def _score(key: str, value: float) -> str:
    return f"{key} {100 * value:.2f}%" if key.endswith("acc") else f"{key} {value:.4f}"


def _speed(record: Record) -> str:
    m = record.metrics
    parts = []
    for key, form in (
        ("train/steps", "{:,.0f} steps"),
        ("time/train_s", "{:,.1f} s of training"),
        ("time/eval_s", "{:,.1f} s of evaluation"),
        ("perf/samples_per_s", "{:,.0f} samples/s"),
    ):
        value = m.get(key)
        if value is not None:
            parts.append(form.format(value))
    return ", ".join(parts) + (" (emulated arithmetic)" if record.emulated else "")
