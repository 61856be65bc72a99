"""From records to the page's data: plain JSON, every text that the page shows made here.

A sweep's runs share most of their configuration, hardware and x values, so whatever can repeat
stands once, in `pool`, and is named by its index there: this keeps 1000 runs in a few megabytes.
"""

import functools
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from zoo.leaderboard.boards import Axis, Board, View, get, show, show_cell, show_number, views
from zoo.leaderboard.certainty import membership_of
from zoo.leaderboard.claims.judge import Judged
from zoo.leaderboard.claims.table import bound_of, measured
from zoo.leaderboard.frontier import Cell, Group, depends_on_hardware, hardware_class
from zoo.leaderboard.methods import Method
from zoo.leaderboard.ranges import MAX_STEPS, ByLayer, OverTraining, Ranges
from zoo.leaderboard.record import Curve, Record
from zoo.leaderboard.statistics.interval import t_quantile
from zoo.leaderboard.store import Problem, Stored

MAX_POINTS = 200  # of a curve: a plot is about 600 pixels wide
MIN_POINTS = 20
# Points of all curves together; a point takes up to some 18 bytes, a y and often an x of its own.
ALL_POINTS = 250_000
MIN_COLUMNS = 16  # of a heat map over training
ALL_CELLS = 500_000  # of all heat maps together; a cell takes some 7 bytes


class Pool:
    """Values by index, equal ones once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._index: dict[str, int] = {}
        self._numbers: dict[tuple[float | None, ...], int] = {}

    def add(self, value: Any) -> int:
        """Return the index of this value, which JSON must be able to hold."""
        key = json.dumps(value)
        if key not in self._index:
            self._index[key] = len(self.items)
            self.items.append(value)
        return self._index[key]

    def add_numbers(self, values: Sequence[float | None]) -> int:
        """Return the index of these numbers, shortened; fast where they are there already."""
        key = tuple(values)
        if key not in self._numbers:
            self._numbers[key] = self.add([_short(v) for v in values])
        return self._numbers[key]


def payload(
    boards: Sequence[Board],
    stored: Sequence[Stored],
    problems: Sequence[Problem],
    claims: Sequence[Judged] = (),
    methods: Sequence[Method] = (),
) -> dict[str, Any]:
    """Return what the page's program reads; page/app.js and its neighbours are the reader."""
    pool = Pool()
    curves = sum(len(item.record.curve) for item in stored)
    points = max(MIN_POINTS, min(MAX_POINTS, ALL_POINTS // max(1, curves)))
    ranges = [item.record.ranges for item in stored if item.record.ranges is not None]
    cells = sum(len(m.step) * len(m.share[0]) for r in ranges for m in r.over_training.values())
    columns = max(MIN_COLUMNS, min(MAX_STEPS, MAX_STEPS * ALL_CELLS // max(1, cells)))
    # By object: a run measured on two machines is there twice.
    order = {id(item.record): index for index, item in enumerate(stored)}
    curated = {id(item.record): item.curated for item in stored}
    records = [item.record for item in stored]
    filled = [_board(board, records, order, curated) for board in boards]
    seeds = max((len(group["runs"]) for board in filled for group in board["groups"]), default=1)
    return {
        "made": _now().strftime("%Y-%m-%d %H:%M UTC"),
        "claims": _claims(claims),
        "methods": [_method(method, claims) for method in methods],
        "boards": filled,
        # By the number of runs, for bands over seeds; one run has none.
        "t95": [None, None, *(_short(t_quantile(n - 1)) for n in range(2, seeds + 1))],
        "runs": [
            _run(item, pool, points, lengths, columns)
            for item, lengths in zip(stored, _longest(filled, records), strict=True)
        ],
        "problems": [_problem(problem) for problem in problems],
        "pool": pool.items,
    }


def _claims(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the claims by paper: what each says, the bound that tells, and what was measured."""
    papers: dict[str, list[dict[str, Any]]] = {}
    for j in judged:
        paper = j.claim.paper
        said = None
        if paper is not None:
            source = paper.source if paper.verified else f"{paper.source}, not verified"
            said = f"{paper.value} ({source})"
        papers.setdefault(j.paper, []).append(
            {
                "verdict": j.verdict,
                "sentence": j.claim.sentence,
                "paper": said,
                "bound": bound_of(j),
                "here": measured(j.outcomes[j.telling]),
            }
        )
    return [{"paper": name, "rows": rows} for name, rows in papers.items()]


def _method(method: Method, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return a card, with how many of its claims have each verdict; None where it has none."""
    verdicts = Counter(j.verdict for j in judged if j.paper == method.claims)
    return {**method.model_dump(), "verdicts": dict(verdicts) or None}


def _now() -> datetime:
    """Return the time, or the one that reproducible builds ask for."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)


def _board(
    board: Board, records: Sequence[Record], order: Mapping[int, int], curated: Mapping[int, bool]
) -> dict[str, Any]:
    # The frontier depends on the cost: one view for each, all over the same groups.
    filled = views(board, records, board.costs)
    first = filled[0]
    place = {group.key: index for index, group in enumerate(first.groups)}
    groups = []
    for group in first.groups:
        axes = [board.quality, *board.costs]
        cells = [group.cells[axis.key] for axis in axes]
        sources = {curated[id(r)] for r in group.records}
        groups.append(
            {
                "label": first.label(group),
                "values": [show(get(group.config, c)) for c in first.columns],
                "hardware": first.hardware.index(hardware_class(group.records[0])),
                "runs": [order[id(r)] for r in sorted(group.records, key=lambda r: r.seed)],
                "source": ", ".join(
                    name for name, kind in (("curated", True), ("local", False)) if kind in sources
                ),
                **({"kind": board.kind(group)} if board.apart else {}),
                "diverged": sum(r.status == "diverged" for r in group.records),
                "emulated": any(r.emulated for r in group.records),
                "cells": [
                    [_short(c.mean), _short(c.std), c.n, c.missing, show_cell(c, a)]
                    for c, a in zip(cells, axes, strict=True)
                ],
                "interval": _interval(cells[0], board.quality),
            }
        )
    return {
        "name": board.name,
        "title": board.title,
        "question": board.question,
        "target": str(board.target) if board.target is not None else None,
        "quality": board.quality.model_dump(),
        "costs": [
            {**axis.model_dump(), "clocked": depends_on_hardware(axis.key)} for axis in board.costs
        ],
        "columns": first.columns,
        "hardware": first.hardware,
        "groups": groups,
        "frontiers": [_frontier(v.groups, place) for v in filled],
        "chances": [_chances(v, first.groups) for v in filled],
    }


def _interval(cell: Cell, axis: Axis) -> str | None:
    """Return the interval of a mean as the page shows it, None where one run tells no spread."""
    if cell.interval is None:
        return None
    scale = 100 if axis.percent else 1
    low, high = (show_number(scale * end) for end in (cell.interval.low, cell.interval.high))
    return f"{low} to {high}"


def _chances(filled: View, groups: Sequence[Group]) -> list[float | None]:
    """Return each group's probability of being on this view's frontier, None where none is known."""
    known = membership_of(filled)
    return [_short(known.get(group.key), 3) for group in groups]


def _frontier(groups: Sequence[Group], place: Mapping[str, int]) -> list[int]:
    return sorted(place[group.key] for group in groups if group.on_frontier)


def _run(
    item: Stored, pool: Pool, points: int, longest: Mapping[str, int], columns: int
) -> dict[str, Any]:
    record = item.record
    # A run without ranges has no such key.
    more = {"ranges": _ranges(record.ranges, pool, columns)} if record.ranges else {}
    return {
        "id": record.id,
        "command": record.command,
        "seed": record.seed,
        "status": record.status,
        "emulated": record.emulated,
        "curated": item.curated,
        # By section: a sweep changes one or two, the others are shared.
        "config": [pool.add(_yaml(json.dumps({k: v}))) for k, v in record.config.items()],
        "facts": [pool.add(list(fact)) for fact in _facts(record).items()],
        "metrics": [
            pool.add(list(record.metrics)),
            [_short(v, 9) for v in record.metrics.values()],
        ],
        "curves": {
            name: _curve(c, pool, points, longest[name]) for name, c in record.curve.items()
        },
        **more,
    }


@functools.lru_cache(maxsize=4096)
def _yaml(document: str) -> str:
    """Write a JSON document as YAML: slow, hence once for the many runs that share a section."""
    text: str = yaml.safe_dump(json.loads(document), sort_keys=False, allow_unicode=True, width=80)
    return text


def _facts(record: Record) -> dict[str, str]:
    data, machine = record.data, record.hardware
    clean = {True: "clean", False: "with uncommitted changes", None: "cleanliness not recorded"}
    hardware = [hardware_class(record)]
    if machine.device != "cpu":
        hardware.append(f"{machine.cpu_name}, {machine.cpu_threads} threads")
    hardware.append(f"{machine.memory_bytes / 2**30:.1f} GiB of memory")
    if machine.driver:
        hardware.append(f"driver {machine.driver}")
    return {
        "made": record.created_at,
        "arithmetic": "emulated: its wall clock is not the format's"
        if record.emulated
        else "native",
        "data": f"{data.name}: {data.train:,} train, {data.validation:,} validation, "
        f"{data.test:,} test",
        "data sha256": data.sha256,
        "hardware": "; ".join(hardware),
        "libraries": ", ".join(f"{k} {v}" for k, v in record.libraries.items()),
        "git commit": f"{record.git.commit}, {clean[record.git.clean]}"
        if record.git.commit
        else "not from a checkout",
        "zoo version": record.zoo_version,
    }


def _curve(curve: Curve, pool: Pool, points: int, longest: int) -> list[int | None]:
    kept = _strided(len(curve.step), points, longest)
    columns = (curve.step, curve.samples, curve.tokens, curve.train_s, curve.value)
    return [pool.add_numbers([c[i] for i in kept]) if c is not None else None for c in columns]


def _thinned(length: int, count: int) -> Sequence[int]:
    """Return at most `count` indices of a list, evenly, with both ends."""
    if length <= count:
        return range(length)
    return [round(i * (length - 1) / (count - 1)) for i in range(count)]


def _strided(length: int, count: int, longest: int) -> Sequence[int]:
    """Return indices of a curve: each 2^k-th and the last, at most `count` of the row's longest."""
    stride = 1
    while longest > count and (longest - 2) // stride + 2 > count:
        stride *= 2
    return range(length) if stride == 1 else [*range(0, length - 1, stride), length - 1]


def _longest(
    boards: Sequence[Mapping[str, Any]], records: Sequence[Record]
) -> list[dict[str, int]]:
    """Return how long each run's curves are in the longest run of its row.

    A row's runs are thinned alike, so that they keep their common steps and have a mean there:
    seeds that were stopped by the clock differ in length.
    """
    longest = [{name: len(c.step) for name, c in r.curve.items()} for r in records]
    for runs in (group["runs"] for board in boards for group in board["groups"]):
        most: dict[str, int] = {}
        for lengths in (longest[i] for i in runs):
            most |= {name: max(n, most.get(name, 0)) for name, n in lengths.items()}
        for i in runs:
            longest[i] = {name: most[name] for name in longest[i]}
    return longest


def _ranges(ranges: Ranges, pool: Pool, columns: int) -> dict[str, Any]:
    def drawn(shares: OverTraining | ByLayer, names: Sequence[int | str]) -> dict[str, Any]:
        # Layers are not thinned: each is another one.
        kept = _thinned(len(names), columns if isinstance(shares, OverTraining) else len(names))
        return {
            "names": pool.add([names[i] for i in kept]),
            "low": shares.low,
            "share": [[_short(v, 4) for v in shares.share[i]] for i in kept],
            "zero": [_short(shares.zero[i], 4) for i in kept],
        }

    return {
        "formats": pool.add([[name, *f.edges()] for name, f in ranges.formats.items()]),
        "over_training": {kind: drawn(m, m.step) for kind, m in ranges.over_training.items()},
        "by_layer": {kind: drawn(m, m.layer) for kind, m in ranges.by_layer.items()},
    }


def _short(value: float | None, digits: int = 6) -> float | int | None:
    """Round to significant digits; a whole number stays what it is, without its '.0'."""
    if value is None or isinstance(value, int):
        return value
    if value.is_integer() and -(2**53) < value < 2**53:
        return int(value)
    return float(f"{value:.{digits}g}")


def _problem(problem: Problem) -> list[str]:
    # The page is published: an error of the file system would tell the folders of the machine.
    return [problem.name, problem.reason.replace(str(problem.path), problem.name)]
