"""Number formats: what they hold, rounding to them, and training in them.

The names are imported when they are first asked for: formats alone need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.precision.arithmetic import Arithmetic, emulated, native
    from zoo.precision.codes import decode, encode
    from zoo.precision.formats import FORMATS, FloatFormat
    from zoo.precision.plugin import EmulatedPrecision
    from zoo.precision.range_monitor import RangeMonitor
    from zoo.precision.rounding import quantize

_HOMES = {
    "formats": ("FORMATS", "FloatFormat"),
    "rounding": ("quantize",),
    "codes": ("decode", "encode"),
    "plugin": ("EmulatedPrecision",),
    "range_monitor": ("RangeMonitor",),
    "arithmetic": ("Arithmetic", "emulated", "native"),
}

__all__ = [
    "FORMATS",
    "Arithmetic",
    "EmulatedPrecision",
    "FloatFormat",
    "RangeMonitor",
    "decode",
    "emulated",
    "encode",
    "native",
    "quantize",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"zoo.precision.{home}"), name)
    raise AttributeError(f"module 'zoo.precision' has no attribute {name!r}")
