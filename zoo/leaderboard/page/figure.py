"""The frontier as a picture: an SVG without scripts or fonts, for a README.

It brings its own paper, light or dark as the reader's system is, since a browser does not tell a
picture on which page it stands. The same view gives the same bytes.
"""

import itertools
from dataclasses import dataclass

from zoo.leaderboard.boards import View
from zoo.leaderboard.frontier import Cell, Group, depends_on_hardware
from zoo.leaderboard.page.labels import Box, place, shorten, text_width
from zoo.leaderboard.page.svg import clean, picture, text_at
from zoo.leaderboard.page.ticks import Scale

WIDTH, HEIGHT = 800, 500
AREA = Box(72, 80, WIDTH - 28, HEIGHT - 84)

_STYLE = """\
.label { font-size: 12.5px; }
.leader { stroke: #8b949e; }
.stair { fill: none; stroke: #0b5cad; stroke-width: 2; stroke-linejoin: round; }
.on { fill: #0b5cad; stroke: #0b5cad; }
.off { fill: #7d8894; stroke: #7d8894; }
.lost { fill: none; stroke: #a13c00; stroke-width: 2.5; }
.single { fill: #ffffff; stroke-width: 2; }
.bar { fill: none; stroke-width: 1.3; }
@media (prefers-color-scheme: dark) {
  .leader { stroke: #6e7681; }
  .stair { stroke: #79b8ff; }
  .on { fill: #79b8ff; stroke: #79b8ff; }
  .off { fill: #8b949e; stroke: #8b949e; }
  .lost { fill: none; stroke: #ffa657; }
  .single { fill: #0d1117; }
}
"""


@dataclass(frozen=True, slots=True)
class _Point:
    group: Group
    label: str
    x: float
    x_std: float
    y: float
    y_std: float
    single: bool

    @property
    def kind(self) -> str:
        if self.group.on_frontier:
            return "on"
        return "off" if self.group.complete else "lost"


def frontier_svg(view: View) -> str:
    """Return the frontier plot of a view as an SVG document.

    A diamond is on the frontier, a circle is not, a cross is a group with a diverged run; a hollow
    one is a single run. Bars are the standard deviation over seeds. Groups that lack a value, or
    are beyond an axis' worst, are left out, and a line beneath the plot says how many they are.
    """
    points = _points(view)
    about = "cost against quality, the mean over seeds of each group of runs"
    about = f"{about}; {len(points)} groups."
    none = "No run is on this board yet; python train.py makes one."
    empty = [text_at(WIDTH / 2, HEIGHT / 2, none, "quiet", "middle")]
    parts = _plot(view, points) if points else empty
    return picture(WIDTH, HEIGHT, view.board.title, about, _STYLE, parts)


def _points(view: View) -> list[_Point]:
    points = []
    for group in view.groups:
        cost, quality = group.cells[view.cost.key], group.cells[view.board.quality.key]
        if cost.mean is None or quality.mean is None:
            continue
        if view.cost.is_beyond(cost.mean) or view.board.quality.is_beyond(quality.mean):
            continue
        x, x_std = _scaled(cost, view.cost.percent)
        y, y_std = _scaled(quality, view.board.quality.percent)
        label = shorten(clean(view.label(group)), 40)
        points.append(_Point(group, label, x, x_std, y, y_std, quality.n < 2))
    return points


def _scaled(cell: Cell, percent: bool) -> tuple[float, float]:
    scale = 100.0 if percent else 1.0
    return (cell.mean or 0.0) * scale, (cell.std or 0.0) * scale


def _plot(view: View, points: list[_Point]) -> list[str]:
    quality, cost = view.board.quality, view.cost
    across = Scale.around(
        [p.x for p in points], [p.x_std for p in points], cost, AREA.left, AREA.right
    )
    up = Scale.around(
        [p.y for p in points], [p.y_std for p in points], quality, AREA.bottom, AREA.top
    )
    steps = _staircase(view, points, across, up)
    # Whatever is on the frontier lies on top.
    points = sorted(points, key=lambda p: p.kind == "on")
    bars = [bar for p in points for bar in _bars(p, across, up)]
    obstacles = [_around(across(p.x), up(p.y)) for p in points]
    obstacles += [
        Box(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2)
        for line in (*(bar[1:] for bar in bars), *_segments(steps))
        for a, b, c, d in [line]
    ]
    on = sorted((p for p in points if p.kind == "on"), key=lambda p: (p.x, p.y))
    free = (-1 if cost.direction == "min" else 1, -1 if quality.direction == "max" else 1)
    labels = place([(across(p.x), up(p.y), p.label) for p in on], obstacles, AREA, free)
    parts = [*_axes(view, across, up)]
    if steps:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)
        parts.append(f'<polyline class="stair" points="{path}"/>')
    for kind, x1, y1, x2, y2 in bars:
        parts.append(f'<path class="bar {kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')
    parts += [_marker(p.kind, p.single, across(p.x), up(p.y), "marker ") for p in points]
    for label in labels:
        if label.leader:
            x1, y1, x2, y2 = label.leader
            parts.append(f'<path class="leader" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')
        parts.append(
            text_at(
                (label.box.left + label.box.right) / 2,
                label.box.bottom - 4,
                label.text,
                "label",
                "middle",
            )
        )
    return [*parts, *_legend(points), *_notes(view, points)]


def _around(x: float, y: float, by: float = 6) -> Box:
    return Box(x - by, y - by, x + by, y + by)


def _staircase(
    view: View, points: list[_Point], across: Scale, up: Scale
) -> list[tuple[float, float]]:
    """Return the corners: what quality a cost buys, from the worst edge to the worst edge."""
    cheap_first = view.cost.direction == "min"
    on = sorted((p for p in points if p.kind == "on"), key=lambda p: p.x, reverse=not cheap_first)
    # Each machine has a frontier of times: one line through two of them would say nothing.
    machines = {p.group.hardware for p in on}
    # So has each kind of rows that the board keeps apart, such as sets of data.
    kinds = {view.board.kind(p.group) for p in on}
    if not on or (depends_on_hardware(view.cost.key) and len(machines) > 1) or len(kinds) > 1:
        return []
    corners = [
        (across(on[0].x), AREA.bottom if view.board.quality.direction == "max" else AREA.top)
    ]
    for point in on:
        corners += [(across(point.x), corners[-1][1]), (across(point.x), up(point.y))]
    corners.append((AREA.right if cheap_first else AREA.left, corners[-1][1]))
    return list(dict.fromkeys(corners))


def _segments(corners: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    return [(*a, *b) for a, b in itertools.pairwise(corners)]


def _bars(point: _Point, across: Scale, up: Scale) -> list[tuple[str, float, float, float, float]]:
    x, y = across(point.x), up(point.y)
    bars = []
    if point.y_std:
        low, high = up(point.y - point.y_std), up(point.y + point.y_std)
        bars.append((point.kind, x, low, x, high))
        bars += [(point.kind, x - 3.5, end, x + 3.5, end) for end in (low, high)]
    if point.x_std:
        low, high = across(point.x - point.x_std), across(point.x + point.x_std)
        bars.append((point.kind, low, y, high, y))
        bars += [(point.kind, end, y - 3.5, end, y + 3.5) for end in (low, high)]
    return bars


def _marker(kind: str, single: bool, x: float, y: float, extra: str = "") -> str:
    css = f"{extra}{kind}{' single' if single and kind != 'lost' else ''}"
    if kind == "on":
        shape = f"M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7Z"
    elif kind == "lost":
        shape = f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9"
    else:
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return f'<path class="{css}" d="{shape}"/>'


def _axes(view: View, across: Scale, up: Scale) -> list[str]:
    parts = []
    for value, text in up.ticks():
        y = up(value)
        parts.append(f'<path class="grid" d="M{AREA.left} {y:.1f}H{AREA.right}"/>')
        parts.append(text_at(AREA.left - 8, y + 4, text, "quiet ytick", "end"))
    for value, text in across.ticks():
        x = across(value)
        parts.append(f'<path class="axis" d="M{x:.1f} {AREA.bottom}v5"/>')
        parts.append(text_at(x, AREA.bottom + 19, text, "quiet xtick", "middle"))
    parts.append(f'<path class="axis" d="M{AREA.left} {AREA.bottom}H{AREA.right}"/>')
    middle = (AREA.left + AREA.right) / 2
    parts.append(text_at(middle, AREA.bottom + 40, view.cost.label, "", "middle", limit=80))
    middle = (AREA.top + AREA.bottom) / 2
    turned = text_at(0, 0, view.board.quality.label, "", "middle", limit=44)
    parts.append(f'<g transform="translate(24 {middle:.1f}) rotate(-90)">{turned}</g>')
    return parts


def _legend(points: list[_Point]) -> list[str]:
    entries = [("on", False, "on the frontier"), ("off", False, "dominated")]
    if any(p.single for p in points):
        entries.append(("off", True, "hollow: a single run"))
    if any(p.kind == "lost" for p in points):
        entries.append(("lost", False, "a run diverged"))
    parts, x = [], 31.0
    for kind, single, text in entries:
        parts.append(_marker(kind, single, x, 58))
        parts.append(text_at(x + 13, 62, text, "quiet"))
        x += 13 + text_width(text, 12) + 24
    if any(p.x_std or p.y_std for p in points):
        parts.append(f'<path class="bar off" d="M{x:.1f} 51v14m-3.5 0h7m-7 -14h7"/>')
        parts.append(text_at(x + 11, 62, "standard deviation over seeds", "quiet"))
    return parts


def _notes(view: View, points: list[_Point]) -> list[str]:
    notes = []
    if missing := len(view.groups) - len(points):
        notes.append(
            f"{missing} of {len(view.groups)} groups have no place here and are not drawn."
        )
    if len(view.hardware) > 1:
        notes.append(f"{len(view.hardware)} kinds of hardware: times are not comparable.")
    if any(r.emulated for p in points for r in p.group.records):
        notes.append("Some arithmetic is emulated: its wall clock is not the format's.")
    return [text_at(24, HEIGHT - 16, " ".join(notes), "quiet", limit=130)] if notes else []
