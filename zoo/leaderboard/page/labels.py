"""Where the labels of a picture go: beside their points, over nothing that matters."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


Line = tuple[float, float, float, float]
_GAPS = (9.0, 26.0, 44.0, 62.0, 80.0)  # between a point and its label, in pixels


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def inside(self, other: "Box") -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True, slots=True)
class Label:
    """A placed text, with the line to its point where it is not right beside it."""

    text: str
    box: Box
    leader: Line | None


def text_width(text: str, size: float) -> float:
    """Estimate the width of a sans-serif text; wide enough for the usual system fonts."""
    ems = (0.36 if c in "fijlrtI .,:;'|()" else 0.92 if c in "mwMW" else 0.62 for c in text)
    return size * sum(ems)


def shorten(text: str, length: int) -> str:
    """Cut a text that would not fit."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def place(
    points: Sequence[tuple[float, float, str]],
    obstacles: Sequence[Box],
    area: Box,
    free: tuple[int, int],
    size: float = 12.5,
) -> list[Label]:
    """Place a label for each point, one after the other; a point without room gets none.

    Args:
        points: x, y in pixels, and the text.
        obstacles: what no label may cover: markers, error bars, lines.
        area: what no label may leave.
        free: the sides that domination keeps empty, as -1 or 1 in x and in y.
        size: the font's.
    """
    placed: list[Label] = []
    taken = list(obstacles)
    sides = [free, (0, free[1]), (free[0], 0), (free[0], -free[1]), (-free[0], free[1])]
    sides += [(-free[0], 0), (0, -free[1]), (-free[0], -free[1])]
    for x, y, text in points:
        for gap, (dx, dy) in itertools.product(_GAPS, sides):
            box, leader = _candidate(x, y, gap, dx, dy, text_width(text, size), 1.25 * size)
            line = [_box_of(leader)] if leader else []
            if (
                not box.inside(area)
                or any(box.overlaps(other) for other in taken)
                or any(part.overlaps(label.box) for part in line for label in placed)
            ):
                continue
            placed.append(Label(text, box, leader))
            taken += [box, *line]
            break
    return placed


def _candidate(
    x: float, y: float, gap: float, dx: int, dy: int, width: float, height: float
) -> tuple[Box, Line | None]:
    near = gap == _GAPS[0]
    # Near by, a corner of the text is at the point; farther off, its end stands above or below
    # the point, with an upright line between them.
    beside = gap if not dy else 0.72 * gap if near else -6.0
    cx = x + dx * (beside + width / 2)
    cy = y + dy * ((0.72 if near and dx else 1.0) * gap + height / 2)
    box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    if near:
        return box, None
    lift, shift = (dy, 0) if dy else (0, dx)
    end = gap - 2
    return box, (x + 7 * shift, y + 7 * lift, x + end * shift, y + end * lift)


def _box_of(line: Line) -> Box:
    x1, y1, x2, y2 = line
    return Box(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1)
