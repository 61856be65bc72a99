"""A distribution among the curves is drawn as a band, in a real browser."""

from pathlib import Path

from tests.browser import Browser
from tests.factories import make_record
from tests.leaderboard.test_page import BOARD
from zoo.leaderboard.page import write_page
from zoo.leaderboard.store import Stored


def test_alpha_is_drawn_as_its_median_in_a_band(browser: Browser, tmp_path: Path) -> None:
    record = make_record()
    plain = record.curve["val/acc"]
    curve = {
        f"num/brake/alpha_{name}": plain.model_copy(update={"value": [level] * 5})
        for name, level in (("p05", -0.5), ("p50", 1.0), ("p95", 2.5), ("mean", 0.9))
    }
    record = record.model_copy(update={"curve": {**record.curve, **curve}})
    page = write_page(tmp_path, [BOARD], [Stored(record, Path("r.json"), True)], [])
    browser.open(page, f"#run={record.id}")
    names = 'return [...document.querySelectorAll("dialog select")[0].options].map((o) => o.text)'
    listed = browser.until(names)
    assert listed == sorted(listed)
    assert "num/brake/alpha, 5 to 95%" in listed
    browser.js(
        'const s = document.querySelectorAll("dialog select")[0];'
        's.value = [...s.options].find((o) => o.text.endsWith("5 to 95%")).value;'
        's.dispatchEvent(new Event("change"));'
    )
    drawn = browser.js(
        'return document.querySelector("dialog .plot").data'
        ".map((t) => [t.name ?? null, t.fill ?? null, [...new Set(t.y)]])"
    )
    assert drawn == [[None, None, [-0.5]], [None, "tonexty", [2.5]], ["seed 0", None, [1.0]]]
    assert browser.js('return document.querySelectorAll("dialog .plot path.js-fill").length') == 1
