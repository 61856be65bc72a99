"""What delays cost: the steps of their optimizers, and a training step on old weights."""

import statistics
import tempfile
from collections.abc import Iterator

from benchmarks import updates
from benchmarks.step import zoo_seconds
from zoo.config import check, compose

DELAYED = [
    "model=resnet20", "data=cifar10", "trainer.max_epochs=null", "trainer.max_steps=40",
    "trainer.eval_every_steps=1000000", "force=true",
]  # fmt: skip
ROUNDS = 3


def rows() -> Iterator[tuple[str, str, str, str]]:
    yield from updates.rows()
    braking = updates.seconds(*updates.MODELS["ResNet-20"])["braking per filter"]
    delayed, plain, braked = [], [], []
    for _ in range(ROUNDS):
        for found, options in (
            (plain, ["delay=none"]),
            (delayed, ["delay=constant", "delay.steps=32"]),
            (braked, ["delay=constant", "delay.steps=32", "optimizer=adaptive_braking"]),
        ):
            with tempfile.TemporaryDirectory() as folder:
                typed = [*DELAYED, *options, f"paths.output_dir={folder}"]
                found.append(zoo_seconds(check(compose(typed)), 40)[0])
    step = statistics.median(plain)
    ratio = statistics.median(d / p for d, p in zip(delayed, plain, strict=True))
    yield (
        "step, ResNet-20 batch 128, delay.steps=32 against no delay",
        f"{ratio:.2f}",
        "1.10",
        f"{1e3 * statistics.median(delayed):.0f} ms against {1e3 * step:.0f} ms, {ROUNDS} rounds "
        f"in turns; with braking {1e3 * statistics.median(braked):.0f} ms",
    )
    yield (
        "update with braking per filter, of that step",
        f"{100 * braking / step:.2f}%",
        "1%",
        f"{1e3 * braking:.2f} ms",
    )
