"""Several processes give what one does, also after a kill; records are written once."""

import functools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from tests.conftest import TINY, UNCOMPILED, train_in
from tests.processes import Process, run, run_ranks, start_ranks
from zoo import processes
from zoo.errors import UserError
from zoo.leaderboard import load_records
from zoo.leaderboard.record import Record

SHORT = ["trainer.max_epochs=null", "trainer.log_every_steps=1", "logger=none"]
# Rows of many lengths, packed, two to a rank: one may have twice as many targets as the other.
TEXT = [
    *SHORT, "model=mosaicbert", "data.max_length=48", "data.vocab_size=300", "data.batch_size=4",
    "data.eval_samples=9", "data.eval_batch_size=4", "model.hidden_dropout=0",
    "trainer.gradient_clip=0.5", "scheduler=constant", "callbacks.checkpoint.every_steps=2",
]  # fmt: skip

# What is trained, and what makes several processes of it.
CLASSIFICATION, WORDS, SHARED = "classification", "masked words", "masked words, shared weights"
CAUSAL = "running text, shared weights"
CASES: dict[str, tuple[list[str], list[str]]] = {
    CLASSIFICATION: (
        [*SHORT, "trainer.max_steps=6", "model.width=2", "model.norm=group", "data.flip=true",
         "data.crop_padding=1"],
        ["trainer=ddp"],
    ),
    WORDS: ([*TEXT, "trainer.max_steps=10", "trainer.accumulate=2"], ["trainer=ddp"]),
    SHARED: ([*TEXT, "trainer.max_steps=20"], ["trainer=fsdp"]),
    CAUSAL: (
        [*SHORT, "model=biomedlm", "data.batch_size=4", "data.max_length=32", "data.vocab_size=400",
         "data.eval_samples=9", "trainer.max_steps=20", "model.hidden_dropout=0",
         "model.attention_dropout=0"],
        ["trainer=fsdp", "trainer.gradient_clip=1.0"],  # that of model=biomedlm's own trainer
    ),
}  # fmt: skip

# Sums over the batches or the data, which must be the same to fp32 rounding.
COMPARED = ("train/", "val/", "test/", "flops/", "model/", "cost/bit_flops")


@functools.cache
def alone(case: str, folder: Path) -> Record:
    """Return the record of a case in one process."""
    return train_in(folder / "alone", *CASES[case][0])


def farthest(one: Record, two: Record) -> tuple[str, float]:
    """Return the metric or loss of a step in which two records differ most, relative to it."""
    pairs = {
        k: (v, two.metrics[k])
        for k, v in one.metrics.items()
        if k.startswith(COMPARED) and v is not None
    }
    losses = zip(one.curve["train/loss"].value, two.curve["train/loss"].value, strict=True)
    pairs |= {f"train/loss of step {i + 1}": pair for i, pair in enumerate(losses)}
    apart = {k: abs(b - a) / max(abs(a), 1e-12) for k, (a, b) in pairs.items()}
    return max(apart.items(), key=lambda item: item[1])


def environment(output: Path) -> dict[str, str]:
    return {**os.environ, **UNCOMPILED, "ZOO_OUTPUT": str(output)}


@functools.cache
def together(case: str, folder: Path) -> Record:
    """Return the record of a case in two processes.

    That of images is started as the documentation says: the second process, by Lightning and from
    cold. Where weights are shared out, both are killed on the way and go on.
    """
    output = folder / "together" / case
    words, several = CASES[case]
    typed = ["train.py", *words, *several]
    if case == CLASSIFICATION:
        ended = [run(typed, environment(output))]
    else:
        if case == SHARED:
            kill_after_a_checkpoint(output, start_ranks(typed, environment(output)))
        ended = run_ranks(typed, environment(output))
    assert all(process.returncode == 0 for process in ended), [p.stderr for p in ended]
    assert sum(process.stdout.count("how well") for process in ended) == 1
    (record,) = load_records(output)
    return record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


pytestmark = pytest.mark.xdist_group("processes")


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_what_one_does(folder: Path, case: str) -> None:
    one, two = alone(case, folder), together(case, folder)
    assert two.hardware.device_count == 2
    compared = [k for k, v in one.metrics.items() if k.startswith(COMPARED) and v is not None]
    score = "bits_per_byte" if case == CAUSAL else "acc"
    assert {"train/loss", "val/loss", f"test/{score}", "flops/total"} < set(compared)
    for key in compared:
        assert two.metrics[key] == pytest.approx(one.metrics[key], rel=2e-6), key
    for key in ("train/loss", "val/loss", f"val/{score}"):
        a, b = one.curve[key], two.curve[key]
        assert (a.step, a.samples, a.tokens) == (b.step, b.samples, b.tokens)
        assert b.value == pytest.approx(a.value, rel=2e-6), key
    assert len(one.curve["train/loss"].value) == one.metrics["train/steps"]


def test_processes_that_are_killed_go_on_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    whole = together(WORDS, folder)
    words, several = CASES[WORDS]
    typed = ["train.py", *words, *several]
    kill_after_a_checkpoint(tmp_path, start_ranks(typed, environment(tmp_path)))
    ended = run_ranks(typed, environment(tmp_path))
    assert [p.returncode for p in ended] == [0, 0], ended[0].stderr
    (record,) = load_records(tmp_path)
    for key, curve in whole.curve.items():
        if not key.startswith("perf/"):
            assert record.curve[key].value == curve.value, key
    assert record.metrics["test/loss"] == whole.metrics["test/loss"]
    assert record.metrics["train/tokens"] == whole.metrics["train/tokens"]


def kill_after_a_checkpoint(output: Path, ranks: list[Process]) -> None:
    limit = time.monotonic() + 120
    while not any(output.glob("*/last.ckpt")):
        assert all(rank.poll() is None for rank in ranks), [r.communicate() for r in ranks]
        assert time.monotonic() < limit
        time.sleep(0.002)
    for rank in ranks:
        rank.send_signal(signal.SIGKILL)
    for rank in ranks:
        rank.communicate()
    assert not any(output.glob("*/record.json"))


@pytest.mark.parametrize("case", [SHARED, CAUSAL])
def test_a_checkpoint_of_shared_weights_loads_in_one_process(folder: Path, case: str) -> None:
    """Its weights give the test loss of the record, and its optimizer goes on."""
    from lightning.pytorch import Trainer

    from zoo.config import build, check, compose
    from zoo.run import Run

    record = together(case, folder)
    path = folder / "together" / case / record.id / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    config = check(compose([*CASES[case][0], f"paths.output_dir={folder}"]))
    data = build(config["data"], seed=config["seed"])
    with Run(config, data) as made:
        task = made.task(build(config["model"], **data.model_arguments()))
    task.load_state_dict(saved["state_dict"])
    trainer = Trainer(
        logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )
    (scores,) = trainer.test(task, datamodule=data, verbose=False)
    assert scores["test/loss"] == pytest.approx(record.metrics["test/loss"], rel=1e-6)

    optimizer = task.configure_optimizers()["optimizer"]
    optimizer.load_state_dict(saved["optimizer_states"][0])
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        assert optimizer.state[p]["exp_avg_sq"].shape == p.shape
        assert optimizer.state[p]["exp_avg_sq"].count_nonzero() > 0


def test_devices_are_those_that_torchrun_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    processes.check_processes({"devices": 1})  # a variable that somebody else left behind
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    processes.check_processes({"devices": 4})
    with pytest.raises(
        UserError, match=r"devices=2: torchrun has started 4; type trainer.devices=4"
    ):
        processes.check_processes({"devices": 2})


@pytest.mark.parametrize(
    ("variables", "devices", "said"),
    [
        ({"RANK": "1"}, 1, r"RANK=1: .* nothing has started the others; type unset RANK"),
        ({"RANK": "1"}, 2, r"RANK=1: .*; type unset RANK"),
        ({"SLURM_PROCID": "1"}, 1, r"SLURM_PROCID=1: .*; type unset SLURM_PROCID"),
        ({"RANK": "abc"}, 1, r"RANK=abc: is no number; type unset RANK"),
        ({"WORLD_SIZE": ""}, 1, r"WORLD_SIZE=: is no number; type unset WORLD_SIZE"),
        ({"RANK": "0", "LOCAL_RANK": "0"}, 1, None),
        ({"LOCAL_RANK": "1"}, 2, None),  # started by Lightning
        ({"SLURM_PROCID": "1"}, 2, None),
    ],
)
def test_a_process_that_is_not_the_first_is_not_alone(
    variables: dict[str, str], devices: int, said: str | None
) -> None:
    """It writes no record, so that its training would be lost."""
    with mock.patch.dict(os.environ, variables):
        if said is None:
            processes.check_processes({"devices": devices})
        else:
            with pytest.raises(UserError, match=said):
                processes.check_processes({"devices": devices})


def test_the_others_of_a_torchrun_wait_for_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock, said = tmp_path / ".lock", ["", "1", processes.starter()]

    def sleep(_: float) -> None:
        lock.write_text(said.pop(0))

    monkeypatch.setattr("zoo.processes.time.sleep", sleep)
    processes.wait_for_the_first(lock)
    assert len(said) == 3  # not of torchrun: Lightning starts the others in time
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    processes.wait_for_the_first(lock)
    assert not said


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"LOCAL_RANK": "1"}, 1),
        ({"LOCAL_RANK": "0", "RANK": "2"}, 2),  # the first of the second machine
        ({"SLURM_PROCID": "3"}, 3),
    ],
)
def test_one_process_is_the_first(variables: dict[str, str], rank: int) -> None:
    with mock.patch.dict(os.environ, variables):
        assert processes.rank() == rank


@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_a_sweeps_jobs_take_one_device(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    monkeypatch.setattr("zoo.run._in_multirun", lambda: True)
    with pytest.raises(UserError, match=r"devices=2: a sweep's jobs take one device each; type"):
        train_here(f"trainer={trainer}", "optimizer=sgd")


def test_weights_without_blocks_are_not_shared_out(train_here: Callable[..., Any]) -> None:
    with pytest.raises(
        UserError, match=r"model=resnet8: has no blocks by which .* type trainer=ddp"
    ):
        train_here("trainer=fsdp", *TINY)


def main() -> None:
    """Print how far two processes are from one: python -m tests.test_processes"""
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            one, two = alone(case, Path(place)), together(case, Path(place))
            key, apart = farthest(one, two)
            steps = int(one.metrics["train/steps"] or 0)
            print(f"{case}: {steps} steps, farthest {apart:.1e} ({key})", file=sys.stderr)


if __name__ == "__main__":
    main()


def test_what_is_said_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        processes.say(f"by {rank}")
    assert capsys.readouterr().err == "by 0\n"
