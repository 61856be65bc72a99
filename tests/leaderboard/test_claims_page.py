"""Claims on the page, in a real browser: first of all, in words, and nothing of them is run."""

from pathlib import Path

import pytest

from tests.browser import Browser
from tests.leaderboard.claims.test_claims import TWO_POINTS, claim
from tests.leaderboard.test_page import BOARD, small, texts
from zoo.leaderboard.claims.judge import judge
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.page import write_page

# On one worker, so that there is one browser.
pytestmark = pytest.mark.xdist_group("claims_page")

HOSTILE = (
    "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index(TWO_POINTS)
    source = {"value": "2 points", "source": "abstract", "verified": False}
    claims = [
        claim({"at_least": 1}, paper=source),
        claim({"at_least": 5}, sentence=HOSTILE),
        claim({"at_least": 1}, where={"model.name": "none"}),
    ]
    judged = [judge(c, "A paper", index) for c in claims]
    assert [j.verdict for j in judged] == ["holds", "fails", "no runs"]
    return write_page(tmp_path_factory.mktemp("page"), [BOARD], small(), claims=judged)


def test_claims_come_first_and_say_what_was_measured(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.js(texts("nav a")) == ["claims", "digits"]
    assert browser.js(texts("nav a[aria-current]")) == ["claims"]
    assert browser.js(texts(".claims .verdict")) == ["✓ holds", "✗ fails", "– no runs"]
    rows = browser.js(texts(".claims tbody tr"))
    assert "Paper: 2 points (abstract, not verified)" in rows[0]
    assert "≥ 1" in rows[0]
    assert "n=3" in rows[0]
    assert HOSTILE in rows[1]  # as text
    assert browser.js("return document.title") == "Zoo boards"
    (said,) = browser.js(texts(".claims > p"))
    assert said.startswith("3 claims: 1 holds, 1 fails, 1 no runs.")
    assert browser.log() == []


def test_boards_are_a_step_away_and_claims_can_be_linked_to(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("nav a:nth-child(2)")
    assert browser.until('return !document.querySelector(".claims").checkVisibility()')
    browser.becomes(texts("nav a[aria-current]"), ["digits"])
    browser.open(page, "#board=claims")
    assert browser.until('return document.querySelector(".claims").checkVisibility()')


def test_a_page_without_claims_begins_with_a_board(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_page(tmp_path, [BOARD], small()))
    assert browser.js("return document.querySelectorAll('.claims').length") == 0
    assert browser.js(texts("section h2")) == [BOARD.title]
