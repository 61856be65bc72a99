"""Arithmetic by a word: what `precision=` asks of Lightning's Trainer."""

from zoo.precision.arithmetic import Arithmetic, emulated, native

__all__ = ["Arithmetic", "emulated", "native"]
