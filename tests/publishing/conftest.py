"""A stand-in of the server, a few records, and publishing in this process."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests import standin
from tests.factories import DATA, make_config, make_record
from zoo.leaderboard.boards import Board, load_board
from zoo.leaderboard.record import Record, identity
from zoo.leaderboard.store import Stored
from zoo.publishing.bundle import Bundle, gather

BOARD = """\
title: "Digits: accuracy against time"
question: Which is better?
where: {data.name: digits}
quality: {key: test/acc, label: test accuracy, direction: max}
costs: [{key: time/train_s, label: train time (s), direction: min, log: true}]
columns: [model.width]
"""


def record_of(seed: int, width: int = 8, **fields: Any) -> Record:
    """A record as a run of the zoo leaves it: its id is of its content."""
    config = make_config(seed, model={"width": width})
    known = {"id": identity(config, DATA.sha256, "0.1.0"), **fields}
    return make_record(seed, accuracy=0.9 + seed / 100, config=config, **known)


def boards_in(folder: Path) -> dict[str, Board]:
    (folder / "digits.yaml").write_text(BOARD)
    return {"digits": load_board(folder / "digits.yaml")}


def bundle_of(folder: Path, *records: Record) -> Bundle:
    return gather([Stored(r, folder / f"{r.id}.json", False) for r in records], boards_in(folder))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The stand-in, empty at the beginning of each test that asks for `publish`."""
    import wandb

    with standin.serve() as serving:
        home = tmp_path_factory.mktemp("home")
        with mock.patch.dict(os.environ, standin.environment(serving.url, home)):
            wandb.teardown()  # what another test's client has read of the environment
            yield serving
            wandb.teardown()


Publish = Callable[..., Any]


@pytest.fixture
def publish(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publish]:
    """Publish a bundle in this process, patiently by a second or so."""
    from zoo.publishing.deliver import deliver
    from zoo.publishing.server import Patience, Server

    monkeypatch.setenv("WANDB_API_KEY", standin.KEY)
    server.standin.reset()

    def run(bundle: Bundle, **patience: Any) -> Any:
        chosen = {"timeout_s": 5.0, "wait_s": 0.02, "tries": 4, **patience}
        at = Server("zoo", None, Patience(**chosen))
        try:
            return deliver(bundle, at, tmp_path / "publish" / "journal.jsonl")
        finally:
            at.close()

    yield run
    server.faults = standin.module().Faults()
