"""What a claim is: a sentence, the paper's figure, and a test in terms of groups.

docs/claims.md describes the keys. `leaderboards/claims/PAPER.yaml` holds the claims of a paper.
"""

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zoo.errors import UserError, suggest
from zoo.leaderboard.definition import read_definition
from zoo.leaderboard.frontier import Direction
from zoo.leaderboard.record import Finite


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Part):
    """What the paper reports, and where that stands; `verified` where this source was read."""

    value: str
    source: str
    verified: bool

    @property
    def is_of_the_paper(self) -> bool:
        """Whether the source is the paper itself, and no card, notebook or inference."""
        return self.source in ("abstract", "paper")


class GroupSpec(_Part):
    """Which runs: a condition on them, added to the claim's own; `metric` where it differs.

    `like` are conditions under which the tuned keys are chosen, where these are others: the learning
    rate that is best without delay, used with delay.
    """

    where: dict[str, Any] = Field(default_factory=dict)
    metric: str | None = None
    like: dict[str, Any] | None = None


class Test(_Part):
    """A quantity and the bound that it is said to keep: exactly one bound.

    `contrast`: groups by name with their weights; the sum over them, seed by seed.
    `speed_up`: [ours, theirs], two families; how many times less ours costs at equal quality.
    """

    contrast: dict[str, float] | None = None
    speed_up: tuple[list[str], list[str]] | None = None
    cost: str | None = None
    at_least: Finite | None = None
    at_most: Finite | None = None
    more_than: Finite | None = None
    less_than: Finite | None = None
    within: Finite | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_of_each(self) -> "Test":
        if (self.contrast is None) == (self.speed_up is None):
            raise ValueError("a test has one of contrast and speed_up")
        if (self.speed_up is None) != (self.cost is None):
            raise ValueError("cost goes with speed_up: the metric key that is to be less")
        if len([b for b in BOUNDS if getattr(self, b) is not None]) != 1:
            raise ValueError(f"a test has exactly one bound: {', '.join(BOUNDS)}")
        return self

    @property
    def bound(self) -> tuple[str, float]:
        """The bound's name and value."""
        return next((b, v) for b in BOUNDS if (v := getattr(self, b)) is not None)

    @property
    def groups(self) -> list[str]:
        """The names of the groups that the test needs."""
        return list(self.contrast or ()) + [g for f in self.speed_up or () for g in f]


BOUNDS = ("at_least", "at_most", "more_than", "less_than", "within")


class Choice(_Part):
    """Which runs count, what is measured of them, and how tuned keys are chosen.

    Attributes:
        where: what all groups have in common.
        metric, direction, scale: what is measured, which way is better, and in which scale the
            values are averaged and bounds are meant.
        tune: keys that each group takes at their best, by `tune_by` (of the validation split).
        minimum_seeds: that a group must have.
    """

    where: dict[str, Any] = Field(default_factory=dict)
    metric: str
    direction: Direction = "max"
    scale: Literal["linear", "percent", "log10"] = "linear"
    tune: list[str] = ["optimizer.lr"]
    tune_by: str = "val/acc"
    tune_direction: Direction = "max"
    minimum_seeds: int = Field(5, ge=2)

    @model_validator(mode="after")
    def _validation_chooses(self) -> "Choice":
        if self.tune_by.startswith("test/"):
            raise ValueError(f"tune_by: {self.tune_by} is of the test split; type val/...")
        return self

    def scaled(self, value: float | None) -> float | None:
        """Return a value in the scale; None where it is missing, not finite or has no logarithm."""
        if value is None or not math.isfinite(value) or (self.scale == "log10" and value <= 0):
            return None
        scales = {"linear": float, "percent": lambda v: 100.0 * v, "log10": math.log10}
        return scales[self.scale](value)

    @property
    def keys(self) -> list[str]:
        """The metrics that runs are compared by: where one is a clock, hardware counts."""
        return [self.metric]


class Claim(Choice):
    """A sentence and how it is decided: it holds where all of its tests do."""

    name: str
    sentence: str
    paper: Figure | None = None
    bound_from: str
    groups: dict[str, GroupSpec] = Field(min_length=1)
    tests: list[Test] = Field(min_length=1)

    @property
    def keys(self) -> list[str]:
        return [self.metric, *(t.cost for t in self.tests if t.cost is not None)]

    @model_validator(mode="after")
    def _groups_are_there(self) -> "Claim":
        for test in self.tests:
            for name in test.groups:
                if name not in self.groups:
                    raise ValueError(f"tests: {name}: no such group{suggest(name, self.groups)}")
        return self


class Claims(_Part):
    """The claims of a paper."""

    paper: str
    claims: list[Claim] = Field(min_length=1)


def load_claims(folder: Path) -> dict[str, Claims]:
    """Read the claims of every paper, by the name of the file.

    Raises:
        UserError: a file holds no valid claims; the sentence names file and key.
    """
    return {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}


def _load(path: Path) -> Claims:
    loaded = read_definition(path, Claims, "claims are a mapping with paper and claims")
    names = [claim.name for claim in loaded.claims]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path.name}: two claims are named {name}; rename one")
    return loaded
