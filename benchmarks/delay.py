"""Adaptive Braking's step against SGD's, and a training step with old weights against one without."""

import statistics
import tempfile
from collections.abc import Iterator

import timm
import torch
from torch.optim import SGD

import zoo.models  # noqa: F401 - registers its networks with timm
from benchmarks.rounding import best_in_turns
from benchmarks.step import zoo_seconds
from zoo.config import check, compose
from zoo.optim import AdaptiveBraking

MODELS = {"ResNet-50": ("resnet50", 25, "1.60"), "ResNet-20": ("cifar_resnet20", 300, "3.00")}
DELAYED = [
    "model=resnet20", "data=cifar10", "trainer.max_epochs=null", "trainer.max_steps=40",
    "trainer.eval_every_steps=1000000", "force=true",
]  # fmt: skip
ROUNDS = 3


def rows() -> Iterator[tuple[str, str, str, str]]:
    extra = {}
    for name, (model, rounds, limit) in MODELS.items():
        parameters = list(timm.create_model(model).parameters())
        for p in parameters:
            p.grad = 1e-3 * torch.randn_like(p)
        # Rates that leave the weights as they are, however often a step is made.
        sides = {
            "sgd": SGD(parameters, lr=1e-9, momentum=0.9, foreach=True),
            **{
                granularity: AdaptiveBraking(
                    parameters, lr=1e-9, rho=1e-3, granularity=granularity, foreach=True
                )
                for granularity in ("filter", "tensor", "model")
            },
        }
        for optimizer in sides.values():  # a first step has no velocity to brake, and is quick
            optimizer.step()
            optimizer.step()
        best = best_in_turns({k: o.step for k, o in sides.items()}, rounds=rounds)
        extra[name] = best["filter"] - best["sgd"]
        size = sum(p.numel() for p in parameters)
        for granularity in ("filter", "tensor", "model"):
            yield (
                f"braking per {granularity} against SGD (foreach), {name}'s parameters",
                f"{best[granularity] / best['sgd']:.2f}",
                limit if granularity == "filter" else "",
                f"{1e3 * best[granularity]:.2f} ms against {1e3 * best['sgd']:.2f} ms, best of "
                f"{rounds} in turns; SGD moves {32 * size / best['sgd'] / 1e9:.0f} GB/s",
            )
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
        "braking's share of that step",
        f"{100 * extra['ResNet-20'] / step:.2f}%",
        "1%",
        f"{1e3 * extra['ResNet-20']:.2f} ms more than SGD's",
    )
