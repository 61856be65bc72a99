"""Optimizers and learning-rate schedules."""

from zoo.optim.decoupled import DecoupledAdamW
from zoo.optim.timm import timm_optimizer

__all__ = ["DecoupledAdamW", "timm_optimizer"]
