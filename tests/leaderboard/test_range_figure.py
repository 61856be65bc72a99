"""The heat maps of a run's ranges as an SVG, read back as XML."""

import copy
import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from tests.factories import make_ranges, make_record
from zoo.leaderboard.page.range_figure import TITLES, level, power, ranges_svg, spread
from zoo.leaderboard.ranges import KINDS, Ranges

SMALL = make_ranges(steps=3, layers=2)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_has_a_cell_for_every_share_in_the_colour_of_it() -> None:
    svg = ranges_svg(make_record(0, ranges=SMALL))
    assert svg is not None
    root = ET.fromstring(svg)
    assert not re.search(r"href|url\(|@import", svg)
    for kind in KINDS:
        panel = next(g for g in root.iter(f"{SVG}g") if g.get("class") == f"panel {kind}")
        shares = SMALL.over_training[kind]
        wanted: dict[str, int] = {}
        lost = [1 - z - sum(row) for z, row in zip(shares.zero, shares.share, strict=True)]
        values = [s for row in shares.share for s in row] + shares.zero
        for share in [*values, *(x for x in lost if x > 0.01)]:
            if share > 0:
                wanted[f"h{level(share)}"] = wanted.get(f"h{level(share)}", 0) + 1
        cells = {
            str(p.get("class")): str(p.get("d")).count("M")
            for p in panel.iter(f"{SVG}path")
            if re.fullmatch(r"h\d+", str(p.get("class")))
        }
        assert cells == wanted
        said = ["".join(t.itertext()) for t in panel.iter(f"{SVG}text")]
        assert TITLES[kind] in said
        assert {"fp16 normal", "fp16 subnormal", "fp169 subnormal"} <= {
            s.lstrip("↑↓ ") for s in said
        }


def test_the_lines_of_the_picture_are_at_the_exponents_of_its_axis() -> None:
    root = ET.fromstring(ranges_svg(make_record(0, ranges=SMALL), "by_layer") or "")
    panel = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "panel gradients")
    ticks = {
        "".join(t.itertext()): float(str(t.get("y"))) - 4
        for t in panel.iter(f"{SVG}text")
        if "ytick" in str(t.get("class"))
    }
    top, bottom = ticks[power(0)], ticks[power(-32)]
    octave = (bottom - top) / 32
    lines = {
        (str(p.get("class")), float(str(p.get("d")).split()[1].split("H")[0]))
        for p in panel.iter(f"{SVG}path")
        if str(p.get("class")).startswith("edge") and "H" in str(p.get("d"))
    }
    expected = {("edge f0", 30), ("edge f0 dashed", 39), ("edge f1", 14), ("edge f1 dashed", 24)}
    for css, down in expected:
        (height,) = [y for c, y in lines if c == css and y > top]
        assert height == pytest.approx(top + down * octave, abs=1.5), css


def test_a_record_without_ranges_has_no_picture() -> None:
    assert ranges_svg(make_record(0)) is None
    empty = Ranges(formats={}, over_training=SMALL.over_training, by_layer={})
    assert ranges_svg(make_record(0, ranges=empty), "by_layer") is None
    assert ranges_svg(make_record(0, ranges=empty)) is not None


def test_hostile_names_are_text_in_the_picture() -> None:
    evil = "</text><script>alert(1)</script>&\"'\x00"
    fields = copy.deepcopy(SMALL.model_dump(mode="json"))
    fields["formats"] = {evil: fields["formats"]["fp16"]}
    for shares in fields["by_layer"].values():
        shares["layer"] = [evil, evil]
    svg = ranges_svg(make_record(0, ranges=Ranges.model_validate(fields)), "by_layer")
    assert svg is not None
    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert any("pt>" in "".join(t.itertext()) for t in root.iter(f"{SVG}text"))


def test_labels_that_would_lie_on_each_other_are_spread() -> None:
    heights = spread([0, 1, 2, 50, 99, 99], 13, 100)
    assert all(b - a >= 13 for a, b in itertools.pairwise(heights))
    assert heights[0] == 0
    assert heights[-1] == 100
