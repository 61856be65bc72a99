"""Valid records for tests of what reads them; the numbers are made up here and published nowhere."""

import math
import random
from collections.abc import Iterable
from typing import Any

from zoo.leaderboard.ranges import KINDS, ByLayer, FormatRange, OverTraining, Ranges
from zoo.leaderboard.record import Curve, Data, Git, Hardware, Record, identity

DATA = Data(name="digits", sha256="ab" * 32, train=1257, validation=180, test=360)
HARDWARE = Hardware(
    device="cpu",
    device_name="cpu",
    device_count=1,
    cpu_name="Test CPU",
    cpu_threads=2,
    instructions="AVX2",
    memory_bytes=8 << 30,
    driver=None,
)


def make_config(seed: int = 0, **sections: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as train.py would resolve it, in small."""
    config: dict[str, Any] = {
        "seed": seed,
        "model": {"name": "resnet8", "depth": 8, "width": 16},
        "data": {"name": "digits", "batch_size": 64},
        "task": {"name": "classification"},
        "precision": {"name": "fp32"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "scheduler": {"name": "cosine"},
        "delay": {"name": "none"},
        "trainer": {"max_epochs": 30},
    }
    for name, values in sections.items():
        config[name] = {**config.get(name, {}), **values}
    return config


def make_record(
    seed: int = 0,
    *,
    accuracy: float | None = 0.95,
    train_s: float | None = 10.0,
    points: int = 5,
    config: dict[str, Any] | None = None,
    **fields: Any,
) -> Record:
    """Return a valid record; `fields` replaces top-level ones."""
    config = config if config is not None else make_config(seed)
    noise = random.Random(seed)
    value = [
        round(0.5 + 0.45 * i / max(1, points - 1) + noise.random() / 50, 4) for i in range(points)
    ]
    curve = Curve(
        step=list(range(10, 10 * points + 1, 10)),
        samples=list(range(640, 640 * points + 1, 640)),
        train_s=[round(0.1 * (i + 1), 3) for i in range(points)],
        value=value,
    )
    values: dict[str, Any] = {
        "schema_version": 1,
        "id": identity(config, DATA.sha256, "test"),
        "status": "finished",
        "command": f"python train.py seed={seed}",
        "config": config,
        "seed": seed,
        "zoo_version": "0.1.0",
        "created_at": "2026-01-01T00:00:00Z",
        "git": Git(commit="c" * 40, clean=True),
        "data": DATA,
        "metrics": {
            "test/acc": accuracy,
            "val/acc": accuracy,
            "time/train_s": train_s,
            "flops/total": 1e9 * train_s if train_s else None,
            "train/samples": 640 * points,
        },
        "curve": {"val/acc": curve},
        "hardware": HARDWARE,
        "libraries": {"python": "3.11", "torch": "2"},
        "emulated": False,
    }
    return Record.model_validate({**values, **fields})


FORMATS = {
    "fp169": FormatRange(emin=-30, emax=31, mantissa_bits=9, subnormals=True),
    "fp16": FormatRange(emin=-14, emax=15, mantissa_bits=10, subnormals=True),
    "bf16": FormatRange(emin=-126, emax=127, mantissa_bits=7, subnormals=True),
}


def _normal_exponents(log2_sigmas: Iterable[float], low: int, high: int) -> list[float]:
    """Return the share of each exponent among samples of normal distributions, mixed evenly."""

    def below(k: int, log2_sigma: float) -> float:
        return math.erf(2.0 ** (k - log2_sigma) / math.sqrt(2))

    sigmas = list(log2_sigmas)
    return [
        sum(below(k + 1, s) - below(k, s) for s in sigmas) / len(sigmas) for k in range(low, high)
    ]


def make_ranges(steps: int = 64, layers: int = 22) -> Ranges:
    """Return ranges as of a training run whose gradients shrink from 2^-12 to 2^-28.

    Activations are half zeros, and at one step some gradients are not finite.
    """
    low, high = -50, 6
    # log2 of the standard deviation in the first layer, in the last, and its drift over training.
    shapes = {
        "weights": (-2.0, -5.5, 0.8),
        "activations": (0.5, -0.5, 0.4),
        "gradients": (-13.5, -10.5, -16.0),
        "weight_gradients": (-9.0, -6.0, -13.0),
    }
    zero = {"activations": 0.5}

    def row(kind: str, sigmas: list[float], lost: float = 0.0) -> list[float]:
        rest = 1 - zero.get(kind, 0.0) - lost
        shares = (rest * share for share in _normal_exponents(sigmas, low, high))
        # As of some millions of elements: the least share that there can be.
        return [float(f"{share:.4g}") if share > 2e-7 else 0.0 for share in shares]

    over_training, by_layer = {}, {}
    noise = random.Random(0)
    for kind in KINDS:
        first, last, drift = shapes[kind]
        depth = [first + (last - first) * i / max(1, layers - 1) for i in range(layers)]
        time = [i / max(1, steps - 1) for i in range(steps)]
        shift = [drift * t**0.7 + noise.gauss(0, 0.2) for t in time]
        lost = [0.02 if kind == "gradients" and i == steps // 3 else 0.0 for i in range(steps)]
        over_training[kind] = OverTraining(
            step=[100 * i for i in range(steps)],
            low=low,
            share=[row(kind, [d + s for d in depth], x) for s, x in zip(shift, lost, strict=True)],
            zero=[zero.get(kind, 0.0)] * steps,
        )
        by_layer[kind] = ByLayer(
            layer=[f"stages.{i // 7}.{i % 7}.conv" for i in range(layers)],
            low=low,
            share=[row(kind, [d + s for s in shift]) for d in depth],
            zero=[zero.get(kind, 0.0)] * layers,
        )
    return Ranges(formats=FORMATS, over_training=over_training, by_layer=by_layer)
