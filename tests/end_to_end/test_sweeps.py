"""Sweeps in processes of their own: cut off, in parallel, with failures, and looked at."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, TINY, UNCOMPILED, Runner
from tests.end_to_end.test_train import KILLABLE, arithmetic, wait_for
from tests.processes import Process, run
from zoo.leaderboard import load_records

PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
AXES = ["seed=range(0,4)"]
LONG = [
    *KILLABLE[:1],
    "trainer.max_epochs=null",
    "trainer.max_steps=60",
    "trainer.eval_every_steps=30",
]


class Sweep:
    """A sweep in a cold process and a group of its own, with its workers: they die together."""

    def __init__(self, output: Path, *typed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), "-m", *typed],
            env={**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(output), "OMP_NUM_THREADS": "1"},
            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for(self, condition: Callable[[], bool], timeout: float = 120) -> None:
        limit = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.01)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=240)
        return self.process.returncode, out, err

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "popen_loky" in " ".join(child.cmdline()):
                    found.append(child)
        return found


def stamps(folder: Path) -> dict[Path, int]:
    """The runs that have ended, and when."""
    return {p: p.stat().st_mtime_ns for p in folder.glob("*/record.json")}


def in_turn(folder: Path, *typed: str) -> Process:
    """Start a sweep that runs one job after the other."""
    environment = {**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(folder), "OMP_NUM_THREADS": "1"}
    return Process(["train.py", "-m", *typed], environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The sweep's results when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("whole")
    sweep = in_turn(folder, *AXES, *LONG)
    _, err = sweep.communicate()
    assert sweep.returncode == 0, err
    return results(folder)


def results(folder: Path) -> list[object]:
    """What the arithmetic gave, by seed; a torn record would be no record."""
    files = list(folder.glob("*/record.json"))
    records = load_records(folder)
    assert len(records) == len(files)
    return [arithmetic(r) for r in sorted(records, key=lambda r: r.seed)]


@pytest.mark.xdist_group("sweeps")
def test_a_killed_sweep_goes_on_to_the_same_bits(undisturbed: list[object], tmp_path: Path) -> None:
    sweep = in_turn(tmp_path, *AXES, *LONG)
    wait_for(lambda: bool(stamps(tmp_path)), sweep)
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    first = stamps(tmp_path)
    assert 1 <= len(first) < 4
    again = in_turn(tmp_path, *AXES, *LONG)
    _, err = again.communicate()
    assert again.returncode == 0, err
    check_the_end(tmp_path, first, err, undisturbed)


def check_the_end(
    folder: Path, first: dict[Path, int], err: str, undisturbed: list[object]
) -> None:
    said = [line for line in err.splitlines() if line.startswith("sweep: ")]
    assert said[0].startswith(f"sweep: 4 runs: {len(first)} done")
    assert said[-1] == "sweep: 4 runs: 4 done; nothing left"
    assert all(stamps(folder)[path] == stamp for path, stamp in first.items())  # none twice
    assert results(folder) == undisturbed


@pytest.mark.xdist_group("sweeps")
def test_a_killed_sweep_goes_on_in_parallel_though_a_worker_is_killed_then(
    undisturbed: list[object], tmp_path: Path
) -> None:
    """The launcher is no part of what a run is, so that a sweep may go on with another."""
    sweep = in_turn(tmp_path, *AXES, *LONG)
    wait_for(lambda: bool(stamps(tmp_path)), sweep)
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()
    first = stamps(tmp_path)
    assert 1 <= len(first) < 4
    again = Sweep(tmp_path, *AXES, *LONG, *PARALLEL)
    again.wait_for(lambda: len(again.workers()) == 2)
    again.workers()[0].kill()
    code, _, err = again.end()
    assert code == 0, err
    assert "a worker was killed" in err
    check_the_end(tmp_path, first, err, undisturbed)


@pytest.mark.xdist_group("sweeps")
def test_submitits_local_executor_names_what_fails_and_runs_the_rest(tmp_path: Path) -> None:
    typed = ["optimizer=timm", "optimizer.name=no_such,adam", "seed=0", *TINY]
    code, _, err = Sweep(tmp_path, *typed, "hydra/launcher=submitit_local").end()
    assert code == 2
    assert "sweep: failed: optimizer.name=no_such: optimizer.name=no_such: timm has no" in err
    assert "sweep: 2 runs: 1 done, 1 failed; nothing left" in err
    assert "Traceback" not in err
    assert [r.config["optimizer"]["name"] for r in load_records(tmp_path)] == ["adam"]


def test_a_job_that_fails_keeps_its_reason_until_it_is_tried_again(
    run_train: Runner, tmp_path: Path
) -> None:
    typed = ["-m", "optimizer=timm", "optimizer.name=no_such,adam", *TINY]
    done = run_train(*typed)
    assert done.returncode == 2
    failures = list((tmp_path / "outputs" / "sweeps" / "failures").glob("*.json"))
    assert len(failures) == 1
    assert "timm has no such optimizer" in json.loads(failures[0].read_text())["reason"]
    again = run_train(*typed)
    assert "sweep: 2 runs: 1 done; 1 left" in again.stderr


def test_a_mistake_in_the_last_job_stops_the_sweep_before_the_first(
    run_train: Runner, tmp_path: Path
) -> None:
    done = run_train("-m", "delay=none,constant", "optimizer=sgd,weight_prediction", *TINY)
    assert done.returncode == 2
    assert "type delay=pipeline" in done.stderr
    assert "nothing was trained" in done.stderr
    assert not list((tmp_path / "outputs").glob("*/*"))


def test_a_key_of_what_is_swept_is_named_and_not_the_sweeps_own(run_train: Runner) -> None:
    typed = ["precision=fp169,tf32", "precision.loss_scale=dynamic", "data.root=there", "--dry-run"]
    done = run_train("sweeps=exponent_widths_encoder", *typed)
    assert done.returncode == 2
    assert "precision.loss_scale=dynamic: while precision is swept" in done.stderr
    assert "type ++precision.loss_scale=dynamic" in done.stderr


def test_flags_stand_where_they_are_typed(run_train: Runner) -> None:
    done = run_train("seed=1", "-m", "model=resnet8,resnet20", *TINY, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 runs: 0 done; 2 left" in done.stdout


def test_a_sweep_of_nothing_is_refused(run_train: Runner) -> None:
    done = run_train("-m", "seed=range(0)", *TINY, "--dry-run")
    assert done.returncode == 2
    assert "seed=range(0)" in done.stderr
    assert "stands for no run at all" in done.stderr


def test_a_dry_run_counts_and_trains_nothing(run_train: Runner, tmp_path: Path) -> None:
    run_train("seed=1", *TINY)
    before = sorted((tmp_path / "outputs").rglob("*"))
    done = run_train("-m", "seed=0,1,2", *TINY, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "3 runs: 1 done; 2 left, about" in done.stdout
    assert "nothing was trained" in done.stdout
    alone = run_train("seed=1", *TINY, "--dry-run")
    assert "1 run: 1 done; nothing left" in alone.stdout
    assert sorted((tmp_path / "outputs").rglob("*")) == before


def test_zoo_sweep_shows_how_far_it_is(run_train: Runner, tmp_path: Path) -> None:
    run_train("sweeps=demo", "model.width=2", "seed=0", *TINY[1:])

    def zoo(*words: str) -> "subprocess.CompletedProcess[str]":
        return run(["zoo", *words], {**os.environ, "ZOO_OUTPUT": str(tmp_path / "outputs")})

    words = ["sweep", "demo", "seed=0", *TINY[1:]]
    shown = zoo(*words)
    assert shown.returncode == 0, shown.stderr
    assert "demo: 4 runs: 1 done; 3 left" in shown.stdout
    assert "Digits: accuracy against training time" in shown.stdout
    plain = json.loads(zoo(*words, "--json").stdout)
    assert [j["state"] for j in plain["jobs"]] == ["done", "left", "left", "left"]
    wrong = zoo("sweep", "dmo")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "zoo: zoo sweep dmo: no such sweep; did you mean demo?\n",
    )
