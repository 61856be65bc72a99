"""What a sweep consists of: the overrides of each job, composed and checked as train.py does.

Hydra composes a configuration in a tenth of a second, and a sweep has hundreds that differ in
values only. So files are put together once for each choice of the groups, and values are set by the
function with which Hydra sets them.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from zoo.errors import UserError
from zoo.leaderboard.record import deciding_config, identity
from zoo.overrides import groups
from zoo.schema import check


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        overrides: as Hydra gives them to it.
        settings: the checked configuration.
    """

    overrides: tuple[str, ...]
    settings: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """Its name before its data are known: 16 hex digits over its configuration."""
        return job_key(self.settings)


def job_key(settings: dict[str, Any]) -> str:
    """Return `Job.key` of a checked configuration."""
    return identity(deciding_config(settings), "", "")


def composed(
    loader: ConfigLoader, master: DictConfig, jobs: Iterable[Sequence[str]]
) -> Iterator[DictConfig]:
    """Compose each job's configuration, equal to what `loader.load_sweep_config` gives."""
    known, parser = groups(), OverridesParser.create(config_loader=loader)
    bases: dict[tuple[str, ...], DictConfig] = {}
    for overrides in jobs:
        parsed = {o: parser.parse_override(o) for o in overrides}
        choices = tuple(o for o, p in parsed.items() if p.key_or_group in known or p.package)
        if choices not in bases:
            bases[choices] = loader.load_sweep_config(master, list(choices))
        config = copy.deepcopy(bases[choices])
        values = [p for o, p in parsed.items() if o not in choices]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        yield config


def jobs_of(
    loader: ConfigLoader, master: DictConfig, overrides: Sequence[Sequence[str]]
) -> list[Job]:
    """Compose and check the jobs of a sweep, so that a mistake stops it before its first run.

    Args:
        loader: Hydra's.
        master: the sweep's configuration.
        overrides: of each job.

    Raises:
        UserError: a job's options do not go together; the sentence says which job.
    """
    jobs = []
    for typed, config in zip(overrides, composed(loader, master, overrides), strict=True):
        try:
            jobs.append(Job(tuple(typed), check(config)))
        except UserError as error:
            swept = [o for o in typed if any(o not in other for other in overrides)]
            raise UserError(
                f"{error} (the sweep's run {' '.join(swept)}; nothing was trained)"
            ) from None
    return jobs
