"""What `zoo --help` shows to somebody who has not seen it before."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from tests.conftest import ROOT
from zoo.cli import app

COMMAND: Any = typer.main.get_command(app)


def leaves(command: Any = COMMAND, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for verb, below in command.commands.items():
        yield from leaves(below, f"{name} {verb}".strip())


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_verb_has_one_line_in_80_columns(flag: str) -> None:
    shown = CliRunner().invoke(app, [flag], env={"COLUMNS": "80"}).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    panels = shown[shown.index("Where to begin") :].splitlines()
    verbs = [line for line in panels if line.startswith("│")]
    found = [re.match(r"│ (\w+) +([A-Z].*[.?]) +│$", line) for line in verbs]
    assert all(found), verbs
    assert {match[1] for match in found if match} == set(COMMAND.commands)
    assert found[0] is not None
    assert found[0][1] == "doctor"


LEAVES = dict(leaves())


@pytest.mark.parametrize("name", LEAVES)
def test_every_verb_speaks_json_and_is_described_somewhere(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in LEAVES[name].params)
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"zoo {name}" in document.read_text() for document in documents)


def test_train_without_what_it_needs_is_one_sentence() -> None:
    """As outside of .venv: the standard library alone."""
    done = subprocess.run(
        [sys.executable, "-S", "train.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "train.py: omegaconf is not installed; type make setup, then . .venv/bin/activate\n"
    )
