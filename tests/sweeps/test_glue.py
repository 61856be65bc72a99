"""`experiment=glue/all`: which runs it stands for, in which order, and what the second round starts from."""

from collections import Counter
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from zoo.config import session
from zoo.leaderboard.glue import AVERAGED, FROM_MNLI, TASKS
from zoo.overrides import groups
from zoo.sweeps.fingerprints import Fingerprints
from zoo.sweeps.glue import ALL, FIRST, SECOND, expanded
from zoo.sweeps.jobs import Job, jobs_of

SMALL = ["data.max_length=16", "data.vocab_size=300"]


@pytest.fixture
def here(glue_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ZOO_DATA", str(glue_root))
    monkeypatch.setenv("ZOO_OUTPUT", str(tmp_path))
    return tmp_path


def jobs(*sweep: list[str]) -> list[Job]:
    with session():
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        return jobs_of(loader, master, expanded(loader, master, sweep))


def test_every_task_has_a_preset_and_a_round() -> None:
    assert sorted([*FIRST, *SECOND]) == sorted(TASKS)
    assert {f"glue/{t}" for t in (*TASKS, "all")} <= set(groups()["experiment"])
    assert set(SECOND) == set(FROM_MNLI)
    assert set(AVERAGED) == set(TASKS) - {"wnli"}
    assert FIRST["mnli"] >= max(SECOND.values())
    assert next(iter(FIRST)) == "mnli"


def test_all_tasks_with_their_seeds_and_the_second_round_from_the_mnli_of_its_seed(
    here: Path,
) -> None:
    found = jobs([ALL, *SMALL])
    tasks = [job.settings["data"]["task"] for job in found]
    assert Counter(tasks) == {**FIRST, **SECOND}
    assert set(tasks[: sum(FIRST.values())]) == set(FIRST)  # what others wait for comes before them
    mnli = {j.settings["seed"]: j for j in found if j.settings["data"]["task"] == "mnli"}
    prints = Fingerprints()
    for job in found:
        start = job.settings["model"]["checkpoint"]
        if job.settings["data"]["task"] in SECOND:
            assert start == str(here / prints.id(mnli[job.settings["seed"]].settings))
        else:
            assert start is None
    assert len({job.key for job in found}) == len(found)


def test_what_is_typed_is_for_all_of_them(here: Path) -> None:
    found = jobs([ALL, *SMALL, "seed=7", "optimizer.lr=0.001", "model=bert_classifier"])
    assert [j.settings["data"]["task"] for j in found] == [*FIRST, *SECOND]
    assert {j.settings["seed"] for j in found} == {7}
    assert {j.settings["optimizer"]["lr"] for j in found} == {0.001}
    assert {j.settings["model"]["name"] for j in found} == {"bert_classifier"}


def test_new_weights_are_new_in_the_first_round_only(here: Path) -> None:
    found = jobs([ALL, *SMALL, "seed=0", "model.tune=scratch", "model.checkpoint=somewhere"])
    for job in found:
        second = job.settings["data"]["task"] in SECOND
        assert job.settings["model"]["tune"] == ("full" if second else "scratch")
        # That checkpoint is nowhere, so MNLI's run has a name that is none of a run yet.
        assert (job.settings["model"]["checkpoint"] == "somewhere") is not second


def test_other_jobs_stay_as_they_are(here: Path) -> None:
    with session():
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        plain = [["seed=0"], ["experiment=glue/rte", "seed=1"]]
        assert expanded(loader, master, plain) == plain
        mixed = expanded(loader, master, [plain[0], [ALL, "seed=1", *SMALL]])
        assert mixed[0] == plain[0]
        assert len(mixed) == 1 + len(FIRST) + len(SECOND)
