"""Gradient delay: what is computed on old weights, and where a model's layers are cut apart.

The names are imported when they are first asked for: the analysis needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.delay.constant import ConstantDelay
    from zoo.delay.history import History
    from zoo.delay.pipeline import PipelineDelay
    from zoo.delay.stages import Stage, pipeline_stages

_HOMES = {
    "constant": ("ConstantDelay",),
    "history": ("History",),
    "pipeline": ("PipelineDelay",),
    "stages": ("Stage", "pipeline_stages"),
}

__all__ = ["ConstantDelay", "History", "PipelineDelay", "Stage", "pipeline_stages"]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"zoo.delay.{home}"), name)
    raise AttributeError(f"module 'zoo.delay' has no attribute {name!r}")
