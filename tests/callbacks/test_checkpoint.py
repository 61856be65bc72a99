"""How often a checkpoint is written: by seconds or steps, and never for more than its share of the time."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from zoo.callbacks import Checkpoint
from zoo.errors import Diverged, UserError


class Trainer:
    """A step a second, and a checkpoint that takes `took` seconds."""

    world_size, accumulate_grad_batches, val_check_batch = 1, 1, float("inf")
    callbacks: tuple[Any, ...] = ()

    def __init__(self, took: float) -> None:
        self.took, self.now, self.global_step = took, 0.0, 0
        self.written: list[float] = []

    def clock(self) -> float:
        return self.now

    def save_checkpoint(self, path: Path) -> None:
        self.now += self.took
        self.written.append(self.now)

    def train(self, callback: Checkpoint, steps: int) -> None:
        callback.path = Path("last.ckpt")
        callback.on_train_start(self, None)  # type: ignore[arg-type]
        for step in range(steps):
            self.now += 1
            self.global_step += 1
            callback.on_train_batch_end(self, None, None, None, step)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("took", "apart"), [(0.0, 30), (1.0, 30), (1.5, 30), (3.0, 57), (10.0, 190)]
)
def test_they_take_no_more_than_their_share(took: float, apart: int) -> None:
    """At 5%, 3 s of writing want 57 s of training beside them."""
    trainer = Trainer(took)
    trainer.train(Checkpoint(every_s=30, clock=trainer.clock), 2000)
    begun = [at - took for at in trainer.written]
    first, later = begun[0], [b - a for a, b in zip(trainer.written, begun[1:], strict=False)]
    assert first == 30  # nobody knows yet how long one takes
    assert set(later) == {apart}
    assert took / (took + apart) <= 0.05


def test_a_write_that_hung_does_not_count() -> None:
    trainer = Trainer(0.1)
    callback = Checkpoint(every_s=30, clock=trainer.clock)
    trainer.train(callback, 100)
    trainer.took = 300.0
    trainer.train(callback, 40)
    trainer.took, before = 0.1, len(trainer.written)
    trainer.train(callback, 100)
    assert len(trainer.written) == before + 3


def test_steps_are_what_was_typed() -> None:
    trainer = Trainer(took=100.0)
    trainer.train(Checkpoint(every_steps=4, clock=trainer.clock), 20)
    assert len(trainer.written) == 5


@pytest.mark.parametrize("share", [0, -1, 1.5, "much"])
def test_a_share_is_a_share(share: Any) -> None:
    with pytest.raises(UserError, match=r"callbacks.checkpoint.max_share=.* type callbacks"):
        Checkpoint(max_share=share)


@pytest.mark.parametrize("rate", ["0.1", "1e30"])
def test_a_run_leaves_no_handler_to_the_next_job(train_here: Callable[..., Any], rate: str) -> None:
    """Lightning puts back what it found: also if training ends in an exception, as the second does."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    fails = pytest.raises(Diverged) if rate == "1e30" else contextlib.nullcontext()
    with fails:
        train_here(*TINY, f"optimizer.lr={rate}", "logger=none")
    assert [signal.getsignal(number) for number in numbers] == before
