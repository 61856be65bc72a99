"""Runs that are made again: equal to the bit, within the interval, or not."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

import zoo
from tests import processes
from tests.conftest import TINY, UNCOMPILED, train_in
from tests.factories import DATA, HARDWARE, make_config, make_record
from tests.verbs import refused
from zoo.cli import app
from zoo.config import check, compose
from zoo.errors import UserError
from zoo.leaderboard.record import Record, deciding_config, identity
from zoo.leaderboard.store import read_record, write_record
from zoo.leaderboard.verify import first_difference, judge, prediction_interval
from zoo.verbs.verify import _find, make_again, overrides_of

SEEDS = [make_record(s, accuracy=a) for s, a in enumerate((0.90, 0.91, 0.93))]


def changed(record: Record, **metrics: float) -> Record:
    return record.model_copy(update={"metrics": {**record.metrics, **metrics}})


def test_bits_are_asked_for_and_clocks_are_not() -> None:
    old = SEEDS[0]
    slow = changed(old, **{"time/train_s": 99.0, "perf/step_median_s": 1.0, "mem/peak_bytes": 1.0})
    assert judge(old, slow, SEEDS).verdict == "bit-equal"
    assert judge(old, changed(old, **{"flops/total": 1.0}), SEEDS).note == (
        "bits differ, first in flops/total: 10000000000.0, now 1.0"
    )


def test_thinned_curves_are_compared_where_they_have_points() -> None:
    old = make_record(points=9)
    thin = old.model_copy(update={"curve": {k: c.thinned(3) for k, c in old.curve.items()}})
    assert first_difference(thin, old) == ""
    assert "it has no value at step" in first_difference(old, thin)
    curve = old.curve["val/acc"]
    bent = curve.model_copy(update={"value": [*curve.value[:-1], 0.0]})
    other = old.model_copy(update={"curve": {"val/acc": bent}})
    assert first_difference(thin, other).startswith("val/acc at step 90: ")


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.93, "within"), (0.70, "outside")])
def test_what_should_be_equal_and_is_not_is_judged_by_the_interval(
    accuracy: float, verdict: str
) -> None:
    found = judge(SEEDS[0], changed(SEEDS[0], **{"test/acc": accuracy}), SEEDS)
    assert found.verdict == verdict
    assert (found.old, found.new) == (0.90, accuracy)
    assert found.note.startswith("bits differ, first in test/acc: 0.9, now")


def test_one_seed_is_not_judged() -> None:
    found = judge(SEEDS[0], changed(SEEDS[0], **{"test/acc": 0.5}), SEEDS[:1])
    assert found.verdict == "unjudged"
    assert found.note.startswith("one seed tells no spread; bits differ")


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (
            {"hardware": HARDWARE.model_copy(update={"cpu_threads": 8})},
            "now on Test CPU with AVX2, 8 threads",
        ),
        (
            {"hardware": HARDWARE.model_copy(update={"instructions": "AVX512"})},
            "made on Test CPU with AVX2, 2 threads, now on Test CPU with AVX512, 2 threads",
        ),
        (
            {"libraries": {"python": "3.11", "torch": "3", "peft": "1"}},
            "other libraries: torch 2, now 3",
        ),
    ],
)
def test_another_machine_need_not_give_the_same_bits(update: dict[str, Any], said: str) -> None:
    other = changed(SEEDS[0], **{"test/acc": 0.9001}).model_copy(update=update)
    found = judge(SEEDS[0], other, SEEDS)
    assert found.verdict == "within"
    assert said in found.note
    assert "peft" not in found.note, "which the older record does not name"
    assert judge(SEEDS[0], SEEDS[0].model_copy(update=update), SEEDS).verdict == "bit-equal"


def test_a_record_that_names_no_instructions_is_judged_by_the_interval() -> None:
    older = SEEDS[0].model_copy(
        update={"hardware": HARDWARE.model_copy(update={"instructions": None})}
    )
    found = judge(older, changed(older, **{"test/acc": 0.9001}), SEEDS)
    assert found.verdict == "within"
    assert "instructions of the processor that its record does not name" in found.note


def test_a_clock_gives_no_bits() -> None:
    config = make_config(trainer={"budget_s": 5.0})
    timed = make_record(config=config)
    later = changed(timed, **{"test/acc": 0.5})
    assert judge(timed, later, [timed, *SEEDS]).note == "a clock ended both"


def test_a_run_that_diverges_again_agrees() -> None:
    old = SEEDS[0].model_copy(update={"status": "diverged"})
    assert judge(old, old, [old]).verdict == "bit-equal"
    assert judge(old, SEEDS[0], SEEDS).verdict == "outside"
    elsewhere = changed(old, **{"val/acc": 0.1}).model_copy(
        update={"hardware": HARDWARE.model_copy(update={"cpu_threads": 8})}
    )
    assert judge(old, elsewhere, [old]).verdict == "within"


@given(st.lists(st.integers(-99, 99).map(float), min_size=2, max_size=9))
def test_the_interval_is_students(values: list[float]) -> None:
    found = prediction_interval(values)
    assert found is not None
    n = len(values)
    mean, std = sum(values) / n, float(np.std(values, ddof=1))
    half = stats.t.ppf(0.975, n - 1) * std * (1 + 1 / n) ** 0.5
    assert found.low == pytest.approx(mean - half, abs=1e-6)
    assert found.high == pytest.approx(mean + half, abs=1e-6)


def test_another_seed_falls_into_it_as_often_as_it_says() -> None:
    draws = stats.norm.rvs(size=(4000, 4), random_state=0)
    intervals = [prediction_interval(row[:3].tolist()) for row in draws]
    inside = sum(row[3] in i for row, i in zip(draws, intervals, strict=True) if i is not None)
    assert 0.94 < inside / 4000 < 0.96


# -- the verb --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A run, with the command that a user typed."""
    folder = tmp_path_factory.mktemp("trained")
    record = train_in(folder, *TINY)
    record = record.model_copy(update={"command": f"python train.py {' '.join(TINY)}"})
    write_record(record, folder / record.id / "record.json")
    return folder, record


@pytest.fixture
def in_forks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let the verb's process be a fork that has imported torch; returns what is run."""
    seen = []

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> Any:
        seen.append(command)
        return processes.run(["train.py", *command[2:]], {**os.environ, **env, **UNCOMPILED})

    monkeypatch.setattr("zoo.verbs.verify.subprocess.run", run)
    return seen


def typed(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["verify", *words, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_a_run_is_made_again_and_a_second_time_is_not(
    trained: tuple[Path, Record], in_forks: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, record = trained
    before = read_record(folder / record.id / "record.json")
    here = ("--output-dir", str(folder), "--leaderboards", str(folder / "none"))
    (found,) = typed(record.id, *here)
    assert found["judgement"]["verdict"] == "bit-equal"
    assert found["judgement"]["new"] == record.metrics["test/acc"]
    assert read_record(folder / record.id / "record.json") == before
    made = read_record(folder / "verify" / record.id / "record.json").git
    monkeypatch.setattr("zoo.hardware.git_state", lambda _: made)
    typed(record.id, *here)
    assert len(in_forks) == (1 if made.clean else 2)
    table = CliRunner().invoke(app, ["verify", record.id, *here])
    assert "1 records: 1 equal to the bit" in table.stdout.replace("\n", " ")

    # A record that says another number: with one seed there is no interval, with three there is.
    tampered = folder / "tampered.json"
    write_record(changed(record, **{"test/acc": 0.99}), tampered)
    (found,) = typed(str(tampered), *here)
    assert found["judgement"]["verdict"] == "unjudged"
    for seed in (1, 2):
        config = {**record.config, "seed": seed}
        other = changed(record, **{"test/acc": 0.99 + seed / 1000}).model_copy(
            update={"config": config, "seed": seed, "id": f"{seed:016x}"}
        )
        write_record(other, folder / other.id / "record.json")
    (found,) = typed(str(tampered), *here, code=1)
    assert found["judgement"]["verdict"] == "outside"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("rm -rf .", "its command is no `python train.py`"),
        ("python train.py 'model=", "its command cannot be read"),
        ("python train.py hydra/launcher=x", "has hydra/launcher=x, which decides no result"),
        ("python train.py +hydra.sweep.dir=/", "has \\+hydra.sweep.dir=/, which decides no result"),
        ("python train.py --config-dir=/", "has --config-dir=/, which decides no result"),
        ("python train.py paths.output_dir=x", "has paths.output_dir=x, which decides no result"),
        ("python train.py model.width=3", "gives another configuration, or its id"),
    ],
)
def test_only_overrides_that_lead_to_the_record_are_run(command: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        overrides_of(make_record(command=command))


def test_a_hostile_target_is_not_made(tmp_path: Path, in_forks: list[list[str]]) -> None:
    """A record whose id fits its configuration, which names what is no part of training."""
    overrides = [*TINY, "model._target_=os.system"]
    config = deciding_config(check(compose(overrides)))
    hostile = make_record(
        config=config,
        command=f"python train.py {' '.join(overrides)}",
        id=identity(config, DATA.sha256, zoo.__version__),
        zoo_version=zoo.__version__,
    )
    found = make_again(hostile, [], tmp_path, again=False)
    assert found.judgement is None
    assert "os.system" in found.failed
    assert len(in_forks) == 1


def test_what_cannot_be_made_again_says_why(
    trained: tuple[Path, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, record = trained

    def fails(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, 2, "", "a warning\ntrain.py: no such data\n")

    monkeypatch.setattr("zoo.verbs.verify.subprocess.run", fails)
    found = make_again(record, [record], tmp_path, again=False)
    assert found.judgement is None
    assert found.failed == "no such data"


def test_the_choice_is_a_users_mistake_where_there_is_none(tmp_path: Path) -> None:
    here = ["--output-dir", str(tmp_path), "--leaderboards", str(tmp_path)]
    for words, said in (([], "type their ids, or --sample"), (["0" * 16], "no record of it")):
        done = CliRunner().invoke(app, ["verify", *words, *here])
        assert isinstance(done.exception, UserError)
        assert said in str(done.exception)


def test_a_sample_is_of_the_curated_ones_and_the_seeds_own(tmp_path: Path) -> None:
    from zoo.verbs.verify import _sample

    many = [make_record(s, train_s=float(s)) for s in range(20)]
    ids = lambda *a: [r.id for r in _sample(many, *a)]  # noqa: E731
    assert len(ids(0.25, 0, None)) == 5
    assert ids(4, 1, None) == ids(4, 1, None) != ids(4, 2, None)
    assert all(r.metrics["time/train_s"] <= 6 for r in _sample(many, 5, 0, 6.0))


def test_the_beginning_of_an_id_is_enough_where_it_is_one(tmp_path: Path) -> None:
    records = [make_record(seed) for seed in range(3)]
    elsewhere = records[1].model_copy()  # the same run on another machine
    assert _find(records[1].id[:8], [*records, elsewhere]) is records[1]
    assert _find(records[1].id, [*records, elsewhere]) is records[1]
    twin = records[0].model_copy(update={"id": records[1].id[:8] + "0" * 8})
    with pytest.raises(UserError, match="there are 2 that begin so; type more of its id"):
        _find(records[1].id[:8], [*records, twin])
    with pytest.raises(UserError, match="no record of it; type zoo records --list to see them"):
        _find(records[1].id[:3], records)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sample", "inf"], "--sample inf: is a number of records, or a share below 1"),
        (["--sample", "1.5"], "--sample 1.5: is a number of records"),
        (["--sample", "1", "0123456789abcdef"], "type --sample 10, or ids alone"),
        (["--under", "3"], "--under 3: is of a sample; type --sample 0.1 with it"),
    ],
)
def test_what_is_typed_is_not_left_aside(words: list[str], said: str) -> None:
    assert said in refused("verify", *words)
