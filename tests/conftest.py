"""Shared by all tests: composing fast, training small, and real data where it is at hand."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

# Two workers on two cores: each trains with one thread, and so do the processes that it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests import processes
from tests.warm import warm

ROOT = processes.ROOT

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

# Short runs round without compiled programs, each of which takes seconds to make, and to the same
# bits: tests/precision/test_rounding.py.
UNCOMPILED = {"ZOO_COMPILE": "0"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups first: each is one worker's, and of a long one at the end the other would wait."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture(autouse=True, scope="session")
def _hydra_remembers() -> Iterator[None]:
    """Tests compose thousands of configurations; see tests/warm.py."""
    with warm():
        yield


@pytest.fixture(autouse=True, scope="session")
def _committed_records_are_read_once() -> Iterator[None]:
    """Every run reads them all for its rank on the boards; nothing writes them meanwhile."""
    from zoo.leaderboard import store

    read, known = store.read_record, {}

    def read_once(path: Path, *, curves: Any = True) -> Any:
        if path.parent != ROOT / "leaderboards" / "records":
            return read(path, curves=curves)
        key = (path, curves if isinstance(curves, bool) else frozenset(curves))
        if key not in known:
            known[key] = read(path, curves=curves)
        return known[key]

    with mock.patch.object(store, "read_record", read_once):
        yield


@pytest.fixture(autouse=True)
def _no_wandb_and_no_caches_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "ZOO_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nonexistent")
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the workers share what they tokenize, decode and compile
    monkeypatch.setenv("ZOO_CACHE", str(base / "zoo-cache"))


@pytest.fixture
def data_root() -> Path:
    """The folder of real data that ZOO_DATA names."""
    root = Path(os.environ.get("ZOO_DATA", ""))
    if not os.environ.get("ZOO_DATA") or not root.is_dir():
        pytest.skip("ZOO_DATA names no folder of real data")
    return root


@pytest.fixture(scope="session")
def cifar10_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests of the real CIFAR-10, whose 60,000 pictures take seconds to unpack."""
    return tmp_path_factory.mktemp("cifar10-cache")


Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_train(tmp_path: Path) -> Runner:
    """Run `python train.py ...` in a process of its own."""

    def run(*overrides: str, timeout: float = 300, **environment: str) -> Any:
        known = {**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(tmp_path / "outputs")}
        return processes.run(["train.py", *overrides], {**known, **environment}, timeout=timeout)

    return run


def train_in(folder: Path, *overrides: str) -> Any:
    """Compose and train in this process; returns the record."""
    from train import train
    from zoo.config import check, compose
    from zoo.leaderboard import load_records
    from zoo.leaderboard.record import deciding_config

    config = compose([*overrides, f"paths.output_dir={folder}"])
    with mock.patch.dict(os.environ, UNCOMPILED), processes.few_curated():
        train(config)
    decides = deciding_config(check(config))

    def is_it(found: dict[str, Any]) -> bool:
        # A record says what is in the checkpoint, not where it lies.
        if decides["model"].get("checkpoint") is not None:
            model = {**found["model"], "checkpoint": decides["model"]["checkpoint"]}
            found = {**found, "model": model}
        return found == decides

    return next(r for r in load_records(folder) if is_it(r.config))


@pytest.fixture(scope="session")
def glue_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data.root with a small set for each task of GLUE, and with questions."""
    from tests.glue import write_glue
    from tests.questions import write_public

    return write_public(write_glue(tmp_path_factory.mktemp("glue")))


@pytest.fixture
def train_here(tmp_path: Path) -> Callable[..., Any]:
    """`train_in` a folder of this test."""

    def run(*overrides: str, output: str = "outputs") -> Any:
        return train_in(tmp_path / output, *overrides)

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The record of TINY as it stands, for tests that compare with it."""
    return train_in(tmp_path_factory.mktemp("tiny"), *TINY, "logger=none")


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a language model's run of a few steps."""
    folder = tmp_path_factory.mktemp("runs")
    record = train_in(
        folder, "model=biomedlm", "data.max_length=16", "data.vocab_size=300", "logger=none",
        "data.eval_samples=8", "trainer.max_steps=3", "optimizer.lr=0.01",
    )  # fmt: skip
    return folder / record.id
