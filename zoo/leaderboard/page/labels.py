"""Where the labels of a picture go: beside their points, over nothing that matters."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Line = tuple[float, float, float, float]
_GAPS = (9.0, 20.0, 32.0, 44.0, 56.0, 68.0, 80.0)  # between a point and its label, in pixels
_MANY = 15  # so many points get only the labels that fit right beside them


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
    """Place a label for each point; a point without room gets none.

    The labels go one after the other, first to last and last to first; the better try is kept.

    Args:
        points: x, y in pixels, and the text.
        obstacles: what no label may cover: markers, error bars, lines.
        area: what no label may leave.
        free: the sides that domination keeps empty, as -1 or 1 in x and in y.
        size: the font's.
    """
    tries = (_place(order, obstacles, area, free, size) for order in (points, points[::-1]))
    return max(tries, key=lambda labels: (len(labels), -sum(bool(x.leader) for x in labels)))


def _place(
    points: Sequence[tuple[float, float, str]],
    obstacles: Sequence[Box],
    area: Box,
    free: tuple[int, int],
    size: float,
) -> list[Label]:
    placed: list[Label] = []
    taken = list(obstacles)
    gaps = _GAPS if len(points) <= _MANY else _GAPS[:1]
    sides = [free, (0, free[1]), (free[0], 0), (free[0], -free[1]), (-free[0], free[1])]
    sides += [(-free[0], 0), (0, -free[1]), (-free[0], -free[1])]
    for x, y, text in points:
        for gap, (dx, dy) in itertools.product(gaps, sides):
            extent = (text_width(text, size), 1.25 * size)
            box, leader = _candidate((x, y), gap, (dx, dy), extent)
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
    point: tuple[float, float], gap: float, side: tuple[int, int], extent: tuple[float, float]
) -> tuple[Box, Line | None]:
    (x, y), (dx, dy), (width, height) = point, side, extent
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
