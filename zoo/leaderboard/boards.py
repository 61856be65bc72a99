"""Boards: a YAML file in leaderboards/ asks a question, `view` answers it from records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zoo.errors import UserError, suggest
from zoo.extensions import extensions
from zoo.leaderboard.definition import read_definition
from zoo.leaderboard.frontier import Cell, Direction, Group, cell_of, frontier, hardware_class
from zoo.leaderboard.record import Finite, Record
from zoo.leaderboard.target import KEYS as TARGET_KEYS
from zoo.leaderboard.target import Target


class Axis(BaseModel):
    """A metric of the records and which way is better.

    Rows whose mean is beyond `worst`, in the metric's own unit, are in tables and in no plot: a run that
    all but diverged would leave the others no room.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    label: str
    direction: Direction
    log: bool = False
    percent: bool = False
    worst: Finite | None = None

    def is_beyond(self, value: float) -> bool:
        """Whether a value is worse than the worst that is drawn."""
        if self.worst is None:
            return False
        return value > self.worst if self.direction == "min" else value < self.worst


class Baseline(BaseModel):
    """The rows that others are compared with, seed by seed: `where`, alike in the keys `within`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: dict[str, Any] = Field(min_length=1)
    within: list[str] = []


class Reported(BaseModel):
    """A figure of a paper; shown apart, never on the frontier.

    It is in the unit of `quality`, unless `metric` says what it is of, and then it is shown as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    quality: Finite
    metric: str | None = None
    source: str
    verified: bool


class Board(BaseModel):
    """What a board shows; docs/boards.md describes the keys.

    `sweeps` are the files of sweeps/ whose runs fill it. `where` maps dotted keys to a value or a list of values: of the configuration
    (`model.name`), or of `data.*`, `hardware.*`, `status`. `columns` are configuration keys that
    tell the groups apart; left out, they are the keys in which the groups differ. `target` is what
    the costs `target/*` are counted up to. Rows that differ in a key of `apart` have frontiers of
    their own. Rows with fewer runs than `minimum_seeds` are shown, and on no frontier.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    question: str
    paper: str | None = None
    sweeps: list[str] = []
    where: dict[str, Any] = Field(default_factory=dict)
    quality: Axis
    costs: list[Axis] = Field(min_length=1)
    columns: list[str] | None = None
    target: Target | None = None
    apart: list[str] = []
    minimum_seeds: int = Field(1, ge=1)
    baseline: Baseline | None = None
    reported: list[Reported] = []

    @model_validator(mode="after")
    def _costs_and_target_go_together(self) -> "Board":
        axes = {"quality": self.quality, **{f"costs.{i}": a for i, a in enumerate(self.costs)}}
        reading = {f"{name}.key": a.key for name, a in axes.items() if a.key.startswith("target/")}
        for place, key in reading.items():
            if key not in TARGET_KEYS:
                raise ValueError(f"{place}: {key}: no such cost{suggest(key, TARGET_KEYS)}")
            if self.target is None:
                raise ValueError(f"{place}: {key} needs a target; add target: with key and value")
        if self.target is not None and not reading:
            raise ValueError(
                f"target.key: {self.target.key}: no cost is counted up to it; add one such as "
                "target/steps"
            )
        return self

    def cell(self, records: Sequence[Record], key: str) -> Cell:
        """Summarise a metric, or a cost up to the target, over the runs of a group."""
        if self.target is not None and key in TARGET_KEYS:
            return self.target.cell(records, key)
        return cell_of(records, key)

    def kind(self, group: Group) -> str:
        """Return what the keys of `apart` are in a group: rows of two kinds are no match."""
        return ", ".join(f"{key} {show(get(group.config, key))}" for key in self.apart)

    def value(self, record: Record, key: str) -> float | None:
        """Return a metric, or a cost up to the target, of one run; a mean curve is of no run."""
        if self.target is not None and key in TARGET_KEYS and self.target.over == "mean":
            return None
        if self.target is not None and key in TARGET_KEYS:
            return self.target.cost(record, key)
        return record.metrics.get(key)


@dataclass(frozen=True, slots=True)
class View:
    """A board filled with records: groups of seeds, best quality first."""

    board: Board
    cost: Axis
    groups: list[Group]
    columns: list[str]
    hardware: list[str]

    def label(self, group: Group) -> str:
        """Return the words that tell this group from the others, for a plot's point."""
        words = []
        for column in self.columns:
            value, key = show(get(group.config, column)), column.rsplit(".", 1)[-1]
            # A name says what it is, a number does not; what is off need not be said.
            if value and (key == "name" or value != "none"):
                words.append(value if key == "name" else f"{key} {value}")
        return " ".join(words) or "all"


def load_board(path: Path) -> Board:
    """Read one board.

    Raises:
        UserError: the file is no valid board; the sentence names the key.
    """
    wanted = "a board is a mapping with title, question, quality, costs"
    return read_definition(path, Board, wanted, name=path.stem)


def load_boards(folder: Path) -> dict[str, Board]:
    """Read every board of a folder and of the extensions, by name.

    Raises:
        UserError: a file is no valid board, or two boards have one name.
    """
    found: dict[str, Board] = {}
    for home in (folder, *(e.leaderboards for e in extensions())):
        for path in sorted(home.glob("*.yaml")):
            if path.stem in found:
                raise UserError(f"{path}: there is a board {path.stem} already; rename this one")
            found[path.stem] = load_board(path)
    return found


def curves_needed(boards: Iterable[Board]) -> set[str]:
    """Return the metrics whose curves these boards read."""
    return {board.target.key for board in boards if board.target is not None}


def choose(boards: Mapping[str, Board], name: str) -> Board:
    """Return a board by name.

    Raises:
        UserError: there is none; the sentence has the nearest names.
    """
    if name not in boards:
        raise UserError(f"board {name}: no such board{suggest(name, boards)}")
    return boards[name]


def get(tree: Mapping[str, Any], dotted: str) -> Any:
    """Return the value at a dotted key, or None where there is none."""
    node: Any = tree
    for part in dotted.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _field(record: Record, key: str) -> Any:
    if key == "status":
        return record.status
    section, _, name = key.partition(".")
    if section == "hardware":
        return getattr(record.hardware, name, None)
    if section == "data" and name in type(record.data).model_fields:
        return getattr(record.data, name)
    return get(record.config, key)


def select(board: Board, records: Iterable[Record]) -> list[Record]:
    """Return the records that the board's `where` lets in."""
    wanted = [(k, v if isinstance(v, list) else [v]) for k, v in board.where.items()]
    return [r for r in records if all(_field(r, key) in allowed for key, allowed in wanted)]


def view(board: Board, records: Iterable[Record], cost_key: str | None = None) -> View:
    """Fill a board with records.

    Args:
        board: the question.
        records: every record at hand; the board selects among them.
        cost_key: which of the board's costs to rank against; the first where None.

    Raises:
        UserError: the board has no such cost.
    """
    by_key = {axis.key: axis for axis in board.costs}
    if cost_key is not None and cost_key not in by_key:
        raise UserError(
            f"cost {cost_key}: board {board.name} has no such cost{suggest(cost_key, by_key)}"
        )
    return views(board, records, [by_key[cost_key] if cost_key else board.costs[0]])[0]


def views(board: Board, records: Iterable[Record], costs: Sequence[Axis]) -> list[View]:
    """Fill a board with records, once for each of these costs."""
    chosen = select(board, records)
    filled: list[View] = []
    for cost in costs:
        groups = frontier(
            chosen,
            cost.key,
            board.quality.key,
            cost_direction=cost.direction,
            quality_direction=board.quality.direction,
            cell=board.cell,
            minimum_seeds=board.minimum_seeds,
            apart=board.kind,
        )
        for group in groups:
            for axis in board.costs:
                if axis.key not in group.cells:
                    group.cells[axis.key] = board.cell(group.records, axis.key)
        # What tells groups apart does not depend on the cost that they are ranked against.
        if filled:
            columns, hardware = filled[0].columns, filled[0].hardware
        else:
            columns = board.columns if board.columns is not None else differing_keys(groups)
            hardware = sorted({hardware_class(r) for g in groups for r in g.records})
        filled.append(View(board, cost, groups, columns, hardware))
    return filled


def differing_keys(groups: Iterable[Group]) -> list[str]:
    """Return the configuration keys in which the groups differ, `X.name` first and alone.

    Where a section's name differs (model.name), the keys beneath that differ with it are left out
    as long as the name alone tells the groups apart.
    """
    flats = [flatten({k: v for k, v in g.config.items() if k != "seed"}) for g in groups]
    if len(flats) < 2:
        return ["model.name"] if flats and "model.name" in flats[0] else []
    keys = dict.fromkeys(k for flat in flats for k in flat)
    differ = [k for k in keys if len({repr(flat.get(k)) for flat in flats}) > 1]
    differ.sort(key=lambda k: not k.endswith(".name"))
    chosen: list[str] = []
    classes = 1
    for key in differ:
        refined = len({tuple(repr(flat.get(k)) for k in [*chosen, key]) for flat in flats})
        if refined > classes:
            chosen.append(key)
            classes = refined
    return chosen


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every leaf of a tree by its dotted key; a list is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def show(value: Any) -> str:
    """Format a configuration value for a table: short, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ",".join(show(v) for v in value)
    return str(value)


def show_interval(cell: Cell | None, axis: Axis) -> str:
    """Format the interval of a cell's mean; `one seed` where there is no telling."""
    if cell is None or cell.mean is None:
        return ""
    if cell.interval is None:
        return "one seed"
    form = (lambda v: f"{100 * v:.1f}") if axis.percent else show_number
    low, high = form(cell.interval.low), form(cell.interval.high)
    return low if low == high else f"{low}..{high}"


def show_number(value: float) -> str:
    """Format a number in at most five characters and a unit prefix: 0.0123, 12.3, 36.5k, 166G."""
    value = float(f"{value:.3g}")  # rounded first: 999.96 is 1k
    for limit, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{prefix}" if abs(value) < 1e18 else f"{value:.2e}"
    return f"{value:.3g}"


def show_cell(cell: Cell | None, axis: Axis) -> str:
    """Format a cell: mean ± standard deviation; the n stands in its own column."""
    if cell is None or cell.mean is None:
        return f"- ({cell.n} of {cell.n + cell.missing})" if cell is not None and cell.n else "-"
    if axis.percent:
        text, spread = f"{100 * cell.mean:.2f}", f"{100 * (cell.std or 0.0):.2f}"
    else:
        text, spread = show_number(cell.mean), show_number(cell.std or 0.0)
    # Without a second run there is no spread, and none of exactly zero is worth the room.
    return text if not cell.std else f"{text} ± {spread}"
