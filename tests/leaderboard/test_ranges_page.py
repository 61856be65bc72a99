"""The heat maps of a run's ranges in a real browser."""

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import TAB, Browser
from tests.factories import FORMATS, make_ranges, make_record
from tests.leaderboard.test_page import BOARD, EVIL
from zoo.leaderboard.page import write_page
from zoo.leaderboard.page.html import render
from zoo.leaderboard.page.payload import payload
from zoo.leaderboard.page.range_figure import level
from zoo.leaderboard.ranges import KINDS, ByLayer, OverTraining, Ranges
from zoo.leaderboard.store import Stored

# On one worker, so that there is one browser.
pytestmark = pytest.mark.xdist_group("ranges_page")

# Two steps, so that every number can be told: gradients lie at 2^-13, then at 2^-26 and at 2^-39.
GRADIENTS = OverTraining(
    step=[0, 1500],
    low=-40,
    share=[[0.0] * 26 + [0.0, 1.0], [0.0, 0.25] + [0.0] * 12 + [0.5] + [0.0] * 13],
    zero=[0.0, 0.25],
)
LAYERS = ByLayer(layer=["stem", "head"], low=-2, share=[[0.5, 0.5], [0.1, 0.9]], zero=[0.0, 0.0])
RANGES = Ranges(
    formats=FORMATS, over_training={"gradients": GRADIENTS}, by_layer={"weights": LAYERS}
)
MONITORED, PLAIN = make_record(0, ranges=RANGES), make_record(1)


def written(folder: Path, ranges: Ranges = RANGES) -> Path:
    records = [MONITORED.model_copy(update={"ranges": ranges}), PLAIN]
    return write_page(folder, [BOARD], [Stored(r, Path(f"{r.id}.json"), True) for r in records])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"))


def opened(browser: Browser, page: Path, run: str = MONITORED.id) -> None:
    browser.open(page, f"#run={run}")
    browser.until('return document.querySelector("dialog").open')
    if run == MONITORED.id:
        browser.until('return document.querySelector(".heat .cells")')


# Where the cells are, in columns and exponents, as [column, exponent, colour]: from the pixels of
# the frame and the labels of the ticks beside it, so that a shift of either shows.
CELLS = r"""
const svg = document.querySelectorAll(".heat > svg")[arguments[0]];
const numbers = (d) => d.match(/-?[\d.]+/g).map(Number);
const frames = [...svg.querySelectorAll(".frame")].map((p) => numbers(p.getAttribute("d")));
const [left, top, right, bottom] = frames[0];
const digits = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
const exponent = (text) => Number(Array.from(text.slice(1), (c) => c === "\u207b" ? "-" : digits.indexOf(c)).join(""));
const ticks = [...svg.querySelectorAll("text")].filter((t) => /^2[\u207b\u2070-\u2079\u00b9\u00b2\u00b3]+$/.test(t.textContent))
  .map((t) => [exponent(t.textContent), Number(t.getAttribute("y")) - 4]);
const [[k0, y0], [k1, y1]] = [ticks[0], ticks.at(-1)];
const octave = (y0 - y1) / (k1 - k0);
const at = (y) => k0 + (y0 - y) / octave;
const columns = arguments[1];
const cells = [...svg.querySelectorAll(".cells path")].flatMap((path) =>
  path.getAttribute("d").match(/M[^Z]*Z/g).map((d) => {
    const [x, above, , below] = numbers(d);
    const column = Math.round((x - left) / (right - left) * columns);
    const place = above >= bottom ? "zero" : Math.round(at(below));
    return [column, place, path.getAttribute("class")];
  }));
const lines = [...svg.querySelectorAll("[data-at]")].map((p) =>
  [p.getAttribute("class"), Math.round(4 * at(numbers(p.getAttribute("d"))[1])) / 4]);
return { cells, lines };
"""


def h(share: float) -> str:
    return f"h{level(share)}"


def test_the_cells_are_where_the_record_says_in_the_colour_of_their_share(
    browser: Browser, page: Path
) -> None:
    opened(browser, page)
    drawn = browser.js(CELLS, 0, 2)
    assert sorted(map(tuple, drawn["cells"]), key=str) == sorted(
        [(0, -13, h(1)), (1, -39, h(0.25)), (1, -26, h(0.5)), (1, "zero", h(0.25))], key=str
    )
    fills = browser.js(
        'return [...document.querySelectorAll(".cells path")].map((p) => getComputedStyle(p).fill)'
    )
    assert len(set(fills)) == len({h(1), h(0.25)}) == 2
    assert "rgb(0, 0, 0)" not in fills


def test_the_lines_are_at_the_edges_of_the_chosen_formats(browser: Browser, page: Path) -> None:
    opened(browser, page)
    # fp169: overflow at 2^32 is too far from all elements, and only named.
    edges = {"edge f0": -30, "edge f0 dashed": -39, "edge f1": -14, "edge f1 dashed": -24}
    lines = browser.js(CELLS, 0, 2)["lines"]
    assert {css: at for css, at in lines if at < 0} == pytest.approx(edges, abs=0.26)
    assert [css for css, at in lines if at > 0] == []
    names = 'return [...document.querySelectorAll(".heat text[class]")].map((t) => t.textContent)'
    assert {"↑ fp169 overflow", "fp16 normal", "fp169 subnormal"} <= set(browser.js(names))
    boxes = browser.js(
        'return [...document.querySelectorAll(".formats input")].map((b) => b.checked)'
    )
    assert boxes == [True, True, False]
    for child in (1, 2, 3):
        browser.click(f".formats label:nth-child({child}) input")
    assert browser.js(CELLS, 0, 2)["lines"] == []
    assert browser.js(names) == [f"{a} bf16 {e}" for a, e in
        (("↑", "overflow"), ("↓", "normal"), ("↓", "subnormal"))]  # fmt: skip
    said = browser.js('return document.querySelector(".formats").textContent')
    assert "fp162⁻¹⁴ to 2¹⁶, subnormal from 2⁻²⁴" in said


READOUT = 'return document.querySelector(".readout p").textContent'
ROWS = """
return [...document.querySelectorAll(".readout tbody tr")].map((r) => [...r.children].map((c) => c.textContent));
"""


def test_the_readout_says_what_each_format_loses(browser: Browser, page: Path) -> None:
    opened(browser, page)
    assert browser.js(READOUT).startswith("The worst of 2 steps")
    # Of the nonzero 0.75, two thirds lie at 2^-26 and one third at 2^-39.
    worst = [["fp169", "0", "33.3 %", "0"], ["fp16", "0", "100 %", "100 %"]]
    assert browser.js(ROWS) == worst
    spot = browser.js(
        'const svg = document.querySelector(".heat > svg"); svg.scrollIntoView({block: "center"});'
        "const box = svg.getBoundingClientRect();"
        "const [x, y] = [...svg.querySelectorAll('.cells path')].map((p) => p.getAttribute('d'))"
        f".find((d, i) => svg.querySelectorAll('.cells path')[i].matches('.{h(1.0)}'))"
        ".match(/[\\d.]+/g).map(Number); return [box.left + x + 5, box.top + y + 2]"
    )
    browser.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=spot[0], y=spot[1])
    browser.until(f"return (() => {{ {READOUT} }})().startsWith('step 0')")
    assert browser.js(READOUT) == "step 0: 100 % in [2⁻¹³, 2⁻¹²), 0 zeros"
    assert browser.js(ROWS) == [["fp169", "0", "0", "0"], ["fp16", "0", "0", "0"]]
    assert browser.js('return document.querySelector(".cursor").getAttribute("d")')
    browser.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.until(f"return (() => {{ {READOUT} }})().startsWith('The worst')")
    assert browser.js(ROWS) == worst


def test_the_arrow_keys_go_from_cell_to_cell(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.js('document.querySelectorAll(".formats input")[2].focus()')
    browser.press(TAB)
    assert browser.js('return document.activeElement.matches(".heat > svg:focus-visible")')
    assert browser.js(READOUT) == "step 1,500: 50 % in [2⁻²⁶, 2⁻²⁵), 25 % zeros"
    down, left = "\ue015", "\ue012"
    browser.press(down)
    assert browser.js(READOUT) == "step 1,500: 0 in [2⁻²⁷, 2⁻²⁶), 25 % zeros"
    for _ in range(3):
        browser.press(left)
    assert browser.js(READOUT) == "step 0: 0 in [2⁻²⁷, 2⁻²⁶), 0 zeros"
    browser.press(TAB)
    assert browser.js(READOUT).startswith("The worst")


def test_the_switch_shows_the_layers(browser: Browser, page: Path) -> None:
    opened(browser, page)
    captions = 'return [...document.querySelectorAll(".heat figcaption")].map((c) => c.textContent)'
    assert browser.js(captions) == ["Gradients of activations"]
    browser.js(
        'const s = document.querySelector(".ranges select"); s.value = "by_layer";'
        's.dispatchEvent(new Event("change"));'
    )
    assert browser.js(captions) == ["Weights"]
    cells = sorted(map(tuple, browser.js(CELLS, 0, 2)["cells"]))
    assert cells == [(0, -2, h(0.5)), (0, -1, h(0.5)), (1, -2, h(0.1)), (1, -1, h(0.9))]
    texts = browser.js(
        'return [...document.querySelectorAll(".heat text")].map((t) => t.textContent)'
    )
    assert {"stem", "head"} <= set(texts)


def test_what_is_not_finite_has_a_strip_of_its_own(browser: Browser, tmp_path: Path) -> None:
    lost = OverTraining(step=[0, 1], low=0, share=[[1.0], [0.0]], zero=[0.0, 0.25])
    fields = {**RANGES.model_dump(), "over_training": {"weights": lost}}
    opened(browser, written(tmp_path, Ranges.model_validate(fields)))
    count = 'return document.querySelectorAll(".heat .frame").length'
    assert browser.js(count) == 3
    assert browser.js(
        'return [...document.querySelectorAll(".heat text")].some((t) => t.textContent === "∞")'
    )
    assert len(browser.js(CELLS, 0, 2)["cells"]) == 3
    browser.js('document.querySelector(".heat > svg").focus({focusVisible: true})')
    said = browser.until(f"return (() => {{ {READOUT} }})().match(/^step 1: .*/)?.[0]")
    assert said.endswith("25 % zeros, 75 % not finite")


def test_a_run_without_ranges_has_no_such_block(browser: Browser, page: Path) -> None:
    opened(browser, page, PLAIN.id)
    browser.js('document.querySelectorAll("dialog details").forEach((d) => { d.open = true; })')
    assert browser.js('return document.querySelectorAll(".run.target .heat").length') == 0
    # The other seed's block is closed until it is asked for, and then it is drawn.
    assert browser.until('return document.querySelectorAll(".run .heat .cells").length') == 1


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    fields: dict[str, Any] = copy.deepcopy(RANGES.model_dump())
    fields["formats"] = {EVIL: fields["formats"]["fp16"], "__proto__": fields["formats"]["bf16"]}
    fields["by_layer"]["weights"]["layer"] = [EVIL, "__proto__"]
    record = MONITORED.model_copy(update={"ranges": Ranges.model_validate(fields)})
    # Without its policy, so that nothing but the page's own care stands in the way.
    html = render(payload([BOARD], [Stored(record, Path(), True)], []))
    (tmp_path / "index.html").write_text(html.replace("Content-Security-Policy", "x-nothing"))
    opened(browser, tmp_path / "index.html")
    browser.js(
        'const s = document.querySelector(".ranges select"); s.value = "by_layer";'
        's.dispatchEvent(new Event("change"));'
        'document.querySelector(".heat > svg").focus({focusVisible: true});'
    )
    assert "__proto__" in browser.until(f"return (() => {{ {READOUT} }})()")
    assert "<b>b</b>" in browser.js('return document.querySelector(".formats").textContent')
    assert browser.js('return document.querySelectorAll("dialog :is(img, script, b)").length') == 0
    assert browser.js("return window.hacked") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_fetches_nothing(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.cdp(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=844,
        deviceScaleFactor=1,
        mobile=False,
    )
    try:
        opened(browser, written(tmp_path, make_ranges()))
        for view in ("over_training", "by_layer"):
            browser.js(
                'const s = document.querySelector(".ranges select"); s.value = arguments[0];'
                's.dispatchEvent(new Event("change"));', view
            )  # fmt: skip
            assert browser.js('return document.querySelectorAll(".heat .cells").length') == 4
            wide = browser.js(
                'const d = document.querySelector("dialog"), r = document.querySelector(".run");'
                "return [d.scrollWidth - d.clientWidth, r.scrollWidth - r.clientWidth]"
            )
            assert max(wide) <= 0
            outside = browser.js(
                'return [...document.querySelectorAll(".heat > svg")].flatMap((svg) => {'
                "  const box = svg.getBoundingClientRect();"
                '  return [...svg.querySelectorAll("text")].filter((t) => {'
                "    const b = t.getBoundingClientRect();"
                "    return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;"
                "  }).map((t) => t.textContent); })"
            )
            assert outside == []
        assert browser.js('return performance.getEntriesByType("resource").length') == 0
    finally:
        browser.cdp("Emulation.clearDeviceMetricsOverride")


def stored(ranges: Ranges | None, count: int = 1) -> list[Stored]:
    records = (make_record(seed, ranges=ranges) for seed in range(count))
    return [Stored(r, Path(f"{r.id}.json"), False) for r in records]


def test_the_page_gets_the_shares_as_they_are_and_names_once() -> None:
    small = make_ranges(steps=3, layers=2)
    data = payload([], stored(small), [])
    ranges = data["runs"][0]["ranges"]
    for kind in KINDS:
        drawn, given = ranges["over_training"][kind], small.over_training[kind]
        assert data["pool"][drawn["names"]] == given.step
        assert (drawn["low"], drawn["share"], drawn["zero"]) == (given.low, given.share, given.zero)
        assert data["pool"][ranges["by_layer"][kind]["names"]] == small.by_layer[kind].layer
    assert data["pool"][ranges["formats"]][1] == ["fp16", 16, -14, -24]
    assert len({m["names"] for m in ranges["over_training"].values()}) == 1
    assert '"ranges"' not in json.dumps(payload([], stored(None), []))


def test_many_runs_are_thinned_in_steps_but_not_in_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    # By name: the package has a function that is called as its module is.
    module = importlib.import_module("zoo.leaderboard.page.payload")
    monkeypatch.setattr(module, "ALL_CELLS", 4 * 64 * 56 * 2)
    ranges = make_ranges(steps=64, layers=20)
    for count, columns in ((2, 64), (4, 32), (40, 16)):
        data = payload([], stored(ranges, count), [])
        shown = data["runs"][0]["ranges"]
        steps = data["pool"][shown["over_training"]["weights"]["names"]]
        assert (len(steps), steps[0], steps[-1]) == (columns, 0, 6300)
        assert len(shown["over_training"]["weights"]["share"]) == columns
        assert len(shown["by_layer"]["weights"]["share"]) == 20
