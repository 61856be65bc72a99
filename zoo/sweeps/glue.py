"""`experiment=glue/all`: the runs that it stands for, in two rounds.

Not a product of axes: each task has seeds of its own, and the second round starts from the MNLI run
of the same seed, whose id, and so whose folder, is known before it runs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from zoo.errors import UserError
from zoo.sweeps.jobs import jobs_of

if TYPE_CHECKING:
    from zoo.sweeps.plan import Plan

ALL = "experiment=glue/all"
# Seeds of each task: more where scores of small sets scatter. MNLI has as many as what starts from it.
FIRST = {"mnli": 5, "qnli": 3, "qqp": 3, "sst2": 3, "cola": 5, "wnli": 5}
SECOND = {"rte": 5, "mrpc": 5, "stsb": 5}


def expanded(
    loader: ConfigLoader, master: DictConfig, overrides: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Return the jobs' overrides, with its runs in the place of each `experiment=glue/all`.

    Args:
        loader: Hydra's.
        master: the sweep's configuration.
        overrides: of each job.

    Returns:
        The first round's and what is not of GLUE, in their order, then the second round's.

    Raises:
        UserError: MNLI's run cannot be composed.
    """
    second = [words for typed in overrides if ALL in typed for words in _runs(typed, SECOND)]
    if not second:
        return [list(typed) for typed in overrides]
    first = [w for typed in overrides for w in (_runs(typed, FIRST) if ALL in typed else [typed])]
    starts = {tuple(_on("mnli", words)): "" for words in second}

    from zoo.sweeps.fingerprints import Fingerprints  # imports torch

    prints = Fingerprints()
    jobs = jobs_of(loader, master, [list(words) for words in starts])
    for words, job in zip(starts, jobs, strict=True):
        try:
            run = prints.id(job.settings)
        except UserError:
            run = job.key  # it will say so itself, and the second round that it has failed
        starts[words] = str(Path(job.settings["paths"]["output_dir"]) / run)
    return [
        *(list(words) for words in first),
        *(_from(words, starts[tuple(_on("mnli", words))]) for words in second),
    ]


def _runs(typed: Sequence[str], tasks: dict[str, int]) -> Iterator[list[str]]:
    """Yield the overrides of each task and seed; a seed that was typed is the only one."""
    for task, seeds in tasks.items():
        # The mode is in conf/experiment/glue/all.yaml, which a job no longer has.
        words = [*_on(task, typed), "hydra.mode=MULTIRUN"]
        if any(word.startswith("seed=") for word in typed):
            yield words
        else:
            yield from ([*words, f"seed={seed}"] for seed in range(seeds))


def _on(task: str, typed: Sequence[str]) -> list[str]:
    known = (ALL, *(f"experiment=glue/{name}" for name in SECOND))
    return [f"experiment=glue/{task}" if word in known else word for word in typed]


def _from(words: Sequence[str], checkpoint: str) -> list[str]:
    """Start from a run that was tuned: also where that one's weights were new (tune=scratch)."""
    kept = [w for w in words if w.partition("=")[0].lstrip("+") != "model.checkpoint"]
    tuned = ["model.tune=full" if w == "model.tune=scratch" else w for w in kept]
    return [*tuned, f"model.checkpoint={checkpoint}"]


def show_scores(plan: "Plan") -> None:
    """Print the table of GLUE, of the runs of this sweep."""
    from rich.console import Console

    from zoo.leaderboard.glue import print_table

    print_table(Console(), [s.record for s in plan.found if s.record is not None])
