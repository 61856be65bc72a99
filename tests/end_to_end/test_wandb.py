"""The real client, offline: one run a job, with the record's id, its configuration and summary."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests import standin
from tests.conftest import ROOT, TINY, Runner
from zoo.leaderboard import load_records
from zoo.network import wandb_key_is_configured


def inspect(folder: Path) -> dict[str, object]:
    command = [
        str(Path(sys.executable).parent / "wandb"),
        "leet",
        "inspect",
        "--summary",
        "--json",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_each_job_of_a_multirun_is_a_run_of_its_own(run_train: Runner, tmp_path: Path) -> None:
    canaries = {"USER": "canary-user", "LOGNAME": "canary-user", "SECRET_TOKEN": "canary-key"}
    done = run_train("-m", "logger=wandb", "seed=0,1", *TINY, **canaries)
    assert done.returncode == 0, done.stderr
    records = load_records(tmp_path / "outputs")
    assert len(records) == 2
    for record in records:
        folders = list((tmp_path / "outputs" / record.id).glob("wandb/offline-run-*"))
        assert len(folders) == 1
        assert folders[0].name.endswith(record.id)
        sent = [*folders[0].glob("*.wandb"), *filter(Path.is_file, folders[0].rglob("files/**/*"))]
        for file in sent:  # logs/ stays on this machine
            content = file.read_bytes()
            for word in ("canary", str(ROOT), str(tmp_path)):
                assert word.encode() not in content, f"{word} in {file.name}"
        assert b"undisclosed" in sent[0].read_bytes()  # where the host's name would be
        text = json.dumps(inspect(folders[0]))
        assert record.id in text
        for key in ("test/acc", "val/loss", "time/train_s", "perf/samples_per_s"):
            assert key in text
        assert "finished" in text
        assert "resnet8" in text
    with standin.serve() as server:
        reach = standin.environment(server.url, tmp_path)
        # W&B's own program for this would send its own path.
        environment = {**os.environ, **reach, "WANDB_PROGRAM": "wandb"}
        for record in records:
            sync(next((tmp_path / "outputs" / record.id).glob("wandb/offline-run-*")), environment)
        arrived = standin.state(server)["runs"]
        assert arrived.keys() == {record.id for record in records}
        for record in records:
            run = arrived[record.id]
            assert run["state"] == "finished"
            assert run["config"] == {k: v for k, v in record.config.items() if v != {}}
            known = {key: value for key, value in record.metrics.items() if value is not None}
            assert run["summary"].items() >= known.items()
            assert run["history"]
        # A second time nothing is sent: neither a run nor a row is there twice.
        for record in records:
            sync(next((tmp_path / "outputs" / record.id).glob("wandb/offline-run-*")), environment)
        assert standin.state(server)["runs"] == arrived
        sent = json.dumps(server.standin.dump())
        for word in ("canary", str(ROOT)):
            assert word not in sent, sent[max(0, sent.find(word) - 200) : sent.find(word) + 100]


def test_nobody_is_in_a_run_that_is_sent_while_it_trains(run_train: Runner, tmp_path: Path) -> None:
    canaries = {"USER": "canary-user", "LOGNAME": "canary-user", "SECRET_TOKEN": "canary-token"}
    with standin.serve() as server:
        reach = standin.environment(server.url, tmp_path)
        done = run_train("logger=wandb", *TINY, **canaries, **reach)
        assert done.returncode == 0, done.stderr
        (record,) = load_records(tmp_path / "outputs")
        run = standin.state(server)["runs"][record.id]
        assert run["state"] == "finished"
        assert run["summary"]["test/acc"] == record.metrics["test/acc"]
        sent = json.dumps(server.standin.dump())
        for word in ("canary", str(ROOT), str(tmp_path), standin.KEY):
            assert word not in sent, sent[max(0, sent.find(word) - 200) : sent.find(word) + 100]


def sync(folder: Path, environment: Mapping[str, str]) -> None:
    """Send what was kept offline."""
    command = [str(Path(sys.executable).parent / "wandb"), "sync", str(folder)]
    # It leaves its log where it runs.
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder.parent, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_ranges_of_a_run_are_drawn_in_wandb(run_train: Runner, tmp_path: Path) -> None:
    done = run_train("logger=wandb", "callbacks=ranges", *TINY, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    record = load_records(tmp_path / "outputs")[0]
    drawn = [
        p.read_text() for p in (tmp_path / "outputs" / record.id).rglob("media/html/**/*.html")
    ]
    assert len(drawn) == 2
    assert all("<svg" in text and "fp169" in text for text in drawn)
    folder = next((tmp_path / "outputs" / record.id).glob("wandb/offline-run-*"))
    assert "num/gradients/fp16/subnormal" in json.dumps(inspect(folder))


def test_a_server_that_is_gone_does_not_stop_training(run_train: Runner, tmp_path: Path) -> None:
    done = run_train(
        *TINY, timeout=200, WANDB_API_KEY="k" * 40, WANDB_BASE_URL="http://127.0.0.1:9"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "this run is kept offline" in done.stdout
    record = load_records(tmp_path / "outputs")[0]
    assert any((tmp_path / "outputs" / record.id).glob("wandb/offline-run-*"))


def test_a_key_is_looked_for_and_never_asked_for(monkeypatch, tmp_path: Path) -> None:
    assert not wandb_key_is_configured()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert wandb_key_is_configured()
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password " + "k" * 40)
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert wandb_key_is_configured()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert not wandb_key_is_configured()
