"""The page in a real browser."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser import ENTER, ESCAPE, TAB, Browser
from tests.factories import DATA, HARDWARE, make_config, make_record
from zoo.leaderboard.boards import Axis, Board, show_number, view
from zoo.leaderboard.certainty import membership_of
from zoo.leaderboard.page import write_page
from zoo.leaderboard.page.html import embed, render
from zoo.leaderboard.page.payload import payload
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import Problem, Stored

# On one worker, so that there is one browser.
pytestmark = pytest.mark.xdist_group("page")

TIME = Axis(key="time/train_s", label="training time (s)", direction="min", log=True)
FLOPS = Axis(key="flops/total", label="training FLOPs", direction="min", log=True)
BOARD = Board(
    name="digits",
    title="Digits: accuracy against time",
    question="How much accuracy in what time?",
    where={"data.name": "digits"},
    quality=Axis(key="test/acc", label="test accuracy (%)", direction="max", percent=True),
    costs=[TIME, FLOPS],
)
EMPTY = BOARD.model_copy(update={"name": "empty", "title": "Nothing", "where": {"data.name": "-"}})


MIXED = BOARD.model_copy(
    update={"name": "mixed", "title": "Two machines", "where": {"data.name": "mixed"}}
)


def run(
    name: str, accuracy: float | None, train_s: float | None, seed: int = 0, **more: Any
) -> Record:
    fields = {
        "config": make_config(seed, model={"name": name}),
        "command": f"python train.py model={name} seed={seed}",
        **more,
    }
    return make_record(seed, accuracy=accuracy, train_s=train_s, **fields)


def flops(accuracy: float, train_s: float, total: float) -> dict[str, float]:
    return {"test/acc": accuracy, "time/train_s": train_s, "flops/total": total}


def small() -> list[Stored]:
    """Six groups; by time a, b and c are the frontier, by FLOPs d alone."""
    records = [
        run("net-a", 0.90, 9.0),
        run("net-b", 0.93, 10.0, 0),
        run("net-b", 0.95, 12.0, 1),
        run("net-c", 0.97, 100.0),
        run("net-d", 0.97, 200.0, metrics=flops(0.97, 200.0, 1e9)),
        run("net-e", 0.99, 5.0, 0),
        run("net-e", None, None, 1, status="diverged"),
        run("net-f", None, None),
    ]
    return [Stored(r, Path(f"{r.id}.json"), r.seed == 0) for r in records]


def elsewhere() -> list[Stored]:
    """Two runs of different hardware on another board, and one on no board."""
    other = HARDWARE.model_copy(update={"cpu_name": "Other CPU"})
    mixed, lost = (DATA.model_copy(update={"name": name}) for name in ("mixed", "lost"))
    records = [
        run("a", 0.9, 1.0, data=mixed),
        run("a", 0.9, 2.0, data=mixed, hardware=other, emulated=True),
        run("a", 0.9, 2.0, data=lost),
    ]
    ids = ("d" * 16, "e" * 16, "f" * 16)
    named = [r.model_copy(update={"id": i}) for r, i in zip(records, ids, strict=True)]
    return [Stored(r, Path(f"{r.id}.json"), True) for r in named]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    problems = [Problem(Path("/somewhere/outputs/abc/record.json"), "seed: Field required")]
    stored = [*small(), *elsewhere()]
    return write_page(tmp_path_factory.mktemp("page"), [BOARD, EMPTY, MIXED], stored, problems)


def texts(selector: str) -> str:
    """Return the script that reads the texts of these elements."""
    return (
        f"return [...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
    )


COLUMN = """
const [table] = [...document.querySelectorAll("table.groups")].filter((t) => t.checkVisibility());
const heads = [...table.querySelectorAll("th button")].map((b) => b.textContent);
const at = heads.indexOf(arguments[0]);
return [...table.querySelectorAll("tbody tr")].map((r) => r.children[at].textContent);
"""
CLICK_HEAD = """
const buttons = [...document.querySelectorAll("th button")].filter((b) => b.checkVisibility());
const button = buttons.find((b) => b.textContent === arguments[0]);
button.click();
return button.closest("th").getAttribute("aria-sort");
"""
POINTS = """
return Object.fromEntries(document.querySelector("section:not([hidden]) .plot").data
  .filter((trace) => trace.mode === "markers").map((trace) => [trace.name, trace.x.length]));
"""
DRAWN = 'return document.querySelectorAll("section:not([hidden]) .plot svg .points path").length'


def test_the_plot_has_a_point_for_each_group_with_both_values(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.until(DRAWN) == 5
    assert browser.js(POINTS) == {"on": 3, "off": 1, "diverged": 1}
    line = browser.js('return [document.querySelector(".plot").data[0]].map((t) => [t.x, t.y])[0]')
    assert line[0][1:-1] == [9, 11, 11, 100, 100]
    assert line[1][1:] == [90, 90, 94, 94, 97, 97]
    # Two seeds have an error bar, one seed has none and is hollow.
    symbols, bars = browser.js(
        'const t = document.querySelector(".plot").data.find((t) => t.name === "on");'
        "return [t.marker.symbol, t.error_y.array.map((v) => Number.isFinite(v) ? v : null)]"
    )
    shown = sorted(zip(symbols, bars, strict=True), key=lambda pair: pair[0])
    assert shown == [
        ("diamond", pytest.approx(1.41421, rel=1e-4)),
        ("diamond-open", None),
        ("diamond-open", None),
    ]


def test_the_table_says_how_sure_the_frontier_is(browser: Browser, page: Path) -> None:
    """As `zoo board` does: net-b alone has two whole seeds, and so a chance and an interval."""
    browser.open(page)
    browser.until(DRAWN)
    filled = view(BOARD, [item.record for item in small()])
    (chance,) = membership_of(filled).values()
    assert [c for c in browser.js(COLUMN, "chance") if c] == [f"{100 * chance:.0f}%"]
    (group,) = (g for g in filled.groups if g.config["model"]["name"] == "net-b")  # type: ignore[index]
    interval = group.cells["test/acc"].interval
    assert interval is not None
    wanted = f"{show_number(100 * interval.low)} to {show_number(100 * interval.high)}"
    assert [c for c in browser.js(COLUMN, "95% interval") if c] == [wanted]


def test_another_cost_has_another_frontier(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.until(DRAWN)
    assert [c for c in browser.js(COLUMN, "frontier") if c] == ["◆ yes"] * 3
    browser.js(
        'const s = document.querySelector("section select"); s.value = "1";'
        's.dispatchEvent(new Event("change"));'
    )
    marks = dict(zip(browser.js(COLUMN, "model.name"), browser.js(COLUMN, "frontier"), strict=True))
    assert [name for name, mark in marks.items() if mark] == ["net-d"]
    assert browser.js(POINTS)["on"] == 1
    title = browser.js('return document.querySelector(".plot").layout.xaxis.title.text')
    assert title == "training FLOPs"


def test_the_table_sorts_numbers_both_ways_with_missing_values_last(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    assert browser.js(COLUMN, "test accuracy (%)")[0] == "97.00", "best quality first"
    assert browser.js(CLICK_HEAD, "training time (s)") == "ascending"
    # net-e has a diverged run: it stands after those that are whole.
    times = ["9", "11 ± 1.41", "100", "200", "5", "-"]
    assert browser.js(COLUMN, "training time (s)") == times
    assert browser.js(CLICK_HEAD, "training time (s)") == "descending"
    assert browser.js(COLUMN, "training time (s)") == [*reversed(times[:4]), "5", "-"]
    assert browser.js('return document.querySelectorAll("[aria-sort=descending]").length') == 1


def test_the_header_the_marks_and_the_footnote(browser: Browser, page: Path) -> None:
    browser.open(page)
    names = [n.removesuffix("1 diverged") for n in browser.js(COLUMN, "model.name")]
    seeds = dict(zip(names, browser.js(COLUMN, "n"), strict=True))
    assert (seeds["net-a"], seeds["net-b"], seeds["net-e"]) == (
        "single run1",
        "2",
        "single run1 of 2",
    )
    assert "net-e1 diverged" in browser.js(COLUMN, "model.name")
    sources = dict(zip(names, browser.js(COLUMN, "source"), strict=True))
    assert (sources["net-a"], sources["net-b"]) == ("curated", "curated, local")
    assert "11 runs (9 curated, 2 local), made 2" in browser.js(
        'return document.querySelector("#made").textContent'
    )
    problems = browser.js('return document.querySelector(".problems").innerText')
    assert problems == "abc/record.json seed: Field required"
    assert "/somewhere" not in page.read_text()


def test_the_filter_takes_rows_and_fades_points(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.until(DRAWN)
    browser.type("section input", "NET-B curated")
    assert browser.js(COLUMN, "model.name") == ["net-b"]
    assert browser.js(DRAWN) == 5, "faded, not gone"
    opacity = browser.js(
        'return document.querySelector(".plot").data.filter((t) => t.mode === "markers")'
        ".map((t) => [t.x.length, t.marker.opacity])"
    )
    assert sum(n for n, alpha in opacity if alpha == 1) == 1
    assert sum(n for n, alpha in opacity if alpha < 0.5) == 4
    browser.type("section input", " nothing")
    assert browser.js(COLUMN, "model.name") == []


def test_a_row_opens_its_runs(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("section tbody tr:nth-child(3) td:nth-child(4)")  # not on the button
    browser.until('return document.querySelector("dialog").open')
    commands = browser.js(texts(".command code"))
    assert commands == [f"python train.py model=net-b seed={s}" for s in (0, 1)]
    text = browser.js('return document.querySelector("dialog").textContent')
    commit = "c" * 40 + ", clean"
    for said in ("ab" * 32, commit, "Test CPU with AVX2, 2 threads", "8.0 GiB", "torch 2", "local"):
        assert said in text
    config = browser.js('return document.querySelector(".config").textContent')
    assert "model:\n  name: net-b\n  depth: 8\n" in config
    assert "test/acc0.93" in browser.js(texts(".metrics tr"))
    curves = (
        'return document.querySelector("dialog .plot").data'
        ".map((t) => [t.name, Array.from(t.x), t.y.length])"
    )
    assert browser.until(curves) == [[f"seed {s}", [10, 20, 30, 40, 50], 5] for s in (0, 1)]
    browser.js(
        'const s = document.querySelectorAll("dialog select")[1]; s.value = "3";'
        's.dispatchEvent(new Event("change"));'
    )
    assert browser.js(curves)[0][1] == [0.1, 0.2, 0.3, 0.4, 0.5]
    browser.press(ESCAPE)
    browser.until('return !document.querySelector("dialog").open')
    assert browser.js("return location.hash") == "#board=digits"


def test_a_point_opens_its_runs(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.until(DRAWN)
    spot = browser.js(
        'const p = document.querySelector(".plot"); const t = p.data.find((t) => t.name === "off");'
        "const box = p.getBoundingClientRect(), { margin, xaxis, yaxis } = p._fullLayout;"
        "const [x, y] = [xaxis.d2p(t.x[0]), yaxis.d2p(t.y[0])];"
        "return [box.left + margin.l + x, box.top + margin.t + y]"
    )
    at = {"x": spot[0], "y": spot[1], "button": "left", "clickCount": 1}
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.cdp("Input.dispatchMouseEvent", type=kind, **at)
        browser.until(  # the plot looks for the point under the pointer a moment later
            'return document.querySelector(".plot .hovertext, dialog[open]") !== null'
        )
    title = browser.until('return document.querySelector("dialog h2")?.textContent')
    assert title == "net-d"


def test_copy_gives_the_command(browser: Browser, page: Path) -> None:
    record = small()[2].record
    browser.open(page)
    browser.js("location.hash = arguments[0]", f"#run={record.id}")
    browser.js("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    browser.until('return document.querySelector(".run.target")')
    browser.click(".run.target .command button")
    assert browser.until("return window.copied") == "python train.py model=net-b seed=1"
    browser.until('return document.querySelector(".run.target button").textContent === "Copied"')


def test_a_link_opens_a_run_and_an_unknown_one_says_so(browser: Browser, page: Path) -> None:
    record = small()[3].record
    browser.open(page, f"#run={record.id}")
    browser.until('return document.querySelector("dialog").open')
    assert browser.js('return document.querySelector("dialog h2").textContent') == "net-c"
    assert record.id in browser.js('return document.querySelector(".run.target").textContent')
    browser.js('location.hash = "#run=0123"')
    browser.until('return document.querySelector("#notice").checkVisibility()')
    said = browser.js('return document.querySelector("#notice").textContent')
    assert said == "There is no run 0123 on this page."
    assert not browser.js('return document.querySelector("dialog").open')


def test_boards_switch_and_an_empty_one_says_what_to_type(browser: Browser, page: Path) -> None:
    browser.open(page)
    visible = (
        'return [...document.querySelectorAll("section")].filter((s) => s.checkVisibility())'
        ".map((s) => s.querySelector('h2').textContent)"
    )
    assert browser.js(visible) == [BOARD.title]
    browser.click("nav a:nth-child(2)")
    browser.becomes("return location.hash", "#board=empty")
    browser.becomes(visible, ["Nothing"])
    current = 'return document.querySelector("nav [aria-current]").textContent'
    assert browser.js(current) == "empty"
    said = browser.js('return document.querySelector("section:not([hidden])").innerText')
    assert "No run is on this board yet; make one with python train.py." in said
    assert not browser.js('return document.querySelector("section:not([hidden]) .plot")')
    browser.click("nav a:nth-child(1)")
    browser.becomes("return location.hash", "#board=digits")
    browser.becomes(visible, [BOARD.title])


def test_the_keyboard_sorts_and_opens(browser: Browser, page: Path) -> None:
    browser.open(page)
    focused = "return document.activeElement.textContent"
    seen = []
    for _ in range(25):
        browser.press(TAB)
        seen.append(browser.js(focused))
        if seen[-1] == "training time (s)":
            break
    assert seen[-1] == "training time (s)", seen
    assert browser.js('return document.activeElement.matches(":focus-visible")')
    browser.press(ENTER)
    assert browser.js(COLUMN, "training time (s)")[:2] == ["9", "11 ± 1.41"]
    assert browser.js(focused) == "training time (s)", "the focus stays"
    for _ in range(4):
        browser.press(TAB)
    # The headers for FLOPs and source, then the first two rows.
    assert browser.js(focused) == "net-b"
    browser.press(ENTER)
    assert browser.until('return document.querySelector("dialog h2")?.textContent') == "net-b"


def test_hardware_and_emulation_are_said(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("nav a:nth-child(3)")
    browser.until("return document.querySelector('main').innerText.includes('kinds of hardware')")
    text = browser.js('return document.querySelector("main").innerText')
    assert "2 kinds of hardware: their times stand side by side" in text
    assert "wall clock is not the format's" in text
    assert set(browser.js(COLUMN, "hardware")) == {
        "Test CPU with AVX2, 2 threads",
        "Other CPU with AVX2, 2 threads",
    }
    assert browser.js(texts("section:not([hidden]) tbody .badge:not(.single)")) == ["emulated"]


MARKUP = "<b>b</b>&amp;"  # Plotly would draw it as a bold b and an ampersand
EVIL = (
    f"{MARKUP}"
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=1></script>"
    '<a href="javascript:window.hacked=1">x</a>javascript:window.hacked=1\'"&amp;\u2028'
)


def hostile() -> tuple[Board, list[Stored]]:
    stored = []
    for seed, accuracy in ((0, 0.9), (1, 0.91)):
        config = make_config(seed, model={"name": EVIL}, optimizer={EVIL: EVIL})
        record = make_record(seed, config=config, accuracy=accuracy, command=EVIL)
        more = {
            "metrics": {**record.metrics, EVIL: 1.0},
            "curve": {EVIL: record.curve["val/acc"]},
            "libraries": {EVIL: EVIL},
            "created_at": EVIL,
            "hardware": HARDWARE.model_copy(update={"cpu_name": EVIL}),
            "data": record.data.model_copy(update={"name": EVIL}),
        }
        stored.append(Stored(record.model_copy(update=more), Path(), True))
    axis = Axis(key=EVIL, label=EVIL, direction="min")
    board = BOARD.model_copy(
        update={
            "name": EVIL, "title": EVIL, "question": EVIL, "where": {}, "costs": [axis, TIME],
            "columns": ["model.name", f"optimizer.{EVIL}"],
            "quality": BOARD.quality.model_copy(update={"label": EVIL}),
        }
    )  # fmt: skip
    return board, stored


def test_a_hostile_record_is_text(browser: Browser, tmp_path: Path) -> None:
    board, stored = hostile()
    # Without its policy, so that nothing but the page's own care stands in the way.
    problems = [Problem(Path("<img src=x onerror=window.hacked=1>.json"), EVIL)]
    html = render(payload([board, EMPTY], stored, problems))
    assert html.count("Content-Security-Policy") == 1
    (tmp_path / "index.html").write_text(html.replace("Content-Security-Policy", "x-nothing"))
    browser.open(tmp_path / "index.html")
    assert browser.until(DRAWN) == 1
    browser.js(
        'const p = document.querySelector(".plot");'
        'const d = p.data.findIndex((t) => t.mode === "markers");'
        "Plotly.Fx.hover(p, [{curveNumber: d, pointNumber: 0}])"
    )
    hover = browser.until('return document.querySelector(".plot .hovertext")?.textContent')
    assert f"{MARKUP}<script>window.hacked=1" in hover
    assert browser.js('return document.querySelector("h2").textContent') == EVIL
    assert EVIL in browser.js(COLUMN, "model.name")[0]
    for drawn in (".xtitle", ".ytitle", ".annotation-text"):
        text = browser.js(
            "return document.querySelector(arguments[0]).textContent", f".plot {drawn}"
        )
        assert text.startswith(MARKUP), drawn
    browser.click("section tbody button.open")
    browser.until('return document.querySelector("dialog .plot svg")')
    commands = browser.js('return document.querySelector(".command code").textContent')
    assert commands == EVIL
    title = browser.js('return document.querySelector("dialog .ytitle").textContent')
    assert title.startswith(MARKUP)
    browser.js('document.querySelectorAll("dialog details").forEach((d) => { d.open = true; })')
    assert EVIL in browser.js('return document.querySelector(".metrics").textContent')
    # Tags that a string would have made, and links that lead anywhere but to this page.
    strange = browser.js(
        'return [...document.querySelectorAll("img, script, [onerror], a")]'
        '.filter((e) => e.localName !== "a" || !(e.getAttribute("href") ?? "#").startsWith("#"))'
        ".map((e) => e.localName)"
    )
    assert strange == ["script"] * 3
    time.sleep(0.1)  # an image's error comes a little later
    assert browser.js("return window.hacked") is None


def test_the_page_fetches_nothing_and_forbids_what_is_not_its_own(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    browser.until(DRAWN)
    assert browser.js('return performance.getEntriesByType("resource").map((e) => e.name)') == []
    assert "://" not in re.sub("<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    browser.js(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        "document.body.append(s);"
    )
    assert browser.js("return window.hacked") is None
    blocked = [e for e in browser.log() if "Content Security Policy" in e["message"]]
    assert blocked, "and the browser says why"


def test_the_data_cannot_leave_its_element() -> None:
    text = embed({EVIL: EVIL})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {EVIL: EVIL}


def test_the_page_has_the_same_frontier_as_the_board() -> None:
    stored = small()
    shown = payload([BOARD], stored, [])["boards"][0]
    for axis, frontier in zip(BOARD.costs, shown["frontiers"], strict=True):
        groups = view(BOARD, [s.record for s in stored], axis.key).groups
        on = {r.id for g in groups if g.on_frontier for r in g.records}
        indices = {i for f in frontier for i in shown["groups"][f]["runs"]}
        assert {stored[i].record.id for i in indices} == on


def test_a_thousand_runs_fit_in_ten_megabytes(tmp_path: Path) -> None:
    template = make_record(points=100)
    curve = template.curve["val/acc"]

    def nth(n: int) -> Record:
        # No two runs have the same times or values, so that nothing of them can be shared.
        own = {
            f"curve/{k}": curve.model_copy(
                update={
                    "train_s": [t * (1 + n / 997 + k / 31) for t in curve.train_s],
                    "value": [v and v * (1 + n / 991 + k / 37) for v in curve.value],
                }
            )
            for k in range(3)
        }
        config = make_config(n % 3, optimizer={"lr": n // 3})
        update = {"id": f"{n:016x}", "seed": n % 3, "config": config, "curve": own}
        return template.model_copy(update=update)

    stored = [Stored(nth(n), Path(), True) for n in range(1000)]
    assert write_page(tmp_path, [BOARD], stored).stat().st_size < 10_000_000


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    record = make_record(points=5001)
    shown = payload([], [Stored(record, Path(), True)], [])
    step, _, tokens, _, value = shown["runs"][0]["curves"]["val/acc"]
    steps, values = shown["pool"][step], shown["pool"][value]
    assert tokens is None
    assert 100 < len(steps) == len(values) <= 200
    assert (steps[0], steps[-1]) == (10, 50010)
    assert steps == sorted(set(steps))


def test_thinned_curves_of_seeds_keep_steps_in_common() -> None:
    """Seeds within a budget of time end at different steps; their mean needs common ones."""
    stored = [
        Stored(make_record(seed, points=points), Path(), True)
        for seed, points in enumerate((200, 201, 395, 400, 410))
    ]
    shown = payload([BOARD], stored, [])
    curves = [run["curves"]["val/acc"] for run in shown["runs"]]
    steps = [set(shown["pool"][curve[0]]) for curve in curves]
    assert [len(kept) for kept in steps] == [51, 51, 100, 101, 104]
    common = {step for step in steps[4] if step < 2000}
    assert len(common) == 50
    assert all(common <= kept for kept in steps)


def test_a_run_on_no_board_can_be_found(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("footer summary")
    assert browser.js(texts("footer a")) == ["f" * 16]
    browser.click("footer a")
    title = browser.until('return document.querySelector("dialog h2")?.textContent')
    assert title == f"Run {'f' * 16}"
