"""The shell's Tab key, as docs/running.md has it set up."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.conftest import ROOT
from zoo.overrides import groups

TEXT = (ROOT / "docs" / "running.md").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_zoo_shows_its_completion(shell: str) -> None:
    assert "`zoo --show-completion`" in TEXT
    # As in a shell of this kind, whose child it would be: typer asks who called.
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = processes.run(["zoo", "--show-completion", shell], environment)
    assert done.returncode == 0, done.stderr
    assert "_ZOO_COMPLETE=complete_" in done.stdout
    assert shell == "bash" or f"complete_{shell}" in done.stdout


def test_the_verbs_are_completed() -> None:
    asked = {"_ZOO_COMPLETE": "complete_bash", "COMP_WORDS": "zoo do", "COMP_CWORD": "1"}
    done = processes.run(["zoo"], {**os.environ, **asked})
    assert done.stdout.split() == ["doctor"]


def in_bash(program: str) -> list[str]:
    """Return what a real bash prints, in words."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", program], cwd=ROOT, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@needs_bash
def test_zoo_sees_which_shell_it_was_typed_in() -> None:
    words = in_bash("zoo --show-completion; true")  # true: else bash makes way for zoo
    assert "_ZOO_COMPLETE=complete_bash" in words


@needs_bash
def test_bash_completes_the_groups_of_training() -> None:
    """In a real bash: the script of the docs is installed, and asked as the Tab key asks it."""
    command = re.search(r'^    (eval "\$\(python train.py .*\)")$', TEXT, re.MULTILINE)
    assert command
    program = f"""
        {command[1]}
        COMP_LINE='python train.py model=resnet1' COMP_POINT=29 COMP_CWORD=2
        hydra_bash_completion
        echo "${{COMPREPLY[@]}}"
    """
    expected = [f"model={name}" for name in groups()["model"] if name.startswith("resnet1")]
    assert in_bash(program) == expected
