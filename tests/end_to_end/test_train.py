"""`python train.py` in a process of its own: what a user sees, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, TINY, UNCOMPILED, Runner
from tests.processes import Process, run
from zoo.leaderboard import load_records
from zoo.leaderboard.record import Record

# Long enough to be killed in; steps of a few milliseconds.
KILLABLE = [
    "model.width=2", "trainer.max_epochs=null", "trainer.max_steps=150", "trainer.eval_every_steps=7",
    "callbacks.checkpoint.every_steps=5", "trainer.log_every_steps=3",
]  # fmt: skip

# What depends on the clock and not on the arithmetic.
ON_THE_CLOCK = ("time/", "perf/", "mem/")


def arithmetic(record: Record) -> dict[str, Any]:
    """Everything of a record that the same arithmetic must give again, to the bit."""
    metrics = {k: v for k, v in record.metrics.items() if not k.startswith(ON_THE_CLOCK)}
    curves = {k: (c.step, c.samples, c.value) for k, c in record.curve.items()}
    return {"id": record.id, "metrics": metrics, "curves": curves, "status": record.status}


def start(output: Path, *overrides: str) -> Process:
    environment = {**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(output)}
    return Process(["train.py", *overrides], environment)


def wait_for(condition: Any, process: Process, timeout: float = 120) -> None:
    limit = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the killable run when nobody kills it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder, *KILLABLE)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return load_records(folder)[0]


@pytest.mark.xdist_group("undisturbed")
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Record
) -> None:
    checkpoint = tmp_path / undisturbed.id / "last.ckpt"
    for kill in range(2):
        process = start(tmp_path, *KILLABLE)
        saves = {checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0}

        def saved_often(saves: set[int] = saves, wanted: int = 2 + 5 * kill) -> bool:
            if checkpoint.exists():
                saves.add(checkpoint.stat().st_mtime_ns)
            return len(saves) > wanted

        wait_for(saved_often, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / undisturbed.id / "record.json").exists()
    done = start(tmp_path, *KILLABLE)
    _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    assert arithmetic(load_records(tmp_path)[0]) == arithmetic(undisturbed)
    assert len(undisturbed.curve["val/acc"].step) == 150 // 7 + 1  # and one after the last step


# Overflows at first (weight gradients times 2^15 are beyond 448), and again every few clean steps.
SCALED = [
    *KILLABLE, "trainer.max_steps=80", "precision=fp16_emulated", "precision.loss_scale=dynamic",
    "precision.loss_scale_window=7", "precision.quantize.weight_gradients=fp8_e4m3",
    "callbacks=ranges",
    "callbacks.ranges.every_steps=20", "callbacks.checkpoint.every_steps=5",
]  # fmt: skip


def test_a_killed_run_goes_on_with_its_loss_scale_and_its_ranges(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start(whole, *SCALED)
    _, err = done.communicate(timeout=300)
    assert (done.returncode, err) == (0, "")
    want = load_records(whole)[0]
    scales = want.curve["num/loss_scale"].value
    assert want.metrics["num/skipped_steps"] > 0
    assert len(set(scales)) > 2

    checkpoint = killed / want.id / "last.ckpt"
    process = start(killed, *SCALED)
    wait_for(checkpoint.exists, process)
    first = checkpoint.stat().st_mtime_ns
    wait_for(lambda: checkpoint.stat().st_mtime_ns != first, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / want.id / "record.json").exists()
    done = start(killed, *SCALED)
    _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    got = load_records(killed)[0]
    assert arithmetic(got) == arithmetic(want)
    assert got.ranges == want.ranges
    assert got.ranges is not None
    assert got.ranges.over_training["gradients"].step == list(range(1, 80, 20))


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["optimizer=adaptive_braking", "delay=constant", "delay.steps=32"], 40),
        (["optimizer=lwpw_sc", "delay=pipeline", "data.batch_size=2"], 40),
        (["optimizer=pipemare", "delay=pipeline", "trainer.accumulate=3", "data.batch_size=2"], 12),
        (["optimizer=dana", "delay=constant", "delay.steps=5", "trainer.accumulate=2",
          "precision=fp16_emulated", "precision.loss_scale=dynamic"], 10),
    ],
    ids=["braking", "pipeline", "pipemare", "dana"],
)  # fmt: skip
def test_a_killed_run_goes_on_with_its_delayed_weights(
    tmp_path: Path, overrides: list[str], steps: int
) -> None:
    kill_and_resume(tmp_path, [*KILLABLE, f"trainer.max_steps={steps + 25}", *overrides], steps)


def test_a_killed_run_goes_on_with_its_order_of_texts_and_its_masks(tmp_path: Path) -> None:
    """In the middle of an epoch of 64 batches, and of a line from one masking rate to another."""
    words = ["model=mosaicbert", "data.batch_size=8", "data.max_length=16", "data.vocab_size=300"]
    words += ["data.mask_rate_end=0.15", "data.eval_samples=16", "data.bucket=true"]
    words += ["data.eval_lengths=[32,64]"]
    record = kill_and_resume(tmp_path, [*KILLABLE[1:], "trainer.max_steps=45", *words], steps=20)
    scores = [record.metrics[f"test/{length}loss"] for length in ("", "length/32/", "length/64/")]
    assert len(set(scores)) == 3
    assert all(score is not None for score in scores)


def test_a_killed_run_goes_on_with_its_blocks_and_its_dropout(tmp_path: Path) -> None:
    words = ["model=biomedlm", "data.batch_size=8", "data.max_length=16", "data.vocab_size=300"]
    words += ["data.within_documents=true", "data.eval_samples=16"]
    kill_and_resume(tmp_path, [*KILLABLE[1:], "trainer.max_steps=45", *words], steps=20)


def kill_and_resume(tmp_path: Path, typed: list[str], steps: int) -> Record:
    """Kill a run after so many steps, and compare it with one that was left alone: returned."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start(whole, *typed)
    _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    want = load_records(whole)[0]

    checkpoint = killed / want.id / "last.ckpt"
    process = start(killed, *typed)
    saves: set[int] = set()

    def saved_beyond_the_warm_up() -> bool:
        if checkpoint.exists():
            saves.add(checkpoint.stat().st_mtime_ns)
        return len(saves) > steps // 5  # of every fifth step

    wait_for(saved_beyond_the_warm_up, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / want.id / "record.json").exists()
    done = start(killed, *typed)
    _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    assert arithmetic(load_records(killed)[0]) == arithmetic(want)
    return want


@pytest.mark.xdist_group("undisturbed")
def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: Record
) -> None:
    process = start(tmp_path, *KILLABLE)
    wait_for(lambda: any(tmp_path.glob("*/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by SIGINT at step" in err
    assert "type the same command to go on" in err
    assert "Traceback" not in err
    assert not any(tmp_path.glob("*/record.json"))
    start(tmp_path, *KILLABLE).communicate(timeout=300)
    assert arithmetic(load_records(tmp_path)[0]) == arithmetic(undisturbed)


def test_a_killed_sweep_repeats_no_finished_run(tmp_path: Path) -> None:
    sweep = ["-m", "seed=0,1,2", *KILLABLE[:2], "trainer.max_steps=60"]
    process = start(tmp_path, *sweep)
    wait_for(lambda: len(list(tmp_path.glob("*/record.json"))) == 1, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/record.json")}
    assert 1 <= len(first) < 3
    again = start(tmp_path, *sweep)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in first.items())
    records = load_records(tmp_path)
    assert sorted(r.seed for r in records) == [0, 1, 2]
    assert f"sweep: 3 runs: {len(first)} done" in err
    assert err.splitlines()[-1] == "sweep: 3 runs: 3 done; nothing left"
    commands = [r.command for r in sorted(records, key=lambda r: r.seed)]
    assert commands[1] == "python train.py seed=1 " + " ".join(
        [*KILLABLE[:2], "trainer.max_steps=60"]
    )


def test_a_failing_job_does_not_stop_the_sweep(run_train: Runner, tmp_path: Path) -> None:
    done = run_train("-m", "model.width=2,0", "seed=0", *TINY[1:])
    assert done.returncode == 2
    assert "model.width=0: must be at least 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert [r.config["model"]["width"] for r in load_records(tmp_path / "outputs")] == [2]


def test_the_default_run_learns_and_typed_again_says_it_is_done(
    run_train: Runner, tmp_path: Path
) -> None:
    """The first command of the README: under a minute on two cores, the set-up apart.

    From a cold start, as a user types it, so that what the imports say is seen.
    """
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=ROOT,
        env={**os.environ, "ZOO_OUTPUT": str(tmp_path / "outputs")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    record = load_records(tmp_path / "outputs")[0]
    assert record.metrics["test/acc"] > 0.95
    assert record.metrics["time/train_s"] < 60
    assert record.command == "python train.py"
    for part in ("resnet8", "test/acc", "samples/s", record.id, "board digits"):
        assert part in done.stdout
    stamp = (tmp_path / "outputs" / record.id / "record.json").stat().st_mtime_ns
    again = run_train()  # the same output folder
    assert f"run {record.id} is finished already" in again.stdout
    assert (tmp_path / "outputs" / record.id / "record.json").stat().st_mtime_ns == stamp


def test_precision_169_literally_trains(run_train: Runner, tmp_path: Path) -> None:
    done = run_train("precision=169", *TINY, ZOO_COMPILE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "emulated arithmetic" in done.stdout
    record = load_records(tmp_path / "outputs")[0]
    assert record.emulated
    assert record.config["precision"]["mantissa_bits"] == 9


@pytest.mark.parametrize(
    ("overrides", "sentence", "code"),
    [
        (["model=resnt8"], "train.py: model=resnt8: no such model; did you mean resnet8", 2),
        (
            ["trainer.max_steps=0"],
            "train.py: trainer.max_steps=0: input should be greater than 0",
            2,
        ),
        (["optimizer.lr=1e30", *TINY], "has diverged: ", 1),
    ],
)
def test_a_mistake_is_one_line_on_stderr(
    run_train: Runner, overrides: list[str], sentence: str, code: int
) -> None:
    done = run_train(*overrides)
    assert done.returncode == code
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_output_folder_that_cannot_be_made(run_train: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_train(*TINY, ZOO_OUTPUT=str(tmp_path / "file" / "out"))
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the same error, the same place."""
    environment = {**os.environ, "ZOO_OUTPUT": str(tmp_path)}
    done = run(["train.py", *TINY], environment, file_bytes=2000)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    files = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert files == []


def test_two_processes_do_not_train_the_same_run(tmp_path: Path) -> None:
    endless = [*KILLABLE, "trainer.max_steps=1000000"]
    first = start(tmp_path, *endless)
    wait_for(lambda: any(tmp_path.glob("*/last.ckpt")), first)
    second = start(tmp_path, *endless)
    _, err = second.communicate(timeout=120)
    assert "another process is training it" in err
    assert second.returncode == 2
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate()


def test_a_record_names_no_host_user_path_or_key(run_train: Runner, tmp_path: Path) -> None:
    canaries = {"USER": "canary-user", "LOGNAME": "canary-user", "SECRET_TOKEN": "canary-key"}
    done = run_train(*TINY, f"paths.cache_dir={tmp_path / 'canary-cache'}", **canaries)
    assert done.returncode == 0, done.stderr
    text = next((tmp_path / "outputs").glob("*/record.json")).read_text()
    for word in ("canary", str(tmp_path), str(ROOT), os.uname().nodename):
        assert word not in text
    assert json.loads(text)["command"] == "python train.py " + " ".join(TINY)
