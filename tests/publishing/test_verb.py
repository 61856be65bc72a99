"""The command: what a person types and reads, and that nobody is in what is sent."""

import json
import os
import platform
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests import processes, standin
from tests.conftest import ROOT
from tests.publishing.conftest import BOARD, record_of
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.store import write_record


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Two records and a board, as options of the verb."""
    for seed in (0, 1):
        record = record_of(seed)
        write_record(record, tmp_path / "outputs" / record.id / "record.json")
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "digits.yaml").write_text(BOARD)
    return [
        "--output-dir", str(tmp_path / "outputs"), "--leaderboards", str(tmp_path / "boards"),
    ]  # fmt: skip


def sentence(*typed: str) -> str:
    """Run the verb in this process and return what it refuses with."""
    done = CliRunner().invoke(app, ["publish", *typed])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_without_a_key_it_says_what_to_type(folders: list[str]) -> None:
    said = sentence(*folders)
    assert "no key for https://api.wandb.ai; type wandb login" in said
    assert "--dry-run needs none" in said


def test_without_a_network_it_says_so_at_once(
    folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("WANDB_API_KEY", standin.KEY)
        monkeypatch.setenv("WANDB_BASE_URL", url)
        began = time.monotonic()
        assert f"W&B at {url} does not answer; look to the network" in sentence(*folders)
        assert time.monotonic() - began < 6


def test_without_records_there_is_nothing_to_send(tmp_path: Path) -> None:
    said = sentence("--dry-run", "--output-dir", str(tmp_path), "--leaderboards", str(tmp_path))
    assert "no records; make one with: python train.py" in said


def test_a_dry_run_needs_no_network_and_no_key(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    done = CliRunner().invoke(app, ["publish", "--dry-run", *folders], catch_exceptions=False)
    assert done.exit_code == 0
    assert "2 runs, 1 boards and one report would be sent" in done.output
    listed = json.loads((tmp_path / "outputs" / "publish" / "listing.json").read_text())
    assert [run["name"] for run in listed["runs"]] == [
        f"resnet8 digits fp32 sgd seed {seed}" for seed in sorted(
            (0, 1), key=lambda s: record_of(s).id
        )
    ]  # fmt: skip
    assert listed["boards"][0]["rows"] == 1
    spec = json.loads((tmp_path / "outputs" / "publish" / "report.json").read_text())
    assert "panel-grid" in [block["type"] for block in spec["blocks"]]
    # What it has written is no record.
    done = CliRunner().invoke(app, ["records", *folders])
    assert done.exit_code == 0, done.output


@pytest.fixture
def listening() -> Iterator[tuple[Any, list[bytes]]]:
    """A stand-in of its own, and every byte that was sent to it."""
    heard: list[bytes] = []
    with standin.serve() as server:
        plain = server.RequestHandlerClass

        class Handler(plain):
            def read_body(self) -> bytes:
                body: bytes = super().read_body()
                heard.append(f"{self.command} {self.path}\n".encode() + body)
                return body

        server.RequestHandlerClass = Handler
        yield server, heard


def start(folders: list[str], url: str, home: Path, **environment: str) -> Any:
    home.mkdir(exist_ok=True)
    known = {**os.environ, **standin.environment(url, home), **environment}
    return processes.Process(["zoo", "publish", "--project", "zoo", *folders], known, home)


def test_nobody_is_in_what_is_sent(
    folders: list[str], listening: tuple[Any, list[bytes]], tmp_path: Path
) -> None:
    server, heard = listening
    home = tmp_path / "canary-home"
    (home / "tmp").mkdir(parents=True)
    (home / ".gitconfig").write_text("[user]\nname = canary-git\nemail = canary@example.org\n")
    process = start(
        folders, server.url, home, USER="canary-user", LOGNAME="canary-user",
        USERNAME="canary-user", HOSTNAME="canary-host", EMAIL="canary@example.org",
        TMPDIR=str(home / "tmp"), SECRET_TOKEN="canary-token", WANDB_USERNAME="canary-user",
        WANDB_HOST="canary-host", WANDB_PROGRAM="canary-program", WANDB_NOTEBOOK_NAME="canary",
        WANDB_RUN_GROUP="canary-group", WANDB_NOTES="canary-notes", WANDB_TAGS="canary-tag",
        WANDB_NAME="canary-name", WANDB_DIR=str(home / "tmp"),
    )  # fmt: skip
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "zoo: 2 runs are new, 0 changed, 0 were there" in out
    assert "reports/The-experiment-zoo--" in out
    dump = server.standin.dump()
    standin.state(server)  # nothing was unknown, and nothing tried to leave the machine
    assert all(run["state"] == "finished" and not run["console"] for run in dump["runs"])
    assert len(dump["runs"]) == 3
    sent = b"\n".join(heard)
    assert len(sent) > 10_000
    assert b"resnet8 digits" in sent  # it is the text that is looked through
    words = ("canary", str(tmp_path), str(ROOT), sys.prefix, standin.KEY, "example.invalid")
    for word in (
        *words,
        *filter(lambda w: len(w) > 4, (platform.node(), os.environ.get("USER", ""))),
    ):
        near = [
            sent[max(0, m.start() - 60) : m.end() + 60]
            for m in re.finditer(re.escape(word).encode(), sent)
        ]
        assert not near, near
    assert not list((home / "tmp").iterdir())  # nothing is left behind


def test_a_key_that_is_none_is_said_to_be_one(folders: list[str], tmp_path: Path) -> None:
    with standin.serve(api_key="f" * 40) as server:
        process = start(folders, server.url, tmp_path / "home")
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2
        last = errors.strip().splitlines()[-1]
        assert last.startswith(f"zoo: W&B at {server.url} does not take the key")
        assert "type wandb login --relogin" in last
        assert not server.standin.dump()["runs"]


def test_killed_in_the_middle_it_goes_on(
    folders: list[str], listening: tuple[Any, list[bytes]], tmp_path: Path
) -> None:
    server, heard = listening
    ends = []
    for kill_after in (14, 24):
        server.standin.reset()
        heard.clear()
        server.faults.latency = 0.05
        process = start(folders, server.url, tmp_path / "home")
        while len(heard) < kill_after:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(server.standin.views) == 0  # it was in the middle
        server.faults.latency = 0.0
        process = start(folders, server.url, tmp_path / "home")
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        ends.append(standin.state(server))
    assert ends[0] == ends[1]
