"""The site of the docs without building it: every page is in nav, and every name and link is there."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
DOCS = ROOT / SITE["docs_dir"]
PAGES = sorted(DOCS.rglob("*.md"))


def pages_of(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in pages_of(part)]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as the site makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", t).strip().lower().replace(" ", "-") for t in titles}


def test_nav_names_every_page_once() -> None:
    named = pages_of(SITE["nav"])
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES)
    assert named[0] == "index.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_stay_inside_of_the_site_and_lead_somewhere(page: Path) -> None:
    """README.md may link to anything in the repository; a page of the site has only docs/ around it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert linked.is_relative_to(DOCS), target
        assert not anchor or anchor in headings(linked), target


def test_the_index_leads_to_every_part_and_does_not_repeat_the_readme() -> None:
    index, readme = (DOCS / "index.md").read_text(), (ROOT / "README.md").read_text()
    for part in SITE["nav"]:
        assert any(f"({page})" in index for page in pages_of(part)), part
    lines = {line for line in index.splitlines() if len(line) > 40 and not line.startswith("![")}
    assert not lines & set(readme.splitlines())


def test_every_name_of_the_reference_is_there_and_says_what_it_is() -> None:
    names = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(names) == len(set(names)) > 15
    for name in names:
        home, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(home), last)
        assert callable(found), name
        assert (found.__doc__ or "").strip(), name


def test_the_reference_has_all_of_what_small_packages_offer() -> None:
    text = (DOCS / "api.md").read_text()
    for package in ("zoo.delay", "zoo.leaderboard"):
        missing = set(importlib.import_module(package).__all__) - set(
            re.findall(rf"::: {package}\.(?:\w+\.)?(\w+)$", text, re.MULTILINE)
        )
        assert missing <= {"History"}, missing


def test_the_site_takes_nothing_from_the_network() -> None:
    assert SITE["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & set(SITE)
    assert SITE["strict"] is True


def test_make_and_ci_build_it_into_a_folder_that_git_ignores() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{SITE['site_dir'].split('/')[0]}/" in ignored
    assert re.search(
        r"^docs: .*\n\t.*mkdocs build .*--strict$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    ci = (ROOT / ".ci" / "run").read_text()
    assert ci.index("make types") < ci.index("make docs") < ci.index("make demo")
