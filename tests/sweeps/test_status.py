"""How far a sweep's runs are, how long the rest takes, and what the screen says of it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.factories import make_ranges, make_record
from tests.sweeps.test_jobs import loaded
from zoo.config import session
from zoo.errors import UserError
from zoo.leaderboard.store import write_record
from zoo.locks import is_locked, lock
from zoo.sweeps.estimate import Estimate, on_the_clock
from zoo.sweeps.fingerprints import Fingerprints
from zoo.sweeps.jobs import Job, jobs_of
from zoo.sweeps.plan import Left, Plan
from zoo.sweeps.screen import as_json, duration, line, screen, time_left
from zoo.sweeps.status import forget_failure, note_failure, statuses


def jobs(folder: Path, *typed: list[str]) -> list[Job]:
    with session():
        loader, master = loaded()
        place = f"paths.output_dir={folder}"
        return jobs_of(loader, master, [[*words, place] for words in typed])


def test_every_state_is_told_from_the_others(tmp_path: Path) -> None:
    prints = Fingerprints()
    found = jobs(tmp_path, *([f"seed={seed}"] for seed in range(6)))
    ids = [prints.id(job.settings) for job in found]
    for run, status in ((ids[0], "finished"), (ids[1], "diverged")):
        write_record(make_record(0, id=run, status=status), tmp_path / run / "record.json")
    for run in ids[2:4]:
        (tmp_path / run).mkdir()
        (tmp_path / run / "last.ckpt").touch()
    held = lock(tmp_path / ids[3] / ".lock")
    note_failure(found[4].settings, "out of luck")
    states = [s.state for s in statuses(found, prints)]
    assert states == ["done", "diverged", "cut off", "running", "failed", "left"]
    assert statuses(found, prints)[4].reason == "out of luck"
    assert held is not None
    held.close()
    forget_failure(found[4].settings)
    states = [s.state for s in statuses(found, prints)]
    assert states == ["done", "diverged", "cut off", "cut off", "left", "left"]


def test_what_has_ended_is_not_read_again(tmp_path: Path) -> None:
    prints = Fingerprints()
    found = jobs(tmp_path, ["seed=0"], ["seed=1"])
    run = prints.id(found[0].settings)
    write_record(make_record(0, id=run), tmp_path / run / "record.json")
    before = statuses(found, prints)
    (tmp_path / run / "record.json").unlink()
    assert [s.state for s in statuses(found, prints, before)] == ["done", "left"]
    assert [s.state for s in statuses(found, prints)] == ["left", "left"]


@pytest.mark.parametrize("torn", ["", "{", '{"id": 3}'])
def test_a_torn_record_is_not_done(tmp_path: Path, torn: str) -> None:
    prints = Fingerprints()
    found = jobs(tmp_path, ["seed=0"])
    home = tmp_path / prints.id(found[0].settings)
    home.mkdir()
    (home / "record.json").write_text(torn)
    assert [s.state for s in statuses(found, prints)] == ["left"]


def test_a_run_that_is_forced_is_not_done(tmp_path: Path) -> None:
    prints = Fingerprints()
    found = jobs(tmp_path, ["seed=0"], ["seed=0", "force=true"])
    run = prints.id(found[0].settings)
    write_record(make_record(0, id=run), tmp_path / run / "record.json")
    assert [s.state for s in statuses(found, prints)] == ["done", "left"]
    (tmp_path / run / "last.ckpt").touch()  # is of the run that has ended
    now = (tmp_path / run / "record.json").stat().st_mtime
    assert [s.state for s in statuses(found, prints, since=now + 1)] == ["done", "left"]
    assert [s.state for s in statuses(found, prints, since=now)] == ["done", "done"]


def test_a_run_that_is_watched_is_done_when_its_ranges_are_there(tmp_path: Path) -> None:
    prints = Fingerprints()
    found = jobs(tmp_path, ["seed=0"], ["seed=0", "callbacks=ranges"])
    run = prints.id(found[0].settings)
    path = tmp_path / run / "record.json"
    write_record(make_record(0, id=run), path)
    assert [s.state for s in statuses(found, prints)] == ["done", "left"]
    write_record(make_record(0, id=run, ranges=make_ranges()), path)
    assert [s.state for s in statuses(found, prints)] == ["done", "done"]


def test_data_that_are_nowhere_are_said_once_where_all_runs_want_them(tmp_path: Path) -> None:
    lost = ["data=cifar10", f"data.root={tmp_path}"]
    with pytest.raises(UserError, match="cifar10"):
        statuses(jobs(tmp_path, [*lost, "seed=0"], [*lost, "seed=1"]), Fingerprints())
    found = statuses(jobs(tmp_path, [*lost, "seed=0"], ["seed=1"]), Fingerprints())
    assert [(s.state, s.id is None) for s in found] == [("left", True), ("left", False)]


def test_a_lock_is_of_one_holder_and_looking_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_locked(path)
    first = lock(path)
    assert first is not None
    assert is_locked(path)
    assert lock(path, patience_s=0.05) is None
    first.close()
    assert not is_locked(path)
    again = lock(path)
    assert again is not None
    again.close()


def measured(settings: dict[str, Any], *, train_s: float, steps: int, eval_s: float = 0.0) -> Any:
    metrics = {"time/train_s": train_s, "time/eval_s": eval_s, "train/steps": steps}
    return make_record(0, config=settings, metrics=metrics)


def test_time_is_scaled_from_the_likest_runs(tmp_path: Path) -> None:
    steps = ["trainer.max_epochs=null", "trainer.max_steps=50"]
    job, wide, other, timed = jobs(
        tmp_path, steps, [*steps, "model.width=64"], [*steps, "model=resnet20"],
        ["trainer.max_epochs=null", "trainer.budget_s=7"],
    )  # fmt: skip
    records = [
        measured(job.settings, train_s=10.0, steps=100, eval_s=1.0),
        measured(job.settings, train_s=20.0, steps=100, eval_s=3.0),
        measured(wide.settings, train_s=400.0, steps=100),
    ]
    estimate = Estimate(records, Fingerprints())
    assert on_the_clock(records[0]) == 11.0
    assert estimate.seconds(job.settings) == pytest.approx(50 * 0.15 + 2)
    assert estimate.seconds(wide.settings) == pytest.approx(200)
    assert estimate.seconds(other.settings) is None
    assert estimate.seconds(timed.settings) == pytest.approx(7 + 2)
    assert Estimate([], Fingerprints()).seconds(timed.settings) == 7


def test_the_screen_names_what_is_running_and_why_others_failed(tmp_path: Path) -> None:
    found = jobs(tmp_path, *([f"seed={seed}", "model.width=2"] for seed in range(4)))
    prints = Fingerprints()
    ids = [prints.id(job.settings) for job in found]
    write_record(make_record(0, id=ids[0]), tmp_path / ids[0] / "record.json")
    note_failure(found[1].settings, "out of luck")
    (tmp_path / ids[2]).mkdir()
    held = lock(tmp_path / ids[2] / ".lock")
    assert held is not None
    plan = Plan("demo", found)
    console = Console(file=io.StringIO(), width=100)
    console.print(screen(plan))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "demo: 4 runs: 1 done, 1 running, 1 failed; 2 left" in text
    assert f"running  {ids[2]}  seed=2" in text
    assert "seed=1  out of luck" in text
    assert "model.width" not in text  # no run differs in it
    assert [job.overrides[0] for job in plan.to_run] == ["seed=1", "seed=3"]
    plain = json.loads(json.dumps(as_json(plan)))
    assert [j["state"] for j in plain["jobs"]] == ["done", "failed", "running", "left"]
    held.close()


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (Left(0, 0, 0), "nothing left"),
        (Left(3, 360, 0), "3 left, about 3 min (2 at a time)"),
        (
            Left(3, 360, 1),
            "3 left, about 3 min (2 at a time), 1 of them unlike any run here before, so not in it",
        ),
        (Left(3, 0, 3), "3 left, all unlike any run here before, so no time is known"),
    ],
)
def test_time_left_in_a_phrase(left: Left, said: str) -> None:
    assert time_left(left, workers=2) == said


def test_durations() -> None:
    shown = [duration(s) for s in (0, 99.4, 100, 5999, 6000, 172_799, 172_800)]
    assert shown == ["0 s", "99 s", "2 min", "100 min", "1.7 h", "48.0 h", "2.0 days"]


def test_line_counts_what_diverged_among_what_is_done(tmp_path: Path) -> None:
    found = jobs(tmp_path, ["seed=0"], ["seed=1"])
    run = Fingerprints().id(found[0].settings)
    write_record(make_record(0, id=run, status="diverged"), tmp_path / run / "record.json")
    assert line(Plan("", found)).startswith("2 runs: 1 done, 1 of them diverged; 1 left")
