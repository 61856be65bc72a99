"""The processes of a run: one for each device, started by Lightning or by torchrun.

Lightning starts the others from the first, which by then has its folder in order. torchrun starts all
at once: the others then wait for the first to say so.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from zoo.errors import UserError


def rank() -> int:
    """Return which of the run's processes this is; 0 is the one that writes."""
    return _rank()[1]


def _rank() -> tuple[str, int]:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            return name, _number(name)
    return "", 0


def _number(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise UserError(f"{name}={value}: is no number; type unset {name}")
    return int(value)


def say(text: str) -> None:
    """Tell the user something, once for all processes of a run."""
    if rank() == 0:
        print(text, file=sys.stderr)


def by_torchrun() -> bool:
    """Whether torchrun has started the processes."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def check_processes(trainer: dict[str, Any]) -> None:
    """Refuse devices that are not as many as the processes of torchrun, and a second one of one.

    Raises:
        UserError: they are not.
    """
    started = _number("WORLD_SIZE") if "WORLD_SIZE" in os.environ else 1
    name, number = _rank()
    alone = trainer["devices"] == 1 or (name == "RANK" and "LOCAL_RANK" not in os.environ)
    if number > 0 and alone and not by_torchrun():
        # Nobody else is there to write the record.
        raise UserError(
            f"{name}={number}: says that this is one of several processes, and nothing has started the "
            f"others; type unset {name}, or torchrun with trainer.devices"
        )
    if by_torchrun() and started != trainer["devices"]:
        raise UserError(
            f"trainer.devices={trainer['devices']}: torchrun has started {started}; type "
            f"trainer.devices={started}, and trainer=ddp or trainer=fsdp"
        )


def starter() -> str:
    """Return what the processes of one torchrun have in common, and no others at the time."""
    return str(os.getppid())


def wait_for_the_first(lock: Path) -> None:
    """Wait until the first process has written `starter` into the run's lock file."""
    while by_torchrun():
        if lock.exists() and lock.read_text() == starter():
            return
        time.sleep(0.01)


def strategy(trainer: dict[str, Any]) -> Any:
    """Return what Lightning's Trainer takes as `strategy`."""
    if trainer["strategy"] != "fsdp":
        return trainer["strategy"]
    from lightning.pytorch.strategies import ModelParallelStrategy

    # Checkpoints are whole, in one file: it is replaced atomically, and one process can read it.
    return ModelParallelStrategy(
        data_parallel_size=trainer["devices"],
        tensor_parallel_size=1,
        save_distributed_checkpoint=False,
    )
