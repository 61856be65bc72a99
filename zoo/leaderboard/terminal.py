"""Boards and records as tables that fit a terminal."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.leaderboard.boards import (
    Axis,
    View,
    get,
    show,
    show_cell,
    show_interval,
)
from zoo.leaderboard.certainty import Certainty
from zoo.leaderboard.frontier import (
    Cell,
    Group,
    depends_on_hardware,
)
from zoo.leaderboard.statistics.interval import METHOD
from zoo.leaderboard.store import Problem, Stored

WIDE = 100  # columns of a terminal that has room for every cost
LEAST = 28  # columns for what was run; costs are left out where there are fewer


def board_table(
    filled: View,
    groups: list[Group],
    stored: list[Stored],
    sure: Certainty | None = None,
    *,
    baseline: bool = False,
    narrow: bool = False,
    width: int | None = None,
) -> Table:
    """Return a board as a table, best quality first; `*` marks the Pareto frontier.

    Args:
        filled: the board.
        groups: the rows, of the board's groups.
        stored: the records, for where they stand.
        sure: how sure its frontier is.
        baseline: show the distance to the baseline in the place of costs.
        narrow: leave out the standard deviation, which the interval has in it, and all costs but the
            one that is ranked against.
        width: of the terminal; where the columns of what was run do not fit, they are words in one.
    """
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=filled.board.title, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    quality_key = filled.board.quality.key
    # What a table's rows are kept apart by stands above it.
    columns = [c for c in filled.columns if c not in filled.board.apart]
    costs = [] if baseline else [filled.cost] if narrow else filled.board.costs
    cells = {g.key: g.cells[quality_key] for g in groups}
    if narrow:
        cells = {key: _mean_of(cell) for key, cell in cells.items()}
    widest = max((len(show_cell(cell, filled.board.quality)) for cell in cells.values()), default=0)
    label = _wrapped(filled.board.quality.label, max(widest, 9))
    curated = {id(s.record) for s in stored if s.curated}
    # Said once below the table where it is the same for all rows: 80 columns are few.
    placed = len({_where(g, curated) for g in filled.groups}) > 1 and not narrow
    beside = _beside(filled, groups, stored, baseline=baseline, narrow=narrow)
    settings = {g.key: _settings(g, columns) for g in groups}
    headings = [_heading(column, columns) for column in columns]
    together = (
        bool(columns)
        and width is not None
        and beside + _needed(headings, settings.values()) > width
    )
    if together:
        headings = ["what was run"]
        settings = {
            g.key: [" ".join(f"{_heading(c, columns).replace(' ', '_')}={word}"
                    for c, word in zip(columns, settings[g.key], strict=True) if word)]
            for g in groups
        }  # fmt: skip
    for i, heading in enumerate(headings):
        longest = max((len(words[i]) for words in settings.values()), default=0)
        table.add_column(heading if together else _wrapped(heading, longest), overflow="fold")
    table.add_column(label, justify="right", no_wrap=True)
    table.add_column("95%", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("sure", justify="right", no_wrap=True, min_width=4)
    if baseline:
        table.add_column("vs baseline", justify="right")
        table.add_column("p (Holm)", justify="right")
    for axis in costs:
        longest = max((len(_cost(g, axis, narrow)) for g in groups), default=0)
        table.add_column(_wrapped(axis.label, longest), justify="right", min_width=longest)
    if placed:
        table.add_column("where")
    for group in groups:
        quality = group.cells[quality_key]
        diverged = sum(r.status == "diverged" for r in group.records)
        row = [
            "*" if group.on_frontier else "",
            *settings[group.key],
        ]
        row.append(show_cell(cells[group.key], filled.board.quality))
        row.append(show_interval(quality, filled.board.quality))
        few = "!" if len(group.records) < max(2, filled.board.minimum_seeds) else ""
        row.append(f"{len(group.records)}{few}" + (f" ({diverged} diverged)" if diverged else ""))
        chance = sure.membership.get(group.key) if sure is not None else None
        row.append(f"{100 * chance:.0f}%" if chance is not None else "")
        if baseline:
            row += _against_baseline(filled, group, sure)
        else:
            row += [_cost(group, a, narrow) for a in costs]
        if placed:
            row.append(_where(group, curated))
        # Text, not markup: a name with brackets in it is only a name.
        table.add_row(*(Text(cell) for cell in row), style="bold" if group.on_frontier else None)
    return table


def _beside(
    filled: View, groups: list[Group], stored: list[Stored], *, baseline: bool, narrow: bool
) -> int:
    """Return how many columns of a terminal are taken by what is beside the settings."""
    axis = filled.board.quality
    shown = [g.cells[axis.key] for g in groups]
    row = ["*", "123 (4 diverged)" if _diverged(groups) else "123!", "100%", "-1234..-1234"]
    row.append(
        max((show_cell(_mean_of(c) if narrow else c, axis) for c in shown), key=len, default="")
    )
    row += ["+12.34 (-12.34..12.34)", "<0.001"] if baseline else []
    costs = [] if baseline else [filled.cost] if narrow else filled.board.costs
    taken = 2 + _needed([], [row])
    taken += _needed(
        [a.label for a in costs], [[_cost(g, a, narrow) for a in costs] for g in groups]
    )
    curated = {id(s.record) for s in stored if s.curated}
    places = {_where(g, curated) for g in filled.groups}
    return taken + (max(map(len, places)) + 2 if len(places) > 1 and not narrow else 0)


def _diverged(groups: Iterable[Group]) -> bool:
    return any(r.status == "diverged" for g in groups for r in g.records)


def _settings(group: Group, columns: Sequence[str]) -> list[str]:
    return [show(get(group.config, c)) for c in columns]


def _wrapped(heading: str, width: int) -> str:
    """Break a heading between words: a table takes room from its widest column first."""
    return textwrap.fill(
        heading, max([width, *map(len, heading.split()), 1]), break_long_words=False
    )


def _needed(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Return how wide columns are in which no word is broken."""
    widths = [max(map(len, heading.split()), default=0) for heading in headings]
    for row in rows:
        widths = widths or [0] * len(row)
        widths = [max(w, len(word)) for w, word in zip(widths, row, strict=True)]
    return sum(w + 2 for w in widths)  # a space on either side


def _cost(group: Group, axis: Axis, narrow: bool) -> str:
    """Format a cost; where there is no column that says it, an emulated format's time is marked."""
    emulated = any(r.emulated for r in group.records) and depends_on_hardware(axis.key)
    return show_cell(_mean_of(group.cells[axis.key]), axis) + ("~" if narrow and emulated else "")


def _mean_of(cell: Cell) -> Cell:
    """Leave out a cost's spread: `sure` has it in, and `--json` shows it."""
    return dataclasses.replace(cell, std=None)


def _against_baseline(filled: View, group: Group, sure: Certainty | None) -> list[str]:
    found = sure.against_baseline.get(group.key) if sure is not None else None
    if found is None:
        return ["", ""]
    paired, p = found
    axis = filled.board.quality
    cell = show_interval(Cell(paired.effect, paired.std, paired.n), axis)
    effect = f"{100 * paired.effect:+.2f}" if axis.percent else f"{paired.effect:+.3g}"
    return [f"{effect} ({cell})", "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"]


def _heading(column: str, columns: Sequence[str]) -> str:
    """Shorten a key as far as the others let it: there are 80 columns for all of them."""
    if column.endswith(".name"):
        return column.removesuffix(".name")
    last = column.rpartition(".")[2]
    alone = sum(c.rpartition(".")[2] == last for c in columns) == 1
    return (last if alone else column).replace("_", " ")  # a space is where a heading breaks


def _where(group: Group, curated: set[int]) -> str:
    count = sum(id(r) in curated for r in group.records)
    total = len(group.records)
    where = (
        ("curated" if count else "local") if count in (0, total) else f"{count} of {total} curated"
    )
    return where + (", emulated" if any(r.emulated for r in group.records) else "")


def print_board(
    console: Console,
    filled: View,
    stored: list[Stored],
    sure: Certainty | None = None,
    *,
    top: int = 0,
    baseline: bool = False,
    across: bool = False,
) -> None:
    """Print a board and what its marks mean: the frontier and the `top` best rows (0: all).

    Where a time is ranked against, each kind of hardware has a table of its own, unless `across`.
    """
    if not filled.groups:
        console.print(f"{filled.board.title}: {_nothing(filled, stored)}", markup=False)
        return
    shown = [g for i, g in enumerate(filled.groups) if not top or i < top or g.on_frontier]
    beside = _beside(filled, shown, stored, baseline=baseline, narrow=False)
    narrow = console.width < WIDE or beside + LEAST > console.width
    clocked = depends_on_hardware(filled.cost.key) and len(filled.hardware) > 1
    for heading, rows in _parts(filled, shown, clocked and not across).items():
        table = board_table(
            filled, rows, stored, sure, baseline=baseline, narrow=narrow, width=console.width
        )
        table.title = Text(f"{filled.board.title}{f', {heading}' if heading else ''}")
        console.print(table)
    for row in filled.board.reported:
        percent = filled.board.quality.percent and row.metric is None
        value = f"{100 * row.quality:.2f}" if percent else f"{row.quality:g}"
        value = f"{row.metric} {value}" if row.metric is not None else value
        source = row.source if row.verified else f"{row.source}; not verified"
        console.print(
            f"reported, not run here: {row.label}: {value} ({source})", style="dim", markup=False
        )
    hidden = len(filled.groups) - len(shown)
    n1 = sum(len(g.records) == 1 for g in filled.groups)
    notes = [
        f"* on the Pareto frontier against {filled.cost.label}",
        f"mean {'' if narrow else '± standard deviation '}over n seeds, and its interval ({METHOD})",
    ]
    curated = {id(s.record) for s in stored if s.curated}
    places = {_where(g, curated) for g in filled.groups}
    if len(places) == 1 and " of " not in min(places):
        notes.append(f"all records are {places.pop()}")
    elif narrow or len(places) == 1:
        every = [id(r) in curated for g in filled.groups for r in g.records]
        local = every.count(False)
        some = f"{local} of {len(every)} records are local, the others curated"
        told = {0: "all records are curated", len(every): "all records are local"}
        notes.append(told.get(local, some))
        if any(_cost(g, filled.cost, narrow).endswith("~") for g in shown):
            notes.append("~: emulated arithmetic, whose time is not the format's")
    if sure is not None:
        notes.append("sure: the share of resampled seeds that puts the row on the frontier")
    if filled.board.minimum_seeds > 1:
        notes.append(f"!: fewer than {filled.board.minimum_seeds} seeds, on no frontier")
    if baseline and filled.board.baseline is not None:
        base = ", ".join(f"{k}={show(v)}" for k, v in filled.board.baseline.where.items())
        notes.append(f"vs baseline: mean difference to {base} over the seeds of both")
    if filled.board.target is not None:
        notes.append(str(filled.board.target))
    if narrow and len(filled.board.costs) > 1 and not baseline:
        notes.append("a wider terminal shows all costs")
    if hidden:
        notes.append(f"{hidden:,} rows more with --top 0")
    if n1:
        notes.append(f"{n1} of {len(filled.groups)} groups have one seed only (1!)")
    if filled.board.apart:
        notes.append(f"rows that differ in {', '.join(filled.board.apart)} have frontiers apart")
    if clocked and across:
        notes.append(
            f"times of {len(filled.hardware)} kinds of hardware in one table, as asked, though they "
            f"are not comparable: {'; '.join(filled.hardware)}; each has a frontier of its own"
        )
    elif clocked:
        notes.append("a table for each kind of hardware, as their times are not comparable")
    elif len(filled.hardware) > 1 and any(depends_on_hardware(a.key) for a in filled.board.costs):
        notes.append(
            f"times come from {len(filled.hardware)} kinds of hardware: {'; '.join(filled.hardware)}"
        )
    console.print("; ".join(notes) + ".\n", style="dim", markup=False)


def _parts(filled: View, groups: list[Group], by_hardware: bool) -> dict[str, list[Group]]:
    """Share the rows out to tables: rows that are no match for each other never stand in one."""
    parts: dict[str, list[Group]] = {}
    for group in groups:
        machine = f"on {group.hardware}" if by_hardware else ""
        heading = ", ".join(p for p in (machine, filled.board.kind(group)) if p)
        parts.setdefault(heading, []).append(group)
    return dict(sorted(parts.items()))


def _nothing(filled: View, stored: list[Stored]) -> str:
    """Say why a board is empty."""
    if not stored:
        return "no records yet; make one with: python train.py"
    where = ", ".join(f"{k}={v}" for k, v in filled.board.where.items())
    return f"none of the {len(stored):,} records has {where}"


def print_problems(console: Console, problems: list[Problem]) -> None:
    """Name the files that are no valid records."""
    for problem in problems:
        console.print(
            f"left out {problem.name}: {problem.reason}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
