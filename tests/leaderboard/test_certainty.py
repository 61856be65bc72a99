"""Boards that say how sure they are: intervals, membership, baseline, minimum seeds, reported rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from typer.testing import CliRunner

from tests.factories import HARDWARE, make_config, make_record
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.boards import Board, view
from zoo.leaderboard.certainty import certainty
from zoo.leaderboard.frontier import group_key
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import write_record

ACCURACY = {2: (0.80, 0.81, 0.82), 4: (0.90, 0.92, 0.91), 8: (0.85, 0.86, 0.84)}
TEXT = """
title: Widths
question: Which?
paper: A paper, 2020
where: {data.name: digits}
quality: {key: test/acc, label: accuracy, direction: max, percent: true}
costs: [{key: time/train_s, label: time, direction: min}]
columns: [model.width]
minimum_seeds: 3
baseline: {where: {model.width: 2}}
reported:
  - {label: theirs, quality: 0.99, source: Table 1, verified: false}
"""


def records() -> list[Record]:
    return [
        make_record(s, accuracy=a, train_s=float(w), config=make_config(s, model={"width": w}))
        for w, row in ACCURACY.items()
        for s, a in enumerate(row)
    ]


def board(**more: Any) -> Board:
    axis = {"key": "test/acc", "label": "accuracy", "direction": "max", "percent": True}
    cost = {"key": "time/train_s", "label": "time", "direction": "min"}
    values = {"name": "b", "title": "t", "question": "q", "quality": axis, "costs": [cost]}
    return Board.model_validate({**values, **more})


def widths(found: dict[str, Any]) -> dict[int, Any]:
    named = {group_key(r): r.config["model"]["width"] for r in records()}
    return {named[key]: value for key, value in found.items()}


def test_the_frontier_is_sure_where_it_is_clear() -> None:
    sure = widths(certainty(view(board(), records())).membership)
    assert sure[2] == 1.0  # the cheapest by far
    assert sure[4] > 0.9
    assert sure[8] < 0.1  # dearer and worse than 4
    # The order in which records come changes nothing.
    assert widths(certainty(view(board(), records()[::-1])).membership) == sure


def test_rows_of_too_few_seeds_or_without_a_value_are_on_no_frontier() -> None:
    few = [r for r in records() if r.config["model"]["width"] != 4 or r.seed < 2]
    filled = view(board(minimum_seeds=3), few)
    assert {g.config["model"]["width"]: g.on_frontier for g in filled.groups} == {  # type: ignore[index]
        2: True, 8: True, 4: False,
    }  # fmt: skip
    assert set(widths(certainty(filled).membership)) == {2, 8}
    lost = [*records(), make_record(7, accuracy=None, config=make_config(7, model={"width": 4}))]
    assert set(widths(certainty(view(board(), lost)).membership)) == {2, 8}


def test_each_kind_of_hardware_has_its_own_frontier_of_times() -> None:
    other = HARDWARE.model_copy(update={"cpu_name": "Slow CPU"})
    slow = [
        make_record(r.seed, accuracy=0.5, train_s=999.0, config=r.config, hardware=other)
        for r in records()
        if r.config["model"]["width"] == 2
    ]
    filled = view(board(), [*records(), *slow])
    found = certainty(filled).membership
    assert [
        found[g.key] for g in filled.groups if g.hardware != "Test CPU with AVX2, 2 threads"
    ] == [1.0]


def test_nobody_knows_how_sure_one_seed_is() -> None:
    single = make_record(0, accuracy=0.95, train_s=3.0, config=make_config(0, model={"width": 1}))
    filled = view(board(), [*records(), single])
    assert filled.groups[0].on_frontier  # with its value it competes
    found = widths(certainty(filled).membership)
    assert set(found) == {2, 4, 8}
    assert found[4] < 0.1  # and beats who is dearer and worse


def test_kinds_of_rows_that_are_kept_apart_have_frontiers_of_their_own() -> None:
    worse = [
        make_record(
            r.seed, accuracy=0.1, train_s=99.0, config={**r.config, "task": {"name": "hard"}}
        )
        for r in records()
        if r.config["model"]["width"] == 2
    ]
    together, apart = (
        view(board(apart=keys), [*records(), *worse]) for keys in ([], ["task.name"])
    )
    assert [g.on_frontier for g in together.groups] == [True, False, True, False]
    assert [g.on_frontier for g in apart.groups] == [True, False, True, True]
    assert certainty(apart).membership[apart.groups[-1].key] == 1.0
    assert apart.board.kind(apart.groups[-1]) == "task.name hard"


def test_the_baseline_is_compared_seed_by_seed() -> None:
    filled = view(board(baseline={"where": {"model.width": 2}}), records())
    found = widths(certainty(filled).against_baseline)
    assert set(found) == {4, 8}
    paired, p = found[8]
    expected = scipy.stats.ttest_rel(ACCURACY[8], ACCURACY[2])
    assert paired.effect == pytest.approx(0.04)
    assert paired.p == pytest.approx(expected.pvalue)
    others = sorted(scipy.stats.ttest_rel(ACCURACY[w], ACCURACY[2]).pvalue for w in (4, 8))
    assert p == pytest.approx(max(2 * others[0], others[1]))


def test_the_baseline_is_best_on_validation_not_on_test() -> None:
    rivals = [
        make_record(s, config=make_config(s, optimizer={"lr": lr}),
                    metrics={"test/acc": test, "val/acc": val, "time/train_s": 1.0})
        for lr, test, val in ((0.1, 0.5, 0.9), (0.2, 0.8, 0.4)) for s in range(3)
    ]  # fmt: skip
    ours = [
        make_record(s, accuracy=0.7, config=make_config(s, optimizer={"name": "x"}))
        for s in range(3)
    ]
    filled = view(board(baseline={"where": {"optimizer.name": "sgd"}}), [*rivals, *ours])
    ((paired, _),) = certainty(filled).against_baseline.values()
    assert paired.effect == pytest.approx(0.2)


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "widths.yaml").write_text(TEXT)
    lonely = make_record(0, accuracy=0.99, train_s=1.0, config=make_config(0, model={"width": 1}))
    for record in [*records(), lonely]:
        write_record(record, tmp_path / "out" / record.id / "record.json")
    return ["--output-dir", str(tmp_path / "out"), "--leaderboards", str(tmp_path / "boards")]


def zoo(*arguments: str, columns: int = 80) -> Any:
    environment = {"COLUMNS": str(columns)}
    return CliRunner().invoke(app, ["board", *arguments], catch_exceptions=False, env=environment)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_has_intervals_and_marks_one_seed(place: list[str], columns: int) -> None:
    shown = zoo("widths", *place, columns=columns).output
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    row = next(line for line in lines if "88.5..93.5" in line)  # 91 ± 4.303 / sqrt(3)
    assert row.split()[:2] == ["*", "4"]
    lonely = next(line for line in lines if "one seed" in line)
    assert "1!" in lonely
    assert not lonely.startswith("*")
    assert "reported, not run here: theirs: 99.00 (Table 1; not verified)" in shown
    assert ("±" in row) == (columns == 120)


def test_times_of_two_machines_share_a_table_only_where_that_is_asked_for(place: list[str]) -> None:
    other = HARDWARE.model_copy(update={"cpu_name": "Slow CPU"})
    for r in records():
        slow = make_record(r.seed, accuracy=0.5, train_s=999.0, config=r.config, hardware=other)
        write_record(slow, Path(place[1]) / f"{'slow'}" / slow.id / "record.json")
    both = ["--output-dir", str(Path(place[1])), *place[2:]]
    # The same runs, measured elsewhere: colleagues' records stand among the curated ones.
    for path in (Path(place[1]) / "slow").glob("*/record.json"):
        target = Path(place[3]) / "records" / f"{path.parent.name}.json"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    shown = zoo("widths", *both).output
    first, second = (
        shown.index("on Slow CPU with AVX2, 2 threads"),
        shown.index("on Test CPU with AVX2, 2 threads"),
    )
    assert first < shown.index("999") < second < shown.index("88.5..93.5")
    said = " ".join(zoo("widths", "--across-hardware", *both).output.split())
    assert "times of 2 kinds of hardware in one table, as asked, though they are not" in said
    assert "on Slow CPU" not in said


def test_the_baseline_in_the_table_and_all_of_it_as_json(place: list[str]) -> None:
    shown = zoo("widths", "--baseline", *place, columns=120).output
    assert "+10.00 (7.5..12.5)" in shown
    (found,) = json.loads(zoo("widths", "--json", *place).output)
    assert found["paper"] == "A paper, 2020"
    assert found["reported"][0]["verified"] is False
    rows = {g["config"]["model.width"]: g for g in found["groups"]}
    assert rows[1]["metrics"]["test/acc"]["interval"] is None
    assert rows[1]["probability"] is None
    assert rows[4]["metrics"]["test/acc"]["interval"]["low"] == pytest.approx(
        0.91 - 0.02484, abs=1e-4
    )
    assert rows[4]["against_baseline"]["p_holm"] < 0.05


def test_a_filter_that_matches_nothing_and_a_board_without_baseline_are_said(
    place: list[str],
) -> None:
    path = Path(place[3]) / "widths.yaml"
    path.write_text(TEXT.replace("digits", "nothing").replace("baseline: {", "#"))
    assert "none of the 10 records has data.name=nothing" in " ".join(
        zoo("widths", *place).output.split()
    )
    with pytest.raises(UserError, match="board widths has no baseline"):
        zoo("widths", "--baseline", *place)


def test_huge_numbers_and_nan_leave_the_board_standing(place: list[str]) -> None:
    out = Path(place[1])
    huge = [
        make_record(s, accuracy=1e308 * (-1) ** s, train_s=1e308, config=make_config(s, model={"width": 16}))
        for s in range(3)
    ]  # fmt: skip
    for record in huge:
        write_record(record, out / record.id / "record.json")
    (out / "torn.json").write_text(huge[0].to_json()[:500])
    (out / "cut").mkdir()
    (out / "cut" / "record.json").write_text("{")  # every run's file has this name
    shown = zoo("widths", *place)
    assert shown.exit_code == 0
    assert "left out torn.json" in shown.output
    assert "left out cut/record.json" in shown.output
    said = " ".join(shown.output.split())
    assert "metrics.test/acc: 1e+308 is no measurement; the limit is 1e+100" in said
    assert "88.5..93.5" in shown.output
    assert json.loads(zoo("widths", "--json", *place).output)
