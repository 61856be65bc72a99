"""Method cards: what they name exists, what they tell to type is accepted, what is wrong is said."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from zoo.config import compose
from zoo.errors import UserError
from zoo.leaderboard.boards import load_boards
from zoo.leaderboard.claims.claim import load_claims
from zoo.leaderboard.methods import load_methods
from zoo.schema import check

HOME = ROOT / "leaderboards"
BOARDS = load_boards(HOME)
PAPERS = load_claims(HOME / "claims")
METHODS = load_methods(HOME / "methods", BOARDS, PAPERS)
CARD: dict[str, Any] = {
    "title": "T",
    "paper": "P",
    "idea": "One. Two.",
    "equations": ["a = b"],
    "commands": ["python train.py"],
}


def test_every_paper_with_claims_has_a_card() -> None:
    assert {method.claims for method in METHODS} == set(PAPERS)


@pytest.mark.parametrize("command", [c for method in METHODS for c in method.commands])
def test_a_cards_command_is_accepted(command: str) -> None:
    python, script, *overrides = shlex.split(command)
    assert (python, script) == ("python", "train.py")
    check(compose(overrides))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_card_leads_to_what_is_there(method: Any) -> None:
    assert method.boards
    assert (ROOT / "docs" / f"{method.document}.md").is_file()
    # Two sentences: the rest is in the document.
    assert method.idea.count(". ") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"boards": ["digit"]}, "mine.yaml: boards: digit: there is none; did you mean digits?"),
        ({"claims": "format_196"}, "mine.yaml: claims: format_196: there is none"),
        ({"equations": []}, "mine.yaml: equations: List should have at least 1 item"),
        ({"idee": "x"}, "mine.yaml: idee: no such key; did you mean idea?"),
    ],
)
def test_a_wrong_card_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**CARD, **change}))
    with pytest.raises(UserError) as error:
        load_methods(tmp_path, ["digits"], ["format_169"])
    assert str(error.value).startswith(said)


def test_a_card_that_is_no_mapping_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("- a\n")
    with pytest.raises(UserError, match=r"mine.yaml: a card is a mapping with title"):
        load_methods(tmp_path, [], [])


def test_without_a_folder_there_are_no_cards(tmp_path: Path) -> None:
    assert load_methods(tmp_path / "none", [], []) == []
