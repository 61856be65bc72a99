"""A sweep's jobs: composed as Hydra does, checked before the first one runs, named as they will be."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tests.conftest import TINY
from tests.jobs import job_overrides
from zoo.config import session
from zoo.errors import UserError
from zoo.leaderboard import load_records
from zoo.overrides import groups
from zoo.sweeps.fingerprints import Fingerprints
from zoo.sweeps.jobs import composed, job_key, jobs_of

SWEEPS = [name for name in groups()["sweeps"] if name != "none"]


def loaded(*typed: str) -> tuple[ConfigLoader, DictConfig]:
    """Hydra's loader and what a sweep is composed to."""
    loader = GlobalHydra.instance().config_loader()
    return loader, loader.load_configuration("train", list(typed), RunMode.MULTIRUN)


def as_typed(config: DictConfig) -> dict[str, Any]:
    """What the run sees; Hydra's own section lists the overrides."""
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items() if k != "hydra"}


@pytest.mark.parametrize("name", SWEEPS)
def test_jobs_are_composed_as_by_hydra(name: str) -> None:
    overrides = [[*job, f"sweeps={name}"] for job in job_overrides(name)]
    chosen = [overrides[0], overrides[len(overrides) // 2], overrides[-1]]
    with session():
        loader, master = loaded(f"sweeps={name}")
        for typed, config in zip(chosen, composed(loader, master, chosen), strict=True):
            assert as_typed(config) == as_typed(loader.load_sweep_config(master, typed))


@pytest.mark.parametrize(
    "typed",
    [
        ["delay=constant", "++delay.steps=3"],
        ["+trainer.note=1"],
        ["~logger.project"],
        ["optimizer.scale_from={batch_size:64}"],
        ["precision=fp169", "optimizer.lr=1"],
    ],
)
def test_every_kind_of_override_is_applied_as_by_hydra(typed: list[str]) -> None:
    with session():
        loader, master = loaded()
        (config,) = composed(loader, master, [typed])
        want = loader.load_sweep_config(master, typed)
        assert as_typed(config) == as_typed(want)


def test_jobs_with_the_same_choices_do_not_share_their_values() -> None:
    with session():
        loader, master = loaded()
        found = list(composed(loader, master, [["seed=1"], ["seed=2"], ["model.width=4"]]))
    assert [(c.seed, c.model.width) for c in found] == [(1, 16), (2, 16), (0, 4)]


def test_a_mistake_in_one_job_names_it() -> None:
    with session():
        loader, master = loaded()
        with pytest.raises(UserError) as refusal:
            jobs_of(loader, master, [["model.width=2", "seed=0"], ["model.width=2", "seed=-1"]])
    assert str(refusal.value).startswith("seed=-1: ")
    assert "the sweep's run seed=-1;" in str(refusal.value)


def test_a_job_is_known_by_what_decides_its_result() -> None:
    with session():
        loader, master = loaded()
        one, same, other = jobs_of(
            loader, master, [["seed=1"], ["seed=1", "logger=none", "force=true"], ["seed=2"]]
        )
    assert one.key == same.key != other.key
    assert one.key == job_key(one.settings)


def settings_of(*typed: str) -> dict[str, Any]:
    with session():
        loader, master = loaded()
        (job,) = jobs_of(loader, master, [list(typed)])
    return job.settings


def test_a_runs_id_is_known_before_it_runs(tiny: Any) -> None:
    assert Fingerprints().id(settings_of(*TINY)) == tiny.id


def test_ids_of_texts_and_of_checkpoints(train_here: Any, tmp_path: Path) -> None:
    words = ["model=bert", "data=text", "model.size=nano", "data.max_length=16", *TINY[1:]]
    words += ["data.vocab_size=300", "data.batch_size=2", "data.eval_samples=8"]
    first = train_here(*words)
    again = [*words[:1], f"model.checkpoint={tmp_path / 'outputs' / first.id}", *words[1:]]
    train_here(*again)
    made = {r.id for r in load_records(tmp_path / "outputs")}
    prints = Fingerprints()
    assert {prints.id(settings_of(*words)), prints.id(settings_of(*again))} == made
    assert len(made) == 2


def test_a_delay_beyond_the_training_is_refused() -> None:
    settings = settings_of("trainer.max_epochs=1", "delay=constant", "delay.steps=1000")
    with pytest.raises(UserError, match="type a smaller delay.steps"):
        Fingerprints().id(settings)
