"""(e) rounding 16M numbers to 1/6/9; (f) a training step in 1/6/9; (g) the range monitor.

Other people's quantisers stand beside ours where they are installed (`pip install qtorch pychop`;
qtorch compiles itself when it is first imported, which takes a C++ compiler and ninja).
"""

import contextlib
import ctypes
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.step import noise
from zoo.config import build, check, compose
from zoo.precision import FORMATS, quantize
from zoo.run import Run
from zoo.seeding import INIT, seed_everything

FP169 = FORMATS["fp169"]
NUMBERS = 1 << 24
MODELS = {
    "ResNet-20, batch 128": ["model=resnet20", "data=cifar10"],
    "ViT (depth 4, width 192), batch 64": [
        "model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=32", "+model.patch_size=4",
        "+model.depth=4", "data=cifar10", "data.batch_size=64",
    ],
}  # fmt: skip


def best_in_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the best seconds of each side, taken in turns."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def others() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the quantisers of other packages that are installed."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        from qtorch.quant import float_quantize

        found["qtorch"] = lambda x: float_quantize(x, exp=6, man=9, rounding="nearest")
    with contextlib.suppress(ImportError):
        import pychop

        pychop.backend("torch")
        chop = pychop.Chop(exp_bits=6, sig_bits=9, rmode=1, subnormal=True)
        found["pychop"] = chop
    return found


def of_numbers() -> Iterator[tuple[str, str, str, str]]:
    x = torch.randn(NUMBERS)
    quantize(x, FP169)  # compiles
    yield _against_half(x, "fresh memory")
    keep_memory()
    yield _against_half(x, "kept memory")
    for name, other in others().items():
        yield _against(name, other, x)


def keep_memory() -> None:
    """Have the C library keep what is freed, for all sides alike.

    It gives large blocks back at once, and the page faults of fresh ones take longer than rounding.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        mmap_threshold, trim_threshold = -3, -1
        library.mallopt(mmap_threshold, 1 << 30)
        library.mallopt(trim_threshold, (1 << 31) - 1)


def _against_half(x: Tensor, memory: str) -> tuple[str, str, str, str]:
    best = best_in_turns(
        {
            "ours": lambda: quantize(x, FP169),
            "half": lambda: x.half().float(),
            "copy": x.clone,
        },
        rounds=25,
    )
    return (
        f"quantize to 1/6/9, 16M floats, against x.half().float(), {memory}",
        f"{best['ours'] / best['half']:.2f}",
        "2.00",
        f"{1e3 * best['ours']:.1f} ms against {1e3 * best['half']:.1f} ms, best of 25 in turns; "
        f"a copy takes {1e3 * best['copy']:.1f} ms",
    )


def _against(name: str, other: Callable[[Tensor], Tensor], x: Tensor) -> tuple[str, str, str, str]:
    best = best_in_turns({"ours": lambda: quantize(x, FP169), "theirs": lambda: other(x)}, rounds=5)
    return (
        f"{name} against quantize, 16M floats, kept memory",
        f"{best['theirs'] / best['ours']:.0f}",
        "at least 20",
        f"{1e3 * best['theirs']:.0f} ms against {1e3 * best['ours']:.1f} ms, best of 5 in turns",
    )


class Training:
    """A run that is trained a few steps at a time, to measure two of them in turns."""

    def __init__(self, overrides: list[str], folder: str) -> None:
        settings = check(compose([*overrides, "trainer.max_epochs=null", "trainer.max_steps=1000",
                                  f"paths.output_dir={folder}", "callbacks.progress=null",
                                  "callbacks.checkpoint=null"]))  # fmt: skip
        data = noise(0, settings["data"]["batch_size"])
        self.run = Run(settings, data)
        seed_everything(INIT, 0)
        self.task = self.run.task(build(settings["model"], **data.model_arguments()))
        self.plugin: Any = self.run.trainer([]).precision_plugin
        self.plugin.convert_module(self.task)
        made = self.task.configure_optimizers()
        self.optimizer = made["optimizer"]
        self.images = torch.randn(data.batch_size, 3, 32, 32)
        self.labels = torch.randint(0, 10, (data.batch_size,))

    def step(self) -> None:
        """Go forward and backward through the plugin's own contexts, and update."""
        with self.plugin.forward_context():
            loss = torch.nn.functional.cross_entropy(self.task.net(self.images), self.labels)
        self.optimizer.zero_grad()
        self.plugin.backward(loss, self.task, None)
        self.optimizer.step()


def of_steps() -> Iterator[tuple[str, str, str, str]]:
    for name, overrides in MODELS.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            sides = {p: Training([*overrides, f"precision={p}"], folder) for p in ("fp32", "fp169")}
            for side in sides.values():
                for _ in range(2):
                    side.step()
            best = best_in_turns({p: side.step for p, side in sides.items()}, rounds=12)
            yield (
                f"step in 1/6/9 against fp32, {name}",
                f"{best['fp169'] / best['fp32']:.2f}",
                "1.40",
                f"{1e3 * best['fp169']:.0f} ms against {1e3 * best['fp32']:.0f} ms, best of 12 in turns",
            )
            for other, function in others().items():
                if other == "pychop":
                    continue  # minutes a step
                slow = _step_with(function, sides["fp169"])
                yield (
                    f"the same with {other}'s quantiser",
                    f"{slow / best['fp32']:.2f}",
                    "",
                    f"{1e3 * slow:.0f} ms, best of 2",
                )


def _step_with(function: Callable[[Tensor], Tensor], side: Training) -> float:
    """Time steps in which another package rounds at the same places."""
    from zoo.precision import casts

    ours = casts.quantize
    casts.quantize = lambda x, fmt: function(x.contiguous())  # type: ignore[assignment]
    try:
        return best_in_turns({"theirs": side.step}, rounds=2)["theirs"]
    finally:
        casts.quantize = ours


def of_monitor() -> Iterator[tuple[str, str, str, str]]:
    """Time whole steps with and without the monitor, at its default interval."""
    shares = []
    for overrides, interval in ((MODELS["ResNet-20, batch 128"], 100),):
        plain, watched = [], []
        for _ in range(3):
            for found, callbacks in ((plain, "default"), (watched, "ranges")):
                with tempfile.TemporaryDirectory() as folder:
                    settings = check(compose([
                        *overrides, f"callbacks={callbacks}", "trainer.max_epochs=null",
                        "trainer.max_steps=8", f"paths.output_dir={folder}",
                        "trainer.eval_every_steps=1000000",
                        *(["callbacks.ranges.every_steps=1"] if callbacks == "ranges" else []),
                    ]))  # fmt: skip
                    run = Run(settings, noise(0, settings["data"]["batch_size"]))
                    with run, contextlib.redirect_stdout(io.StringIO()):
                        task = run.task(build(settings["model"], **run.data.model_arguments()))
                        run.trainer([]).fit(task, datamodule=run.data)
                    found.append(run.recorder.times.median())
        more = statistics.median(w - p for w, p in zip(watched, plain, strict=True))  # type: ignore[operator]
        shares.append(more / statistics.median(plain) / interval)  # type: ignore[type-var, operator]
    yield (
        "range monitor, every 100 steps, ResNet-20",
        f"{100 * shares[0]:.2f}%",
        "3%",
        f"a watched step takes {1 + 100 * shares[0]:.2f} times one that is not",
    )


def rows() -> Iterator[tuple[str, str, str, str]]:
    yield from of_steps()
    yield from of_monitor()
    yield from of_numbers()  # last: it changes how this process allocates
