"""What the verbs compute: each study is a table of numbers, and the same as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.delay.analysis import schedule
from zoo.delay.analysis.half_life import Optimum, least_half_life
from zoo.delay.analysis.polynomials import METHODS
from zoo.delay.analysis.rates import Rates, Search, stable_rates
from zoo.delay.analysis.stability import largest_rate

PARTITIONS = (0, 1, 2, 3, 4)  # seeds of the random blocks
BLOCK_RHO = 2.0
KAPPAS = (1e1, 1e2, 1e3, 1e4, 1e5)
KAPPA_DELAY = 4
SAMPLES = (1, 32, 128, 1024)  # in an update of fill and drain


@dataclass(frozen=True, slots=True)
class DelayStudy:
    """Stable learning rates, times lambda_max; every list has an entry for each delay.

    Attributes:
        momentum: m.
        delays: D, in steps.
        limits: the exact limits of heavy ball and Nesterov.
        braking: Adaptive Braking's, by rho, one cosine for the whole vector.
        blocks: in how many blocks the next two have their cosines, with rho = 2.
        neighbours: blocks of neighbouring curvatures.
        random: for each random partition into blocks.
    """

    momentum: float
    delays: list[int]
    limits: dict[str, list[float]]
    braking: dict[float, list[Rates]]
    blocks: int
    neighbours: list[Rates]
    random: list[list[Rates]]

    def as_json(self) -> dict[str, Any]:
        """Return plain data; what is not a number is None."""
        return _plain(dataclasses.asdict(self))


def delay_study(
    momentum: float, delays: Sequence[int], rhos: Sequence[float], blocks: int
) -> DelayStudy:
    """Find the stable learning rates of momentum and of Adaptive Braking."""
    braking: dict[float, list[Rates]] = {rho: [] for rho in rhos}
    for delay in delays:
        found = stable_rates([momentum] * len(rhos), rhos, delay)
        for rho, rates in zip(rhos, found, strict=True):
            braking[rho].append(rates)

    def in_blocks(seed: int | None) -> list[Rates]:
        how = Search(blocks=blocks, seed=seed)
        return [stable_rates([momentum], [BLOCK_RHO], delay, how)[0] for delay in delays]

    limits = {
        name: [largest_rate(momentum, delay, METHODS[name]) for delay in delays]
        for name in ("sgdm", "nesterov")
    }
    random = [in_blocks(seed) for seed in PARTITIONS]
    return DelayStudy(momentum, list(delays), limits, braking, blocks, in_blocks(None), random)


@dataclass(frozen=True, slots=True)
class PipelineStudy:
    """Least half-lives of each method, and what a pipeline costs.

    Attributes:
        kappa: the condition number of `by_delay`.
        delays: D, in steps.
        by_delay: for each method, an entry for each delay.
        kappas: the condition numbers of `by_kappa`.
        kappa_delay: the delay of `by_kappa`.
        by_kappa: for each method, an entry for each of `kappas`.
        stages: S of each row of `pipelines`.
    """

    kappa: float
    delays: list[int]
    by_delay: dict[str, list[Optimum]]
    kappas: list[float]
    kappa_delay: int
    by_kappa: dict[str, list[Optimum]]
    pipelines: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return _plain(dataclasses.asdict(self))


def pipeline_study(kappa: float, delays: Sequence[int], stages: Sequence[int]) -> PipelineStudy:
    """Find each method's least half-life by delay and by condition number; count the pipeline."""
    by_delay = {
        name: [least_half_life(method, delay, kappa) for delay in delays]
        for name, method in METHODS.items()
    }
    by_kappa = {
        name: [least_half_life(method, KAPPA_DELAY, k) for k in KAPPAS]
        for name, method in METHODS.items()
    }
    pipelines = [pipeline(count) for count in stages]
    return PipelineStudy(
        kappa, list(delays), by_delay, list(KAPPAS), KAPPA_DELAY, by_kappa, pipelines
    )


def pipeline(stages: int) -> dict[str, Any]:
    """Return what a pipeline of so many stages costs."""
    longest = schedule.delays(stages)[0]
    return {
        "stages": stages,
        "longest_delay": longest,
        "utilisation": {n: schedule.utilisation(stages, n) for n in SAMPLES},
        "activations": schedule.activations(stages),
        "weights_stashed": sum(
            schedule.weight_versions(d, stash=True) for d in schedule.delays(stages)
        ),
        "weights_predicted": sum(
            schedule.weight_versions(d, predict=True) for d in schedule.delays(stages)
        ),
    }


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
