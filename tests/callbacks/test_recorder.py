"""The clocks with a fake clock, the counters, and what is kept of a long run."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.budget import Budget
from zoo.callbacks.curve import MAX_POINTS, CurveLog, StepTimes
from zoo.callbacks.recorder import Recorder
from zoo.errors import Diverged
from zoo.optim.schedules import Constant
from zoo.tasks.base import Task

SECTION = {
    "max_epochs": None, "max_steps": 100, "max_samples": None, "budget_s": None,
    "accumulate": 1, "eval_every_epochs": 1.0, "eval_every_steps": None,
}  # fmt: skip


class Count(Task):
    """Counts two samples and seven tokens a batch, and nothing else."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), lambda _: None, Constant(), lambda _: 0.0)  # type: ignore[arg-type, return-value]

    def count(self, batch: Any) -> tuple[int, int | None]:
        return 2, 7


class Bench:
    """A recorder with a clock that goes when it is told to."""

    def __init__(self, log_every: int = 2, **options: Any) -> None:
        self.now = 0.0
        self.task = Count()
        self.recorder = Recorder(
            Budget({**SECTION, **options.pop("budget", {})}, batches_per_epoch=10, batch_size=2),
            log_every, clock=lambda: self.now,
            processor_clock=lambda: self.now / 2, **options,
        )  # fmt: skip
        self.trainer: Any = SimpleNamespace(
            global_step=0, world_size=1, loggers=[], callback_metrics={}, should_stop=False,
            datamodule=SimpleNamespace(stream=None),
            optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])],
            precision_plugin=None, callbacks=[],
        )  # fmt: skip
        self.recorder.on_train_start(self.trainer, self.task)

    def step(self, seconds: float, loss: float = 1.0, *, update: bool = True) -> None:
        self.now += seconds
        self.trainer.global_step += update
        outputs = {"loss": torch.tensor(-1.0), "metrics": {"loss": torch.tensor(loss)}}
        self.recorder.on_train_batch_end(self.trainer, self.task, outputs, None, 0)

    def evaluate(self, seconds: float, acc: float) -> None:
        self.recorder.on_validation_start(self.trainer, self.task)
        self.now += seconds
        self.trainer.callback_metrics = {"val/acc": torch.tensor(acc)}
        self.recorder.on_validation_end(self.trainer, self.task)


def test_training_and_evaluation_are_on_clocks_of_their_own() -> None:
    b = Bench()
    b.step(1.0)
    b.step(2.0)
    b.evaluate(10.0, 0.5)
    b.step(4.0)
    b.now += 100.0  # a checkpoint is written
    b.recorder.pause()
    b.step(8.0)
    r = b.recorder
    assert (r.train_s, r.eval_s, r.compile_s) == (15.0, 10.0, 0.0)
    assert (r.steps, r.samples, r.tokens) == (4, 8, 28)
    assert r.times.median() == 3.0
    assert r.curves["val/acc"].rows == [(2, 4, 14, 3.0, 0.5)]
    assert r.last_evaluation == 2


def test_the_first_step_of_a_compiled_model_is_compilation() -> None:
    b = Bench(compiled=True)
    b.step(30.0)
    b.step(1.0)
    assert (b.recorder.compile_s, b.recorder.train_s) == (30.0, 1.0)


def test_the_curve_holds_the_mean_loss_since_the_last_point() -> None:
    b = Bench(log_every=2)
    for loss in (1.0, 3.0, 10.0, 20.0, 99.0):
        b.step(1.0, loss)
    assert [(row[0], row[4]) for row in b.recorder.curves["train/loss"].rows] == [
        (2, 2.0),
        (4, 15.0),
    ]
    assert [row[4] for row in b.recorder.curves["train/lr"].rows] == [0.5, 0.5]


def test_accumulated_batches_are_one_step() -> None:
    b = Bench(log_every=1)
    b.step(1.0, 2.0, update=False)
    b.step(3.0, 4.0)
    r = b.recorder
    assert (r.steps, r.samples, r.train_s, r.times.values) == (1, 4, 4.0, [4.0])
    assert r.latest["train/loss"] == 3.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(bad: float) -> None:
    b = Bench(log_every=2)
    b.step(1.0, bad)
    with pytest.raises(Diverged, match="step 2"):
        b.step(1.0, 1.0)
    assert b.recorder.curves["train/loss"].rows[-1][4] is None


def test_used_seconds_end_the_run() -> None:
    b = Bench(budget={"max_steps": None, "budget_s": 3.0})
    b.step(2.0)
    assert not b.trainer.should_stop
    b.step(1.5)
    assert b.trainer.should_stop
    assert b.recorder.budget.progress == 1.0


def test_a_resumed_recorder_goes_on_with_the_same_numbers() -> None:
    whole, first = Bench(), Bench()
    for b in (whole, first):
        for i in range(3):
            b.step(1.0 + i, 0.1 * i)
        b.evaluate(1.0, 0.25)
    second = Bench()
    second.recorder.load_state_dict(first.recorder.state_dict())
    second.trainer.global_step = 3
    for b in (whole, second):
        for i in range(5):
            b.step(2.0, 0.3 * i)
    assert second.recorder.state_dict() == whole.recorder.state_dict()
    assert second.recorder.budget.progress == whole.recorder.budget.progress


@given(st.integers(0, 5 * MAX_POINTS), st.integers(0, 5 * MAX_POINTS))
def test_a_long_curve_is_thinned_evenly_and_a_cut_does_not_show(n: int, cut: int) -> None:
    whole, log = CurveLog(), CurveLog()
    for i in range(n):
        whole.add(i, i, None, float(i), float(i))
        if i == cut:
            state, log = log.state_dict(), CurveLog()
            log.load_state_dict(state)
        log.add(i, i, None, float(i), float(i))
    assert log.rows == whole.rows
    steps = [row[0] for row in whole.rows]
    assert len(steps) <= MAX_POINTS
    assert len({b - a for a, b in itertools.pairwise(steps)}) <= 1
    assert not steps or steps[0] == 0


def test_median_and_95th_percentile_are_numpys() -> None:
    numpy = pytest.importorskip("numpy")
    times = StepTimes()
    values = torch.rand(997, generator=torch.Generator().manual_seed(0)).tolist()
    for value in values:
        times.add(value)
    assert times.median() == pytest.approx(numpy.median(values))
    assert times.p95() == pytest.approx(numpy.percentile(values, 95))


def test_what_callbacks_measure_is_a_point_only_when_it_was_measured() -> None:
    class Thermometer:
        def __init__(self) -> None:
            self.found = {"num/warmth": 3.0}

        def measures(self) -> dict[str, float]:
            found, self.found = self.found, {}
            return found

    bench = Bench(log_every=1)
    source = Thermometer()
    bench.trainer.callbacks = [source]
    for _ in range(2):
        bench.step(1.0)
    source.found = {"num/warmth": 5.0}
    bench.step(1.0)
    curve = bench.recorder.curves["num/warmth"]
    assert (curve.columns()["step"], curve.columns()["value"]) == ([1, 3], [3.0, 5.0])
    assert bench.recorder.latest["num/warmth"] == 5.0


def test_the_processors_clock_is_of_training_alone() -> None:
    bench = Bench()
    bench.step(2.0)
    bench.evaluate(10.0, acc=0.5)
    bench.now += 7.0  # a checkpoint
    bench.recorder.pause()
    bench.step(4.0)
    assert bench.recorder.train_s == 6.0
    assert bench.recorder.cpu_s == 3.0


def test_a_checkpoint_from_before_the_processors_clock_leaves_it_unknown() -> None:
    bench, old = Bench(), Bench()
    old.step(2.0)
    state = old.recorder.state_dict()
    del state["counters"]["cpu_s"], state["step_cpu_s"]
    bench.recorder.load_state_dict(state)
    bench.trainer.global_step = old.trainer.global_step
    bench.step(2.0)
    assert math.isnan(bench.recorder.cpu_s)
    assert bench.recorder.train_s == 4.0
