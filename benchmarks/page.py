"""`zoo page` over ten thousand records, and what a reader waits for: first paint and sorting, in Chromium."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.board import ROOT, SEEDS, fill
from tests.browser import CHROMEDRIVER, Browser, started

RUNS = 10_000
SORTS = 7
PAINT = 'return performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0'
# Styles and layout are part of what a reader waits for: asking for a height makes both.
SORT = """
const buttons = [...document.querySelectorAll("th button")].filter((b) => b.checkVisibility());
const button = buttons.find((b) => b.textContent === arguments[0]);
const began = performance.now();
button.click();
document.querySelector("table.groups").getBoundingClientRect();
return performance.now() - began;
"""
ROWS = 'return document.querySelectorAll("table.groups tbody tr").length'


def sort_ms(browser: Browser, column: str) -> float:
    """Return the median time of a click on a column's head, of several."""
    return statistics.median(browser.js(SORT, column) for _ in range(SORTS))


def rows() -> Iterator[tuple[str, str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = fill(folder / "outputs", 0, RUNS)
        command = [sys.executable, "-m", "zoo", "page", "--out", str(folder / "site")]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--output-dir", str(folder / "outputs")],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        took = time.perf_counter() - began
        page = folder / "site" / "index.html"
        yield (
            f"zoo page, {RUNS:,} records ({size / 1e6:.0f} MB) beside the curated ones",
            f"{took:.1f} s",
            "15 s",
            f"a page of {page.stat().st_size / 1e6:.1f} MB, once",
        )
        if CHROMEDRIVER is None:
            yield ("the page in Chromium", "not measured", "", "chromedriver is not installed")
            return
        with started(folder / "profile") as browser:
            paints = []
            for _ in range(3):
                browser.open(page, "#board=digits")
                paints.append(browser.until(PAINT))
            count = browser.until(ROWS)
            times = {c: sort_ms(browser, c) for c in ("n", "test accuracy (%)", "frontier")}
        yield (
            "first paint of that page, headless Chromium, from a file",
            f"{min(paints) / 1e3:.2f} s",
            "",
            f"{', '.join(f'{p / 1e3:.2f}' for p in paints)} s",
        )
        yield (
            f"sorting its table of {count:,} rows",
            f"{max(times.values()):.0f} ms",
            "",
            ", ".join(f"{c}: {ms:.0f} ms" for c, ms in times.items())
            + f", median of {SORTS}, layout included; {RUNS // SEEDS:,} groups are of the benchmark",
        )
