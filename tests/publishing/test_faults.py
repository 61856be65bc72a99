"""Faults at random, of a server and of the way to it: the same end state, nothing lost, nothing twice."""

import random
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import standin
from tests.publishing.conftest import Publish, bundle_of, record_of
from zoo.errors import UserError

KINDS = ("500", "no answer", "time-out", "401", "outage")
TRIES = 3  # of each kind; `pytest -m exhaustive` makes more


class Trouble:
    """So many requests meet a fault, at random, and then all is well: in the place of its faults."""

    def __init__(self, seed: int, kind: str) -> None:
        self.random = random.Random(seed)
        self.kind = kind
        self.left = {"outage": 1, "time-out": 2}.get(kind, 1 + self.random.randrange(3))
        self.after = self.random.randrange(60)  # requests that are answered well before the first
        self.latency = 0.0
        self.gone_until = 0.0
        self.met = 0

    def strikes(self) -> bool:
        self.after -= 1
        if self.after >= 0 or not self.left or self.random.random() < 0.5:
            return False
        self.left -= 1
        self.met += 1
        return True

    def status(self, method: str) -> int | None:
        if time.monotonic() < self.gone_until:
            raise ConnectionResetError
        if self.kind in ("500", "401") and self.strikes():
            return int(self.kind)
        if self.kind == "time-out" and self.strikes():
            time.sleep(0.6)
        if self.kind == "outage" and self.strikes():
            self.gone_until = time.monotonic() + 0.3
            raise ConnectionResetError
        return None

    def answer_is_lost(self) -> bool:
        return self.kind == "no answer" and self.strikes()

    def show(self) -> dict[str, Any]:
        return {"met": self.met}


@pytest.fixture
def troubled(server: Any) -> Any:
    """The stand-in, whose connections break where a fault says so, before or after the effect."""
    plain = server.RequestHandlerClass

    class Handler(plain):
        def send(self, *args: Any, **more: Any) -> None:
            losing = getattr(self.server.faults, "answer_is_lost", lambda: False)
            if not self.path.startswith("/_standin/") and losing():
                self.close_connection = True
                raise ConnectionResetError
            super().send(*args, **more)

    server.RequestHandlerClass = Handler
    yield server
    server.RequestHandlerClass = plain


@pytest.fixture
def end(publish: Publish, server: Any, tmp_path: Path) -> Any:
    """The state of a server that nothing has happened to."""
    publish(bundle_of(tmp_path, record_of(0), record_of(1)))
    found = standin.state(server)
    server.standin.reset()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_the_end_is_the_same(
    kind: str, end: Any, publish: Publish, troubled: Any, tmp_path: Path
) -> None:
    _try(kind, TRIES, end, publish, troubled, bundle_of(tmp_path, record_of(0), record_of(1)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_the_end_is_the_same_many_times(
    kind: str, end: Any, publish: Publish, troubled: Any, tmp_path: Path
) -> None:
    _try(kind, 25, end, publish, troubled, bundle_of(tmp_path, record_of(0), record_of(1)))


def _try(kind: str, tries: int, end: Any, publish: Publish, troubled: Any, bundle: Any) -> None:
    met = 0
    for seed in range(tries):
        troubled.standin.reset()
        troubled.faults = Trouble(seed, kind)
        for _ in range(8):
            try:
                publish(bundle, timeout_s=0.4, wait_s=0.01, tries=2)
                break
            except UserError as error:
                assert "again" in str(error)
        else:
            pytest.fail("never published")
        met += troubled.faults.met
        if kind == "time-out":
            # A request that was given up on can still arrive, after all others: the next time mends it.
            time.sleep(0.7)
            publish(bundle)
        found = standin.state(troubled)
        for run_id, run in end["runs"].items():
            for part, wanted in run.items():
                assert found["runs"][run_id][part] == wanted, f"{kind}, {seed}: {run_id} {part}"
        assert found == end, f"{kind}, seed {seed}"
    assert met >= tries / 2  # else this test tests nothing


def test_a_service_that_does_not_end_is_ended(
    publish: Publish, troubled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it waits for itself: it is stopped where the client begins to wait for it."""
    from zoo.publishing import server as ours

    teardown, stopped = ours.wandb.teardown, []

    def stop(**how: Any) -> None:
        for child in psutil.Process().children():
            if child.name().startswith("wandb-core"):
                child.suspend()
                stopped.append(child)
        teardown(**how)

    monkeypatch.setattr(ours, "END_S", 0.5)
    monkeypatch.setattr(ours.wandb, "teardown", stop)
    troubled.faults = Trouble(0, "500")
    troubled.faults.after, troubled.faults.left = 6, 1_000_000
    with pytest.raises(UserError, match="again"):
        publish(bundle_of(tmp_path, record_of(0)), timeout_s=0.4, wait_s=0.01, tries=1)
    assert stopped
    assert not any(child.is_running() for child in stopped)
