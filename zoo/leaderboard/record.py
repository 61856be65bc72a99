"""The record of a run: one JSON document, the only source of truth.

W&B, the page and the tables are views of records. docs/record.md lists every field and metric.
A record never holds a host name, a user name, a path or a key.
"""

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from zoo.leaderboard.ranges import Ranges

SCHEMA_VERSION = 1

# What never decides a result, and so is neither in a record's configuration nor in its id.
# A trailing dot means the whole section.
NOT_IN_CONFIG = (
    "hydra.",
    "paths.",
    "logger.",
    "force",
    "data.root",
    "data.cache_dir",
    "data.folder",  # its texts are in the fingerprint
    "data.tokenizer_folder",  # and so is its tokenizer
    "data.num_workers",
    "callbacks.checkpoint.",
    "callbacks.progress.",
    "callbacks.ranges.",  # it watches, and changes no bit
)

# Typed as a path or a name, and kept as the fingerprint of what is there.
BY_CONTENT = ("model.checkpoint",)

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Git(_Part):
    """The commit that the code came from, where it came from a checkout."""

    commit: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    clean: bool | None = None


class Data(_Part):
    """What was trained on: the fingerprint is the sha256 of the samples as they are stored."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    train: int = Field(ge=1)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    subset: list[str] | None = None  # the splits that are a part of the public ones, where known


class Origin(_Part):
    """The checkpoint that a run started from, by its content.

    Where it is of a run of the zoo, `run` is that run's id, and the rest is out of its record: what
    it learned and what that took, and what it started from in its turn. Runs of one `setup` differ in
    their seeds, and in those of the runs that they started from.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str
    run: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    model: str | None = None
    data: str | None = None
    task: str | None = None
    seed: int | None = Field(None, ge=0)
    tune: str | None = None
    setup: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    tokens: Finite | None = None
    train_s: Finite | None = None
    flops: Finite | None = None
    origin: "Origin | None" = None


class Hardware(_Part):
    """Where the numbers about time come from."""

    device: Literal["cpu", "cuda", "mps"]
    device_name: str
    device_count: int = Field(ge=1)
    cpu_name: str
    cpu_threads: int = Field(ge=1)
    instructions: str | None = None  # the widest that torch's kernels use, such as AVX512
    memory_bytes: int = Field(ge=1)
    driver: str | None = None


class Curve(_Part):
    """One metric over training; the lists are of equal length, one entry a point."""

    step: list[int] = Field(default_factory=list)
    samples: list[int] = Field(default_factory=list)
    tokens: list[int] | None = None
    train_s: list[Finite] = Field(default_factory=list)
    value: list[Finite | None] = Field(default_factory=list)

    @model_validator(mode="after")
    def _equal_lengths(self) -> "Curve":
        columns: list[list[Any]] = [self.step, self.samples, self.train_s, self.value]
        if self.tokens is not None:
            columns.append(self.tokens)
        if len({len(c) for c in columns}) != 1:
            raise ValueError("the lists of a curve must be of equal length")
        return self

    def thinned(self, points: int) -> "Curve":
        """Return at most so many of its points (at least 2), evenly spaced, both ends among them."""
        last = len(self.step) - 1
        if last < points:
            return self
        kept = [i * last // (points - 1) for i in range(points)]
        columns = {k: v and [v[i] for i in kept] for k, v in vars(self).items()}
        return self.model_copy(update=columns)


class Record(_Part):
    """One run. `metrics` holds every scalar by its key: docs/record.md has the table."""

    schema_version: Literal[1]
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    status: Literal["finished", "diverged"]
    command: str
    config: dict[str, Any]
    seed: int = Field(ge=0)
    zoo_version: str
    created_at: str
    git: Git
    data: Data
    metrics: dict[str, Finite | None]
    curve: dict[str, Curve]
    hardware: Hardware
    libraries: dict[str, str]
    emulated: bool
    ranges: Ranges | None = None  # of a monitored run
    origin: Origin | None = None  # of a run that started from a checkpoint

    @field_validator("metrics", mode="before")
    @classmethod
    def _none_for_nan(cls, metrics: Any) -> Any:
        if not isinstance(metrics, dict):
            return metrics
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in metrics.items()
        }

    @field_validator("config")
    @classmethod
    def _numbers_only(cls, config: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(config, allow_nan=False)  # as its id and its row on a board are made
        except ValueError:
            raise ValueError("holds a number that is not finite") from None
        return config

    def to_json(self) -> str:
        """Return the document as it is stored: compact, one line a top-level field."""
        fields = self.model_dump(mode="json")
        for rare in ("ranges", "origin"):
            if fields[rare] is None:
                del fields[rare]
        if self.data.subset is None:
            del fields["data"]["subset"]
        lines = [f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in fields.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def identity(config: dict[str, Any], data_sha256: str, version: str) -> str:
    """Return a run's id: 16 hex digits over what decides its result.

    Args:
        config: the resolved configuration without what `NOT_IN_CONFIG` names; holds the seed.
        data_sha256: the data's fingerprint.
        version: the package's version.
    """
    decides = {"config": config, "data": data_sha256, "version": version}
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def deciding_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the configuration without the keys that decide no result."""

    def keep(node: dict[str, Any], prefix: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in node.items():
            path = f"{prefix}{key}"
            if path in NOT_IN_CONFIG or f"{path}." in NOT_IN_CONFIG:
                continue
            kept[key] = keep(value, f"{path}.") if isinstance(value, dict) else value
        return kept

    return keep(config, "")


def decides_result(key: str) -> bool:
    """Whether an override of this dotted key belongs to the run's command.

    >>> decides_result("optimizer.lr"), decides_result("paths.output_dir"), decides_result("force")
    (True, False, False)
    """
    return not any(
        key == name or key + "." == name or (name.endswith(".") and key.startswith(name))
        for name in NOT_IN_CONFIG
    )


def setup(record: Record) -> str:
    """Name what decides a run's result but for its seed: 16 hex digits.

    A run that started from one with the same task and seed, as RTE's does from MNLI's, has that one's
    setup in its own, and not the weights, which the seed has changed.
    """
    config = {k: v for k, v in record.config.items() if k != "seed"}
    start = record.origin
    if start is not None and (start.task, start.seed) == (config["task"]["name"], record.seed):
        config["model"] = {**config["model"], "checkpoint": start.setup}
    return identity(config, record.data.sha256, record.zoo_version)
