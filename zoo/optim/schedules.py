"""Learning-rate schedules as functions of the share of the budget that is used.

A schedule maps progress p in [0, 1] to a multiplier of the peak learning rate, so one definition
serves budgets in epochs, steps, samples and seconds. With warm-up to w, the multiplier rises as
p / w and the schedule proper runs over (p - w) / (1 - w).
"""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The base: a warm-up from 0, then `shape`."""

    warmup_fraction: float = 0.0

    def __call__(self, progress: float) -> float:
        """Return the multiplier at `progress`, which is clipped to [0, 1]."""
        p, w = min(max(progress, 0.0), 1.0), self.warmup_fraction
        if p < w:
            return p / w
        return self.shape((p - w) / (1.0 - w))

    def shape(self, p: float) -> float:
        """Return the multiplier at share `p` of what follows the warm-up."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """1 throughout."""

    def shape(self, p: float) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Steps(Schedule):
    """Multiplied by `factor` at each of `fractions` (He et al. 2015: 0.1 at 1/2 and 3/4)."""

    fractions: list[float] = field(default_factory=lambda: [0.5, 0.75])
    factor: float = 0.1

    def shape(self, p: float) -> float:
        return self.factor ** sum(p >= f for f in self.fractions)


@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """From 1 down to `floor`, straight."""

    floor: float = 0.0

    def shape(self, p: float) -> float:
        return self.floor + (1.0 - self.floor) * (1.0 - p)


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """From 1 down to `floor`, along half a cosine (Loshchilov & Hutter 2017, no restarts)."""

    floor: float = 0.0

    def shape(self, p: float) -> float:
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * p))
