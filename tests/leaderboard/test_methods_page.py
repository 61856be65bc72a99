"""Method cards on the page, in a real browser."""

from pathlib import Path

import pytest

from tests.browser import Browser
from tests.leaderboard.claims.test_claims import TWO_POINTS, claim
from tests.leaderboard.test_methods import METHODS
from tests.leaderboard.test_page import BOARD, small, texts
from zoo.leaderboard.claims.judge import judge
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.methods import Method
from zoo.leaderboard.page import write_page

# On one worker, so that there is one browser.
pytestmark = pytest.mark.xdist_group("methods_page")

HOSTILE = (
    "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"
)
EVIL = Method(
    name='evil" onfocus="document.title=1',
    title=HOSTILE,
    paper=HOSTILE,
    read=HOSTILE,
    idea=HOSTILE,
    equations=[HOSTILE, "b"],
    commands=[HOSTILE],
    boards=["digits"],
    claims="a_paper",
    document="boards",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = Index(TWO_POINTS)
    judged = [judge(claim({"at_least": n}), "a_paper", index) for n in (1, 5, 6)]
    assert [j.verdict for j in judged] == ["holds", "fails", "fails"]
    folder = tmp_path_factory.mktemp("page")
    return write_page(folder, [BOARD], small(), claims=judged, methods=[*METHODS, EVIL])


def test_the_cards_of_all_papers_are_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.js(texts("nav a")) == ["claims", "methods", "digits"]
    browser.click("nav a:nth-child(2)")
    assert browser.until("return document.querySelector('.methods')?.checkVisibility()")
    assert browser.js(texts(".method h3"))[:-1] == [method.title for method in METHODS]
    first = METHODS[0]
    shown = browser.js("return document.querySelector('.method').innerText")
    for text in (first.paper, first.idea.strip(), *first.commands, f"docs/{first.document}.md"):
        assert text in shown
    equations = browser.js(texts(".method .equations"))
    assert equations[0] == "\n".join(first.equations)
    assert browser.log() == []


def test_a_card_counts_its_claims_and_leads_to_its_boards(browser: Browser, page: Path) -> None:
    browser.open(page, "#board=methods")
    last = ".method:last-child"
    assert browser.until(texts(f"{last} .verdict")) == ["✓ 1 holds", "✗ 2 fails"]
    # None of the others was judged here, and none says that it was.
    assert browser.js("return document.querySelectorAll('.method .verdict').length") == 2
    assert browser.js(texts(f"{last} dd a")) == ["a_paper", "digits"]
    browser.click(f"{last} dd:nth-of-type(2) a")
    browser.becomes(texts("nav a[aria-current]"), ["digits"])
    assert not browser.js("return document.querySelector('.methods').checkVisibility()")


def test_a_hostile_card_is_text(browser: Browser, page: Path) -> None:
    browser.open(page, "#board=methods")
    shown = browser.until("return document.querySelector('.method:last-child')?.textContent")
    assert shown.count(HOSTILE) == 6
    assert browser.js("return document.querySelectorAll('.methods img').length") == 0
    assert browser.js("return document.title") == "Zoo boards"


def test_a_page_without_cards_has_no_such_view(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_page(tmp_path, [BOARD], small()), "#board=methods")
    assert browser.until(texts("section h2")) == [BOARD.title]
