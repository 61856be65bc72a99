"""Curves on axes, a panel of a picture; each curve has its name at its end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.leaderboard.page.labels import Box
from zoo.leaderboard.page.range_figure import spread
from zoo.leaderboard.page.svg import text_at
from zoo.leaderboard.page.ticks import Scale, log_ticks, tick_texts

# Colours that differ in lightness, too; the dark ones are for dark paper.
_LIGHT = ("#1f2328", "#0b5cad", "#a13c00", "#1a7f37", "#8250df", "#bf3989", "#7d5a00")
_DARK = ("#e6edf3", "#79b8ff", "#ffa657", "#56d364", "#d2a8ff", "#ff9bce", "#e3b341")


def _rules(colours: Sequence[str]) -> str:
    return "\n".join(
        f".c{i} {{ stroke: {colour}; }} text.c{i} {{ fill: {colour}; stroke: none; }}"
        for i, colour in enumerate(colours)
    )


STYLE = f"""\
.curve {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
.dashed {{ stroke-dasharray: 5 4; stroke-width: 1.5; }}
.name {{ font-size: 12px; }}
{_rules(_LIGHT)}
@media (prefers-color-scheme: dark) {{
{_rules(_DARK)}
}}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the data's units; what is not finite is left out."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis; where ticks are given, they stand instead of round numbers."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] | None = None

    def scale(self, start: float, end: float) -> Scale:
        """Return the axis on a stretch of pixels."""
        return Scale(math.log10(self.low), math.log10(self.high), start, end, log=True)

    def marks(self) -> list[tuple[float, str]]:
        """Return the values that have a tick, and what it says."""
        if self.ticks is not None:
            return list(self.ticks)
        values = log_ticks(self.low, self.high)
        return list(zip(values, tick_texts(values), strict=True))


def panel(
    area: Box, across: Axis, up: Axis, curves: Sequence[Curve], *, title: str = "", named: bool
) -> list[str]:
    """Return a panel's elements.

    Args:
        area: of the plot itself; ticks, names and labels stand around it.
        across: the horizontal axis.
        up: the vertical axis.
        curves: lines, later ones over earlier ones.
        title: above the plot.
        named: whether curves have their names at their right ends.
    """
    x, y = across.scale(area.left, area.right), up.scale(area.bottom, area.top)
    parts = [text_at(area.left, area.top - 10, title, "")] if title else []
    for value, text in up.marks():
        parts.append(f'<path class="grid" d="M{area.left} {y(value):.1f}H{area.right}"/>')
        if text:
            parts.append(text_at(area.left - 8, y(value) + 4, text, "quiet ytick", "end"))
    for value, text in across.marks():
        parts.append(f'<path class="axis" d="M{x(value):.1f} {area.bottom}v5"/>')
        parts.append(text_at(x(value), area.bottom + 19, text, "quiet xtick", "middle"))
    parts.append(f'<path class="axis" d="M{area.left} {area.bottom}H{area.right}"/>')
    middle = (area.left + area.right) / 2
    parts.append(text_at(middle, area.bottom + 40, across.label, "", "middle"))
    turned = text_at(0, 0, up.label, "", "middle")
    middle = (area.top + area.bottom) / 2
    parts.append(
        f'<g transform="translate({area.left - 50} {middle:.1f}) rotate(-90)">{turned}</g>'
    )
    drawn = []
    for curve in curves:
        at = [(x(a), y(b)) for a, b in curve.points if math.isfinite(b)]
        if at:
            drawn.append((curve, at[-1]))
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
            css = f"curve c{curve.colour}{' dashed' if curve.dashed else ''}"
            parts.append(f'<polyline class="{css}" points="{path}"/>')
    return [*parts, *_names(drawn, area)] if named else parts


def _names(drawn: Sequence[tuple[Curve, tuple[float, float]]], area: Box) -> list[str]:
    order = sorted(drawn, key=lambda item: item[1][1])
    heights = spread([end[1] for _, end in order], 15, area.bottom)
    return [
        text_at(area.right + 8, height + 4, curve.label, f"name c{curve.colour}")
        for (curve, _), height in zip(order, heights, strict=True)
    ]
