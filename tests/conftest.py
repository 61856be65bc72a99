"""Shared by all tests: composing fast, training small, and real data where it is at hand."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Two workers on two cores: each trains with one thread, and so do the processes that it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests.warm import warm

ROOT = Path(__file__).resolve().parent.parent

# No deadlines: the machine may be busy with the other worker's training.
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")

# A run of a second or so, for tests of what happens around training.
TINY = [
    "model.width=2",
    "trainer.max_epochs=null",
    "trainer.max_steps=6",
    "trainer.log_every_steps=2",
]


@pytest.fixture(autouse=True, scope="session")
def _hydra_remembers() -> Iterator[None]:
    """Tests compose thousands of configurations; see tests/warm.py."""
    with warm():
        yield


@pytest.fixture(autouse=True)
def _no_wandb_and_no_caches_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "ZOO_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nonexistent")
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("ZOO_CACHE", str(base / "zoo-cache"))


@pytest.fixture
def data_root() -> Path:
    """The folder of real data that ZOO_DATA names."""
    root = Path(os.environ.get("ZOO_DATA", ""))
    if not os.environ.get("ZOO_DATA") or not root.is_dir():
        pytest.skip("ZOO_DATA names no folder of real data")
    return root


Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_train(tmp_path: Path) -> Runner:
    """Run `python train.py ...` as a user does, in a process of its own."""

    def run(*overrides: str, timeout: float = 300, **environment: str) -> Any:
        return subprocess.run(
            [sys.executable, "train.py", *overrides],
            cwd=ROOT,
            env={**os.environ, "ZOO_OUTPUT": str(tmp_path / "outputs"), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def train_here(tmp_path: Path) -> Callable[..., Any]:
    """Compose and train in this process; returns the record."""

    def run(*overrides: str, output: str = "outputs") -> Any:
        from train import train
        from zoo.config import check, compose
        from zoo.leaderboard import load_records
        from zoo.leaderboard.record import deciding_config

        config = compose([*overrides, f"paths.output_dir={tmp_path / output}"])
        train(config)
        decides = deciding_config(check(config))
        return next(r for r in load_records(tmp_path / output) if r.config == decides)

    return run
