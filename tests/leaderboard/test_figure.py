"""The frontier as an SVG, read back as XML."""

import itertools
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.factories import HARDWARE, make_config, make_record
from zoo.leaderboard.boards import Axis, Board, View, view
from zoo.leaderboard.page import frontier_svg
from zoo.leaderboard.page.labels import Box, place
from zoo.leaderboard.page.ticks import linear_ticks, log_ticks, tick_texts
from zoo.leaderboard.record import Record

SVG = "{http://www.w3.org/2000/svg}"
TIME = Axis(key="time/train_s", label="training time (s)", direction="min", log=True)
BOARD = Board(
    name="digits",
    title="Digits: accuracy against time",
    question="How much?",
    quality=Axis(key="test/acc", label="test accuracy (%)", direction="max", percent=True),
    costs=[TIME],
)


def run(name: str, accuracy: float | None, train_s: float, seed: int = 0, **more: Any) -> Record:
    config = make_config(seed, model={"name": name})
    return make_record(seed, config=config, accuracy=accuracy, train_s=train_s, **more)


def small() -> View:
    """Five groups with both values, two of them on the frontier, and one without."""
    records = [
        run("a", 0.90, 10.0),
        run("b", 0.94, 100.0),
        run("b", 0.96, 120.0, 1),
        run("c", 0.89, 50.0),
        run("d", 0.94, 1000.0),
        run("e", 0.99, 5.0),
        run("e", None, 5.0, 1, status="diverged"),
        run("f", None, 7.0),
    ]
    return view(BOARD, records)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def classed(root: ET.Element, *names: str) -> list[ET.Element]:
    return [e for e in root.iter() if set(names) <= set(e.get("class", "").split())]


def said(elements: list[ET.Element]) -> list[str]:
    return ["".join(e.itertext()) for e in elements]


def test_it_is_one_picture_with_a_title_and_nothing_to_run_or_fetch() -> None:
    svg = frontier_svg(small())
    root = parse(svg)
    assert root.tag == f"{SVG}svg"
    assert said(root.findall(f"{SVG}title")) == [BOARD.title]
    tags = {e.tag.removeprefix(SVG) for e in root.iter()}
    assert tags <= {
        *("svg", "title", "desc", "style", "rect", "text", "path", "circle", "g", "polyline")
    }
    assert "prefers-color-scheme: dark" in svg
    assert not re.search(r"href|url\(|@import", svg)


def test_each_group_has_a_marker_and_the_frontier_its_own() -> None:
    filled = small()
    root = parse(frontier_svg(filled))
    assert len(classed(root, "marker")) == 5
    on = classed(root, "marker", "on")
    assert len(on) == sum(g.on_frontier for g in filled.groups) == 2
    assert {e.tag for e in on} == {f"{SVG}path"}
    assert {e.tag for e in classed(root, "marker", "off")} == {f"{SVG}circle"}
    assert len(classed(root, "marker", "lost")) == 1
    hollow = classed(root, "marker", "single")
    assert len(hollow) == 3, "a, c and d have one seed"
    assert set(said(classed(root, "label"))) == {"a", "b"}
    assert "1 of 6 groups have no place here and are not drawn." in "".join(root.itertext())


def test_error_bars_are_only_where_there_are_seeds() -> None:
    bars = [e.get("d", "") for e in classed(parse(frontier_svg(small())), "bar", "on")]
    assert len(bars) == 6, "b: a line and two caps for each axis"
    (x, y) = next(
        tuple(map(float, re.findall(r"[\d.]+", e.get("d", ""))[:2]))
        for e in classed(parse(frontier_svg(small())), "marker", "on")
        if "single" not in e.get("class", "")
    )
    upright = list(map(float, re.findall(r"[\d.]+", bars[0])))
    assert upright[0] == upright[2] == pytest.approx(x, abs=0.1)
    assert (upright[1] + upright[3]) / 2 == pytest.approx(y + 7, abs=0.1), "centred on the mean"


@pytest.mark.parametrize(
    ("cost", "quality"), [("min", "max"), ("max", "max"), ("min", "min"), ("max", "min")]
)
def test_the_staircase_goes_through_the_frontier_in_every_direction(
    cost: str, quality: str
) -> None:
    board = BOARD.model_copy(
        update={
            "costs": [TIME.model_copy(update={"direction": cost})],
            "quality": BOARD.quality.model_copy(update={"direction": quality}),
        }
    )
    values = [(0.90, 10.0), (0.92, 30.0), (0.95, 100.0), (0.89, 300.0), (0.97, 5.0), (0.88, 7.0)]
    records = [run(f"m{i}", a, t) for i, (a, t) in enumerate(values)]
    filled = view(board, records)
    root = parse(frontier_svg(filled))
    (line,) = classed(root, "stair")
    corners = [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
    # Only level and upright steps, and never back towards a better cost.
    for (x1, y1), (x2, y2) in itertools.pairwise(corners):
        assert (x1 == x2) != (y1 == y2)
        assert (x2 >= x1) if cost == "min" else (x2 <= x1)
        assert (y2 <= y1) if quality == "max" else (y2 >= y1)
    markers = classed(root, "marker", "on")
    assert len(markers) == sum(g.on_frontier for g in filled.groups)
    for marker in markers:
        x, top = map(float, re.findall(r"[\d.]+", marker.get("d", ""))[:2])
        assert any(abs(x - a) < 0.11 and abs(top + 7 - b) < 0.11 for a, b in corners)


def test_the_ticks_of_both_axes() -> None:
    root = parse(frontier_svg(small()))
    # 5 to 1000 seconds with some room: powers of ten. The accuracy is in percent.
    assert said(classed(root, "xtick")) == ["10", "100", "1k"]
    assert said(classed(root, "ytick")) == ["88", "90", "92", "94", "96", "98", "100"]
    ticks = {t.text: float(t.get("x", "")) for t in classed(root, "xtick")}
    assert ticks["100"] - ticks["10"] == pytest.approx(ticks["1k"] - ticks["100"], abs=0.2)
    assert BOARD.quality.label in said(list(root.iter(f"{SVG}text")))
    assert TIME.label in said(list(root.iter(f"{SVG}text")))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (3, 4000, [10, 100, 1000]),
        (3, 120, [5, 10, 20, 50, 100]),
        (11.6, 15.2, [12, 12.5, 13, 13.5, 14, 14.5, 15]),
        (0.0003, 0.06, [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05]),
        (1e9, 1e18, [1e9, 1e11, 1e13, 1e15, 1e17]),
    ],
)
def test_log_ticks(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == expected


@pytest.mark.parametrize("low", [-3.7, 0.0, 0.1234, 95.0, 1e9])
@pytest.mark.parametrize("span", [1e-3, 0.7, 1.0, 13.0, 9e5])
def test_linear_ticks_are_few_round_and_even(low: float, span: float) -> None:
    ticks = linear_ticks(low, low + span)
    assert 3 <= len(ticks) <= 10
    assert low - 1e-6 * span <= ticks[0]
    assert ticks[-1] <= low + span * (1 + 1e-6)
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


def test_tick_texts() -> None:
    values = [0.0, 0.5, -2.0, 999.0, 1000.0, 2.5e12, 3e18, 2e-4, 1e22]
    assert tick_texts(values) == ["0", "0.5", "-2", "999", "1k", "2.5T", "3E", "2e-4", "1e22"]


def test_a_cost_of_zero_makes_the_axis_linear() -> None:
    root = parse(frontier_svg(view(BOARD, [run("a", 0.9, 1.0), run("b", 0.8, 0.5, metrics={
        "test/acc": 0.8, "time/train_s": 0.0})])))  # fmt: skip
    assert len(classed(root, "marker")) == 2
    assert "0" in said(classed(root, "xtick"))


def test_hostile_text_is_text() -> None:
    evil = "</text><script>alert(1)</script>&\"'\x00\ud800"
    board = BOARD.model_copy(
        update={"title": evil, "costs": [TIME.model_copy(update={"label": evil})]}
    )
    records = [run(evil, 0.9, 10.0), run("b", 0.8, 20.0)]
    svg = frontier_svg(view(board, records))
    root = parse(svg)
    svg.encode()
    assert not list(root.iter(f"{SVG}script"))
    clean = evil.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert said(classed(root, "title")) == [clean]
    assert clean in said(list(root.iter(f"{SVG}text")))
    assert said(classed(root, "label"))[0].startswith("</text><script>alert(1)")


def test_labels_cover_neither_each_other_nor_the_points() -> None:
    area = Box(0, 0, 600, 400)
    points = [(60.0 + 40 * i, 360.0 - 25 * i, f"model number {i}") for i in range(12)]
    markers = [Box(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    labels = place(points, markers, area, (-1, -1))
    assert len(labels) == 12
    for i, label in enumerate(labels):
        assert label.box.inside(area)
        assert not any(label.box.overlaps(m) for m in markers)
        assert not any(label.box.overlaps(other.box) for other in labels[:i])


def test_without_runs_it_says_what_to_type() -> None:
    root = parse(frontier_svg(view(BOARD, [])))
    assert "python train.py" in "".join(root.itertext())
    assert not classed(root, "marker")


def test_notes_and_the_same_bytes_each_time() -> None:
    other = HARDWARE.model_copy(update={"cpu_name": "Other"})
    records = [run("a", 0.9, 1.0), run("b", 0.8, 2.0, hardware=other, emulated=True)]
    svg = frontier_svg(view(BOARD, records))
    assert svg == frontier_svg(view(BOARD, records))
    assert "2 kinds of hardware" in svg
    assert "emulated" in svg


def test_what_is_beyond_the_worst_leaves_the_others_their_room() -> None:
    good = [run("a", 0.9, 1.0), run("b", 0.8, 2.0)]
    quality = BOARD.quality.model_copy(update={"worst": 0.5})
    board = BOARD.model_copy(update={"quality": quality})
    svg = frontier_svg(view(board, [*good, run("c", 0.1, 3.0)]))
    assert "1 of 3 groups have no place here" in svg
    assert svg.count('class="marker') == frontier_svg(view(board, good)).count('class="marker') == 2
