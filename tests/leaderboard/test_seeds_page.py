"""Bands over seeds in a real browser: a group's mean in its dialog, and groups side by side."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tests.browser import ENTER, Browser
from tests.factories import make_config, make_record
from tests.leaderboard.test_page import BOARD, DRAWN, texts
from zoo.leaderboard.page import write_page
from zoo.leaderboard.record import Curve, Record
from zoo.leaderboard.store import Stored

# On one worker, so that there is one browser.
pytestmark = pytest.mark.xdist_group("seeds_page")

# By seed: steps, seconds, values. Step 20 is in two runs, 40 in one, and 30 once without a value.
RUNS: tuple[tuple[list[int], list[float], list[float | None]], ...] = (
    ([10, 20, 30, 40], [1, 2, 3, 4], [0.5, 0.6, 0.7, 0.8]),
    ([10, 20, 30], [2, 4, 6], [0.7, 0.9, None]),
    ([10, 30], [3, 9], [0.6, 0.9]),
)
TRACES = """
const plot = [...document.querySelectorAll(arguments[0])].find((p) => p.checkVisibility());
return plot.data.map((t) => [t.fill ?? null, t.line.dash ?? null, t.x, t.y]);
"""
CHOOSE = """
const select = document.querySelectorAll(arguments[0] + " select")[arguments[1]];
select.value = [...select.options].find((o) => o.text === arguments[2]).value;
select.dispatchEvent(new Event("change"));
"""


def group(name: str, quality: float, train_s: float, runs: Any = RUNS) -> list[Record]:
    made = []
    for seed, (steps, seconds, values) in enumerate(runs):
        curve = Curve(step=steps, samples=[64 * s for s in steps], train_s=seconds, value=values)
        made.append(
            make_record(
                seed,
                accuracy=quality,
                train_s=train_s,
                config=make_config(seed, model={"name": name}),
                curve={"val/acc": curve, "val/loss": curve},
            )
        )
    return made


def written(folder: Path, *records: Record) -> Path:
    return write_page(folder, [BOARD], [Stored(r, Path(f"{r.id}.json"), True) for r in records])


def half(values: list[float]) -> float:
    """Half the interval, by other means than the page's."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return float(stats.t(len(values) - 1).ppf(0.975) * error)


def test_a_groups_mean_is_within_its_interval_over_seeds(browser: Browser, tmp_path: Path) -> None:
    records = group("net", 0.9, 9.0)
    browser.open(written(tmp_path, *records), f"#run={records[0].id}")
    assert browser.until(f"{texts('dialog .curves select:last-of-type')}.length") == 3
    assert len(browser.js(TRACES, "dialog .plot")) == 3  # each seed
    browser.js(CHOOSE, "dialog .curves", 2, "mean, 95% over seeds")
    low, high, mean = browser.js(TRACES, "dialog .plot")
    # Step 40 is of one run alone.
    assert low[2] == high[2] == mean[2] == [10, 20, 30]
    assert mean[3] == pytest.approx([0.6, 0.75, 0.8])
    halves = [half([0.5, 0.7, 0.6]), half([0.6, 0.9]), half([0.7, 0.9])]
    assert high[0] == "tonexty"
    assert [h - m for h, m in zip(high[3], mean[3], strict=True)] == pytest.approx(halves, rel=1e-4)
    assert [m - x for x, m in zip(low[3], mean[3], strict=True)] == pytest.approx(halves, rel=1e-4)
    # Over seconds: the mean of the seconds of the runs that are in the mean of the values.
    browser.js(CHOOSE, "dialog .curves", 1, "train seconds")
    assert browser.js(TRACES, "dialog .plot")[2][2] == pytest.approx([2, 3, 6])


def test_a_single_run_has_nothing_to_average(browser: Browser, tmp_path: Path) -> None:
    (record, *_) = group("net", 0.9, 9.0)
    browser.open(written(tmp_path, record), f"#run={record.id}")
    assert browser.until("return document.querySelectorAll('dialog .curves select').length") == 2


def test_runs_without_a_common_step_have_no_mean(browser: Browser, tmp_path: Path) -> None:
    runs = (([10], [1.0], [0.5]), ([20], [2.0], [0.6]))
    records = group("net", 0.9, 9.0, runs)
    browser.open(written(tmp_path, *records), f"#run={records[0].id}")
    browser.until("return document.querySelectorAll('dialog .curves select').length")
    browser.js(CHOOSE, "dialog .curves", 2, "mean, 95% over seeds")
    (said,) = browser.js(texts("dialog .curves p"))
    assert said == "No step of this curve is in two of these runs, so there is no mean."
    assert not browser.js("return document.querySelector('dialog .plot').checkVisibility()")


def test_groups_stand_beside_each_other_the_frontier_first(
    browser: Browser, tmp_path: Path
) -> None:
    # By quality: g7, g6, ... but only g0 is cheap, and g7 is on the frontier for its quality.
    groups = [group(f"g{i}", 0.9 + i / 100, 1.0 if i == 0 else 100.0) for i in range(7)]
    groups.append(group("g7", 0.99, 100.0, RUNS[:1]))
    browser.open(written(tmp_path, *(r for g in groups for r in g)))
    browser.until(DRAWN)
    assert browser.js("return document.querySelector('.compare').open") is False
    # By keyboard alone.
    browser.js("document.querySelector('.compare > summary').focus()")
    browser.press(ENTER)
    browser.until("return document.querySelectorAll('.compare .plot .scatterlayer .trace').length")
    key = ".compare .legend li"
    assert browser.js(texts(f"{key} a")) == ["g7", "g0", "g6", "g5", "g4", "g3"]
    assert browser.js(texts(f"{key} b")) == list("ABCDEF")
    notes = browser.js(texts(f"{key} span"))
    assert notes[0] == "g7 one run, no band, on the frontier"
    assert notes[1] == "g0 n = 3, on the frontier"
    assert notes[2] == "g6 n = 3"
    traces = browser.js(TRACES, ".compare .plot")
    lines = [t for t in traces if t[1] is not None]
    assert len({t[1] for t in lines}) == 6  # told apart without colour
    assert sum(t[0] == "tonexty" for t in traces) == 5  # a single run has no band
    assert lines[0][2] == [10, 20, 30, 40]
    letters = browser.js(texts(".compare .plot .annotation-text"))
    assert letters == list("ABCDEF")
    # What the filter hides is not compared; the key leads to the runs.
    browser.type(".controls input", "g2")
    assert browser.until(f"{texts(f'{key} a')}.length === 1")
    assert browser.js(texts(f"{key} a")) == ["g2"]
    browser.click(f"{key} a")
    assert browser.until("return document.querySelector('dialog h2')?.textContent") == "g2"


def test_a_hostile_label_is_text_in_the_comparison(browser: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=\"document.title='run'\">"
    records = [*group(hostile, 0.9, 9.0), *group("other", 0.8, 1.0)]
    browser.open(written(tmp_path, *records))
    browser.until(DRAWN)
    browser.click(".compare > summary")
    browser.until("return document.querySelectorAll('.compare .plot .scatterlayer .trace').length")
    assert hostile in browser.js(texts(".compare .legend a"))
    assert browser.js("return document.querySelectorAll('.compare img').length") == 0
    names = browser.js("return document.querySelector('.compare .plot').data.map((t) => t.name)")
    assert "<" not in json.dumps(names)
    assert browser.js("return document.title") == "Zoo boards"
