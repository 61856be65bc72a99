"""Which runs share a count of their operations."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from zoo.checkpoint import tokenizer_of
from zoo.config import build, check, compose
from zoo.run import Run
from zoo.tasks import metering
from zoo.tasks.base import Task
from zoo.tasks.classification import ClassificationTask
from zoo.tasks.meter import extent_of
from zoo.tasks.sequences import SequenceTask

TEXT = ["data.vocab_size=300", "data.eval_samples=8", "trainer.max_steps=2"]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function from overrides to how many counts it took to set up that run."""
    counts: list[type[Task]] = []
    monkeypatch.setattr(metering, "_METERS", {})

    def spy(kind: type[Task]) -> None:
        meter = kind.meter

        def watched(self: Task, *arguments: Any) -> Any:
            counts.append(kind)
            return meter(self, *arguments)

        monkeypatch.setattr(kind, "meter", watched)

    for kind in (SequenceTask, ClassificationTask):
        spy(kind)

    def count(*overrides: str) -> int:
        folder = tmp_path_factory.mktemp("outputs")
        config = check(compose([*overrides, f"paths.output_dir={folder}", "logger=none"]))
        data = build(config["data"], seed=config["seed"], **tokenizer_of(None))
        before = len(counts)
        with Run(config, data, None) as run:
            run.task(run.net())
        return len(counts) - before

    return count


def test_what_decides_nothing_shares_it(counted: Any) -> None:
    assert counted(*TINY) == 1
    assert counted(*TINY, "seed=3", "optimizer.lr=0.5", "trainer.max_steps=9") == 0


@pytest.mark.parametrize(
    "other",
    [
        "model.width=3",
        "precision=169",
        "data.batch_size=16",
        "trainer.accumulate=2",
        "model.norm=none",
    ],
)
def test_what_decides_it_is_counted_anew(counted: Any, other: str) -> None:
    assert counted(*TINY) == 1
    assert counted(*TINY, other) == 1


def test_sequences_are_counted_once_whatever_the_batch(counted: Any) -> None:
    words = ["model=biomedlm", *TEXT, "data.max_length=16"]
    assert counted(*words) == 1
    assert counted(*words, "data.batch_size=7", "seed=2") == 0
    assert counted(*words, "data.max_length=24") == 1
    assert counted(*words, "data.packing=false") == 1


@pytest.mark.parametrize("model", ["bert", "mosaicbert", "biomedlm"])
def test_what_is_computed_again_to_save_memory_is_no_flop_of_the_training(
    model: str, tmp_path: Path
) -> None:
    found = []
    for again in (False, True):
        words = [f"model={model}", f"model.gradient_checkpointing={again}", *TEXT, "logger=none"]
        config = check(
            compose([*words, "data.max_length=16", f"paths.output_dir={tmp_path / str(again)}"])
        )
        data = build(config["data"], seed=0, **tokenizer_of(None))
        with Run(config, data, None) as run:
            net: Any = run.task(run.net()).net
            assert net.is_gradient_checkpointing == again, "in training it is as it was asked for"
            assert run.meter is not None
            found.append(run.meter.taken(1, 2, extent_of([16, 9], [3, 1])))
    assert found[0] == found[1]
    assert found[0]["flops/total"] > 0
