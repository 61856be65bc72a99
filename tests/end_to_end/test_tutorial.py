"""docs/tutorial.md, typed from its first command to its last, and docs/tutorial.ipynb, run as it stands."""

import copy
import os
import re
import shlex
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests import processes
from tests.conftest import ROOT, UNCOMPILED
from tests.end_to_end.test_readme import commands
from zoo.leaderboard import load_records

TEXT = (ROOT / "docs" / "tutorial.md").read_text()
NOTEBOOK = nbformat.read(ROOT / "docs" / "tutorial.ipynb", 4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


def test_every_command_in_order_leads_to_a_row_of_three(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "100", "ZOO_OUTPUT": str(tmp_path / "outputs")}
    said = []
    for command in commands(TEXT):
        words = shlex.split(command)
        words = ["train.py", *words[2:]] if words[:2] == ["python", "train.py"] else words
        done = processes.run(words, environment, tmp_path)
        assert done.returncode == 0, done.stderr
        said.append((command, done.stdout))
    boards = [out for command, out in said if command.startswith("zoo board")]
    rows = [re.search(r"nesterov +6 .*", out) for out in boards]
    assert all(rows), boards
    assert " 1! " in rows[0][0]  # type: ignore[index]
    assert re.search(r" 3 ", rows[-1][0])  # type: ignore[index]
    again = [out for command, out in said if command == said[1][0]]
    assert len(again) == 2
    assert "is finished already" in again[1]
    [dry] = [out for command, out in said if command.endswith("--dry-run")]
    assert "nothing was trained" in dry
    assert sorted(r.seed for r in load_records(tmp_path / "outputs")) == [0, 1, 2]
    assert "nesterov" in (tmp_path / "mine.svg").read_text()
    assert (tmp_path / "site" / "index.html").exists()


def test_the_notebook_runs_and_shows_the_frontier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    for name, value in UNCOMPILED.items():
        monkeypatch.setenv(name, value)
    notebook = copy.deepcopy(NOTEBOOK)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    [figure] = [data for out in outputs if (data := out.get("data", {}).get("image/svg+xml"))]
    assert "nesterov width 6" in figure
    assert "sgd width 16" in figure
    assert "did you mean fp16 or fp169" in outputs[-1]["text"]
    records = load_records(tmp_path / "outputs")
    formats = sorted((r.config["precision"]["name"], r.seed) for r in records)
    assert formats == [("fp169", 0), ("fp32", 0), ("fp32", 1), ("fp32", 2)]


def test_the_notebook_is_the_page_and_is_kept_with_its_figure_alone() -> None:
    nbformat.validate(NOTEBOOK)
    command = next(c for c in commands(TEXT) if c.startswith("python train.py"))
    for override in shlex.split(command)[2:]:
        assert f'"{override}"' in CODE[0].source
    kept = [out for cell in CODE for out in cell.outputs]
    assert [set(out["data"]) for out in kept] == [{"image/svg+xml", "text/plain"}]
    assert all(cell.execution_count is None for cell in CODE)
    links = re.findall(r"\]\(([^)]+)\)", "".join(c.source for c in NOTEBOOK.cells))
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
