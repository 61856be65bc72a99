"""A batch-one step of a pipeline against one of plain SGD, and what its old weights take.

Both sides go through the zoo's own Trainer, in turns, on pixels of CIFAR's shape. Steps are counted
once every stage is late in earnest. The ratio is the median over rounds of the steps' medians, which
another process on the machine disturbs less than their sum.
"""

import statistics
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from benchmarks.step import trained
from zoo.config import check, compose

STEPS, WARM_UP = 140, 70  # ResNet-20's first stage is 66 updates late
ROUNDS = 5
BATCH_ONE = [
    "model=resnet20", "model.norm=group", "data=cifar10", "data.batch_size=1",
    "trainer.max_epochs=null", f"trainer.max_steps={STEPS}",
    "trainer.eval_every_steps=1000000", "force=true",
    "optimizer.lr=1e-5",  # noise teaches nothing: a rate at which it does no harm
]  # fmt: skip
PLAIN = ["optimizer=sgd"]
PIPELINES = {
    "sgd": ("optimizer=sgd", "1.50"),
    "lwpv_sc": ("optimizer=lwpv_sc", "1.50"),
    "lwpw_sc": ("optimizer=lwpw_sc", ""),
    "spectrain": ("optimizer=spectrain", ""),
    "pipemare": ("optimizer=pipemare", ""),
}


def rows() -> Iterator[tuple[str, str, str, str]]:
    plain: list[float] = []
    piped: dict[str, list[float]] = {name: [] for name in PIPELINES}
    run = None
    for _ in range(ROUNDS):
        plain.append(_run(PLAIN)[1])
        for name, (optimizer, _) in PIPELINES.items():
            finished, seconds = _run([optimizer, "delay=pipeline"])
            piped[name].append(seconds)
            run = finished if name == "sgd" else run
    for name, (_, limit) in PIPELINES.items():
        ratio = statistics.median(a / b for a, b in zip(piped[name], plain, strict=True))
        yield (
            f"batch-one step, ResNet-20, delay=pipeline {name} against plain SGD",
            f"{ratio:.2f}",
            limit,
            f"{1e3 * min(piped[name]):.1f} ms against {1e3 * min(plain):.1f} ms (best of "
            f"{ROUNDS} rounds in turns)",
        )
    yield _bytes(run)


def _run(typed: list[str]) -> tuple[Any, float]:
    """Return a run that has ended, and the median of its seconds a step."""
    with tempfile.TemporaryDirectory() as folder:
        run, ends = trained(check(compose([*BATCH_ONE, *typed, f"paths.output_dir={folder}"])))
    return run, statistics.median(b - a for a, b in pairwise(ends[WARM_UP:]))


def _bytes(run: Any) -> tuple[str, str, str, str]:
    """Compare the memory behind all tensors of the rings with sum_s D_s |w_s| 4."""
    copies = [copy for ring in run.delay.history._rings for copy in ring]
    blocks = {c.untyped_storage().data_ptr(): c.untyped_storage().nbytes() for c in copies}
    measured = sum(blocks.values())
    cut = run.delay.cut
    formula = sum(2 * (len(cut) - s.number) * s.parameter_count * 4 for s in cut)
    return (
        "bytes of history, ResNet-20, against the formula",
        f"{measured / formula:.3f}",
        "1.000",
        f"{measured:,} bytes in {len(blocks):,} blocks; sum of D_s |w_s| 4 over {len(cut)} stages "
        f"is {formula:,}",
    )
