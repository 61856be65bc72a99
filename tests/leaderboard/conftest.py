"""A real browser for the tests of the page."""

from collections.abc import Iterator

import pytest

from tests.browser import CHROMEDRIVER, Browser, started


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMEDRIVER is None:
        pytest.skip("chromedriver is not installed (Debian: apt install chromium-driver)")
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(shared_browser: Browser) -> Iterator[Browser]:
    """The browser; a test also fails when the page logged an error."""
    shared_browser.log()
    yield shared_browser
    severe = [entry for entry in shared_browser.log() if entry["level"] == "SEVERE"]
    assert severe == []
