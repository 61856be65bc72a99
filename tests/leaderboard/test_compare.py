"""Two sides in turns: the ratio and its interval; the verb is run for its shape, never for its times."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tests import processes
from tests.conftest import UNCOMPILED
from tests.factories import make_record
from zoo.cli import app
from zoo.config import check, compose
from zoo.errors import UserError
from zoo.leaderboard.compare import ratio_of
from zoo.leaderboard.record import deciding_config, identity
from zoo.leaderboard.store import write_record
from zoo.verbs.compare import _overrides


def test_the_interval_is_of_a_paired_t_test_of_logarithms() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(0, 0.1, 7), rng.lognormal(0.5, 0.1, 7)
    found = ratio_of(a.tolist(), b.tolist())
    wanted = stats.ttest_rel(np.log(b), np.log(a)).confidence_interval(0.95)
    assert found.interval is not None
    assert math.log(found.interval.low) == pytest.approx(wanted.low)
    assert math.log(found.interval.high) == pytest.approx(wanted.high)
    assert found.value == pytest.approx(stats.gmean(b / a))
    assert found.verdict == "B is slower"
    assert ratio_of(b.tolist(), a.tolist()).verdict == "B is faster"


def test_a_machine_that_slows_down_slows_both() -> None:
    drift = [1.0, 2.0, 5.0, 9.0]
    found = ratio_of(drift, [1.5 * d for d in drift])
    assert found.value == pytest.approx(1.5)
    assert found.interval is not None
    assert found.interval.high - found.interval.low < 1e-9


def test_identical_sides_differ_as_often_as_the_level_says() -> None:
    draws = np.random.default_rng(1).lognormal(0, 0.05, (1000, 2, 5))
    covered = sum(ratio_of(*d.tolist()).verdict == "no difference is shown" for d in draws)
    assert 930 < covered < 970


def test_one_round_tells_no_certainty() -> None:
    assert ratio_of([1.0], [2.0]).verdict == "one round tells no certainty"


def test_the_verb_alternates_and_says_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> Any:
        seen.append("optimizer.lr=0.2" in command)
        return processes.run(["train.py", *command[2:]], {**os.environ, **env, **UNCOMPILED})

    monkeypatch.setattr("zoo.verbs.compare.subprocess.run", run)
    words = ["compare", "optimizer.lr=0.1", "optimizer.lr=0.2", "--common", "model.width=2"]
    done = CliRunner().invoke(app, [*words, "--rounds", "2", "--steps", "3", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert seen == [False, True, True, False]
    (a, b) = (side["step_s"] for side in said["sides"])
    assert said["ratio"] == pytest.approx(math.exp(np.mean(np.log(b) - np.log(a))))
    assert said["interval"][0] < said["ratio"] < said["interval"][1]
    assert "trainer.max_steps=3" in said["sides"][0]["overrides"]


def test_a_side_that_is_a_run_has_what_is_common_too(tmp_path: Path) -> None:
    config = deciding_config(check(compose(["model.width=2"])))
    record = make_record(0, config=config, command="python train.py model.width=2")
    record = record.model_copy(
        update={"id": identity(config, record.data.sha256, record.zoo_version)}
    )
    write_record(record, tmp_path / record.id / "record.json")
    words = _overrides(record.id, "precision=bf16 seed=3", 7, tmp_path, tmp_path / "none")
    assert words[:3] == ["precision=bf16", "seed=3", "model.width=2"]


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("0123456789abcdef", "no run has this id; type overrides in quotes"),
        ("model=resnet9", "model=resnet9: no such model"),
        ("model='x", "cannot be read .* close the quotes"),
        ("delay=constant delay.steps=0.5", "delay.steps"),
    ],
)
def test_a_mistake_comes_before_the_first_run(
    side: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.verbs.compare.subprocess.run", None)
    done = CliRunner().invoke(app, ["compare", "seed=0", side])
    assert isinstance(done.exception, UserError)
    with pytest.raises(UserError, match=said):
        raise done.exception
