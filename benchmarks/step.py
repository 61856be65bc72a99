"""(a) a training step of the zoo against a bare PyTorch loop; (d) the share of it spent on data.

Both sides train the same model on the same stream of batches with torch.optim.SGD, in turns. The
zoo's side is all of it: Lightning's loop, the recorder, the progress bar, the checkpoints.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F

from zoo.config import build, check, compose
from zoo.data.images import ImageData, Split
from zoo.run import Run
from zoo.seeding import INIT, seed_everything

CASES = {
    "ResNet-20, CIFAR-10, batch 128": (
        ["model=resnet20", "data=cifar10", "trainer.max_steps=12"], 12, 5, "1.10",
    ),
    "ResNet-8, digits, batch 64": (
        ["model=resnet8", "data=digits", "trainer.max_steps=300"], 300, 5, "1.30",
    ),
}  # fmt: skip


def noise(seed: int, batch_size: int) -> ImageData:
    """Return pixels of CIFAR's shape: a step costs the same whatever they show."""
    g = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        pixels = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=g)
        return Split(pixels, torch.randint(0, 10, (n,), generator=g))

    return ImageData(
        "cifar10", split(45_000), split(500), split(500), sha256="0" * 64, num_classes=10,
        seed=seed, batch_size=batch_size, eval_batch_size=500, crop_padding=4, flip=True,
    )  # fmt: skip


def make_data(settings: dict[str, Any]) -> Any:
    section = settings["data"]
    if section["name"] == "cifar10":
        return noise(settings["seed"], section["batch_size"])
    return build(section, seed=settings["seed"])


def trained(settings: dict[str, Any]) -> tuple[Run, list[float]]:
    """Return a run that has trained, and when each of its steps ended."""
    run = Run(settings, make_data(settings))
    with run, contextlib.redirect_stdout(io.StringIO()):
        seed_everything(INIT, 0)
        task = run.task(build(settings["model"], **run.data.model_arguments()))
        trainer = run.trainer([])
        ends: list[float] = []
        step_end = run.recorder.on_train_batch_end

        def watch(*arguments: Any) -> None:
            step_end(*arguments)
            ends.append(time.perf_counter())

        run.recorder.on_train_batch_end = watch  # type: ignore[method-assign]
        trainer.fit(task, datamodule=run.data)
    return run, ends


def zoo_seconds(settings: dict[str, Any], steps: int) -> tuple[float, float]:
    """Return seconds a step on the zoo's side, and the share of them spent waiting for data."""
    run, ends = trained(settings)
    # From the end of the first step to the end of the last: all that happens between two steps.
    return (ends[-1] - ends[0]) / (steps - 1), run.data.stream.wait_s / run.recorder.train_s


def bare_seconds(settings: dict[str, Any], steps: int) -> float:
    """Return seconds a step of the same training in a bare loop."""
    data = make_data(settings)
    data.total_batches = steps
    seed_everything(INIT, 0)
    net = build(settings["model"], **data.model_arguments())
    optimizer = build(settings["optimizer"], params=net.parameters())
    ends = []
    for images, labels in data.train_dataloader():
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (steps - 1)


def rows() -> Iterator[tuple[str, str, str, str]]:
    for name, (overrides, steps, rounds, limit) in CASES.items():
        ours, theirs, waits = [], [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                settings = check(
                    compose([
                        *overrides, "trainer.max_epochs=null", f"paths.output_dir={folder}",
                        "trainer.eval_every_steps=1000000", "force=true",
                    ])
                )  # fmt: skip
                theirs.append(bare_seconds(settings, steps))
                seconds, wait = zoo_seconds(settings, steps)
                ours.append(seconds)
                waits.append(wait)
        ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
        yield (
            f"step, {name}",
            f"{ratio:.2f}",
            limit,
            f"{1e3 * statistics.median(ours):.1f} ms against {1e3 * statistics.median(theirs):.1f} ms, "
            f"{rounds} rounds in turns",
        )
        yield (
            f"waiting for data, {name}",
            f"{100 * statistics.median(waits):.2f}%",
            "2%",
            "of step time",
        )
