"""The heat maps of a run's ranges as a picture: an SVG without scripts or fonts, for documents.

The page draws the same (heatmap.js); heat.css has the colours of both.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from zoo.leaderboard.boards import get, show
from zoo.leaderboard.page.labels import shorten, text_width
from zoo.leaderboard.page.svg import picture, text_at
from zoo.leaderboard.page.ticks import tick_texts
from zoo.leaderboard.ranges import ByLayer, FormatRange, Kind, OverTraining
from zoo.leaderboard.record import Record

TITLES: dict[Kind, str] = {
    "weights": "Weights",
    "activations": "Activations",
    "gradients": "Gradients of activations",
    "weight_gradients": "Gradients of weights",
}
EDGES = ("overflow", "normal", "subnormal")
FIRST_FORMATS = ("fp169", "fp16")

WIDTH, TOP = 860, 86
PANEL_WIDTH, PANEL_HEIGHT = 394, 214
LEVELS = 18  # of colour, three a decade: from 1e-6 to 1
STRIP = 9  # the zeros beneath the exponents, what is not finite above them
NEAR = 8  # octaves: the edge of a format that is farther from all elements is only named
ROUNDING = 5e-4  # of a row of shares with four digits each
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_STYLE = ".small { font-size: 11px; }\n.name { font-weight: 600; }\n.key { fill: none; }\n"

Shares = OverTraining | ByLayer


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a format begins or ends: an exponent, with a colour for the format."""

    name: str
    colour: int
    edge: int
    at: int

    def beyond(self, limits: tuple[int, int]) -> str:
        """Return an arrow to where the edge is when that is not among the exponents shown."""
        return "↑ " if self.at > limits[1] else "↓ " if self.at < limits[0] else ""

    def said(self, limits: tuple[int, int]) -> str:
        """Return the edge's name."""
        return f"{self.beyond(limits)}{shorten(self.name, 8)} {EDGES[self.edge]}"


def ranges_svg(
    record: Record, view: Literal["over_training", "by_layer"] = "over_training"
) -> str | None:
    """Return the heat maps of a record as an SVG document, or None where it has none.

    Args:
        record: of a monitored run.
        view: what is across: the steps, or the layers of the model.
    """
    ranges = record.ranges
    maps: dict[Kind, Shares] = dict(getattr(ranges, view)) if ranges else {}
    if ranges is None or not maps:
        return None
    edges = _edges(ranges.formats)
    low, high = span([*ranges.over_training.values(), *ranges.by_layer.values()], edges)
    kinds = [kind for kind in TITLES if kind in maps]
    strips = any(not_finite(m, i) for m in maps.values() for i in range(len(m.share)))
    # Beneath the steps there are a line of ticks and a title, beneath the layers upright names.
    names = (n for m in maps.values() if isinstance(m, ByLayer) for n in m.layer)
    longest = max((len(_tail(name)) for name in names), default=0)
    row_height = PANEL_HEIGHT + 56 + max(36, 6 * longest)
    parts = _key(strips)
    for index, kind in enumerate(kinds):
        left, top = 24 + index % 2 * (PANEL_WIDTH + 24), TOP + index // 2 * row_height
        parts.append(f'<g class="panel {kind}" transform="translate({left} {top})">')
        parts += [*_panel(TITLES[kind], maps[kind], (low, high), edges, strips=strips), "</g>"]
    across = "step" if view == "over_training" else "layer"
    title = f"Exponents by {across}: {show(get(record.config, 'model.name')) or record.id}"
    about = f"Heat maps: exponent against {across}, colour by share; run {record.id}."
    height = TOP + math.ceil(len(kinds) / 2) * row_height
    colours = resources.files(__package__).joinpath("heat.css").read_text(encoding="utf-8")
    return picture(WIDTH, height, title, about, colours + _STYLE, parts)


def level(share: float) -> int:
    """Return the colour of a share above 0.

    >>> level(1.0), level(0.1), level(2e-6), level(1e-9)
    (17, 15, 0, 0)
    """
    return min(LEVELS - 1, max(0, math.floor(LEVELS + 3 * math.log10(share))))


def power(exponent: int, base: int = 2) -> str:
    """Write a power with its exponent raised.

    >>> power(-14)
    '2⁻¹⁴'
    """
    return f"{base}{str(exponent).translate(_RAISED)}"


def not_finite(shares: Shares, column: int) -> float:
    """Return the part of a column that is neither an exponent nor zero: infinities and NaN."""
    rest = 1 - shares.zero[column] - sum(shares.share[column])
    return rest if rest > ROUNDING else 0.0


def span(maps: Iterable[Shares], edges: Iterable[Edge]) -> tuple[int, int]:
    """Return the exponents [low, high) to show: every element, and the edges near by."""
    held = [m.low + j for m in maps for row in m.share for j, share in enumerate(row) if share > 0]
    if not held:
        return -8, 8
    low, high = min(held), max(held) + 1
    near = [edge.at for edge in edges if low - NEAR <= edge.at <= high + NEAR]
    return min(low, *near, low) - 1, max(high, *near, high) + 1


def spread(wanted: Sequence[float], gap: float, bottom: float) -> list[float]:
    """Return heights for labels, from the top, that keep a gap and stay above the bottom.

    >>> spread([10, 12, 99], 13, 100)
    [10, 23, 99]
    >>> spread([95, 96], 13, 100)
    [87, 100]
    """
    heights: list[float] = []
    for y in wanted:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    limit = bottom
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - gap
    return heights


def _edges(formats: dict[str, FormatRange]) -> list[Edge]:
    names = [n for n in formats if n in FIRST_FORMATS] or list(formats)[:2]
    return [
        Edge(name, list(formats).index(name) % 4, edge, at)
        for name in names
        for edge, at in enumerate(formats[name].edges())
        if at is not None
    ]


def _panel(
    title: str, shares: Shares, limits: tuple[int, int], edges: list[Edge], *, strips: bool
) -> list[str]:
    names = shares.step if isinstance(shares, OverTraining) else shares.layer
    gutter = max((text_width(edge.said(limits), 11) for edge in edges), default=0)
    left, right = 36, PANEL_WIDTH - 14 - round(gutter)
    top = 24 + (STRIP + 4 if strips else 0)
    bottom = top + PANEL_HEIGHT - (STRIP + 4 if strips else 0)
    x = [round(left + i * (right - left) / len(names)) for i in range(len(names) + 1)]

    def y(k: int) -> int:
        return round(bottom - (k - limits[0]) * (bottom - top) / (limits[1] - limits[0]))

    paths = [""] * LEVELS

    def put(i: int, above: int, below: int, share: float) -> None:
        if share > 0:
            paths[level(share)] += f"M{x[i]} {above}H{x[i + 1]}V{below}H{x[i]}Z"

    bands = [(top, bottom), (bottom + 4, bottom + 4 + STRIP)]
    bands += [(top - 4 - STRIP, top - 4)] if strips else []
    for i, row in enumerate(shares.share):
        for j, share in enumerate(row):
            put(i, y(shares.low + j + 1), y(shares.low + j), share)
        for band, share in zip(bands[1:], (shares.zero[i], not_finite(shares, i)), strict=False):
            put(i, *band, share)
    parts = [text_at(left, 12, title, "name"), '<g class="cells">']
    parts += [f'<path class="h{n}" d="{d}"/>' for n, d in enumerate(paths) if d]
    parts.append("</g>")
    parts += [f'<path class="frame" d="M{left} {a}H{right}V{b}H{left}Z"/>' for a, b in bands]
    ticks = [(y(k), power(k)) for k in _power_ticks(limits, 9)]
    ticks += [(sum(band) // 2, word) for band, word in zip(bands[1:], "0∞", strict=False)]
    parts += [text_at(left - 6, at + 4, word, "quiet small ytick", "end") for at, word in ticks]
    parts += _across(names, x, bands[1][1])
    return [*parts, *_lines(edges, limits, [y(e.at) for e in edges], (left, right, top, bottom))]


def _power_ticks(limits: tuple[int, int], room: int) -> list[int]:
    step = 1
    while (limits[1] - limits[0]) / step > room:
        step *= 2
    return [k for k in range(limits[0], limits[1] + 1) if k % step == 0]


def _across(names: Sequence[int] | Sequence[str], x: list[int], floor: int) -> list[str]:
    width = (x[-1] - x[0]) / len(names)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(x)]
    layers = isinstance(names[0], str)
    if layers and width >= 11:
        parts = []
        for at, name in zip(middles, map(str, names), strict=True):
            said = text_at(0, 0, _tail(name), "quiet small", "end")
            parts.append(f'<g transform="translate({at + 4} {floor + 6}) rotate(-90)">{said}</g>')
        return parts
    every = next((n for n in (1, 2, 5, 10, 20, 50, 100) if n * width >= 40), len(names))
    words = [str(i + 1) for i in range(len(names))] if layers else tick_texts([*map(float, names)])
    parts = [
        text_at(at, floor + 14, word, "quiet small xtick", "middle")
        for i, (at, word) in enumerate(zip(middles, words, strict=True))
        if (i + layers) % every == 0
    ]
    middle, word = (x[0] + x[-1]) / 2, "layer" if layers else "step"
    return [*parts, text_at(middle, floor + 30, word, "quiet small", "middle")]


def _tail(name: str) -> str:
    """Cut a layer's name where it would not fit: its end tells more than its beginning."""
    return name if len(name) <= 18 else f"…{name[-17:]}"


def _lines(
    edges: list[Edge],
    limits: tuple[int, int],
    heights: list[int],
    area: tuple[int, int, int, int],
) -> list[str]:
    left, right, top, bottom = area
    inside = [min(bottom, max(top, h)) for h in heights]
    order = sorted(range(len(edges)), key=lambda i: -edges[i].at)
    parts = []
    for i, label in zip(order, spread([inside[i] for i in order], 13, bottom), strict=True):
        edge, at, colour = edges[i], inside[i], f"f{edges[i].colour}"
        if not edge.beyond(limits):
            dashed = " dashed" if edge.edge == 2 else ""
            line = f"M{left} {at}H{right}"
            parts += [
                f'<path class="halo" d="{line}"/>',
                f'<path class="edge {colour}{dashed}" d="{line}"/>',
                f'<path class="edge {colour}" d="M{right} {at}L{right + 8} {label:.1f}"/>',
            ]
        parts.append(text_at(right + 11, label + 4, edge.said(limits), f"small {colour}"))
    return parts


def _key(strips: bool) -> list[str]:
    parts = [text_at(24, 62, f"share of the elements: {power(-6, 10)}", "quiet")]
    parts += [f'<path class="h{i}" d="M{202 + 5 * i} 52h5v11h-5Z"/>' for i in range(LEVELS)]
    parts.append(text_at(298, 62, "1", "quiet"))
    lines = ((330, "none", "overflow, smallest normal"), (532, "5 3", "smallest subnormal"))
    for x, dash, said in lines:
        parts.append(f'<path class="axis" stroke-dasharray="{dash}" d="M{x} 58h22"/>')
        parts.append(text_at(x + 28, 62, said, "quiet"))
    parts.append(text_at(702, 62, "0: zeros" + (", ∞: not finite" if strips else ""), "quiet"))
    return parts
