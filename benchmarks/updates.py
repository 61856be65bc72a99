"""The optimizers' steps against torch's SGD, on the parameters of real networks."""

from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor
from torch.optim import SGD

import zoo.models  # noqa: F401 - registers its networks with timm
from benchmarks.rounding import best_in_turns
from zoo.optim import AdaptiveBraking, CompensatedSGD

MODELS = {"ResNet-20": ("cifar_resnet20", 300), "ResNet-50": ("resnet50", 25)}
LR = 1e-9  # leaves the weights as they are, however often a step is made


def braking(parameters: list[Tensor]) -> dict[str, Any]:
    words = ("filter", "tensor", "model")
    return {
        f"braking per {word}": AdaptiveBraking(parameters, lr=LR, rho=1e-3, granularity=word)
        for word in words
    }


def compensated(parameters: list[Tensor]) -> dict[str, Any]:
    found = {
        f"spike compensation, D={delay}": CompensatedSGD(parameters, lr=LR, delay=delay)
        for delay in (1, 8)
    }
    pipeline = CompensatedSGD(parameters, lr=LR)
    pipeline.delays = {p: 2 * (len(parameters) - i) for i, p in enumerate(parameters)}
    return found | {"spike compensation, each tensor its own D": pipeline}


def limit(what: str, name: str) -> str:
    if what == "braking per filter":
        return {"ResNet-20": "3.00", "ResNet-50": "1.60"}[name]
    return "1.20" if what.startswith("spike") else ""


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield the ratios of all steps to SGD's."""
    for name, (model, rounds) in MODELS.items():
        best = seconds(model, rounds)
        size = sum(p.numel() for p in timm.create_model(model).parameters())
        sgd = best.pop("sgd")
        for what, took in best.items():
            yield (
                f"{what}, against SGD (foreach), {name}'s parameters",
                f"{took / sgd:.2f}",
                limit(what, name),
                f"{1e3 * took:.2f} ms against {1e3 * sgd:.2f} ms, best of {rounds} in turns, "
                f"{threads()}; SGD moves {32 * size / sgd / 1e9:.0f} GB/s",
            )


def seconds(model: str, rounds: int) -> dict[str, float]:
    """Return the best seconds of a step of each optimizer on a network's parameters."""
    parameters = list(timm.create_model(model).parameters())
    for p in parameters:
        p.grad = 1e-3 * torch.randn_like(p)
    sides = {"sgd": SGD(parameters, lr=LR, momentum=0.9, foreach=True)}
    sides |= braking(parameters) | compensated(parameters)
    for optimizer in sides.values():  # a first step has no velocity
        optimizer.step()
        optimizer.step()
    return best_in_turns({k: o.step for k, o in sides.items()}, rounds=rounds)


def threads() -> str:
    count = torch.get_num_threads()
    return "one thread" if count == 1 else f"{count} threads"
