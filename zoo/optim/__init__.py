"""Optimizers and learning-rate schedules."""

from zoo.optim.braking import AdaptiveBraking, AdaptiveBrakingAdamW
from zoo.optim.compensation import CompensatedSGD, spike_coefficients
from zoo.optim.decoupled import DecoupledAdamW
from zoo.optim.peers import (
    Dana,
    DelayCompensated,
    DelayScaledLR,
    GapAware,
    LoweredMomentum,
    StalenessAware,
)
from zoo.optim.scaling import scale_hyperparameters
from zoo.optim.timm import register, timm_optimizer

__all__ = [
    "AdaptiveBraking",
    "AdaptiveBrakingAdamW",
    "CompensatedSGD",
    "Dana",
    "DecoupledAdamW",
    "DelayCompensated",
    "DelayScaledLR",
    "GapAware",
    "LoweredMomentum",
    "StalenessAware",
    "scale_hyperparameters",
    "spike_coefficients",
    "timm_optimizer",
]

register()
