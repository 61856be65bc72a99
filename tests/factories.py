"""Valid records for tests of what reads them; the numbers are made up here and published nowhere."""

import random
from typing import Any

from zoo.leaderboard.record import Curve, Data, Git, Hardware, Record, identity

DATA = Data(name="digits", sha256="ab" * 32, train=1257, validation=180, test=360)
HARDWARE = Hardware(
    device="cpu",
    device_name="cpu",
    device_count=1,
    cpu_name="Test CPU",
    cpu_threads=2,
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
